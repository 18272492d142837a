#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Rules of UDP by rinetd-gen --run, and DNS through them: dig asks dnsmasq.

load helper
load datagrams

setup() {
    common_setup
    require xinetd
    mkdir -m 755 tmp
    export TMPDIR=$T/tmp
    mapfile -t PORTS < <(free_ports 2)
    PORT=${PORTS[0]}
    echo "$PORT" >relay.port
    writable_log log
}

# launch LINE...: until the listeners are up.
launch() {
    printf '%s\n' "logfile $T/log" "$@" >run.conf
    start gen "$GEN" --run -c run.conf -r "$RELAY" -u "$(user_for_relay)"
    wait_for or_over gen grep -q listening gen.err
    grep -q listening gen.err
}

# reload LINE...
reload() {
    printf '%s\n' "logfile $T/log" "$@" >run.conf
    kill -HUP "$(cat gen.pid)"
    wait_for or_over gen grep -q reloaded: gen.err
    grep -q reloaded: gen.err
}

@test "run: fifty clients at once, and SIGTERM leaves a line for each, and nothing else" {
    answer target 127.0.0.1 0
    launch "127.0.0.1 $PORT/udp 127.0.0.1 $(port_of target)/udp"
    ask --clients=50 --sizes=0,1,508,1472
    stop gen
    [ "$(how_often opened)" = 50 ]
    [ "$(how_often done-local-closed)" = 50 ]
    [ -z "$(ls -A tmp)" ]
    run ! datagram_socket "$PORT"
}

@test "run: an idle end, and access" {
    local to

    answer target 127.0.0.1 0
    to="127.0.0.1 $(port_of target)/udp"
    launch "127.0.0.1 $PORT/udp $to [timeout=1,linger=1]" \
        "127.0.0.1 ${PORTS[1]}/udp $to [timeout=60]" 'deny 127.0.0.2'
    ask --clients=3 --replies=0
    wait_for logged_times done-remote-closed 3
    [ "$(how_often opened)" = 3 ]
    ask --clients=3 --retry=500 # a session may end before its answer comes
    [ "$(how_often opened)" -ge 6 ]
    echo "${PORTS[1]}" >relay.port
    ask --from=127.0.0.2 --replies=0 --rounds=20
    ask # once it has its answer, the others have been looked at
    [ "$(how_often denied)" = 1 ]
}

@test "run: a reload with a new target, and another rule, while clients ask" {
    local to

    answer target 127.0.0.1 0
    answer other 127.0.0.1 0
    to="127.0.0.1 $(port_of target)/udp"
    launch "127.0.0.1 $PORT/udp $to"
    ask --from=127.0.0.1:7001
    reload "127.0.0.1 $PORT/udp 127.0.0.1 $(port_of other)/udp" "127.0.0.1 ${PORTS[1]}/udp $to"
    ask --clients=5 --retry=100
    wait_for reached_other
    echo "${PORTS[1]}" >relay.port
    ask --clients=5 --retry=100
}

# The old relay may end a little later than the reload.
reached_other() {
    ask --clients=5 --retry=100 && [ "$(peers_of other)" -ge 5 ]
}

# A name server at PORTS[1] with its own names.
start_dnsmasq() {
    local i

    for i in {1..30}; do
        echo "192.0.2.$i host$i.test"
        # So many that the answer is larger than 512 bytes
        echo "198.51.100.$i large.test"
    done >hosts
    start dnsmasq dnsmasq --keep-in-foreground --conf-file=/dev/null --user="$(user_for_relay)" \
        --pid-file= --no-resolv --no-hosts --addn-hosts="$T/hosts" --bind-interfaces \
        --listen-address=127.0.0.1 --port="${PORTS[1]}" --log-facility=- --edns-packet-max=4096 \
        --txt-record="text.test,$(printf 'x%.0s' {1..200})"
    wait_for or_over dnsmasq datagram_socket "${PORTS[1]}"
    is_running dnsmasq
}

# dig_for ARG...: what the relay answers.
dig_for() {
    dig @127.0.0.1 -p "$PORT" +tries=1 +time=30 +noall +answer +short "$@"
}

@test "DNS: dig asks dnsmasq" {
    local i

    require dig dnsmasq namespaces
    start_dnsmasq
    launch "127.0.0.1 $PORT/udp 127.0.0.1 ${PORTS[1]}/udp" \
        "127.0.0.1 $PORT 127.0.0.1 ${PORTS[1]}"
    for i in 1 2 3; do
        [ "$(dig_for "host$i.test")" = "192.0.2.$i" ]
    done
    [ "$(dig_for -x 192.0.2.7)" = host7.test. ]
    [ "$(dig_for +bufsize=4096 large.test | sort -V)" = "$(printf '198.51.100.%d\n' {1..30})" ]
    # Cut at 512 bytes, and asked for again by TCP
    [ "$(dig_for +noedns large.test | wc -l)" = 30 ]
    [ "$(dig_for text.test TXT | wc -c)" = 203 ]
    run -0 dig @127.0.0.1 -p "$PORT" +tries=1 +time=30 none.test
    [[ $output == *'status: '@(NXDOMAIN|REFUSED)* ]]
    run ! grep -q 'failed' log
    dig_many
    [ "$(how_often opened)" -ge 30 ]
}

# Thirty at once, each with its own answer.
dig_many() {
    local i

    for i in {1..30}; do
        start "dig$i" dig @127.0.0.1 -p "$PORT" +tries=3 +time=20 +short "host$i.test"
    done
    for i in {1..30}; do
        finished "dig$i"
        [ "$(cat "dig$i.out")" = "192.0.2.$i" ]
    done
}
