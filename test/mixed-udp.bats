#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# UDP clients of a TCP target; the other way round is in mixed.bats. And both beside the real
# rinetd 0.73, under xinetd.

load helper
load datagrams
load forwarding

# taking [ARG...]: a relay that has a datagram socket. The target is $TO, by default `target`.
taking() {
    local to

    read -ra to <<<"${TO:-127.0.0.1 $(port_of target)/tcp}"
    hand_datagrams 127.0.0.1 0 "$RELAY" --log="$T/log" "$@" "${to[@]}"
}

# asks, says, takes [--OPTION...] [TEXT...]: of the relay; takes without a reply.
asks() {
    "$DATAGRAM" ask "$@" 127.0.0.1 "$(port_of relay)" >asked
}

says() {
    local options=()

    while [[ ${1-} == --* ]]; do
        options+=("$1")
        shift
    done
    "$DATAGRAM" say "${options[@]}" 127.0.0.1 "$(port_of relay)" "$@"
}

takes() {
    says --replies=0 "$@"
}

# Lines of the log as FROM-CLIENT TO-CLIENT MESSAGE, of whichever session.
lines_are() {
    wait_for has_lines log $#
    diff <(printf '%s\n' "$@" | sort) <(log_of "$T/log" | cut -d '|' -f 6- | tr '|' ' ' | sort)
}

has_lines() {
    [ -e "$1" ] && [ "$(wc -l <"$1")" -ge "$2" ]
}

# has_bytes FILE N: or more.
has_bytes() {
    [ "$(wc -c <"$1")" -ge "$2" ]
}

# letters N: so many, none of them like its neighbour.
letters() {
    head -c "$1" < <(yes abcdefghijklmnopqrstuvwxyz | tr -d '\n')
}

@test "UDP to TCP: one question and its answer at a time" {
    listen target 127.0.0.1 0 echo
    taking
    asks --sizes=1,508,1472,8192 --rounds=5
    grep -q '^20 sent, 20 got' asked
    stop relay
    lines_are '1 0 opened' '50865 50865 done-local-closed'
}

@test "UDP to TCP: clients at once, each with a connection of its own" {
    listen target 127.0.0.1 0 echo
    taking
    asks --clients=20 --sizes=1,1472 --rounds=3
    grep -q '^120 sent, 120 got' asked
    stop relay
    [ "$(grep -c "$(printf '\t1\t0\topened')" log)" = 20 ]
    [ "$(grep -c "$(printf '\t4419\t4419\tdone-local-closed')" log)" = 20 ]
}

@test "UDP to TCP: datagrams become one stream, whole and in order" {
    listen target --count=1 127.0.0.1 0 rest
    taking
    letters 65507 >large
    takes one '' "$(<large)" '' two ''
    wait_for has_bytes target.out $((65513 + 16))
    stop relay
    finished target || true
    diff <(echo "one$(<large)two") <(output_of target; echo)
    lines_are '3 0 opened' '65513 0 done-local-closed'
}

# That has nothing to write, so the second is the first that is held for the connection.
@test "UDP to TCP: the first datagram is empty, and is what the log counts first" {
    local pid

    listen target 127.0.0.1 0 discard
    taking
    takes one
    wait_for has_lines log 1
    pid=$(first)
    kill -STOP "$pid"
    takes --from=127.0.0.2 '' hello
    kill -CONT "$pid"
    wait_for has_lines log 2
    stop relay
    lines_are '3 0 opened' '0 0 opened' '3 0 done-local-closed' '5 0 done-local-closed'
}

@test "UDP to TCP: a stream becomes datagrams, whole and in order" {
    local got=0

    listen target 127.0.0.1 0 recv:1 data:100000:7 hold
    taking
    "$PEER" connect 127.0.0.1 "$(port_of target)" send:x recv:100000 rst >expected
    exec 5<>"/dev/udp/127.0.0.1/$(port_of relay)"
    printf x >&5
    while ((got < 100000)); do
        timeout 60 dd bs=65536 count=1 <&5 >>came 2>dd.err
        got=$(wc -c <came)
    done
    exec 5>&-
    cmp came expected
    stop relay
    lines_are '1 0 opened' '1 100000 done-local-closed'
}

@test "UDP to TCP: a timeout ends the session and its connection" {
    listen target --count=1 127.0.0.1 0 recv:3 eof # an answer could be too late
    taking --timeout=1
    takes abc
    finished target
    lines_are '3 0 opened' '3 0 done-remote-closed'
}

@test "UDP to TCP: the target's end is that of the session, and the next datagram opens another" {
    listen target 127.0.0.1 0 recv:3 send:def fin eof
    taking
    [ "$(says abc)" = def ]
    wait_for has_lines log 2
    [ "$(says abc)" = def ]
    lines_are '3 0 opened' '3 3 done-local-closed' '3 0 opened' '3 3 done-local-closed'
}

@test "UDP to TCP: a reset is the same" {
    listen target 127.0.0.1 0 recv:3 rst
    taking
    takes abc
    lines_are '3 0 opened' '3 0 done-local-closed'
}

@test "UDP to TCP: nobody is there; a flood of datagrams is no flood of lines, and the target is used again" {
    local port

    port=$(free_ports)
    TO="127.0.0.1 $port/tcp"
    taking
    takes {1..200}
    wait_for has_lines log 1
    [ "$(log_of log | cut -d '|' -f 6- | sort -u)" = '0|0|local-connect-failed -' ]
    (($(wc -l <log) < 10))
    rm log
    listen target 127.0.0.1 "$port" echo
    asks --sizes=3 --retry=200
    grep -q opened log
}

# has_got_the_last PORT: one more datagram of that client; has the target got one of them?
has_got_the_last() {
    takes --from="127.0.0.2:$1" END
    [ "$(tail -c 3 target.out)" = END ]
}

# is_another_served PORT: by a connection that the target leaves in its queue. What is sent is lost
# as long as the relay's socket is full.
is_another_served() {
    takes --from="127.0.0.3:$1" y
    has_lines log 2
}

# A stream must stay whole: what is lost of too much is whole datagrams.
@test "UDP to TCP: a target that reads late delays nobody, and gets whole datagrams" {
    local texts port

    listen target --count=1 --rcvbuf=4096 127.0.0.1 0 recv:1 wait-file:"$T/go" rest
    taking
    port=$(free_ports)
    takes --from="127.0.0.2:$port" x
    wait_for has_lines log 1
    mapfile -t texts < <(for _ in {1..30}; do echo "$(letters 60000)."; done)
    for _ in {1..4}; do
        takes --from="127.0.0.2:$port" "${texts[@]}"
    done
    wait_for is_another_served "$(free_ports)"
    touch go
    wait_for has_got_the_last "$port"
    stop relay
    finished target
    output_of target | sed 's/^x//; s/END//g' | tr . '\n' | sort | uniq -c >kinds
    cut -c 1-40 kinds
    diff <(letters 60000 && echo) <(sed 's/^ *[0-9]* //' kinds)
}

@test "UDP to TCP: a stream that is cut short ends with a reset" {
    local port status=0

    require namespaces
    small_buffers
    listen target --count=1 --rcvbuf=4096 127.0.0.1 0 recv:1 wait-file:"$T/go" rest
    taking
    port=$(free_ports)
    takes --from="127.0.0.2:$port" x
    takes_each "$port" 10
    stop relay
    touch go
    finished target || status=$?
    [ "$status" = 1 ]
    [[ $(<target.err) == *'Connection reset by peer'* ]]
}

# small_buffers: what the target has not read yet is held by the relay, not by the kernel.
small_buffers() {
    own_ipv4 tcp_wmem '4096 16384 65536'
}

# takes_each PORT N: so many of 60000 bytes, one by one, as all at once are too much for the relay's
# socket.
takes_each() {
    local i text

    text=$(letters 60000)
    for ((i = 0; i < $2; i++)); do
        takes --from="127.0.0.2:$1" "$text"
        wait_for queue_is_empty "$(port_of relay)"
    done
}

@test "UDP to TCP: a target that takes what it was sent long ago has its session in use" {
    local slowly=()

    require namespaces
    small_buffers
    for _ in {1..10}; do
        slowly+=(recv:20000 sleep:1000)
    done
    listen target --count=1 --rcvbuf=4096 127.0.0.1 0 wait-file:"$T/go" "${slowly[@]}" recv:400000 \
        touch:"$T/got" rest
    taking --timeout=8 # whoever is stalled for some seconds less does no harm
    takes_each "$(free_ports)" 10
    touch go
    wait_for test -e got
    stop relay
    finished target
    lines_are '60000 0 opened' '600000 0 done-local-closed'
}

# is_delivered PORT: the target's connections have nothing under way.
is_delivered() {
    awk -v port="$(printf ':%04X' "$1")" '
        substr($2, length($2) - 4) == port && $4 == "01" && $5 !~ /^00000000:/ { left = 1 }
        END { exit left }' /proc/net/tcp
}

@test "UDP to TCP: answers that came before a reset get to the client, who has written meanwhile" {
    local pid

    require namespaces
    own_ipv4 tcp_rmem '4096 1048576 6291456'
    listen target --count=1 127.0.0.1 0 recv:1 touch:"$T/asked" wait-file:"$T/go" data:300000:7 \
        touch:"$T/sent" wait-file:"$T/end" rst
    taking
    exec 5<>"/dev/udp/127.0.0.1/$(port_of relay)"
    printf x >&5
    wait_for test -e asked
    pid=$(first)
    kill -STOP "$pid"
    touch go
    wait_for test -e sent
    wait_for is_delivered "$(port_of target)"
    printf late >&5
    printf later >&5
    touch end
    finished target
    kill -CONT "$pid"
    wait_for has_lines log 2
    exec 5>&-
    [ "$(sed -n 2p log | cut -f 8-)" = $'300000\tdone-local-closed' ]
}

@test "UDP to TCP: access lists, and a line for each client that is refused" {
    listen target 127.0.0.1 0 echo
    taking --allow=127.0.0.2,127.0.0.3 --deny=127.0.0.3
    takes --from=127.0.0.1 a b c
    takes --from=127.0.0.3 a b c
    [ "$(says --from=127.0.0.2 abc)" = abc ]
    stop relay
    lines_are '0 0 not-allowed' '0 0 denied' '3 0 opened' '3 3 done-local-closed'
}

@test "UDP to TCP: both log formats, to the byte" {
    local line

    listen target 127.0.0.1 0 echo
    taking --listener=0.0.0.0:514
    [ "$(says abc)" = abc ]
    stop relay
    line="127.0.0.1|0.0.0.0|514|127.0.0.1|$(port_of target)"
    logged log "$line|3|0|opened" "$line|3|3|done-local-closed"
    rm log
    taking --listener=0.0.0.0:514 --log-common
    [ "$(says abc)" = abc ]
    stop relay
    line="\"GET /rinetd-services/0.0.0.0/514/127.0.0.1/$(port_of target)"
    diff <(sed -E 's/\[[^]]*\]/[TIME]/' log) - <<END
127.0.0.1 - - [TIME] $line/opened HTTP/1.0" 200 0 - - - 3
127.0.0.1 - - [TIME] $line/done-local-closed HTTP/1.0" 200 3 - - - 3
END
}

@test "UDP to TCP: the source address, and targets by name" {
    listen target 127.0.0.1 0 print-peer echo
    taking --src=127.0.0.9
    [ "$(says abc)" = abc ]
    output_of target | grep -q '^127\.0\.0\.9[ :]'
    stop relay
    own_etc hosts <<<'127.0.0.1 target.test'
    TO="target.test $(port_of target)/tcp"
    taking
    [ "$(says abc)" = abc ]
}

@test "a unix socket, and a protocol that is none, are wrong usage for datagrams" {
    local to target

    for target in "unix:$T/socket" '127.0.0.1 9/sctp' '127.0.0.1 9/'; do
        read -ra to <<<"$target"
        rm -f relay.status log
        start_peer hand relay --datagram --count=1 --stderr="$T/said" \
            --status-file="$T/relay.status" 127.0.0.1 0 "$RELAY" --log="$T/log" "${to[@]}"
        takes x
        wait_for test -s relay.status
        [ "$(tail -n 1 relay.status)" = 2 ]
        [ ! -e log ]
        stop relay
    done
}

# both RULE...: rinetd and ours, with a port of its own for @1 of the rule: ${beside[0]}, and
# ${beside[1]}.
both() {
    local side

    mapfile -t beside < <(free_ports 2)
    for side in rinetd ours; do
        writable_log "$side.log"
    done
    printf '%s\n' "logfile $T/rinetd.log" "${1/@1/${beside[0]}}" >theirs.conf
    start_rinetd theirs.conf
    wait_for or_over rinetd datagram_or_listener "${beside[0]}"
    convert xinetd "logfile $T/ours.log" "${1/@1/${beside[1]}}"
    start_xinetd xinetd.conf
}

# datagram_or_listener PORT: is there one?
datagram_or_listener() {
    listening "$1" || grep -qi "$(printf ' [^ ]*:%04X 00000000:0000 07' "$1")" /proc/net/udp
}

# same_lines: the logs of both are, but for times and ports, "CLIENT FROM TO MESSAGE".
same_lines() {
    wait_for has_lines rinetd.log "$1"
    wait_for has_lines ours.log "$1"
    diff <(summary <rinetd.log | sort) <(summary <ours.log | sort)
}

@test "rinetd 0.73 and ours: UDP to TCP" {
    local port

    require xinetd rinetd
    listen target 127.0.0.1 0 echo
    both "127.0.0.1 @1/udp 127.0.0.1 $(port_of target) [timeout=6]"
    for port in "${beside[@]}"; do
        "$DATAGRAM" ask --from=127.0.0.2 --sizes=3,508,1472,8192 127.0.0.1 "$port"
    done
    same_lines 2
    grep -q done-remote-closed ours.log
}

# It begins each session with an empty datagram, takes an empty reply for the end, and logs no end.
@test "rinetd 0.73 and ours: TCP to UDP" {
    local port

    require xinetd rinetd perl
    # shellcheck disable=SC2016
    start target perl -e '
        socket my $s, 2, 2, 0 or die $!;
        bind $s, pack "S n C4 x8", 2, 0, 127, 0, 0, 1 or die $!;
        $| = 1;
        print +(unpack "S n", getsockname $s)[1], "\n";
        while (my $from = recv $s, my $data, 65536, 0) {
            next if $data eq "";
            print length $data, "\n";
            send $s, $data, 0, $from;
        }'
    wait_for test -s target.out
    both "127.0.0.1 @1 127.0.0.1 $(head -n 1 target.out)/udp"
    for port in "${beside[@]}"; do
        "$PEER" connect --from=127.0.0.2 127.0.0.1 "$port" send:abc recv:3 data:508:1 \
            check:508:1 data:1472:2 check:1472:2 data:8192:3 check:8192:3 rst
    done
    diff <(sed 1d target.out) <(printf '%s\n' 3 508 1472 8192 3 508 1472 8192)
    wait_for has_lines rinetd.log 1
    wait_for has_lines ours.log 2
    diff <(summary <rinetd.log) <(summary <ours.log | grep opened)
    summary <ours.log | grep -q '^127.0.0.2 10175 10175 done-remote-closed$'
}
