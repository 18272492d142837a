#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# TCP wrappers in wait mode: a rule's --wrap makes a worker that has accepted become rinetd-wrap, and
# that the relay of this one connection.

load helper
load waiting

setup() {
    common_setup
    require namespaces
    own_etc hosts.allow </dev/null
    own_etc hosts.deny </dev/null
    chmod 644 /etc/hosts.allow /etc/hosts.deny
    listen target 127.0.0.1 0 line send:welcome
}

# welcomed [--from=ADDR]
welcomed() {
    [ "$(client "$@" 'send:hi\n' rest)" = welcome ]
}

# logged_lines CLIENT|WORD...
logged_lines() {
    [ "$(log_of log | cut -d '|' -f 1,8)" = "$(printf '%s\n' "$@")" ]
}

has_done() {
    [ "$(grep -c 'done-local-closed$' log)" = "$1" ]
}

@test "each connection is asked for, the rules being read anew" {
    own_etc hosts.deny <<<'web: 127.0.0.2'
    hand_relay --wrap=web --max=50 --per-source=40 --linger=30 --deny=127.0.0.9
    welcomed
    wait_for has_done 1 # the client knows of the end before the log has it
    client --from=127.0.0.2 closed
    client --from=127.0.0.9 closed
    own_etc hosts.deny <<<'web: 127.0.0.1'
    client --from=127.0.0.1 closed
    welcomed --from=127.0.0.2
    wait_for logged_lines '127.0.0.1|opened' '127.0.0.1|done-local-closed' '127.0.0.2|denied' \
        '127.0.0.9|denied' '127.0.0.1|denied' '127.0.0.2|opened' '127.0.0.2|done-local-closed'
    [ ! -s said ]
}

@test "a twist sends its own text" {
    own_etc hosts.deny <<<'web: ALL: twist /bin/echo go away %a'
    hand_relay --wrap=web
    run -0 client --from=127.0.0.1 rest
    [ "$output" = 'go away 127.0.0.1' ]
    [ ! -e log ]
    [ ! -s said ]
}

@test "100 at once and 300 in a row, none is lost" {
    hand_relay --wrap=web
    client --times=100 --parallel=100 'send:hi\n' rest >/dev/null
    client --times=300 'send:hi\n' rest >/dev/null
    wait_for has_done 400
    [ ! -s said ]
}

@test "SIGTERM to the first process leaves wrapped connections alone" {
    hand_relay --wrap=web
    start one "$PEER" connect 127.0.0.1 "$(port_of relay)" wait-file:"$T/go" 'send:hi\n' recv:7 eof
    wait_for test -s log
    kill "$(first)"
    welcomed
    touch go
    finished one
    wait_for has_done 2
}

@test "SIGTERM to a wrapped connection: it ends as one of a single relay, and that is all" {
    hand_relay --wrap=web
    start one "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
    wait_for test -s log
    kill "$(busy_workers)"
    finished one
    wait_for has_done 1
    welcomed
    [ ! -s said ]
}

@test "a single connection with --wrap asks, too" {
    own_etc hosts.deny <<<'web: 127.0.0.2'
    serve relay 127.0.0.1 0 "$RELAY" --log="$T/log" --wrap=web 127.0.0.1 "$(port_of target)"
    welcomed
    wait_for has_done 1
    client --from=127.0.0.2 closed
    wait_for logged_lines '127.0.0.1|opened' '127.0.0.1|done-local-closed' '127.0.0.2|denied'
}

@test "no rinetd-wrap beside the relay: not a byte, and that is said" {
    cp "$RELAY" alone
    hand 127.0.0.1 0 "$T/alone" --log="$T/log" --wrap=web \
        127.0.0.1 "$(port_of target)"
    client --from=127.0.0.1 closed
    client --from=127.0.0.1 closed
    wait_for grep -q "unable to run $T/rinetd-wrap: No such file" said
    [ ! -e log ]
}

@test "a relay that was replaced while it runs finds rinetd-wrap" {
    cp "$RELAY" relay
    cp "$WRAP" rinetd-wrap
    hand 127.0.0.1 0 "$T/relay" --log="$T/log" --wrap=web \
        127.0.0.1 "$(port_of target)"
    welcomed
    cp "$RELAY" new
    mv new relay
    welcomed
}

@test "--per-source counts wrapped connections, and --max holds for them" {
    hand_relay --wrap=web --per-source=2 --max=3
    for i in 1 2; do
        start "c$i" "$PEER" connect 127.0.0.1 "$(port_of relay)" wait-file:"$T/go" 'send:hi\n' \
            recv:7 eof
    done
    wait_for has_opened 2
    client closed
    welcomed --from=127.0.0.2
    start other "$PEER" connect --from=127.0.0.3 127.0.0.1 "$(port_of relay)" wait-file:"$T/go" \
        'send:hi\n' recv:7 eof
    wait_for has_opened 4
    start waits "$PEER" connect --from=127.0.0.4 127.0.0.1 "$(port_of relay)" 'send:hi\n' recv:7 eof
    wait_for grep -q '3 connections are open, which is --max' said
    has_opened 4
    touch go
    for i in c1 c2 other waits; do
        finished "$i"
    done
    wait_for welcomed
}

has_opened() {
    [ "$(grep -c 'opened$' log)" = "$1" ]
}
