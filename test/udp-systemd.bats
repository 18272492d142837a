#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Rules of UDP as units under a real systemd, in the sandbox of their services.

load helper
load forwarding
load systemd
load datagrams

setup() {
    common_setup
    answer target 127.0.0.1 0
    mapfile -t PORTS < <(free_ports 2)
    PORT=${PORTS[0]}
    echo "$PORT" >relay.port
    TO="127.0.0.1 $(port_of target)/udp"
    SERVICE=rinetd-udp-127.0.0.1-$PORT.service SOCKET=rinetd-udp-127.0.0.1-$PORT.socket
    start_systemd
    # Of the relay's user, and inside and out the same
    inside install -d -o rinetd "$T/logs"
    ln -s logs/log log
}

# rules LINE...
rules() {
    units 'wait' "logfile $T/logs/log" "$@"
}

main_pid() {
    inside systemctl show -P MainPID "$SERVICE"
}

no_relay() {
    [ -z "$(relays)" ]
}

@test "systemd: fifty clients at once, of all sizes, by one process" {
    rules "127.0.0.1 $PORT/udp $TO"
    ask --clients=50 --sizes=0,1,508,1472 --rounds=3
    ask --from=127.0.0.2 --sizes=8192,65507
    ask --from=127.0.0.3 --clients=50 --sizes=8192 --retry=300
    [ "$(peers_of target)" = 101 ]
    [ "$(how_often opened)" = 101 ]
    [ "$(relays | wc -l)" = 1 ]
    [ "$(inside systemctl is-system-running)" = running ]
    # Only a fast machine would reach the limit, and have its socket closed for good.
    [ "$(inside systemctl show -P TriggerLimitIntervalUSec "$SOCKET")" = 0 ]
    # Nothing is to outlive the process that has all sessions.
    [ "$(inside systemctl show -P KillMode "$SERVICE")" = control-group ]
}

@test "systemd: IPv6, and wildcards of both families beside each other" {
    local i

    require_ipv6
    answer six ::1 0
    rules "0.0.0.0 $PORT/udp $TO" ":: $PORT/udp ::1 $(port_of six)/udp" \
        "::1 ${PORTS[1]}/udp localhost $(port_of target)/udp"
    for i in 5 3 1; do
        AT=127.0.0.$i ask --clients=5 --sizes=0,1,508
    done
    AT=::1 ask --clients=20 --sizes=0,1,508
    [ "$(peers_of target)" = 15 ]
    [ "$(peers_of six)" = 20 ]
    # A name: the sandbox lets the relay look it up.
    echo "${PORTS[1]}" >relay.port
    AT=::1 ask --clients=5 --sizes=0,1,508
    [ "$(peers_of target)" = 20 ]
}

@test "systemd: a wildcard and an address on one port, in either order, each with its own clients" {
    local port

    require_ipv6
    answer one 127.0.0.1 0
    answer six ::1 0
    mapfile -t PORTS < <(free_ports 3)
    rules "0.0.0.0 ${PORTS[0]}/udp $TO" \
        "127.0.0.1 ${PORTS[0]}/udp 127.0.0.1 $(port_of one)/udp" 'deny 127.0.0.3' \
        "127.0.0.1 ${PORTS[1]}/udp 127.0.0.1 $(port_of one)/udp" 'deny 127.0.0.3' \
        "0.0.0.0 ${PORTS[1]}/udp $TO" \
        ":: ${PORTS[2]}/udp $TO" "::1 ${PORTS[2]}/udp ::1 $(port_of six)/udp" \
        "127.0.0.1 ${PORTS[2]}/udp 127.0.0.1 $(port_of one)/udp"
    for port in "${PORTS[@]:0:2}"; do
        echo "$port" >relay.port
        AT=127.0.0.1 ask --clients=5 --sizes=0,1,508
        AT=127.0.0.1 ask --from=127.0.0.3 --replies=0
        AT=127.0.0.5 ask --from=127.0.0.3
        AT=127.0.0.5 ask --clients=2 --sizes=0,1,508
        AT=127.0.0.1 ask --from=127.0.0.3 --replies=0
    done
    [ "$(peers_of target) $(peers_of one)" = '6 10' ]
    echo "${PORTS[2]}" >relay.port
    AT=127.0.0.1 ask
    AT=127.0.0.5 ask --replies=0
    AT=::1 ask --clients=3
    [ "$(peers_of target) $(peers_of one) $(peers_of six)" = '6 11 3' ]
}

@test "systemd: an idle relay ends, and the next datagram starts another" {
    rules "127.0.0.1 $PORT/udp $TO [timeout=1,linger=1]"
    ask --clients=3 --sizes=9 --replies=0
    wait_for logged_times done-remote-closed 3
    wait_for no_relay
    [ "$(how_often opened)" = 3 ]
    [ "$(inside systemctl show -P Result "$SERVICE")" = success ]
    ask --clients=3 --sizes=9 --retry=500 # a session may end before its answer comes
    [ "$(how_often opened)" -ge 6 ]
}

@test "systemd: SIGTERM, SIGKILL and five ends in a row, and the next datagram is served" {
    local i

    rules "127.0.0.1 $PORT/udp $TO"
    ask --from=127.0.0.1:7001
    inside systemctl stop "$SERVICE" 2>stopped
    [ "$(how_often done-local-closed)" = 1 ]
    ask --from=127.0.0.1:7001
    inside kill -KILL "$(main_pid)"
    ask --clients=5 --retry=100
    for i in {1..5}; do
        inside systemctl kill --kill-whom=main "$SERVICE"
        ask --clients=5 --retry=100
    done
    [ "$(inside systemctl show -P ActiveState "$SOCKET")" = active ]
}

@test "systemd: limits, access, and a target that is down and back" {
    rules 'deny 127.0.0.2' "127.0.0.1 $PORT/udp $TO [max=2]" 'allow 127.0.0.*'
    life_of_a_rule
}

@test "systemd: both log formats, and the journal" {
    rules "127.0.0.1 $PORT/udp $TO" logcommon
    ask --sizes=3
    inside systemctl stop "$SERVICE" 2>stopped
    grep -q '^127.0.0.1 - - .*/opened HTTP/1.0" 200 0 - - - 3$' log
    grep -q '^127.0.0.1 - - .*/done-local-closed HTTP/1.0" 200 3 - - - 3$' log
    [ "$(wc -l <log)" = 2 ]
    units 'wait' 'logfile journal' "127.0.0.1 $PORT/udp $TO"
    ask --sizes=5
    inside systemctl stop "$SERVICE" 2>stopped
    [ "$(journal -t rinetd-relay -o cat | awk -F '\t' '{ print $7, $8, $9 }' | xargs)" = \
        '5 0 opened 5 5 done-local-closed' ]
}

@test "systemd: daemon-reload leaves sessions alone, and what changed counts after a new start" {
    answer other 127.0.0.1 0
    rules "127.0.0.1 $PORT/udp $TO"
    ask --from=127.0.0.1:7001
    rules "127.0.0.1 $PORT/udp 127.0.0.1 $(port_of other)/udp"
    ask --from=127.0.0.1:7001
    [ "$(peers_of target)" = 1 ]
    inside systemctl stop "$SERVICE" 2>stopped
    ask --from=127.0.0.1:7001
    [ "$(peers_of other)" = 1 ]
}

@test "systemd: what comes while the service stops is for the next start" {
    rules "127.0.0.1 $PORT/udp $TO"
    ask --from=127.0.0.1:7001
    inside kill -STOP "$(main_pid)"
    start client "$DATAGRAM" ask --clients=10 --sizes=0,20,2000 127.0.0.1 "$PORT"
    wait_for queue_is_not_empty "$PORT"
    # It goes on when there is something to end, and then has both.
    inside kill -TERM "$(main_pid)"
    inside kill -CONT "$(main_pid)"
    finished client
    [ "$(how_often opened)" = 11 ]
}

@test "systemd: a relay that can't serve is started again with a pause, and serves once it can" {
    local since=$SECONDS

    rules "127.0.0.1 $PORT/udp $TO"
    inside sed -i 's|^ExecStart=.*|ExecStart=/bin/false|' "$UNITS/$SERVICE"
    inside systemctl daemon-reload
    ask --replies=0
    wait_for has_restarted 2
    [ "$(journal -u "$SERVICE" | grep -c 'Failed with result')" -le $((SECONDS - since + 2)) ]
    rules "127.0.0.1 $PORT/udp $TO"
    ask --clients=5 --retry=500
}

has_restarted() {
    [ "$(inside systemctl show -P NRestarts "$SERVICE")" -ge "$1" ]
}
