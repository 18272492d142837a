#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Rules of UDP from rinetd.conf to datagrams and log lines, under a real xinetd. It has one relay for
# each rule that is in use, and starts the next when a datagram comes after that one's end.

load helper
load forwarding
load datagrams

setup() {
    common_setup
    require xinetd
    answer target 127.0.0.1 0
    writable_log log
    mapfile -t PORTS < <(free_ports 3)
    PORT=${PORTS[0]}
    echo "$PORT" >relay.port
    TO="127.0.0.1 $(port_of target)/udp"
}

# rule_log LINE...: these rules, and the log.
rule_log() {
    forward "logfile $T/log" "$@"
}

is_served() {
    ask --retry=100 "$@"
}

@test "xinetd: fifty clients at once, of all sizes, by a single rule" {
    rule_log "127.0.0.1 $PORT/udp $TO"
    ask --clients=50 --sizes=0,1,508,1472 --rounds=3
    ask --from=127.0.0.2 --sizes=8192,65507
    is_served --from=127.0.0.3 --clients=50 --sizes=8192 --retry=300
    [ "$(peers_of target)" = 101 ]
    [ "$(how_often opened)" = 101 ]
    [ "$(cut -f 3-6 log | sort -u)" = "127.0.0.1"$'\t'"$PORT"$'\t'"127.0.0.1"$'\t'"$(port_of target)" ]
    [ "$(relays_of xinetd | wc -w)" = 1 ]
}

@test "xinetd: IPv6, IPv4 to IPv6 and back" {
    require_ipv6
    answer six ::1 0
    rule_log "::1 $PORT/udp ::1 $(port_of six)/udp" "127.0.0.1 $PORT/udp ::1 $(port_of six)/udp" \
        "::1 ${PORTS[1]}/udp $TO"
    AT=::1 ask --clients=50 --sizes=0,1,508,1472
    AT=127.0.0.1 ask --clients=5 --sizes=0,9000
    [ "$(peers_of six)" = 55 ]
    echo "${PORTS[1]}" >relay.port
    AT=::1 ask --clients=5 --sizes=0,9000
    [ "$(peers_of target)" = 5 ]
}

@test "xinetd: wildcards of both families beside each other, and replies from the right address" {
    local i

    require_ipv6
    answer six ::1 0
    rule_log "0.0.0.0 $PORT/udp $TO" ":: $PORT/udp ::1 $(port_of six)/udp"
    for i in 1 2 3 4 5; do
        AT=127.0.0.$i ask --clients=5 --sizes=0,1,508
    done
    AT=::1 ask --clients=5 --sizes=0,1,508
    [ "$(peers_of target)" = 25 ]
    [ "$(peers_of six)" = 5 ]
    [ "$(cut -f 3 log | sort | uniq -c | xargs)" = '25 0.0.0.0 5 ::' ]
}

@test "xinetd: a wildcard and an address on one port, in either order, each with its own clients" {
    local port

    require_ipv6
    answer one 127.0.0.1 0
    answer six ::1 0
    rule_log "0.0.0.0 $PORT/udp $TO" "127.0.0.1 $PORT/udp 127.0.0.1 $(port_of one)/udp" \
        'deny 127.0.0.3' \
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
        AT=127.0.0.1 ask --clients=5 --sizes=0,1,508
        AT=127.0.0.1 ask --from=127.0.0.3 --replies=0
    done
    [ "$(peers_of target) $(peers_of one)" = '6 20' ]
    echo "${PORTS[2]}" >relay.port
    AT=127.0.0.1 ask
    AT=127.0.0.5 ask --replies=0
    AT=::1 ask --clients=3
    [ "$(peers_of target) $(peers_of one) $(peers_of six)" = '6 21 3' ]
}

@test "xinetd: TCP and UDP on one port" {
    listen streams 127.0.0.1 "$(port_of target)" line 'send:hello\n' eof
    rule_log "127.0.0.1 $PORT 127.0.0.1 $(port_of target)" "127.0.0.1 $PORT/udp $TO"
    ask --clients=5
    served 127.0.0.1 "$PORT"
    ask --clients=5
}

@test "xinetd: an idle relay ends, and the next datagram starts another" {
    rule_log "127.0.0.1 $PORT/udp $TO [timeout=1,linger=1]"
    starts_anew
}

@test "xinetd: max and per-source" {
    local i

    rule_log "127.0.0.1 $PORT/udp $TO [max=3]" "127.0.0.1 ${PORTS[1]}/udp $TO [per-source=1]"
    for i in 1 2 3 4 5; do
        ask --from=127.0.0.1:700$i --sizes=$i
    done
    records_are '127.0.0.1 1 0 opened' '127.0.0.1 2 0 opened' '127.0.0.1 3 0 opened' \
        '127.0.0.1 1 1 done-remote-closed' '127.0.0.1 4 0 opened' \
        '127.0.0.1 2 2 done-remote-closed' '127.0.0.1 5 0 opened'
    echo "${PORTS[1]}" >relay.port
    : >log
    ask --from=127.0.0.1 --sizes=1
    ask --from=127.0.0.2 --sizes=2
    ask --from=127.0.0.1 --sizes=3
    records_are '127.0.0.1 1 0 opened' '127.0.0.2 2 0 opened' '127.0.0.1 1 1 done-remote-closed' \
        '127.0.0.1 3 0 opened'
}

@test "xinetd: the target is down, and back" {
    local port

    port=$(port_of target)
    rule_log "127.0.0.1 $PORT/udp $TO"
    say --from=127.0.0.1:7001 one
    stop target
    say --replies=0 --from=127.0.0.1:7001 two
    records_are '127.0.0.1 3 0 opened' '127.0.0.1 6 3 done-local-closed'
    answer target 127.0.0.1 "$port"
    is_served --from=127.0.0.1:7001
    is_served --clients=20
}

@test "xinetd: access lists, global and of a rule, in both log formats" {
    local format

    for format in '' logcommon; do
        : >log
        forward "logfile $T/log" $format 'allow 127.0.0.*' 'deny 127.0.0.2' "127.0.0.1 $PORT/udp $TO" \
            'deny 127.0.0.3'
        ask --from=127.0.0.2 --replies=0 --rounds=20
        ask --from=127.0.0.3 --replies=0 --rounds=20
        ask --from=127.0.1.1 --replies=0 --rounds=20
        ask --from=127.0.0.4 --sizes=3
        stop xinetd
        wait_for has_records 5
        if [ -z "$format" ]; then
            records_are '127.0.0.2 0 0 denied' '127.0.0.3 0 0 denied' '127.0.1.1 0 0 not-allowed' \
                '127.0.0.4 3 0 opened' '127.0.0.4 3 3 done-local-closed'
        else
            diff <(common_line 127.0.0.2 denied 0 0 && common_line 127.0.0.3 denied 0 0 &&
                common_line 127.0.1.1 not-allowed 0 0 && common_line 127.0.0.4 opened 0 3 &&
                common_line 127.0.0.4 done-local-closed 3 3) <(sed 's/\[[^]]*\]/[TIME]/' log)
        fi
    done
    [ "$(sizes_at target)" = '3 3' ]
}

# common_line CLIENT WORD TO_CLIENT FROM_CLIENT
common_line() {
    echo "$1 - - [TIME] \"GET /rinetd-services/127.0.0.1/$PORT/127.0.0.1/$(port_of target)/$2" \
        "HTTP/1.0\" 200 $3 - - - $4"
}

@test "xinetd: a reload with a rule more, one changed, and one gone" {
    local to

    to=$TO
    rule_log "127.0.0.1 $PORT/udp $to" "127.0.0.1 ${PORTS[1]}/udp $to"
    ask --from=127.0.0.1:7001
    answer other 127.0.0.1 0
    convert xinetd "logfile $T/log" "127.0.0.1 $PORT/udp 127.0.0.1 $(port_of other)/udp" \
        "127.0.0.1 ${PORTS[2]}/udp $to"
    reload_xinetd
    echo "${PORTS[2]}" >relay.port
    ask --clients=5
    # A relay that runs goes on as it was; the next one has the new command line.
    echo "$PORT" >relay.port
    ask --from=127.0.0.1:7001
    for pid in $(relays_of xinetd); do
        kill "$pid"
    done
    settled
    ask --clients=5
    [ "$(peers_of other)" = 5 ]
    run ! datagram_socket "${PORTS[1]}"
}
