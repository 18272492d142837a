#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Open connections of units under a real systemd, while everything around them is reloaded, started
# anew, killed or gone; and that the next client is served then, or is not.

load helper
load forwarding
load systemd

# one_rule [LINE...]: for $PORT, with these access lines; its units are $SOCKET and $SERVICE.
one_rule() {
    PORT=${PORT:-$(free_ports)}
    SOCKET=rinetd-tcp-127.0.0.1-$PORT.socket SERVICE=$(service_of "$PORT")
    is_running target || listen target 127.0.0.1 0 print-peer echo
    units "$MODE" "127.0.0.1 $PORT 127.0.0.1 $(port_of target)" "$@"
}

first_process() {
    [ "$MODE" = nowait ] || inside systemctl show -P MainPID "$SERVICE"
}

# Those that serve or could serve connections.
workers() {
    relays | grep -vx "$(first_process)"
}

over() {
    stop target
    unset PORT
}

reloaded() {
    one_rule
    hold client 127.0.0.1 "$PORT"
    inside systemctl daemon-reload
    echoes 127.0.0.1 "$PORT"
    one_rule 'deny 127.0.0.2' # another command line
    inside systemctl daemon-reexec
    echoes 127.0.0.1 "$PORT"
    release client
    over
}

@test "daemon-reload and daemon-reexec: open connections go on, and the next come" {
    in_both_modes reloaded
}

restarted_service() {
    one_rule
    hold client 127.0.0.1 "$PORT"
    one_rule 'deny 127.0.0.2'
    [ "$MODE" = nowait ] || inside systemctl restart "$SERVICE"
    refused_silently --from=127.0.0.2 127.0.0.1 "$PORT"
    echoes 127.0.0.1 "$PORT"
    release client
    over
}

@test "a new deny bites once the service is started anew, and open connections go on" {
    in_both_modes restarted_service
}

restarted_socket() {
    local old

    one_rule
    hold client 127.0.0.1 "$PORT"
    old=$PORT
    # systemd refuses to start a socket anew whose service runs.
    if [ "$MODE" = wait ]; then
        inside systemctl stop "$SERVICE"
        wait_for is_alone # else a worker may still have the port
    fi
    inside systemctl restart "$SOCKET"
    echoes 127.0.0.1 "$PORT"
    [ "$MODE" = nowait ] || inside systemctl stop "$SERVICE"
    inside systemctl stop "$SOCKET"
    # By workers, too, whose first process is gone; without them systemd alone has had the listener.
    [ "$MODE" = nowait ] || wait_for not_listening "$PORT"
    "$PEER" connect 127.0.0.1 "$PORT" refused
    PORT=$(free_ports)
    one_rule
    "$PEER" connect 127.0.0.1 "$old" refused
    echoes 127.0.0.1 "$PORT"
    release client
    over
}

@test "a socket that is started anew, stops, and is gone: open connections go on" {
    in_both_modes restarted_socket
}

killed() {
    local victim

    one_rule
    hold client 127.0.0.1 "$PORT"
    hold victim 127.0.0.1 "$PORT"
    victim=$(server_of_last)
    grep -qx "$victim" <(workers)
    inside kill -KILL "$victim"
    wait_for not_running "$victim"
    touch victim.go
    if finished victim; then return 1; fi
    echoes 127.0.0.1 "$PORT"
    release client
    echoes 127.0.0.1 "$PORT"
    [ "$MODE" = nowait ] || wait_for journal_tells_of "$victim.*signal 9"
    over
}

journal_tells_of() {
    journal -u "$SERVICE" | grep -q "$1"
}

not_running() {
    run ! inside kill -0 "$1"
}

# The process that serves the last connection: it has the other end of the target's.
server_of_last() {
    inside ss -Htnp "sport = :$(tail -n 1 "$T/target.out" | cut -d ' ' -f 2)" |
        sed 's/.*pid=\([0-9]*\),.*/\1/'
}

@test "SIGKILL of one worker ends its connection, and no other" {
    in_both_modes killed
}

# At most one process of the rule is left, that of the connection, and not a listener with it.
is_alone() {
    [ "$(relays | wc -l)" = 1 ]
}

@test "wait: SIGTERM of the first process leaves what is open, and nothing that listens" {
    MODE='wait'
    start_systemd
    one_rule
    hold client 127.0.0.1 "$PORT"
    inside systemctl stop "$SOCKET" "$SERVICE"
    wait_for is_alone
    wait_for not_listening "$PORT" # by workers, too, whose first process is gone
    "$PEER" connect 127.0.0.1 "$PORT" refused
    release client
    wait_for none_is_left
}

none_is_left() {
    [ -z "$(relays)" ]
}

@test "wait: SIGKILL of the first process, and systemd starts the next" {
    local first

    MODE='wait'
    start_systemd
    one_rule
    hold client 127.0.0.1 "$PORT"
    first=$(first_process)
    inside kill -KILL "$first"
    echoes 127.0.0.1 "$PORT"
    wait_for another_is_first "$first"
    release client
    echoes 127.0.0.1 "$PORT"
}

another_is_first() {
    [ "$(first_process)" != "$1" ]
}

@test "wait: ten quick ends of the first process do not close the socket" {
    local first

    MODE='wait'
    start_systemd
    one_rule
    for _ in {1..10}; do
        echoes 127.0.0.1 "$PORT"
        first=$(first_process)
        inside systemctl kill --kill-whom=main "$SERVICE"
        wait_for another_is_first "$first"
        echoes 127.0.0.1 "$PORT"
    done
}

conflicting() {
    one_rule
    printf '%s\n' '[Service]' 'ExecStart=/bin/sleep 1000' |
        inside tee "$UNITS/rinetd.service" >rinetd.service
    hold client 127.0.0.1 "$PORT"
    inside systemctl daemon-reload
    inside systemctl start rinetd.service
    wait_for not_listening "$PORT" # by workers, too, whose first process is gone
    "$PEER" connect 127.0.0.1 "$PORT" refused
    release client
    inside systemctl start "$SOCKET"
    echoes 127.0.0.1 "$PORT"
    [ "$(inside systemctl show -P ActiveState rinetd.service)" = inactive ]
    over
}

@test "rinetd.service and its sockets are never there at once" {
    in_both_modes conflicting
}
