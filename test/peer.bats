#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The peer itself: what must fail does, so that no other test passes by accident; and what the
# helpers start, runs, and is gone afterwards.

load helper

# fails_with TEXT ACTION...: a connection to `port_of other` must end with exit status 1 and TEXT,
# by the deadline of $DEADLINE.
fails_with() {
    local text=$1

    shift
    run -1 "$PEER" connect --deadline="${DEADLINE:-60}" 127.0.0.1 "$(port_of other)" "$@"
    [[ $output == *"$text"* ]]
}

# cat_service PORT: for xinetd.
cat_service() {
    cat <<EOT
service cat-$1
{
    type        = UNLISTED
    flags       = IPv4
    socket_type = stream
    protocol    = tcp
    wait        = no
    user        = $(id -un)
    bind        = 127.0.0.1
    port        = $1
    server      = /bin/cat
}
EOT
}

@test "peer: a stream comes back whole, in both directions at once" {
    listen other 127.0.0.1 0 echo
    "$PEER" connect 127.0.0.1 "$(port_of other)" both:8388608:7:7 fin eof
    stop other
}

@test "peer: a stream of another seed, or one changed byte, fails the check" {
    listen other 127.0.0.1 0 data:100000:1 line
    fails_with 'check:100000:2: byte 0 is 0x' check:100000:2
    listen other 127.0.0.1 0 recv:65536 'send:X' echo
    "$PEER" connect 127.0.0.1 "$(port_of other)" data:65536 'recv:1' fin eof
    listen other 127.0.0.1 0 data:70000:3 'send:abc' data:10:3 line
    fails_with 'check:70008:3: byte 7000' check:70008:3
}

@test "peer: a stream that stops too early, or never comes, fails the check" {
    listen other 127.0.0.1 0 data:1000 fin discard
    fails_with 'the end came after 1000 bytes' check:1001
    listen other 127.0.0.1 0 data:1000 discard
    # Who is slow may have more time for the first bytes.
    DEADLINE=0.5 fails_with 'not done by the deadline of 0.5 s, after 1000 bytes' check:1001 ||
        DEADLINE=5 fails_with 'not done by the deadline of 5 s, after 1000 bytes' check:1001
}

@test "peer: eof and closed fail if there is so much as one byte" {
    listen other 127.0.0.1 0 'send:\x00' fin discard
    fails_with 'eof: expected the end, got "\x00"' eof
    fails_with 'closed: expected the end, got "\x00"' closed
    "$PEER" connect 127.0.0.1 "$(port_of other)" recv:1 eof
}

@test "peer: eof fails on a reset and on silence, reset on an end" {
    listen other 127.0.0.1 0 line rst
    fails_with 'eof: expected the end: Connection reset by peer' 'send:go\n' eof
    "$PEER" connect 127.0.0.1 "$(port_of other)" 'send:go\n' closed
    "$PEER" connect 127.0.0.1 "$(port_of other)" 'send:go\n' reset
    stop other
    listen other 127.0.0.1 0 line fin discard
    DEADLINE=0.3 fails_with 'eof: not done by the deadline' eof
    fails_with 'reset: expected a reset, got the end after 0 bytes' 'send:go\n' reset
    "$PEER" connect 127.0.0.1 "$(port_of other)" 'send:go\n' closed
}

@test "peer: refused holds for a closed port only" {
    listen other 127.0.0.1 0 discard
    fails_with 'refused: the connection was accepted' refused
    stop other
    "$PEER" connect 127.0.0.1 "$(port_of other)" refused
    fails_with 'Connection refused' eof
}

@test "peer: a silent listener answers nobody" {
    listen other --silent 127.0.0.1 0
    DEADLINE=0.3 fails_with 'no answer by the deadline' eof
}

@test "peer: of many connections, one that fails is told with its reason" {
    listen other --count=5 127.0.0.1 0 line fin eof
    run -1 "$PEER" connect --times=5 --parallel=3 127.0.0.1 "$(port_of other)" \
        'send:x\n' fin line
    [[ $output == "peer: 5 of 5 connections failed; first: line: the end came after 0 bytes" ]]
    finished other
}

@test "peer: a listener reports a failed expectation by its exit status" {
    listen other --count=2 127.0.0.1 0 check:10:1 eof
    "$PEER" connect 127.0.0.1 "$(port_of other)" data:10:1 fin eof
    "$PEER" connect 127.0.0.1 "$(port_of other)" data:10:2 fin discard
    finished other || status=$?
    [ "$status" = 1 ]
    [[ $(<"$T/other.err") == *"byte 0 is "* ]]
}

@test "peer: 400 connections one after another" {
    listen other --count=400 127.0.0.1 0 echo
    "$PEER" connect --times=400 127.0.0.1 "$(port_of other)" send:x fin recv:1 eof
    finished other
}

@test "peer: wrong usage is 2, not a failed expectation" {
    run -2 "$PEER" connect 127.0.0.1 1 bogus
    run -2 "$PEER" connect 127.0.0.1 1 check:12x
    run -2 "$PEER" connect 127.0.0.1 1 both:12:1
    run -2 "$PEER" connect 127.0.0.1 1 'send:\q'
    run -2 "$PEER" connect 127.0.0.1 1
    run -2 "$PEER" connect unix:
}

@test "peer: unix sockets, by path and abstract" {
    listen one "unix:$T/socket" line send:done
    listen two "unix:@peer.bats.$$" line send:done
    run -0 "$PEER" connect "unix:$T/socket" 'send:x\n' rest
    [ "$output" = "done" ]
    run -0 "$PEER" connect "unix:@peer.bats.$$" 'send:x\n' rest
    [ "$output" = "done" ]
    [ "$(output_of one)" = x ]
}

@test "serve: a command has the client on 0, 1 and 2, and its status is kept" {
    # shellcheck disable=SC2016
    serve other --count=2 --status-file="$T/status" 127.0.0.1 0 sh -c '
        read -r how; echo "out $how"; echo "err $how" >&2; [ "$how" = exit ] && exit 3; kill -9 $$'
    run -0 "$PEER" connect 127.0.0.1 "$(port_of other)" 'send:exit\n' rest
    [ "$output" = $'out exit\nerr exit' ]
    run -0 "$PEER" connect 127.0.0.1 "$(port_of other)" 'send:die\n' rest
    finished other
    [ "$(<"$T/status")" = $'3\nsignal 9' ]
}

@test "serve: IPv4 clients of an IPv6 socket come mapped" {
    listen other :: 0 print-peer
    "$PEER" connect 127.0.0.1 "$(port_of other)" eof
    [[ $(output_of other) == ::ffff:127.0.0.1\ * ]]
}

@test "under: what a command leaves behind is ended with it" {
    # shellcheck disable=SC2016
    run -5 "$PEER" under sh -c 'setsid sleep 300 & echo $! >pid; exit 5'
    run -1 kill -0 "$(<pid)"
}

@test "helper: a program that is stopped takes its descendants along" {
    # shellcheck disable=SC2016
    start other sh -c '(setsid sleep 300 & echo $! >left); sleep 300'
    wait_for test -s left
    stop other
    run -1 kill -0 "$(<left)"
    run -1 is_running other
}

@test "helper: xinetd serves, takes up a new service, and an open connection lives on" {
    local ports

    require xinetd
    mapfile -t ports < <(free_ports 2)
    cat_service "${ports[0]}" >conf
    start_xinetd conf
    "$PEER" connect 127.0.0.1 "${ports[0]}" both:100000:1:1 fin eof
    start held "$PEER" connect 127.0.0.1 "${ports[0]}" 'send:a\n' line \
        wait-file:"$T/reloaded" 'send:b\n' line fin eof
    wait_for grep -q a held.out
    cat_service "${ports[1]}" >>conf
    reload_xinetd
    touch reloaded
    finished held
    "$PEER" connect 127.0.0.1 "${ports[1]}" both:100000:1:1 fin eof
    stop xinetd
    "$PEER" connect 127.0.0.1 "${ports[1]}" refused
}

@test "helper: a service that xinetd leaves out is noticed" {
    require xinetd
    cat_service "$(free_ports)" | sed 's|/bin/cat|/no/such|' >conf
    if start_xinetd conf >said; then return 1; fi
    [[ $(<said) == *"xinetd has 0 services, expected 1"* ]]
}

@test "hand: one command at a time has the listener, and the last one has it alone" {
    local port pid

    require perl
    # Accepts once, answers, and ends
    # shellcheck disable=SC2016
    local accept='accept my $c, STDIN or die; syswrite $c, "$$\n"; exit 7'

    start_peer hand two --count=2 --status-file="$T/status" 127.0.0.1 0 perl -e "$accept"
    port=$(port_of two)
    pid=$("$PEER" connect 127.0.0.1 "$port" line eof)
    listening "$port"
    [ "$("$PEER" connect 127.0.0.1 "$port" line eof)" != "$pid" ]
    wait_for has_lines_in status 2
    [ "$(<status)" = $'7\n7' ]
    "$PEER" connect 127.0.0.1 "$port" refused
    stop two
}

has_lines_in() {
    [ "$(wc -l <"$1")" = "$2" ]
}

@test "helper: openbsd-inetd serves" {
    local port

    require inetd
    port=$(free_ports)
    echo "127.0.0.1:$port stream tcp nowait.10000 $(id -un) /bin/cat cat" >conf
    start_inetd conf
    "$PEER" connect 127.0.0.1 "$port" both:100000:1:1 fin eof
    stop inetd
}

@test "helper: rinetd forwards" {
    local port

    require rinetd
    listen target 127.0.0.1 0 line send:done
    port=$(free_ports)
    echo "127.0.0.1 $port 127.0.0.1 $(port_of target)" >conf
    start_rinetd conf
    run -0 "$PEER" connect 127.0.0.1 "$port" 'send:x\n' rest
    [ "$output" = "done" ]
    stop rinetd
}

@test "helper: syslog is caught, and nothing of it outside" {
    require namespaces logger
    start_syslog
    logger -t peer-test -p daemon.info hello
    wait_for grep -q 'peer-test: hello' syslog.out
}

@test "helper: /etc is the test's own" {
    require namespaces
    own_etc hosts <<<'127.0.0.7 seven.test'
    run -0 getent hosts seven.test
    [[ $output == 127.0.0.7* ]]
}

@test "helper: another user reaches the test's folder and the programs" {
    require root
    writable_log log
    as_user nobody sh -c 'echo line >>log'
    [ "$(<log)" = line ]
    as_user nobody "$PEER" free-port
}
