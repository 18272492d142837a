#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# --log=journal: to a stand-in, for the very bytes and for a journal that does not keep up; and to
# the real one, read back with journalctl.

load helper
load systemd

setup() {
    common_setup
    export TZ=UTC
    JOURNAL=/run/systemd/journal/socket
}

teardown() {
    [ ! -f "$T/journal.pid" ] || signal_stand_in CONT
    common_teardown
    rm -rf /run/systemd/journal
}

# Each field of each datagram is a line of $T/journal.out.
start_stand_in() {
    require namespaces
    mkdir -p "${JOURNAL%/*}"
    start_peer syslog journal "$JOURNAL"
}

signal_stand_in() {
    local pid

    pid=$(cat "$T/journal.pid")
    kill "-$1" "$(cat "/proc/$pid/task/$pid/children")"
}

client() {
    "$PEER" connect 127.0.0.1 "$(port_of relay)" "$@"
}

# fields PRIORITY IN OUT RESULT: of a connection from 127.0.0.1, after its message.
fields() {
    printf '%s\n' "PRIORITY=$1" SYSLOG_IDENTIFIER=rinetd-relay SYSLOG_FACILITY=3 CLIENT=127.0.0.1 \
        "LISTENER=127.0.0.1:$(port_of relay)" "TARGET=127.0.0.1:$(port_of target)" \
        "BYTES_IN=$2" "BYTES_OUT=$3" "RESULT=$4"
}

@test "the line that a file would have, and its fields, in both formats" {
    local style

    listen target 127.0.0.1 0 echo
    for style in '' --log-common; do
        start_stand_in
        relay_once --log=journal ${style:+"$style"} 127.0.0.1 "$(port_of target)"
        client send:hello fin discard
        relay_ends 0
        (fields 6 0 0 opened && fields 6 5 5 done-remote-closed) >expected
        relay_once --log="$T/log" ${style:+"$style"} --listener="127.0.0.1:$(port_of relay)" \
            127.0.0.1 "$(port_of target)"
        client send:hello fin discard
        relay_ends 0
        wait_for grep -q done-remote-closed journal.out
        diff <(sed -E 's,[0-9]{2}/[A-Z].*:[0-9]{2},TIME,; s/^/MESSAGE=/' log) \
            <(grep ^MESSAGE= journal.out | sed -E 's,[0-9]{2}/[A-Z].*:[0-9]{2},TIME,')
        diff expected <(grep -v ^MESSAGE= journal.out)
        stop journal
        rm log
    done
}

@test "no journal: the connection is served, and syslog has the line" {
    local line

    start_syslog
    [ ! -e "$JOURNAL" ]
    listen target 127.0.0.1 0 echo
    relay_once --log=journal 127.0.0.1 "$(port_of target)"
    [ "$(client send:hello fin rest)" = hello ]
    relay_ends 0
    line="unable to write journal: No such file or directory; lost: .*"
    wait_for grep -q "<27>.*$line"$'\t0\t0\topened' syslog.out
    wait_for grep -q "<27>.*$line"$'\t5\t5\tdone-remote-closed' syslog.out
}

# soon MS COMMAND...: takes less than that, if not each time on a slow machine.
soon() {
    local began took

    for _ in 1 2 3 4; do
        began=${EPOCHREALTIME/./}
        "${@:2}"
        took=$(((${EPOCHREALTIME/./} - began) / 1000))
        echo "it took $took ms"
        ((took >= $1)) || return 0
    done
    return 1
}

served_once() {
    relay_once --log=journal 127.0.0.1 "$(port_of target)"
    [ "$(client send:hello fin rest)" = hello ]
    relay_ends 0
}

@test "a journal that does not keep up: two seconds at most, and syslog has the lines" {
    local line

    start_stand_in
    start_syslog
    listen target 127.0.0.1 0 echo
    signal_stand_in STOP
    "$PEER" stuff "$JOURNAL"
    soon 4000 served_once
    line="unable to write journal: Resource temporarily unavailable; lost: .*"
    wait_for grep -q "$line"$'\t0\t0\topened' syslog.out
    wait_for grep -q "$line"$'\t5\t5\tdone-remote-closed' syslog.out
    signal_stand_in CONT
    run ! grep -q CLIENT= journal.out
}

# slow_journal: a connection while the journal stands still, in $TOOK milliseconds.
slow_journal() {
    local began

    start_stand_in
    listen target 127.0.0.1 0 print-peer echo
    signal_stand_in STOP
    "$PEER" stuff "$JOURNAL"
    began=${EPOCHREALTIME/./}
    relay_once --log=journal 127.0.0.1 "$(port_of target)"
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" send:hello fin rest
    wait_for grep -q 127.0.0.1 target.out
    if is_answered; then early=yes; else early=; fi
    signal_stand_in CONT
    finished client
    is_answered
    relay_ends 0
    TOOK=$(((${EPOCHREALTIME/./} - began) / 1000))
}

@test "a journal that is slow for less than that loses nothing" {
    local early TOOK

    slow_journal
    # Took it longer than the relay waits with one line, then nothing is said about less.
    while ((TOOK >= 1000)); do
        echo "it took $TOOK ms"
        ((SECONDS < 120))
        stop journal
        stop target
        slow_journal
    done
    [ -z "$early" ]
    wait_for grep -q RESULT=done-remote-closed journal.out
    [ "$(grep -c ^RESULT= journal.out)" = 2 ]
}

is_answered() {
    [ "$(cat client.out)" = hello ]
}

# entries [MATCH...]: the relay's, one a line, as journalctl has them in JSON.
entries() {
    journal -o json -t rinetd-relay "$@"
}

# entry_has RESULT FIELD=VALUE...: the one entry with that result.
entry_has() {
    local entry pair

    entry=$(entries "RESULT=$1")
    [ "$(grep -c . <<<"$entry")" = 1 ]
    for pair in "${@:2}"; do
        grep -qF "\"${pair%%=*}\":\"${pair#*=}\"" <<<"$entry" || { echo "$pair: $entry" && return 1; }
    done
}

@test "journald: every event, with its priority and fields" {
    local addresses

    start_systemd
    listen target ::1 0 send:welcome fin discard
    serve_inside relay --count=1 ::1 0 "$RELAY" --log=journal ::1 "$(port_of target)"
    addresses=("LISTENER=[::1]:$(port_of relay)" "TARGET=[::1]:$(port_of target)" CLIENT=::1)
    "$PEER" connect ::1 "$(port_of relay)" rest send:abc fin >/dev/null
    finished relay
    entry_has opened PRIORITY=6 SYSLOG_FACILITY=3 SYSLOG_IDENTIFIER=rinetd-relay BYTES_IN=0 \
        BYTES_OUT=0 "${addresses[@]}"
    entry_has done-local-closed PRIORITY=6 BYTES_IN=3 BYTES_OUT=7 "${addresses[@]}"
    [[ $(journal -o cat -t rinetd-relay RESULT=done-local-closed) == *$' \t::1\t::1\t'*$'\t::1\t'* ]]
    serve_inside relay --count=1 127.0.0.1 0 "$RELAY" --log=journal --deny=127.* localhost 9
    client closed
    entry_has denied PRIORITY=5 CLIENT=127.0.0.1 TARGET=localhost:9
    serve_inside relay --count=1 127.0.0.1 0 "$RELAY" --log=journal --allow=1.* --log-common \
        --listener=Local.Host:80 unix:/a=b
    client closed
    entry_has not-allowed PRIORITY=5 LISTENER=Local.Host:80 TARGET=unix:/a=b
    [[ $(journal -o cat -t rinetd-relay RESULT=not-allowed) == \
        '127.0.0.1 - - ['*'] "GET /rinetd-services/Local.Host/80/unix:/a=b/0/not-allowed HTTP'* ]]
    serve_inside relay --count=1 127.0.0.1 0 "$RELAY" --log=journal unix:/no/such
    client closed
    finished relay
    entry_has local-connect-failed PRIORITY=4
    serve_inside relay --count=1 127.0.0.1 0 "$RELAY" --log=journal --src=192.0.2.1 127.0.0.1 9
    client closed
    finished relay
    entry_has local-bind-failed PRIORITY=4
    [ "$(entries -p warning RESULT=local-bind-failed RESULT=denied RESULT=opened | wc -l)" = 1 ]
}

@test "journald: what is reported to standard error comes as an error" {
    start_systemd
    inside systemd-run --quiet -p Type=oneshot -p StandardError=journal "$RELAY" --no-such-option || true
    journal -p err -o cat >said
    grep -qx 'rinetd-relay: unknown option "--no-such-option"; --help lists them all' said
    # Another's journal stream, and a stranger's standard error
    JOURNAL_STREAM=1:1 run -2 --separate-stderr "$RELAY" --no-such-option
    grep -q '^rinetd-relay: ' <<<"${stderr:?}"
}

@test "journald: 4000 lines in quick succession are all there" {
    start_systemd
    listen target 127.0.0.1 0 fin eof
    serve_inside relay --count=2000 127.0.0.1 0 "$RELAY" --log=journal 127.0.0.1 "$(port_of target)"
    "$PEER" connect --times=2000 --parallel=20 127.0.0.1 "$(port_of relay)" eof
    finished relay
    [ "$(entries RESULT=opened | wc -l)" = 2000 ]
    [ "$(entries RESULT=done-local-closed | wc -l)" = 2000 ]
}

served_inside() {
    serve_inside relay --count=1 127.0.0.1 0 "$RELAY" --log=journal 127.0.0.1 "$(port_of target)"
    [ "$(client send:hello fin rest)" = hello ]
    finished relay
}

@test "journald, stopped in its tracks: served all the same, and told when it goes on" {
    local journald

    start_systemd
    listen target 127.0.0.1 0 echo
    journald=$(inside systemctl show -P MainPID systemd-journald)
    inside kill -STOP "$journald"
    inside "$PEER" stuff "$JOURNAL"
    soon 4000 served_inside
    inside kill -CONT "$journald"
    [ -z "$(entries RESULT=opened)" ]
    journal -o cat -t rinetd-relay -p err >said
    grep -q '^unable to write journal: Resource temporarily unavailable; lost: .*opened$' said
    grep -q '^unable to write journal: Resource temporarily unavailable; lost: .*closed$' said
}

@test "journald, started anew: the rest of the connection is in it" {
    start_systemd
    listen target 127.0.0.1 0 echo
    serve_inside relay --count=1 127.0.0.1 0 "$RELAY" --log=journal 127.0.0.1 "$(port_of target)"
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" send:a recv:1 touch:"$T/talking" \
        wait-file:"$T/go-on" fin eof
    wait_for test -e talking
    inside systemctl restart systemd-journald.service
    touch go-on
    finished client
    finished relay
    [ "$(journal -o cat -t rinetd-relay --output-fields=RESULT)" = $'opened\ndone-remote-closed' ]
}
