#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What becomes of UDP rules when the configuration changes: rinetd-gen --apply with systemd and with
# xinetd, --run, and the generator. Each step is judged by asking; what is queued is not to be lost.

load helper
load connections
load datagrams
load systemd

setup() {
    common_setup
    require namespaces
    mapfile -t PORTS < <(free_ports 3)
    answer target 127.0.0.1 0
    listen stream 127.0.0.1 0 echo
    writable_log log
}

teardown() {
    rm -f /etc/rinetd.conf
    common_teardown
}

# udp PORT [OPTIONS]: a line.
udp() {
    echo "127.0.0.1 $1/udp 127.0.0.1 $(port_of target)/udp ${2-}"
}

# tcp PORT: one for the same port.
tcp() {
    echo "127.0.0.1 $1 127.0.0.1 $(port_of stream)"
}

conf() {
    printf '%s\n' "logfile $T/log" "$@" >rinetd.conf
}

# serves PORT [--OPTION...]
serves() {
    "$DATAGRAM" ask --clients=3 --sizes=0,1,1472 "${@:2}" 127.0.0.1 "$1" >asked
}

# serves_with PORT ARG: by a relay that has it on its command line. To wait for where the old relay
# may come to its end after the change, with what has come by then.
serves_with() {
    serves "$1" --retry=1000 && grep -qsF -- "$2" "/proc/$(relays "$1")/cmdline"
}

# Is there a socket for datagrams?
is_open() {
    awk -v port="$(printf ':%04X' "$1")" '$2 ~ port "$" { found = 1 } END { exit !found }' \
        /proc/net/udp
}

is_closed() {
    ! is_open "$1"
}

# is_denied PORT [TIMES]: by a line in the log for each time that somebody was.
is_denied() {
    wait_for has_denied "$1" "${2:-1}"
}

# The relay with the old rules may still have the first that is sent.
has_denied() {
    echo >"/dev/udp/127.0.0.1/$1"
    [ "$(grep -c "	$1	.*	denied\$" log)" -ge "$2" ]
}

# The relays of PORT. The pattern is in a file, so that grep does not find itself.
relays() {
    printf '%s\n' "--listener=127.0.0.1:$1" >pattern
    grep -lsF -f pattern /proc/[0-9]*/cmdline | cut -d/ -f3
}

# queue PORT: a client whose datagrams wait, since the relay does not run; is_answered ends it.
queue() {
    serves "$1"
    STOPPED=$(relays "$1")
    kill -STOP "$STOPPED"
    start client "$DATAGRAM" ask --deadline=10 --rounds=20 --window=20 --sizes=100 127.0.0.1 "$1"
    wait_for has_queued "$1"
}

# has_queued PORT [N]: so many datagrams or more, of which each takes more than half a KiB.
has_queued() {
    local bytes

    bytes=$(awk -v port="$(printf ':%04X' "$1")" '
        $2 ~ port "$" { split($5, queues, ":"); print queues[2] }' /proc/net/udp)
    ((16#${bytes:-0} >= 512 * ${2:-1}))
}

is_answered() {
    finished client
    [ "$(cat client.out)" = '20 sent, 20 got, 0 again' ]
}

# is_answered_at_the_end COMMAND: under xinetd, once COMMAND has told the relay of the first port to
# end. It waits for answers for a tenth of a second: a target may be stalled for longer, so they may
# fail to come twice; what is queued may never fail to reach the target.
is_answered_at_the_end() {
    local before status

    for _ in {1..3}; do
        before=$(output_of target | wc -l)
        queue "${PORTS[0]}"
        "$1"
        resume
        wait_for has_reached $((before + 9 + 20)) # serves() and queue()
        status=0
        finished client || status=$?
        wait_for is_gone "$STOPPED"
        [ "$status" != 0 ] || break
        echo "not answered: $(cat client.err)"
    done
    [ "$(cat client.out)" = '20 sent, 20 got, 0 again' ]
}

# has_reached N: so many datagrams or more came to the target.
has_reached() {
    [ "$(output_of target | wc -l)" -ge "$1" ]
}

resume() {
    kill -CONT "$STOPPED"
}

# --- systemd

# apply [LINE...]
apply() {
    [ $# = 0 ] || conf "$@"
    inside "$GEN" -f systemd -c "$T/rinetd.conf" -o /etc/systemd/system -r "$RELAY" -u nobody \
        --apply 2>said || { cat said && return 1; }
}

socket_of() {
    inside systemctl is-active "rinetd-udp-127.0.0.1-$1.socket"
}

@test "systemd: UDP rules come, change and go, and a TCP rule on the port stays" {
    start_systemd
    apply "$(udp "${PORTS[0]}")" "$(tcp "${PORTS[0]}")"
    grep -q "enabled rinetd-udp-127.0.0.1-${PORTS[0]}.socket" said
    serves "${PORTS[0]}"
    open_and_going_on one "${PORTS[0]}"
    apply
    grep -q 'nothing to do' said
    apply "$(udp "${PORTS[0]}")" 'deny *' "$(tcp "${PORTS[0]}")" "$(udp "${PORTS[1]}")"
    grep -q "restarted rinetd-udp-127.0.0.1-${PORTS[0]}.service" said
    is_denied "${PORTS[0]}"
    serves "${PORTS[1]}"
    apply "$(tcp "${PORTS[0]}")" "$(udp "${PORTS[1]}")"
    grep -q "stopped rinetd-udp-127.0.0.1-${PORTS[0]}.socket" said
    is_closed "${PORTS[0]}"
    forwards "${PORTS[0]}"
    serves "${PORTS[1]}"
    goes_on one
}

@test "systemd: what is queued is for the relay with the new rules" {
    start_systemd
    apply "$(udp "${PORTS[0]}")"
    queue "${PORTS[0]}"
    # systemd has it go on when it tells it to end
    apply "$(udp "${PORTS[0]}" '[linger=9]')"
    is_answered
    wait_for grep -qF -- --linger=9 "/proc/$(relays "${PORTS[0]}")/cmdline"
}

@test "systemd: a relay that fails at once is started again after a pause, and the socket stays" {
    start_systemd
    apply "$(udp "${PORTS[0]}")"
    # shellcheck disable=SC2016 # the shell inside expands it
    inside sh -c 'cd /etc/systemd/system && mkdir "$1.d" &&
        printf "[Service]\nExecStart=\nExecStart=/bin/false\n" >"$1.d/fail.conf" &&
        systemctl daemon-reload' - "rinetd-udp-127.0.0.1-${PORTS[0]}.service"
    "$DATAGRAM" ask --replies=0 --rounds=5 --sizes=1 127.0.0.1 "${PORTS[0]}" >asked
    wait_for has_restarted 2
    [ "$(socket_of "${PORTS[0]}")" = active ]
    # shellcheck disable=SC2016
    inside sh -c 'rm -r "/etc/systemd/system/$1.d" && systemctl daemon-reload' - \
        "rinetd-udp-127.0.0.1-${PORTS[0]}.service"
    serves "${PORTS[0]}"
}

has_restarted() {
    [ "$(inside systemctl show -p NRestarts --value "rinetd-udp-127.0.0.1-${PORTS[0]}.service")" \
        -ge "$1" ]
}

@test "systemd: the relay may have a descriptor for each session, in its sandbox" {
    start_systemd
    apply "$(udp "${PORTS[0]}" '[max=2000]')"
    serves "${PORTS[0]}"
    grep -qE '^Max open files +2256 +2256 ' "/proc/$(relays "${PORTS[0]}")/limits"
    # More than the socket holds
    "$DATAGRAM" ask --clients=900 --sizes=10 --retry=500 127.0.0.1 "${PORTS[0]}" >asked
    grep -q '^900 sent, ' asked
}

@test "the generator: UDP rules are served after boot, and after daemon-reload" {
    ln -s "$GEN" rinetd-generator
    : >/dev/kmsg
    own_etc rinetd.conf <<<"$(udp "${PORTS[0]}")"
    GENERATOR=$T/rinetd-generator start_systemd
    install_inside
    serves "${PORTS[0]}"
    udp "${PORTS[1]}" | inside tee /etc/rinetd.conf >/dev/null
    inside systemctl daemon-reload
    inside systemctl start sockets.target
    serves "${PORTS[1]}"
}

# --- xinetd

# hangup [LINE...]: --apply for the xinetd of the test.
hangup() {
    [ $# = 0 ] || conf "$@"
    "$GEN" -c rinetd.conf -o d -r "$RELAY" -u nobody --apply 2>said || { local status=$? && cat said && return "$status"; }
}

# up LINE...
up() {
    require xinetd
    mkdir -p d
    printf 'defaults\n{\n\tonly_from = 192.0.2.1\n\tno_access = 127.0.0.1\n}\nincludedir %s\n' \
        "$T/d" >xinetd.conf
    conf "$@"
    "$GEN" -c rinetd.conf -o d -r "$RELAY" -u nobody 2>said
    start_xinetd xinetd.conf "$(services_in d/rinetd)"
}

@test "xinetd: UDP rules come, change and go, whatever its defaults say" {
    up "$(udp "${PORTS[0]}")" "$(tcp "${PORTS[0]}")"
    serves "${PORTS[0]}"
    open_and_going_on one "${PORTS[0]}"
    hangup "$(udp "${PORTS[0]}")" 'deny *' "$(tcp "${PORTS[0]}")" "$(udp "${PORTS[1]}")"
    grep -q 'which has old rules; its sessions begin anew' said
    is_denied "${PORTS[0]}"
    serves "${PORTS[1]}"
    hangup "$(tcp "${PORTS[0]}")" "$(udp "${PORTS[1]}")"
    wait_for is_closed "${PORTS[0]}"
    forwards "${PORTS[0]}"
    serves "${PORTS[1]}"
    goes_on one
}

@test "xinetd: only what has changed is ended" {
    local old

    up "$(udp "${PORTS[0]}")" "$(udp "${PORTS[1]}")"
    serves "${PORTS[0]}"
    serves "${PORTS[1]}"
    old=$(relays "${PORTS[1]}")
    hangup "$(udp "${PORTS[0]}" '[linger=9]')" "$(udp "${PORTS[1]}")"
    wait_for serves_with "${PORTS[0]}" --linger=9
    [ "$(relays "${PORTS[1]}")" = "$old" ]
}

@test "xinetd, which empties a socket when its server ends: what is queued is answered" {
    up "$(udp "${PORTS[0]}")"
    is_answered_at_the_end terminate
    is_answered_at_the_end change_it
    finished hangup
    wait_for serves_with "${PORTS[0]}" "--linger=$((20 + $(wc -l <changes)))"
}

terminate() {
    kill -TERM "$STOPPED"
}

# The configuration, to another one each time; there is a line in `changes` for each.
change() {
    echo "$SECONDS" >>changes
    conf "$(udp "${PORTS[0]}" "[linger=$((20 + $(wc -l <changes)))]")"
}

change_it() {
    [ ! -e hangup.pid ] || finished hangup
    change
    start hangup "$GEN" -c rinetd.conf -o d -r "$RELAY" -u nobody --apply
}

# ends_well TO COUNT: a relay that is told to end while so many datagrams are queued, and has no
# session whose answers it would wait for, still gets them through. It dials for half a second then,
# and waits for answers for a tenth: whoever is stalled for longer spoils that, which may happen
# twice.
ends_well() {
    local pid status

    TO=$1 relay --keep-queue --timeout=1 --linger=30
    for _ in {1..3}; do
        : >log
        "$DATAGRAM" say --replies=0 127.0.0.1 "$(port_of relay)" one
        wait_for has_ended
        pid=$(first)
        kill -STOP "$pid"
        start client "$DATAGRAM" ask --deadline=10 --rounds="$2" --window="$2" --sizes=100 \
            127.0.0.1 "$(port_of relay)"
        wait_for has_queued "$(port_of relay)" "$2"
        kill -TERM "$pid"
        kill -CONT "$pid"
        status=0
        finished client || status=$?
        [ "$status" != 0 ] || break
        echo "not answered: $(cat client.err)"
        wait_for is_gone "$pid"
    done
    [ "$(cat client.out)" = "$2 sent, $2 got, 0 again" ]
}

@test "SIGTERM: what has been taken off the queue reaches a target that is a name" {
    ends_well "localhost $(port_of target)" 10
}

@test "SIGTERM: what has been taken off the queue reaches a TCP target" {
    ends_well "127.0.0.1 $(port_of stream)/tcp" 1
}

has_ended() {
    grep -q done-remote-closed log
}

# keeps_socket WHAT LINE...: these rules take another socket for ::, and xinetd keeps the old one.
keeps_socket() {
    printf '%s\n' "logfile $T/log" "${@:2}" >rinetd.conf
    run -3 hangup
    grep -qF "xinetd keeps the socket of [::]:${PORTS[0]}$1: restart xinetd" said
    run ! grep -q 'has reloaded' said
}

@test "xinetd: :: is to serve IPv4, or no more: it has to be restarted, and that is said" {
    local any six to stream

    require_ipv6
    to="127.0.0.1 $(port_of target)/udp" stream="127.0.0.1 $(port_of stream)"
    any="0.0.0.0 ${PORTS[0]}/udp $to"
    six=":: ${PORTS[0]}/udp $to"
    up "$six"
    keeps_socket '/udp as it was, for IPv4 clients, too' "$six" "$any"
    stop xinetd
    start_xinetd xinetd.conf "$(services_in d/rinetd)"
    hangup "$six" "$any"
    keeps_socket '/udp as it was, for no IPv4 clients' "$six"
    stop xinetd
    up ":: ${PORTS[0]} $stream" "0.0.0.0 ${PORTS[0]} $stream"
    keeps_socket ' as it was, for no IPv4 clients' ":: ${PORTS[0]} $stream"
}

# --- --run

@test "run: UDP rules come, change and go; TCP and UDP on one port are two" {
    require xinetd
    conf "$(udp "${PORTS[0]}")" "$(tcp "${PORTS[0]}")"
    start gen "$GEN" --run -c rinetd.conf -r "$RELAY" -u nobody
    wait_for or_over gen grep -q \
        "listening: 2 rules: 127.0.0.1:${PORTS[0]}/udp, 127.0.0.1:${PORTS[0]}\$" gen.err
    serves "${PORTS[0]}"
    open_client one "${PORTS[0]}" closed
    conf "$(udp "${PORTS[0]}")" 'deny *' "$(tcp "${PORTS[0]}")" "$(udp "${PORTS[1]}")"
    reload 'reloaded: 3 rules: 1 new, 2 kept, 0 dropped'
    is_denied "${PORTS[0]}"
    serves "${PORTS[1]}"
    conf "$(udp "${PORTS[0]}")" "$(udp "${PORTS[1]}")"
    reload 'reloaded: 2 rules: 0 new, 2 kept, 1 dropped'
    finished one
    serves "${PORTS[0]}" --retry=1000 # the old relay may still refuse some
    conf "$(udp "${PORTS[1]}")"
    reload 'reloaded: 1 rule: 0 new, 1 kept, 1 dropped'
    wait_for grep -q "rule \"$(udp "${PORTS[0]}" | sed 's/ $//')\" is gone; its sessions end" gen.err
    wait_for is_closed "${PORTS[0]}"
    serves "${PORTS[1]}"
    stop gen
    is_closed "${PORTS[1]}"
    [ -z "$(relays "${PORTS[1]}")" ]
}

@test "run: TCP goes from a port with UDP: its relay alone is ended, and has its last line" {
    local lines old

    require xinetd
    for lines in "$(udp "${PORTS[0]}")"$'\n'"$(tcp "${PORTS[0]}")" \
        "$(tcp "${PORTS[0]}")"$'\n'"$(udp "${PORTS[0]}")"; do
        : >log
        conf "$lines"
        start gen "$GEN" --run -c rinetd.conf -r "$RELAY" -u nobody
        wait_for or_over gen grep -q listening: gen.err
        serves "${PORTS[0]}"
        old=$(relays "${PORTS[0]}")
        open_client one "${PORTS[0]}" closed
        conf "$(udp "${PORTS[0]}")"
        reload 'reloaded: 1 rule: 0 new, 1 kept, 1 dropped'
        finished one
        serves "${PORTS[0]}"
        [ "$(relays "${PORTS[0]}")" = "$old" ]
        [ "$(grep -c "	$(port_of stream)	.*done-local-closed\$" log)" = 1 ]
        stop gen
    done
}

# reload TEXT: until it says so.
reload() {
    local before

    before=$(grep -c "$1" gen.err) || true
    kill -HUP "$(cat gen.pid)"
    wait_for or_over gen says_again "$1" "$before"
}

says_again() {
    [ "$(grep -c "$1" gen.err)" -gt "$2" ]
}

@test "run: what is queued at a reload is answered, and an idle relay leaves and comes back" {
    require xinetd
    conf "$(udp "${PORTS[0]}")"
    start gen "$GEN" --run -c rinetd.conf -r "$RELAY" -u nobody
    wait_for or_over gen grep -q listening: gen.err
    is_answered_at_the_end change_and_hang_up
    wait_for has_reloaded
    conf "$(udp "${PORTS[0]}" '[linger=1,timeout=1]')"
    reload 'reloaded: 1 rule: 0 new, 1 kept'
    wait_for serves_with "${PORTS[0]}" --linger=1
    wait_for is_idle_on "${PORTS[0]}"
    serves "${PORTS[0]}" --retry=500 # a session may end before its answer comes
    stop gen
}

change_and_hang_up() {
    [ ! -e changes ] || wait_for has_reloaded
    change
    kill -HUP "$(cat gen.pid)"
}

# As often as there were changes.
has_reloaded() {
    [ "$(grep -c 'reloaded: 1 rule: 0 new, 1 kept' gen.err)" = "$(wc -l <changes)" ]
}

is_idle_on() {
    [ -z "$(relays "$1")" ]
}
