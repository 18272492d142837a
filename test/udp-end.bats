#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The end of a relay on a socket for datagrams: when nobody needs it, by signals, and by wrong usage.
# What is on the socket meanwhile is not lost: the next relay serves it.

load helper
load datagrams

setup() {
    common_setup
    answer target 127.0.0.1 0
    writable_log log
}

is_other_than() {
    local now

    now=$(first)
    [ -n "$now" ] && [ "$now" != "$1" ]
}

@test "without a session for so long as linger says it ends, and the next client starts another" {
    relay --timeout=1 --linger=1
    say --replies=0 one
    wait_for has_status 0
    [[ $(records) == $'127.0.0.1 3 0 opened\n127.0.0.1 3 '[03]' done-remote-closed' ]]
    ask --clients=50 --sizes=0,1,508 --retry=500 # a session may end before its answer comes
    [ "$(how_often opened)" -ge 51 ]
}

@test "linger is not over while there is a session" {
    local pid

    relay --timeout=60 --linger=1
    say --from=127.0.0.1:7001 one
    pid=$(first)
    sleep 1.5
    say --from=127.0.0.1:7001 two
    [ "$(records)" = '127.0.0.1 3 0 opened' ]
    [ "$(first)" = "$pid" ]
}

@test "SIGTERM, SIGINT, SIGHUP: each session has its line, and the exit status is 0" {
    local signal

    relay
    for signal in TERM INT HUP; do
        : >log
        : >relay.status
        say --from=127.0.0.1:7001 one
        ask --clients=2 --sizes=10
        kill "-$signal" "$(first)"
        wait_for has_status 0
        sorted_records_are '127.0.0.1 3 0 opened' '127.0.0.1 3 3 done-local-closed' \
            '127.0.0.1 10 0 opened' '127.0.0.1 10 10 done-local-closed' \
            '127.0.0.1 10 0 opened' '127.0.0.1 10 10 done-local-closed'
    done
    [ ! -s said ]
}

@test "clients without a session yet, and clients with one, are served by the next one, too" {
    local pid

    relay
    say --from=127.0.0.1:7001 one
    pid=$(first)
    kill "$pid"
    ask --from=127.0.0.1:7001
    ask --clients=20
    is_other_than "$pid"
    [ "$(how_often opened)" = 22 ]
}

# The relay is stopped by SIGSTOP; what is to happen to it and to its socket happens to both before
# it runs again.
@test "what comes while SIGTERM does is for the next relay" {
    local pid

    relay
    say --from=127.0.0.1:7001 one
    pid=$(first)
    kill -STOP "$pid"
    start old "$DATAGRAM" ask --sizes=0,20,2000 --window=3 --in-order --from=127.0.0.1:7001 \
        127.0.0.1 "$(port_of relay)"
    start new "$DATAGRAM" ask --clients=10 --sizes=0,20,2000 --window=3 --in-order 127.0.0.1 \
        "$(port_of relay)"
    wait_for has_queued 33
    kill -TERM "$pid"
    kill -CONT "$pid"
    finished old
    finished new
    is_other_than "$pid"
    [ "$(records | sed -n 2p)" = '127.0.0.1 3 3 done-local-closed' ]
    [ "$(how_often opened)" = 12 ]
}

# has_queued N: clients with something in flight, counted as sockets of theirs, and all they sent.
has_queued() {
    local bytes

    bytes=$(awk -v port="$(printf ':%04X' "$(port_of relay)")" '
        substr($2, length($2) - 4) == port { split($5, queue, ":"); print queue[2] }' /proc/net/udp)
    ((0x${bytes:-0} >= $1 * 512)) && [ "$(client_sockets)" -ge 11 ]
}

client_sockets() {
    local pid

    for pid in old new; do
        pid=$(children_of "$(cat "$T/$pid.pid")")
        find "/proc/${pid% }/fd" -lname 'socket:*' 2>/dev/null
    done | wc -l
}

@test "what comes when linger is over is served, by this relay or the next" {
    local pid

    relay --timeout=1 --linger=6
    say --replies=0 one
    wait_for has_records 1
    pid=$(first)
    wait_for logged_times done-remote-closed 1
    kill -STOP "$pid"
    sleep 6.2
    ask --clients=10 --sizes=20 --replies=0 # an answer may come after a session's time
    kill -CONT "$pid"
    wait_for has_got 11
    [ "$(how_often opened)" = 11 ]
}

@test "what comes when a session's time is over is served, and in one session or another" {
    local pid

    relay --timeout=5
    say --from=127.0.0.1:7001 one
    pid=$(first)
    kill -STOP "$pid"
    sleep 5.2
    start client "$DATAGRAM" ask --from=127.0.0.1:7001 127.0.0.1 "$(port_of relay)"
    wait_for queue_is_not_empty "$(port_of relay)"
    kill -CONT "$pid"
    finished client
    [ "$(first)" = "$pid" ]
}

# drops N: the relay's socket was too full so often.
drops() {
    awk -v port="$(printf ':%04X' "$(port_of relay)")" -v least="$1" '
        substr($2, length($2) - 4) == port && $NF >= least { found = 1 }
        END { exit !found }' /proc/net/udp
}

# The relay is the last to get the only processor that all have, so it never finds its socket empty.
@test "SIGTERM in a flood that never lets the socket become empty" {
    local pid i processor

    require taskset nice
    processor=$(taskset -cp $$ | sed 's/.*[ ,-]//')
    stop target
    listen_datagrams target 127.0.0.1 "$(port_of target)" mute
    # shellcheck disable=SC2034
    UNDER=(taskset -c "$processor" nice -n 19)
    relay
    say --replies=0 first
    wait_for has_records 1
    for i in {1..6}; do
        start "flood$i" taskset -c "$processor" "$DATAGRAM" flood --clients=3 127.0.0.1 \
            "$(port_of relay)"
    done
    # Its share of the processor is small.
    WAIT_S=240 wait_for has_records 19
    WAIT_S=240 wait_for drops 1000
    pid=$(first)
    kill "$pid"
    WAIT_S=240 wait_for is_gone "$pid"
    for i in {1..6}; do
        stop "flood$i"
    done
}

@test "ten ends by SIGTERM in a row, while fifty clients go on" {
    local i

    relay
    start clients "$DATAGRAM" ask --clients=50 --sizes=0,1,508 --rounds=40 --retry=50 127.0.0.1 \
        "$(port_of relay)"
    for i in {1..10}; do
        wait_for or_over clients has_records $((i * 50))
        kill "$(first)" 2>/dev/null || true
    done
    finished clients
    stop relay
    [ "$(how_often opened)" = "$(how_often done-local-closed)" ]
}

@test "descriptors 0, 1 and 2 are the socket: nothing is said to a client, and syslog is told" {
    local pid socket

    require namespaces
    start_syslog
    stop target
    start_peer hand relay --datagram 127.0.0.1 0 "$RELAY" --log="$T/log" 192.0.2.1 9
    ask --expect-none=300
    wait_for grep -qE 'rinetd-relay\[[0-9]+\]: unable to connect to 192.0.2.1' syslog.out
    pid=$(first)
    socket=$(readlink "/proc/$pid/fd/0")
    [[ $socket == socket:* ]]
    [ "$(find "/proc/$pid/fd" -mindepth 1 -exec readlink {} + | grep -cxF "$socket")" = 1 ]
    [ "$(readlink "/proc/$pid/fd/1")" = /dev/null ]
}

@test "the superserver's socket stays blocking" {
    local pid

    relay
    say one
    pid=$(first)
    [ $((0$(awk '$1 == "flags:" { print $2 }' "/proc/$pid/fdinfo/0") & 04000)) = 0 ]
}

# wrong TEXT COMMAND...: with a socket for datagrams it ends with 2, says TEXT, and nothing else.
wrong() {
    local text=$1

    shift
    rm -f said relay.status
    hand_datagrams --count=1 127.0.0.1 0 "$@"
    say --replies=0 one
    wait_for has_status 2
    stop relay
    grep -q -e "$text" said
    [ "$(wc -l <said)" = 1 ]
    [ ! -s log ]
}

@test "wrap, refused, a unix target and an unknown protocol are wrong usage" {
    wrong wrap "$RELAY" --log="$T/log" --wrap=name 127.0.0.1 9
    wrong refused "$RELAY" --log="$T/log" --refused 127.0.0.1 9
    wrong unix "$RELAY" --log="$T/log" "unix:$T/socket"
    wrong sctp "$RELAY" --log="$T/log" 127.0.0.1 9/sctp
    wrong "not a connection" "$WRAP" name "$RELAY" --log="$T/log" 127.0.0.1 9
    [ -z "$(output_of target)" ]
}

# wrong_socket TEXT HOW: the relay is started with a socket of perl's, $s, after HOW.
wrong_socket() {
    local status=0

    # shellcheck disable=SC2016
    perl -e '
        my $local = pack "S n C4 x8", 2, 0, 127, 0, 0, 1;
        my $s;
        eval "$ARGV[0]; 1" or die $@;
        open STDIN, "<&", $s or die $!;
        exec @ARGV[1 .. $#ARGV];' "$2" "$RELAY" --linger=1 --log="$T/log" 127.0.0.1 9 \
        2>said || status=$?
    [ "$status" = 2 ]
    grep -q "^rinetd-relay: standard input is a .*$1" said
    [ "$(wc -l <said)" = 1 ]
    [ ! -s log ]
}

@test "a socket that is connected, of a unix path, or not bound is wrong usage" {
    require perl
    # shellcheck disable=SC2016
    wrong_socket 'not bound to a port' 'socket $s, 2, 2, 0'
    # shellcheck disable=SC2016
    wrong_socket 'connected to one client' 'socket $s, 2, 2, 0; bind $s, $local;
        socket my $client, 2, 2, 0; bind $client, $local; connect $s, getsockname $client'
    # shellcheck disable=SC2016
    wrong_socket 'neither TCP nor UDP' 'socket $s, 1, 2, 0; bind $s, pack "S a108", 1, "there"'
}
