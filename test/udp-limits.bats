#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# When a session of datagrams ends, and which: by its timeout, for --max and --per-source, and where
# there are no more descriptors.

load helper
load datagrams

setup() {
    common_setup
    answer target 127.0.0.1 0
    writable_log log
}

@test "an idle session ends, and the next datagram opens a new one" {
    relay --timeout=1
    stop target # an answer could be too late for the session
    listen_datagrams target 127.0.0.1 "$(port_of target)" mute
    say --from=127.0.0.1:7001 --replies=0 one
    records_are '127.0.0.1 3 0 opened' '127.0.0.1 3 0 done-remote-closed'
    say --from=127.0.0.1:7001 --replies=0 again
    records_are '127.0.0.1 3 0 opened' '127.0.0.1 3 0 done-remote-closed' \
        '127.0.0.1 5 0 opened' '127.0.0.1 5 0 done-remote-closed'
}

# Whoever is stalled for less than the timeout does no harm here, and in the next test.
@test "each session has its own time, and what the client sends restarts it" {
    local count=1

    relay --timeout=7
    stop target
    listen_datagrams target --print 127.0.0.1 "$(port_of target)" mute
    say --replies=0 --from=127.0.0.1:7001 x
    say --replies=0 --from=127.0.0.1:7002 idle
    wait_for has_got 2
    until has_records 3; do
        ((count < 150)) # of 0.2 s
        sleep 0.2
        say --replies=0 --from=127.0.0.1:7001 x
        ((++count))
    done
    # The other began earlier.
    [ "$(records | tail -n 1)" = '127.0.0.1 4 0 done-remote-closed' ]
    wait_for has_got $((count + 1))
    stop relay
    records_are '127.0.0.1 1 0 opened' '127.0.0.1 4 0 opened' '127.0.0.1 4 0 done-remote-closed' \
        "127.0.0.1 $count 0 done-local-closed"
    [ "$(peers_of target)" = 2 ]
}

@test "what the target sends restarts the time, too" {
    relay --timeout=7
    stop target
    listen_datagrams target --replies=8 --delay=1000 127.0.0.1 "$(port_of target)" echo
    ask --replies=8 --sizes=10 --in-order
    [ "$(records)" = '127.0.0.1 10 0 opened' ]
    stop relay
    records_are '127.0.0.1 10 0 opened' '127.0.0.1 10 80 done-local-closed'
}

@test "timeout=0 is the default, 72 s, and not for ever or never" {
    relay --timeout=0 --linger=1
    run -0 say --from=127.0.0.1:7001 one
    sleep 1.2 # for whoever would take it for no time at all
    run -0 say --from=127.0.0.1:7001 two
    [ "$(records)" = '127.0.0.1 3 0 opened' ]
}

@test "max: the session that was idle for longest makes room" {
    relay --max=2
    say --from=127.0.0.1:7001 a
    say --from=127.0.0.1:7002 bb
    say --from=127.0.0.1:7001 a
    say --from=127.0.0.1:7003 ccc
    records_are '127.0.0.1 1 0 opened' '127.0.0.1 2 0 opened' '127.0.0.1 2 2 done-remote-closed' \
        '127.0.0.1 3 0 opened'
    say --from=127.0.0.1:7002 bb
    [ "$(records | tail -n 2)" = $'127.0.0.1 2 2 done-remote-closed\n127.0.0.1 2 0 opened' ]
    say --from=127.0.0.1:7003 ccc
    [ "$(how_often opened)" = 4 ]
    [ "$(peers_of target)" = 4 ]
}

# target_says PORT TEXT: from the target's own address, to that session.
target_says() {
    local port

    port=$(port_of target)
    stop target
    "$DATAGRAM" say --replies=0 --from="127.0.0.1:$port" 127.0.0.1 "$1" "$2"
    answer target 127.0.0.1 "$port"
}

@test "max: what the target sends counts as well as what the client sends" {
    local port

    relay --max=2
    say --from=127.0.0.1:7001 a
    port=$(output_of target | cut -d ' ' -f 2)
    say --from=127.0.0.1:7002 bb
    listen_datagrams client --count=1 --record="$T/got" 127.0.0.1 7001 mute
    target_says "$port" unasked
    finished client
    [ "$(cat got)" = unasked ]
    say --from=127.0.0.1:7003 ccc
    records_are '127.0.0.1 1 0 opened' '127.0.0.1 2 0 opened' '127.0.0.1 2 2 done-remote-closed' \
        '127.0.0.1 3 0 opened'
}

@test "many more clients than sessions: none is forgotten, and all have their lines" {
    relay --max=5
    for i in {1..5}; do
        ask --clients=5 --sizes=0,10 --rounds=3
    done
    ask --clients=50 --sizes=10 --retry=200
    say --from=127.0.0.2 last # after all that was sent again
    [ "$(how_often opened)" -ge 51 ]
    [ "$(how_often done-remote-closed)" = $(($(how_often opened) - 5)) ]
    [ "$(wc -l <log)" = $(($(how_often opened) + $(how_often done-remote-closed))) ]
}

@test "per-source: one address ends its own oldest, and no other's" {
    relay --per-source=2
    say --from=127.0.0.2:7000 other
    say --from=127.0.0.1:7001 a
    say --from=127.0.0.1:7002 bb
    say --from=127.0.0.1:7003 ccc
    records_are '127.0.0.2 5 0 opened' '127.0.0.1 1 0 opened' '127.0.0.1 2 0 opened' \
        '127.0.0.1 1 1 done-remote-closed' '127.0.0.1 3 0 opened'
    say --from=127.0.0.2:7000 other
    say --from=127.0.0.2:7004 more
    [ "$(how_often opened)" = 5 ]
    [ "$(how_often done-remote-closed)" = 1 ]
}

@test "per-source: an IPv4 client of both families' socket is one address, IPv6 another" {
    require_ipv6
    ON=:: relay --per-source=1
    AT=127.0.0.1 say --from=127.0.0.1:7001 a
    AT=::1 say bb
    AT=127.0.0.1 say --from=127.0.0.1:7002 ccc
    records_are '127.0.0.1 1 0 opened' '::1 2 0 opened' '127.0.0.1 1 1 done-remote-closed' \
        '127.0.0.1 3 0 opened'
}

@test "no more descriptors: the session that was idle for longest makes room" {
    local i

    # shellcheck disable=SC2016
    # shellcheck disable=SC2034
    UNDER=(bash -c 'ulimit -n 24; exec "$@"' -)
    relay
    for i in {1..60}; do
        say --from="127.0.0.1:$((7000 + i))" hello
    done >/dev/null
    [ "$(how_often opened)" = 60 ]
    [ "$(how_often done-remote-closed)" -ge 36 ]
    run ! grep -q 'failed' log
    say --from=127.0.0.1:7060 hello
    [ "$(how_often opened)" = 60 ]
    ask --clients=50 --retry=200
}

# The lowest number that the relay could use for one more.
next_descriptor() {
    local number=0

    while [ -e "/proc/$(first)/fd/$number" ] || [ -L "/proc/$(first)/fd/$number" ]; do
        number=$((number + 1))
    done
    echo "$number"
}

# limit_descriptors N: of the relay that runs; the hard limit stays.
limit_descriptors() {
    prlimit --pid "$(first)" --nofile="$1:"
}

# Used less than half of the processor in a while.
rests() {
    local before pid

    pid=$(first)
    before=$(ticks "$pid")
    sleep 0.5
    (($(ticks "$pid") - before < 25))
}

@test "no descriptor for a single session, nor for the log: a message, no busy loop; then there are some" {
    require root prlimit
    relay --deny=127.0.0.2
    ask --from=127.0.0.2 --replies=0 # it runs then, and has no session
    wait_for has_records 1
    wait_for log_is_closed
    limit_descriptors "$(next_descriptor)"
    ask --clients=20 --replies=0
    wait_for grep -qE 'Too many open files|No file descriptors' said # glibc's words, and musl's
    rests
    [ "$(wc -l <said)" -le 10 ] # once a second at most, and seconds may be long here
    limit_descriptors 1024
    ask --clients=20 --retry=200
    [ "$(how_often opened)" = 20 ]
}

log_is_closed() {
    [ -z "$(find "/proc/$(first)/fd" -lname "$T/log")" ]
}
