#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# How many workers there are in wait mode: a few idle ones, more under load and fewer when it is
# quiet, never more than --max; and how many connections one address has.

load helper
load waiting

setup() {
    common_setup
    listen target 127.0.0.1 0 echo
}

teardown() {
    common_teardown
    [ -z "${NAMESPACED-}" ] || rm -rf /run/systemd/journal
}

# said_times COUNT PATTERN
said_times() {
    [ "$(grep -c "$2" said)" = "$1" ]
}

# all_served COUNT: each of them has its two lines in the log.
all_served() {
    wait_for logged_times done-remote-closed "$1"
    [ "$(how_often opened)" = "$1" ]
    [ "$(wc -l <log)" = "$((2 * $1))" ]
}

@test "idle workers: some are there beyond the one that serves" {
    hand_relay
    hold one
    wait_for has_workers -ge 5
    [ "$(busy_workers | wc -w)" = 1 ]
    let_go one
}

@test "one connection after the other needs no new worker" {
    local round before after new kept

    hand_relay
    greets
    # Where those that are there were too slow, others are right, and fewer later: then once more.
    for round in 1 2 3 4 5 6; do
        wait_for has_workers = 5
        before=$(workers | xargs -n 1 | sort)
        client --times=100 send:hello recv:5 fin eof >/dev/null
        after=$(workers | xargs -n 1 | sort)
        new=$(comm -13 - <(echo "$after") <<<"$before" | wc -l)
        kept=$(comm -12 - <(echo "$after") <<<"$before" | wc -l)
        echo "round $round: $new new, $kept kept"
        ((new > 1 || kept < 4)) || break
    done
    ((new <= 1 && kept >= 4))
    all_served "$((1 + round * 100))"
}

@test "2000 in a row: none is lost, and the log has them all" {
    hand_relay
    client --times=2000 send:x recv:1 fin eof >/dev/null
    all_served 2000
    [ ! -s said ]
}

@test "200 at once: each is served while all the others are" {
    hand_relay
    start many "$PEER" connect --times=200 --parallel=200 127.0.0.1 "$(port_of relay)" \
        send:x recv:1 wait-file:"$T/go" fin eof
    wait_for logged_times opened 200
    [ "$(busy_workers | wc -w)" = 200 ]
    touch go
    finished many
    all_served 200
    [ ! -s said ]
}

# count_watching PID...: how many of them have the listener in their epoll(7) descriptor
count_watching() {
    local pid count=0

    for pid; do
        if grep -qs '^tfd:' "/proc/$pid/fdinfo/"*; then ((++count)); fi
    done
    echo "$count"
}

@test "hundreds of busy workers do not slow down the others: most do not watch the listener" {
    hand_relay
    start many "$PEER" connect --times=300 --parallel=300 127.0.0.1 "$(port_of relay)" \
        send:x recv:1 wait-file:"$T/go" fin eof
    wait_for logged_times opened 300
    # shellcheck disable=SC2046
    (($(count_watching $(busy_workers)) < 200))
    # Those who serve them watch again afterwards, each of them
    client --times=100 send:x recv:1 fin eof >/dev/null
    touch go
    finished many
    all_served 400
    [ ! -s said ]
}

@test "2000 by 32 at a time: none is lost" {
    hand_relay
    client --times=2000 --parallel=32 send:x recv:1 fin eof >/dev/null
    all_served 2000
    [ ! -s said ]
}

@test "when it is quiet the workers of a busy time leave, all but the usual ones" {
    hand_relay
    start many "$PEER" connect --times=40 --parallel=40 127.0.0.1 "$(port_of relay)" \
        send:x recv:1 wait-file:"$T/go" fin eof
    wait_for logged_times opened 40
    hold one
    [ "$(count_workers)" -ge 41 ]
    touch go
    finished many
    wait_for has_workers = 6
    let_go one
    greets
    wait_for has_workers = 5
    [ ! -s said ]
}

# told_once PATTERN SINCE: not twice, unless that was so long ago that there may have been room
# again.
told_once() {
    said_times 1 "$1" || ((SECONDS - $2 >= 4))
}

@test "--max=3: the others wait, are served after one has ended, and that is said once" {
    local since=$SECONDS

    hand_relay --max=3
    hold one
    hold two
    hold three
    start four "$PEER" connect 127.0.0.1 "$(port_of relay)" send:hello recv:5 touch:"$T/four.up" \
        wait-file:"$T/four.go" fin eof
    wait_for said_times 1 '3 connections are open, which is --max: more wait'
    [ "$(count_workers)" = 3 ]
    [ "$(how_often opened)" = 3 ]
    let_go two
    wait_for test -e four.up
    start five "$PEER" connect 127.0.0.1 "$(port_of relay)" send:hello recv:5 fin eof
    let_go four
    finished five
    let_go one
    let_go three
    all_served 5
    told_once . "$since"
    run ! grep -v ' connections are open, which is --max: ' said
    [ "$(count_workers)" = 3 ]
}

@test "--max=1: one after the other, and none is lost" {
    local since=$SECONDS

    hand_relay --max=1
    client --times=100 --parallel=20 send:hello recv:5 fin eof >/dev/null
    all_served 100
    [ "$(count_workers)" = 1 ]
    # Never two at once
    [ -z "$(log_of log | sed 's/.*|//' | uniq -d)" ]
    told_once '1 connections are open' "$since"
}

@test "while all that may be open are and others wait, nothing turns" {
    local pid before

    hand_relay --max=2
    hold one
    hold two
    start three "$PEER" connect 127.0.0.1 "$(port_of relay)" send:hello recv:5
    wait_for said_times 1 'which is --max'
    pid=$(first)
    before=$(ticks "$pid")
    client sleep:1000 rst
    [ "$(($(ticks "$pid") - before))" -lt 20 ]
    let_go one
    finished three
    let_go two
}

@test "--per-source=2: exactly two of an address, and another one is not affected" {
    hand_relay --per-source=2
    hold one
    hold two
    client closed
    client closed
    greets --from=127.0.0.2
    [ "$(how_often opened)" = 3 ]
    wait_for grep -q 'from 127.0.0.1 is closed: it has 2, which is --per-source' said
    let_go one
    # A worker that is slow has seen the end later than its client.
    wait_for logged_times done-remote-closed 2
    hold three
    client closed
    let_go two
    let_go three
    wait_for logged_times done-remote-closed 4
    greets
}

has_clients() {
    [ "$(children_of "$(children_of "$(<many.pid)" | tr -d ' ')" | wc -w)" = "$1" ]
}

@test "--per-source: of many at once exactly so many get in" {
    hand_relay --per-source=7
    start many "$PEER" connect --times=60 --parallel=60 127.0.0.1 "$(port_of relay)" \
        send:x recv:1 wait-file:"$T/go" fin eof
    wait_for logged_times opened 7
    wait_for said_times 1 'which is --per-source'
    # Until all others have been refused
    wait_for has_clients 7
    touch go
    fails many
    [[ $(<many.err) == *': 53 of 60 connections failed; first: '* ]]
    logged_times opened 7
}

@test "--per-source=1: who has seen the end of a connection can open the next at once" {
    local i failed=0

    hand_relay --per-source=1
    for i in {1..20}; do
        client --times=25 send:hello recv:5 fin eof >/dev/null 2>failed && continue
        # A worker that was slow at the wrong moment did not tell of the end of its connection in
        # time for the next client. Without the wait for that, every other round or so fails.
        echo "round $i: $(<failed)"
        ((++failed < 3))
        wait_for all_are_done
    done
    wait_for all_are_done
    if [ "$failed" = 0 ]; then
        all_served 500
        [ ! -s said ]
    fi
}

all_are_done() {
    [ "$(how_often opened)" = "$(how_often done-remote-closed)" ]
}

@test "--per-source=1: so he can when the log is slow" {
    local failed=0

    require namespaces
    mkdir -p /run/systemd/journal
    start_peer syslog journal /run/systemd/journal/socket
    kill -STOP "$(children_of "$(<journal.pid)" | tr -d ' ')"
    "$PEER" stuff /run/systemd/journal/socket
    hand 127.0.0.1 0 "$RELAY" --log=journal --per-source=1 127.0.0.1 "$(port_of target)"
    # Where the log is waited for, no round goes well.
    until client --times=2 send:hello recv:5 fin eof >/dev/null; do
        ((++failed < 3))
        sleep 3
    done
    kill -CONT "$(children_of "$(<journal.pid)" | tr -d ' ')"
}

@test "--per-source: a worker that was killed counts no more" {
    hand_relay --per-source=1
    hold one closed
    client closed
    kill -KILL "$(busy_workers)"
    touch one.go
    finished one
    wait_for greets
}

@test "--per-source tells IPv4 clients of an IPv6 listener by their IPv4 address" {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
    hand :: 0 "$RELAY" --log="$T/log" --per-source=1 127.0.0.1 "$(port_of target)"
    hold one
    client closed
    greets --from=127.0.0.2
    "$PEER" connect ::1 "$(port_of relay)" send:hello recv:5 fin eof
    wait_for grep -q 'from 127.0.0.1 is closed' said
    let_go one
}

@test "--linger: exit status 0 when it was quiet, and the superserver starts it again" {
    local pid

    hand_relay --linger=1
    hold one
    pid=$(first)
    let_go one
    wait_for has_status 0
    is_gone "$pid"
    greets
    [ "$(first)" != "$pid" ]
    all_served 2
    [ ! -s said ]
}

@test "--linger: an open connection keeps it, and the time begins when that has ended" {
    local pid began

    hand_relay --linger=1
    hold one
    pid=$(first)
    client sleep:2500 rst
    [ "$(first)" = "$pid" ]
    began=${EPOCHREALTIME/./}
    let_go one
    wait_for has_status 0
    began=$(((${EPOCHREALTIME/./} - began) / 1000))
    echo "it took $began ms"
    ((began >= 990 && began < 30000))
}
