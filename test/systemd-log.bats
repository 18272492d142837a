#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The log of units under a real systemd, through their sandbox: files, their rotation, nasty names
# of theirs, and the journal.

load helper
load forwarding
load systemd

# A folder that the relay's user may write to, inside and out the same.
log_folder() {
    inside install -d -o rinetd "$1"
}

# line_of PORT IN OUT RESULT: as log_of has it.
line_of() {
    echo "127.0.0.1|127.0.0.1|$1|127.0.0.1|$(port_of target)|$2|$3|$4"
}

file() {
    local port

    port=$(free_ports)
    rm -rf logs
    listen target 127.0.0.1 0 echo
    log_folder "$T/logs"
    units "$MODE" "logfile $T/logs/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)" \
        'deny 127.0.0.2'
    echoes 127.0.0.1 "$port"
    wait_for has_lines logs/log 2
    refused_silently --from=127.0.0.2 127.0.0.1 "$port"
    wait_for has_lines logs/log 4
    diff <(line_of "$port" 0 0 opened && line_of "$port" 5 5 done-remote-closed &&
        for _ in 1 2; do line_of "$port" 0 0 denied | sed s/127.0.0.1/127.0.0.2/; done) <(log_of logs/log)
    [ -z "$(journal -t rinetd-relay)" ]
    stop target
}

@test "a file" {
    in_both_modes file
}

common_file() {
    local port

    port=$(free_ports)
    rm -rf logs
    listen target 127.0.0.1 0 echo
    log_folder "$T/logs"
    units "$MODE" logcommon "logfile $T/logs/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    echoes 127.0.0.1 "$port"
    wait_for has_lines logs/log 2
    grep -q '^127.0.0.1 - - .*/opened HTTP/1.0" 200 0 - - - 0$' logs/log
    grep -q '^127.0.0.1 - - .*/done-remote-closed HTTP/1.0" 200 5 - - - 5$' logs/log
    stop target
}

@test "a file in the common format" {
    in_both_modes common_file
}

# As logrotate does it, with create and with nothing in its place.
rotated() {
    local port

    port=$(free_ports)
    rm -rf logs
    listen target 127.0.0.1 0 echo
    log_folder "$T/logs"
    units "$MODE" "logfile $T/logs/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    hold one 127.0.0.1 "$port"
    hold two 127.0.0.1 "$port"
    wait_for has_lines logs/log 2
    mv logs/log logs/log.1
    inside install -o rinetd -m 640 /dev/null "$T/logs/log"
    release one
    wait_for has_lines logs/log 1
    diff <(line_of "$port" 2 2 done-remote-closed) <(log_of logs/log)
    mv logs/log logs/log.2
    release two
    wait_for has_lines logs/log 1
    echoes 127.0.0.1 "$port"
    wait_for has_lines logs/log 3
    diff <(line_of "$port" 2 2 done-remote-closed && line_of "$port" 0 0 opened &&
        line_of "$port" 5 5 done-remote-closed) <(log_of logs/log)
    [ "$(cat logs/log.1 logs/log.2 | wc -l)" = 3 ]
    [ -z "$(journal -p err)" ]
    stop target
}

@test "rotation by renaming, with connections open all the time" {
    in_both_modes rotated
}

missing() {
    local port

    port=$(free_ports)
    rm -rf logs
    listen target 127.0.0.1 0 echo
    log_folder "$T/logs"
    units "$MODE" "logfile $T/logs/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    rm -r logs
    echoes 127.0.0.1 "$port"
    wait_for journal_has_loss
    stop target
}

journal_has_loss() {
    journal -p err -o cat |
        grep -q "unable to write $T/logs/log: No such file or directory; lost: .*closed$"
}

@test "a folder that is not there fails no connection" {
    in_both_modes missing
}

# shellcheck disable=SC1003,SC2016
nasty_names=('100% %n %%h' '$HOME ${HOME} $$' "it's 'quoted'" 'back\slash \n \x41 \\' '; # @a !b'
    $'\xc3\xa9' ' - ' '{}*?[a]~')

nasty() {
    local port name

    port=$(free_ports)
    listen target 127.0.0.1 0 echo
    rm -rf -- */
    for name in "${nasty_names[@]}"; do
        log_folder "$T/$name"
        units "$MODE" "logfile \"$T/$name/l$name\"" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
        inside systemctl stop "$(service_of "$port")"
        echoes 127.0.0.1 "$port"
        wait_for has_lines "$name/l$name" 2
    done
    [ "$(find . -name 'l*' -size +0 | wc -l)" = "${#nasty_names[@]}" ]
    [ -z "$(journal -p err)" ]
    stop target
}

@test "characters that mean something to systemd are part of a file's name" {
    in_both_modes nasty
}

in_journal() {
    local ports entry pair

    mapfile -t ports < <(free_ports 2)
    listen target ::1 0 echo
    units "$MODE" "::1 ${ports[0]} ::1 $(port_of target)" "127.0.0.1 ${ports[1]} unix:/no/such"
    # Whose entry comes when it has ended is nobody's, unless the journal knew it before.
    hold client ::1 "${ports[0]}"
    wait_for opened_is_there
    release client
    "$PEER" connect 127.0.0.1 "${ports[1]}" closed
    wait_for entries_are_there
    entry=$(journal -o json -t rinetd-relay RESULT=done-remote-closed)
    for pair in PRIORITY=6 CLIENT=::1 "LISTENER=[::1]:${ports[0]}" "TARGET=[::1]:$(port_of target)" \
        BYTES_IN=2 BYTES_OUT=2 "_UID=$(inside id -u rinetd)"; do
        grep -qF "\"${pair%%=*}\":\"${pair#*=}\"" <<<"$entry" || { echo "$pair: $entry" && return 1; }
    done
    # Of which unit, and how bad
    [ "$(journal -u "$(service_of "${ports[0]}" ::1 | tr : -)" -o cat -t rinetd-relay | wc -l)" = 2 ] ||
        [ "$(journal -u "rinetd-tcp-*-${ports[0]}*" -o cat -t rinetd-relay | wc -l)" = 2 ]
    [ "$(journal -u "$(service_of "${ports[1]}")" -o cat -p err)" = \
        'rinetd-relay: unable to connect to unix:/no/such: No such file or directory' ]
    [ "$(journal -o cat -p warning -t rinetd-relay | wc -l)" = 2 ]
    stop target
}

opened_is_there() {
    journal -t rinetd-relay RESULT=opened | grep -q .
}

entries_are_there() {
    [ "$(journal -t rinetd-relay RESULT=done-remote-closed RESULT=local-connect-failed | wc -l)" = 2 ]
}

@test "the journal, where there is no file" {
    in_both_modes in_journal
}
