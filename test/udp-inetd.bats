#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Rules of UDP under openbsd-inetd and inetutils-inetd.

load helper
load forwarding
load datagrams

export SUPERSERVER=inetd

setup() {
    common_setup
    require inetd
    answer target 127.0.0.1 0
    writable_log log
    mapfile -t PORTS < <(free_ports 2)
    PORT=${PORTS[0]}
    echo "$PORT" >relay.port
    TO="127.0.0.1 $(port_of target)/udp"
}

# on_inetd PORT LINE...: these rules, of which the last is for PORT.
on_inetd() {
    convert inetd "logfile $T/log" "${@:2}"
    start inetd "${INETD:-inetd}" "${INETD_FLAGS[@]}" "$T/inetd.conf"
    wait_for or_over inetd datagram_socket "$1"
    is_running inetd
}
INETD_FLAGS=(-i -R 0)

@test "inetd: fifty clients at once, of all sizes" {
    on_inetd "$PORT" "127.0.0.1 $PORT/udp $TO"
    ask --clients=50 --sizes=0,1,508,1472 --rounds=3
    ask --from=127.0.0.2 --sizes=8192,65507
    ask --from=127.0.0.3 --clients=50 --sizes=8192 --retry=300
    [ "$(peers_of target)" = 101 ]
    [ "$(how_often opened)" = 101 ]
    [ "$(relays_of inetd | wc -w)" = 1 ]
}

@test "inetd: IPv6, and wildcards of both families with replies from the right address" {
    local i

    require_ipv6
    answer six ::1 0
    on_inetd "$PORT" "0.0.0.0 ${PORTS[1]}/udp $TO" "::1 $PORT/udp ::1 $(port_of six)/udp"
    AT=::1 ask --clients=20 --sizes=0,1,508
    [ "$(peers_of six)" = 20 ]
    echo "${PORTS[1]}" >relay.port
    for i in 5 3 1; do
        AT=127.0.0.$i ask --clients=5 --sizes=0,1,508
    done
    [ "$(peers_of target)" = 15 ]
}

@test "inetd: a wildcard and an address on one port, in either order, each with its own clients" {
    local port

    require_ipv6
    answer one 127.0.0.1 0
    answer six ::1 0
    on_inetd "${PORTS[1]}" "0.0.0.0 $PORT/udp $TO" \
        "127.0.0.1 $PORT/udp 127.0.0.1 $(port_of one)/udp" 'deny 127.0.0.3' \
        ":: $PORT/udp ::1 $(port_of six)/udp" \
        ":: ${PORTS[1]}/udp ::1 $(port_of six)/udp" \
        "127.0.0.1 ${PORTS[1]}/udp 127.0.0.1 $(port_of one)/udp" 'deny 127.0.0.3' \
        "0.0.0.0 ${PORTS[1]}/udp $TO"
    for port in "${PORTS[@]}"; do
        echo "$port" >relay.port
        wait_for datagram_socket "$port"
        AT=127.0.0.1 ask --clients=5 --sizes=0,1,508
        AT=127.0.0.1 ask --from=127.0.0.3 --replies=0
        AT=127.0.0.5 ask --from=127.0.0.3
        AT=127.0.0.5 ask --clients=2 --sizes=0,1,508
        AT=::1 ask --clients=4
        AT=127.0.0.1 ask --from=127.0.0.3 --replies=0
    done
    [ "$(peers_of target) $(peers_of one) $(peers_of six)" = '6 10 8' ]
}

@test "inetd: an idle relay ends, and the next datagram starts another" {
    on_inetd "$PORT" "127.0.0.1 $PORT/udp $TO [timeout=1,linger=1]"
    starts_anew
}

@test "inetd: many quick ends of the relay do not close the service" {
    local i

    on_inetd "$PORT" "127.0.0.1 $PORT/udp $TO"
    for i in {1..12}; do
        ask --retry=100
        for pid in $(relays_of inetd); do
            kill "$pid"
        done
    done
    ask --retry=100 --clients=10
}

@test "inetd: access, a limit, and a target that is down and back" {
    on_inetd "$PORT" 'deny 127.0.0.2' "127.0.0.1 $PORT/udp $TO [max=2]" 'allow 127.0.0.*'
    life_of_a_rule
}

@test "inetd: a reload with a changed rule, while clients go on" {
    answer other 127.0.0.1 0
    on_inetd "$PORT" "127.0.0.1 $PORT/udp $TO"
    ask --from=127.0.0.1:7001
    convert inetd "logfile $T/log" "127.0.0.1 $PORT/udp 127.0.0.1 $(port_of other)/udp" \
        "127.0.0.1 ${PORTS[1]}/udp $TO"
    kill -HUP "$(cat inetd.pid)"
    wait_for datagram_socket "${PORTS[1]}"
    ask --from=127.0.0.1:7001 --retry=100
    for pid in $(relays_of inetd); do
        kill "$pid"
    done
    settled
    ask --clients=5 --retry=100
    [ "$(peers_of other)" -ge 5 ]
    echo "${PORTS[1]}" >relay.port
    ask --clients=5
}

@test "inetutils-inetd: fifty clients, and an idle end" {
    require inetutils-inetd
    INETD=inetutils-inetd INETD_FLAGS=(-d -R 100000000)
    on_inetd "$PORT" "127.0.0.1 $PORT/udp $TO [timeout=1,linger=1]"
    ask --clients=50 --sizes=508 --replies=0
    wait_for logged_times done-remote-closed 50
    [ "$(how_often opened)" = 50 ]
    ask --clients=50 --sizes=0,1,508,1472 --retry=500 # a session may end before its answer comes
    [ "$(how_often opened)" -ge 100 ]
}
