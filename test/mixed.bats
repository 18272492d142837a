#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# TCP clients of a UDP target; the other way round is in mixed-udp.bats. Bytes, ends,
# what is refused, and the log, for a single connection and in wait mode.

load helper
load datagrams
load waiting

# once [ARG...]: a relay for the next connection; pool [ARG...]: one that has the listener. The
# target is $TO, by default `target`.
once() {
    local to

    read -ra to <<<"${TO:-127.0.0.1 $(port_of target)/udp}"
    relay_once --log="$T/log" "$@" "${to[@]}"
}

pool() {
    local to

    read -ra to <<<"${TO:-127.0.0.1 $(port_of target)/udp}"
    hand 127.0.0.1 0 "$RELAY" --log="$T/log" "$@" "${to[@]}"
}

# in_both_modes FUNCTION: it is called with the mode.
in_both_modes() {
    "$1" once
    relay_ends 0
    rm -f log said
    "$1" pool
    stop relay
}

# Lines of the log, or of $LOG, as FROM-CLIENT TO-CLIENT MESSAGE, of whichever connection.
lines_are() {
    wait_for has_lines $#
    diff <(printf '%s\n' "$@" | sort) <(log_of "${LOG:-$T/log}" | cut -d '|' -f 6- | tr '|' ' ' | sort)
}

has_lines() {
    [ -e "${LOG:-$T/log}" ] && [ "$(wc -l <"${LOG:-$T/log}")" -ge "$1" ]
}

came() {
    [ "$(output_of "$1" | wc -l)" -ge "$2" ]
}

closed_port() {
    free_ports
}

sizes() {
    local size

    listen_datagrams target --print 127.0.0.1 0 echo
    "$1"
    client data:1:1 check:1:1 data:508:2 check:508:2 data:1472:3 check:1472:3 \
        data:8192:4 check:8192:4 data:65507:5 check:65507:5 rst
    lines_are '0 0 opened' '75680 75680 done-remote-closed'
    for size in 1 508 1472 8192; do
        output_of target | grep -q " $size\$"
    done
    stop target
}

@test "TCP to UDP: each read is a datagram, and each datagram is written whole" {
    in_both_modes sizes
}

@test "TCP to UDP: replies of many datagrams, some of them empty, are one stream in order" {
    local timeout

    listen_datagrams target --replies=50 --reply-size=1472 127.0.0.1 0 echo
    once
    client send:x recv:73600 rst >one
    relay_ends 0
    lines_are '0 0 opened' '1 73600 done-remote-closed'
    stop target
    listen_datagrams target --replies=3 --reply-size=0 127.0.0.1 0 echo
    for timeout in 1 5; do # who is slow may have more time for it
        rm log
        once --timeout="$timeout"
        [ -z "$(client send:x rest)" ]
        relay_ends 0
        ! grep -q $'\t1\t0\tdone' log || break
    done
    lines_are '0 0 opened' '1 0 done-remote-closed'
}

# In both modes at once, as it takes its time.
@test "TCP to UDP: a timeout, and who has said all still gets the reply" {
    local name

    listen_datagrams target --delay=300 127.0.0.1 0 echo
    pool --timeout=5
    serve single --count=2 --status-file="$T/single.status" 127.0.0.1 0 \
        "$RELAY" --log="$T/log-single" --timeout=5 127.0.0.1 "$(port_of target)/udp"
    for name in single relay; do
        start "idle-$name" "$PEER" connect 127.0.0.1 "$(port_of "$name")" send:abc recv:3 eof
        start "asks-$name" "$PEER" connect 127.0.0.1 "$(port_of "$name")" send:question fin rest
    done
    for name in single relay; do
        finished "idle-$name"
        finished "asks-$name"
        [ "$(<"asks-$name.out")" = question ]
    done
    finished single
    [ "$(sort -u single.status)" = 0 ]
    for LOG in log log-single; do
        lines_are '0 0 opened' '0 0 opened' '3 3 done-remote-closed' '8 8 done-remote-closed'
    done
}

nobody() {
    local TO

    TO="127.0.0.1 $(closed_port)/udp"
    "$1"
    client send:abc closed
    lines_are '0 0 opened' '3 0 done-local-closed'
}

@test "TCP to UDP: nobody is there, says ICMP, and the client is told" {
    in_both_modes nobody
}

@test "TCP to UDP: the target goes, and is there again for the next connection" {
    local port

    listen_datagrams target 127.0.0.1 0 echo
    port=$(port_of target)
    pool
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" send:abc recv:3 touch:"$T/up" \
        wait-file:"$T/go" send:more closed
    wait_for test -e up
    stop target
    touch go
    finished client
    lines_are '0 0 opened' '7 3 done-local-closed'
    listen_datagrams target 127.0.0.1 "$port" echo
    [ "$(client --from=127.0.0.2 send:abc recv:3 rst)" = abc ]
}

@test "TCP to UDP: a target that cannot be sent to is one that cannot be reached" {
    TO='127.255.255.255 9/udp'
    once
    client closed
    relay_ends 1
    lines_are '0 0 local-connect-failed -'
    rm log
    TO='no.such.host.invalid 9/udp'
    once --connect-timeout=1
    client closed
    relay_ends 1
    lines_are '0 0 local-connect-failed -'
}

@test "TCP to UDP: access lists" {
    listen_datagrams target --print 127.0.0.1 0 echo
    pool --allow=127.0.0.2,127.0.0.3 --deny=127.0.0.3
    client --from=127.0.0.1 send:abc closed
    client --from=127.0.0.3 send:abc closed
    [ "$(client --from=127.0.0.2 send:abc recv:3 rst)" = abc ]
    lines_are '0 0 not-allowed' '0 0 denied' '0 0 opened' '3 3 done-remote-closed'
    [ "$(output_of target | wc -l)" = 1 ]
}

@test "TCP to UDP: the first log format, to the byte" {
    local line

    listen_datagrams target 127.0.0.1 0 echo
    once --listener=0.0.0.0:80
    client send:abc recv:3 rst
    relay_ends 0
    line="127.0.0.1|0.0.0.0|80|127.0.0.1|$(port_of target)"
    logged log "$line|0|0|opened" "$line|3|3|done-remote-closed"
}

@test "TCP to UDP: the second log format, to the byte" {
    local line

    listen_datagrams target 127.0.0.1 0 echo
    once --listener=0.0.0.0:80 --log-common
    client send:abcd recv:4 rst
    relay_ends 0
    line="\"GET /rinetd-services/0.0.0.0/80/127.0.0.1/$(port_of target)"
    diff <(sed -E 's/\[[^]]*\]/[TIME]/' log) - <<END
127.0.0.1 - - [TIME] $line/opened HTTP/1.0" 200 0 - - - 0
127.0.0.1 - - [TIME] $line/done-remote-closed HTTP/1.0" 200 4 - - - 4
END
}

@test "TCP to UDP: the source address, and targets by name" {
    listen_datagrams target --print 127.0.0.1 0 echo
    once --src=127.0.0.9
    client send:abc recv:3 rst
    output_of target | grep -q '^127\.0\.0\.9 [0-9]* 3$'
    relay_ends 0
    own_etc hosts <<<'127.0.0.1 target.test'
    TO="target.test $(port_of target)/udp"
    once
    client send:abcd recv:4 rst
    output_of target | grep -q '^127\.0\.0\.1 [0-9]* 4$'
    relay_ends 0
}

@test "TCP to UDP: IPv6" {
    require_ipv6
    listen_datagrams target ::1 0 echo
    TO="::1 $(port_of target)/udp"
    once
    client data:8192:1 check:8192:1 rst
    lines_are '0 0 opened' '8192 8192 done-remote-closed'
}

require_ipv6() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
}

@test "TCP to UDP: clients at once, each with the replies to its own datagrams" {
    local i

    listen_datagrams target 127.0.0.1 0 echo
    pool
    for i in {1..8}; do
        start "client$i" "$PEER" connect --from="127.0.0.$i" 127.0.0.1 "$(port_of relay)" \
            "data:1400:$i" "check:1400:$i" "data:9:$i" "check:9:$i" rst
    done
    for i in {1..8}; do
        finished "client$i"
    done
    wait_for logged_times done-remote-closed 8
    [ "$(how_often opened)" = 8 ]
    [ "$(grep -c "$(printf '\t1409\t1409\t')" log)" = 8 ]
}

# Of what the target sends to a client that does not read, whole datagrams are lost, and nobody else
# waits. Without a timeout, five seconds after the last reply is the end.
@test "TCP to UDP: a client that reads late" {
    local got

    listen_datagrams target --replies=255 --reply-size=65507 127.0.0.1 0 echo
    pool
    start late "$PEER" connect --rcvbuf=4096 127.0.0.1 "$(port_of relay)" send:x \
        wait-file:"$T/go" fin rest
    wait_for logged_times opened 1
    client --from=127.0.0.2 send:x recv:65507 rst >other
    wait_for logged_times done-remote-closed 1
    touch go
    finished late
    wait_for logged_times done-remote-closed 2
    got=$(wc -c <late.out)
    echo "$got bytes"
    ((got > 0 && got < 255 * 65507 && got % 65507 == 0))
    tail -n 1 log | grep -q "$(printf '\t1\t%d\tdone-remote-closed' "$got")"
}

@test "TCP to UDP: what a client has sent before its reset is passed on" {
    local worker

    listen_datagrams target --print 127.0.0.1 0 echo
    pool
    hold client send:last rst
    worker=$(busy_workers)
    halt "$worker"
    let_go client
    kill -CONT "$worker"
    wait_for came target 2
    lines_are '0 0 opened' '9 5 done-remote-closed'
}

@test "TCP to UDP: SIGTERM" {
    listen_datagrams target 127.0.0.1 0 echo
    pool
    hold client closed
    kill "$(busy_workers)"
    lines_are '0 0 opened' '5 5 done-local-closed'
    let_go client
}

@test "one port for both protocols, forwarded to itself by the other one, is no circle" {
    local port

    port=$(free_ports)
    listen_datagrams target 127.0.0.1 "$port" echo
    hand 127.0.0.1 "$port" "$RELAY" --log="$T/log" --listener=0.0.0.0:"$port" 127.0.0.1 "$port/udp"
    [ "$(client send:abc recv:3 rst)" = abc ]
}

@test "a datagram socket that is connected to itself is none of the target's" {
    require namespaces ip
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 unshare -n sh -c 'ip link set lo up &&
        echo 40000 40000 >/proc/sys/net/ipv4/ip_local_port_range && exec "$@"' - \
        "$RELAY" --log="$T/log" 127.0.0.1 40000/udp
    client closed
    relay_ends 1
    lines_are '0 0 local-connect-failed -'
}

@test "the target's protocol may be that of the client" {
    listen target 127.0.0.1 0 echo
    TO="127.0.0.1 $(port_of target)/tcp"
    once
    [ "$(client send:abc fin rest)" = abc ]
    lines_are '0 0 opened' '3 3 done-remote-closed'
}

@test "other protocols, and a protocol of a unix socket, are wrong usage" {
    for TO in '127.0.0.1 9/sctp' '127.0.0.1 9/UDP' '127.0.0.1 9/' "unix:$T/socket /udp" \
        "unix:$T/socket 9/udp"; do
        rm -f log
        once
        client closed
        relay_ends 2
        [ ! -e log ]
    done
}

@test "TCP wrappers are asked, and the target's protocol stays what it was" {
    require namespaces
    own_etc hosts.allow </dev/null
    own_etc hosts.deny <<<'mixed: 127.0.0.2'
    chmod 644 /etc/hosts.allow /etc/hosts.deny
    listen_datagrams target 127.0.0.1 0 echo
    pool --wrap=mixed
    client --from=127.0.0.2 closed
    [ "$(client send:abc recv:3 rst)" = abc ]
    lines_are '0 0 denied' '0 0 opened' '3 3 done-remote-closed'
}
