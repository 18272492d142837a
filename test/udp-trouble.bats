#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The relay on a socket for datagrams when its target is gone, its name can't be looked up, one
# client floods it, or what comes makes no sense: everybody else is served as if there was nothing.

load helper
load datagrams

setup() {
    common_setup
    answer target 127.0.0.1 0
    writable_log log
}

# reaches [--OPTION...]: what is lost to a target that was away, or a client that rests, is asked
# again.
reaches() {
    ask --retry=100 "$@"
}

@test "the target refuses: the session ends, and the next datagram opens another" {
    local port

    port=$(port_of target)
    relay
    say --from=127.0.0.1:7001 one
    stop target
    say --from=127.0.0.1:7001 --replies=0 gone
    records_are '127.0.0.1 3 0 opened' '127.0.0.1 7 3 done-local-closed'
    answer target 127.0.0.1 "$port"
    reaches --from=127.0.0.1:7001
    [ "$(records | tail -n 1)" = '127.0.0.1 32 0 opened' ]
    say --from=127.0.0.1:7001 one
    [ "$(how_often opened)" = 2 ]
}

@test "the target is down when its clients come, and is there later: with the same sessions' ports" {
    local port

    port=$(port_of target)
    stop target
    relay
    start clients "$DATAGRAM" ask --clients=20 --sizes=1,1000 --rounds=2 --retry=100 \
        127.0.0.1 "$(port_of relay)"
    wait_for has_records 40
    answer target 127.0.0.1 "$port"
    finished clients
    reaches --from=127.0.0.2
    # Each has been opened as often as it ended, or once more if it is open.
    [ "$(how_often opened)" = $(($(how_often done-local-closed) + 21)) ]
}

@test "a client that goes on at a target that refuses does not fill the log" {
    relay
    stop target
    start flood "$DATAGRAM" flood --for=500 --sizes=10 127.0.0.1 "$(port_of relay)"
    finished flood
    wait_for grep -q 'done-local-closed$' log
    # Three a second would be many, and seconds may be long here.
    [ "$(wc -l <log)" -le 60 ]
}

@test "a target that nothing leads to: local-connect-failed, and its reason, not for each datagram" {
    require namespaces
    TO='192.0.2.1 53' relay
    ask --replies=0 --rounds=100 --from=127.0.0.1:7001
    wait_for has_records 1
    [ "$(records | head -n 1 | cut -d ' ' -f 4-)" = 'local-connect-failed -' ]
    [ "$(wc -l <log)" -le 10 ]
    wait_for grep -q 'unable to connect to 192.0.2.1 .*Network ' said
}

@test "a src that is not of this host: local-bind-failed, and not for each datagram" {
    require namespaces
    relay --src=192.0.2.9
    ask --replies=0 --rounds=100 --from=127.0.0.1:7001
    wait_for has_records 1
    [ "$(records | head -n 1 | cut -d ' ' -f 4-)" = 'local-bind-failed -' ]
    [ "$(wc -l <log)" -le 10 ]
}

# with_names MODE [ARG...]: a relay to target.test, which a name server knows, with one session open;
# from now on the name server is as MODE says.
with_names() {
    name_server known
    TO="target.test $(port_of target)" relay "${@:2}"
    run -0 say --from=127.0.0.1:7001 first
    stop dns
    rm dns.up dns.asked
    name_server "$1"
}

with_silent_names() {
    with_names silent "$@"
}

@test "a name server that is silent: who has a session is served, and nobody waits for another" {
    with_silent_names --connect-timeout=1
    start late "$DATAGRAM" ask --clients=40 --replies=0 127.0.0.1 "$(port_of relay)"
    finished late
    wait_for test -e dns.asked
    ask --from=127.0.0.1:7001 --sizes=0,1,508 --rounds=20
    [ "$(how_often opened)" = 1 ]
    wait_for logged_times 'local-connect-failed -' 40
    grep -qE 'the look-up of a name has taken too long|too many clients wait' said
    ask --from=127.0.0.1:7001
    [ "$(wc -l <log)" = 41 ]
}

@test "a name server that is silent: who cannot be served does not push out who is" {
    RESOLVER_S=30 with_silent_names --max=5 --connect-timeout=60 # nobody gives up meanwhile
    for i in {1..10}; do
        ask --replies=0 --from="127.0.0.1:$((7100 + i))"
        ask --from=127.0.0.1:7001
    done
    [ "$(how_often opened)" = 1 ]
    [ "$(how_often 'local-connect-failed -')" = 6 ]
}

# threads_of PID
threads_of() {
    local threads=("/proc/$1/task"/*)

    echo ${#threads[@]}
}

@test "a name server that is silent: no thread is left behind for each client, and no session ends" {
    local i

    with_silent_names --connect-timeout=1
    for i in {1..3}; do
        ask --clients=40 --replies=0 --from="127.0.0.$((i + 1))" # no port that rests
        (($(threads_of "$(first)") <= 33))
        wait_for logged_times 'local-connect-failed -' $((i * 40))
    done
    ask --from=127.0.0.1:7001
    [ "$(how_often opened)" = 1 ]
    [ "$(wc -l <log)" = 121 ]
}

@test "a client that made room before it was served rests: no line for each of its datagrams" {
    with_silent_names --max=3
    start flood "$DATAGRAM" flood --clients=20 --for=500 --sizes=10 127.0.0.1 "$(port_of relay)"
    finished flood
    wait_for has_records 18 # with that of the session that is open
    [ "$(how_often 'local-connect-failed -')" -ge 17 ]
    # Twenty a second, and seconds may be long here.
    [ "$(wc -l <log)" -le 400 ]
}

@test "what comes while the name is looked up reaches the target then, each once and in order" {
    RESOLVER_S=30 with_names late --connect-timeout=60
    start late "$DATAGRAM" ask --window=10 --sizes=9,0,99 --rounds=3 --in-order 127.0.0.1 \
        "$(port_of relay)"
    wait_for test -e dns.asked
    wait_for is_asleep late # it has sent all, not the first alone
    wait_for queue_is_empty "$(port_of relay)"
    touch dns.go
    finished late
    [ "$(sizes_at target)" = '5 9 0 99 9 0 99 9 0 99' ]
    wait_for logged_times opened 2
    [ "$(records | tail -n 1)" = '127.0.0.1 9 0 opened' ]
}

# is_asleep NAME: the one process of that name waits for something.
is_asleep() {
    grep -qs '^State:.S' "/proc/$(children_of "$(cat "$1.pid")" | tr -d ' ')/status"
}

@test "SIGTERM while names are looked up: soon, with a line each" {
    with_silent_names
    ask --clients=3 --replies=0
    wait_for test -e dns.asked
    wait_for queue_is_empty "$(port_of relay)" # else the next relay has what is left
    kill "$(first)"
    wait_for has_status 0
    [ "$(how_often 'local-connect-failed -')" = 3 ]
    [ "$(how_often done-local-closed)" = 1 ]
}

@test "a name that nobody knows: local-connect-failed, and others are served when it is known" {
    own_etc hosts <<<''
    name_server unknown
    TO="target.test $(port_of target)" relay
    ask --clients=5 --replies=0
    wait_for logged_times 'local-connect-failed -' 5
    own_etc hosts <<<'127.0.0.1 target.test'
    reaches --clients=5
}

@test "a flood of one client, and of fifty, beside a quiet one: that one gets its replies" {
    relay
    start flood "$DATAGRAM" flood --sizes=100 127.0.0.1 "$(port_of relay)"
    reaches --sizes=0,508 --rounds=2 --clients=2
    stop flood
    start flood "$DATAGRAM" flood --sizes=100 --clients=50 127.0.0.1 "$(port_of relay)"
    reaches --sizes=0,508 --rounds=2 --clients=2
    stop flood
    # The target may still have more than it can take.
    reaches --from=127.0.0.2 --sizes=0,1,508,8192,65507
}

# floods: a target that sends without an end to whoever sends it "flood", and echoes the rest.
floods() {
    stop target
    # shellcheck disable=SC2016
    start target perl -e '
        socket my $s, 2, 2, 0 or die $!;
        bind $s, pack "S n C4 x8", 2, $ARGV[0], 127, 0, 0, 1 or die $!;
        while (my $from = recv $s, my $data, 65536, 0) {
            if ($data eq "flood" && !fork) {
                send $s, "x" x 1000, 0, $from while 1;
            }
            send $s, $data, 0, $from;
        }' "$1"
    wait_for datagram_socket "$1"
}

# dropped PORT: what the kernel had no room for.
dropped() {
    awk -v port="$(printf ':%04X' "$1")" '$2 ~ port "$" { print $NF }' /proc/net/udp
}

@test "a burst that the kernel has room for arrives whole, though another client is there" {
    local most count

    most=$(cat /proc/sys/net/core/rmem_max)
    count=$(((most < 4194304 ? most : 4194304) * 6 / (2304 * 4))) # of the buffer, with 2304 each
    relay
    say --from=127.0.0.1:7002 other
    say --from=127.0.0.1:7001 one
    kill -STOP "$(first)"
    ask --from=127.0.0.1:7001 --replies=0 --rounds="$count" --window="$count" --sizes=1400
    [ "$(dropped "$(port_of relay)")" = 0 ] || skip "the socket has less room: $(dropped "$(port_of relay)")"
    kill -CONT "$(first)"
    wait_for has_got $((count + 2))
}

@test "a target that sends without an end to one client does not keep others from theirs" {
    local port

    require perl
    port=$(port_of target)
    relay
    floods "$port"
    say --from=127.0.0.1:7001 flood >reply
    reaches --from=127.0.0.2 --sizes=0,1,508 --rounds=5 --clients=3
    # It goes on all the time, and gets through.
    listen_datagrams client --count=100 127.0.0.1 7001 mute
    finished client
    stop relay
    (($(records | awk '$2 == 5 && $4 == "done-local-closed" { print $3 }') > 100000))
}

# raw_datagrams: what no socket for datagrams would send: from port 0, too.
raw_datagrams() {
    # shellcheck disable=SC2016
    perl -e '
        socket my $s, 2, 3, 17 or die $!; # SOCK_RAW, IPPROTO_UDP
        my $to = pack "S n C4 x8", 2, 0, 127, 0, 0, 1;
        for my $from (0, 1, 7, $ARGV[0]) {
            for my $size (0, 1, 3000) {
                send $s, pack("n4", $from, $ARGV[0], 8 + $size, 0) . "\xff" x $size, 0, $to or die $!;
            }
        }' "$1"
}

@test "datagrams from port 0, and from the port of the relay itself" {
    require root perl
    relay
    raw_datagrams "$(port_of relay)"
    ask --clients=5 --sizes=0,1,508
    (($(output_of target | wc -l) <= 24)) # those of the relay's own port would go round for ever
    [ ! -s relay.status ]
    stop relay
    ON=0.0.0.0 relay
    raw_datagrams "$(port_of relay)"
    AT=127.0.0.1 ask --clients=5 --sizes=0,1,508
    (($(output_of target | wc -l) <= 48))
}

@test "junk of any size is passed on as it is" {
    local port size

    port=$(port_of target)
    stop target
    listen_datagrams target --record="$T/got" 127.0.0.1 "$port" mute
    relay
    for size in 1 2 3 7 64 511 512 513 1471 1473 4096 16383 16384 16385 65506 65507; do
        head -c "$size" /dev/urandom >"junk.$size"
        cat "junk.$size" >>sent
        # shellcheck disable=SC2016
        perl -e '
            socket my $s, 2, 2, 0 or die $!;
            local $/; my $data = <STDIN>;
            send $s, $data, 0, pack "S n C4 x8", 2, $ARGV[0], 127, 0, 0, 1 or die $!;
            ' "$(port_of relay)" <"junk.$size"
        wait_for same_size got sent # together they may be more than a socket holds
    done
    cmp got sent
}

same_size() {
    [ "$(wc -c <"$1")" = "$(wc -c <"$2")" ]
}
