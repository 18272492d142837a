#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Many connections to units under a real systemd, and the limits of a rule.

load helper
load forwarding
load systemd

# one_rule [OPTION]: for $PORT.
one_rule() {
    PORT=$(free_ports)
    listen target 127.0.0.1 0 echo
    units "$MODE" "127.0.0.1 $PORT 127.0.0.1 $(port_of target)${1:+ [$1]}"
}

# burst N PARALLEL: each with its own byte back.
burst() {
    [ "$("$PEER" connect --times="$1" --parallel="$2" 127.0.0.1 "$PORT" \
        send:x recv:1 fin eof)" = "$(printf 'x%.0s' $(seq "$1"))" ]
}

many() {
    local i

    one_rule
    for i in {1..8}; do
        burst 250 1
        echo "# $MODE: $((i * 250)) in a row" >&3 # for who watches us: this takes a while
    done
    journaled 2000
    stop target
}

# journaled N: so many connections, each with both its lines.
journaled() {
    wait_for has_entries done-remote-closed "$1"
    has_entries opened "$1"
}

has_entries() {
    [ "$(journal -t rinetd-relay -o cat --output-fields=RESULT "RESULT=$1" | wc -l)" = "$2" ]
}

# bats test_tags=slow
@test "2000 connections in a row" {
    in_both_modes many
}

at_once() {
    one_rule
    burst 200 200
    burst 200 200
    # Only a fast machine would reach the limit, and have its socket closed for good.
    [ "$(inside systemctl show -P TriggerLimitIntervalUSec "rinetd-tcp-127.0.0.1-$PORT.socket")" = 0 ]
    journaled 400
    stop target
}

# bats test_tags=slow
@test "200 connections at once, and again" {
    in_both_modes at_once
}

limited() {
    one_rule max=2
    hold one 127.0.0.1 "$PORT"
    hold two 127.0.0.1 "$PORT"
    if [ "$MODE" = nowait ]; then
        refused_silently 127.0.0.1 "$PORT"
        release one
    else
        start three "$PEER" connect 127.0.0.1 "$PORT" send:hello recv:5 fin eof
        wait_for waits_in_backlog
        run ! grep . three.out
        release one
        finished three
        [ "$(cat three.out)" = hello ]
    fi
    wait_for echoes 127.0.0.1 "$PORT"
    release two
    stop target
}

waits_in_backlog() {
    [ "$(ss -Hltn "sport = :$PORT" | awk '{ print $2 }')" = 1 ]
}

@test "max: one too many is closed in nowait mode, and waits for its turn in wait mode" {
    in_both_modes limited
}

per_source() {
    one_rule per-source=1
    hold one --from=127.0.0.5 127.0.0.1 "$PORT"
    refused_silently --from=127.0.0.5 127.0.0.1 "$PORT"
    echoes --from=127.0.0.6 127.0.0.1 "$PORT"
    release one
    wait_for echoes --from=127.0.0.5 127.0.0.1 "$PORT"
    stop target
}

@test "per-source: one too many from an address is closed, others are served" {
    in_both_modes per_source
}

is_inactive() {
    [ "$(inside systemctl show -P ActiveState "$(service_of "$PORT")")" = inactive ] &&
        [ -z "$(relays)" ]
}

@test "wait: with nobody there for the time of linger no process is left, and the next is served" {
    MODE='wait'
    start_systemd
    one_rule linger=1
    is_inactive
    hold client 127.0.0.1 "$PORT"
    sleep_until_lingered
    run ! is_inactive
    release client
    wait_for is_inactive
    echoes 127.0.0.1 "$PORT"
    wait_for is_inactive
    [ -z "$(journal -p warning -u "$(service_of "$PORT")")" ]
}

# Longer than linger, by another rule's clock.
sleep_until_lingered() {
    local port

    port=$(free_ports)
    cat rinetd.conf >both.conf
    units wait "$(cat both.conf)" "127.0.0.1 $port 127.0.0.1 $(port_of target) [linger=2]"
    echoes 127.0.0.1 "$port"
    PORT=$port wait_for is_inactive_service
}

is_inactive_service() {
    [ "$(inside systemctl show -P ActiveState "$(service_of "$PORT")")" = inactive ]
}

@test "wait: the service started anew while clients come: none is lost, nor a line of the journal" {
    local count=0 round

    MODE='wait'
    start_systemd
    one_rule
    for round in 1 2 3 4 5; do
        start many "$PEER" connect --times=300 --parallel=8 127.0.0.1 "$PORT" \
            send:x recv:1 fin eof
        inside systemctl restart "$(service_of "$PORT")"
        ((count += 1))
        while is_running many && ((count < 6 * round)); do
            inside systemctl restart "$(service_of "$PORT")"
            ((count += 1))
        done
        finished many
    done
    echo "started anew $count times"
    journaled 1500
    [ -z "$(journal -p warning -t rinetd-relay)" ]
}
