#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The log: rinetd's two formats to the byte, the time zone, rotation, many writers at once, and a
# log that can't be written, which no client may notice.

load helper

setup() {
    common_setup
    export TZ=UTC
}

client() {
    "$PEER" connect 127.0.0.1 "$(port_of relay)" "$@"
}

# The file's bytes, with TIME for each time.
masked() {
    sed -E 's,[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}(:[0-9]{2}){3},TIME,' "$1"
}

# tab_lines CLIENT RECORD...: the bytes for records of "FROM_CLIENT TO_CLIENT WORD".
tab_lines() {
    local client=$1 record from to word

    shift
    for record; do
        read -r from to word <<<"$record"
        printf 'TIME \t%s\t127.0.0.1\t%d\t127.0.0.1\t%d\t%d\t%d\t%s\n' "$client" \
            "$(port_of relay)" "$(port_of target)" "$from" "$to" "$word"
    done
}

common_lines() {
    local client=$1 record from to word

    shift
    for record; do
        read -r from to word <<<"$record"
        printf '%s - - [TIME  +0000] "GET /rinetd-services/127.0.0.1/%d/127.0.0.1/%d/%s ' \
            "$client" "$(port_of relay)" "$(port_of target)" "$word"
        printf 'HTTP/1.0" 200 %d - - - %d\n' "$to" "$from"
    done
}

# in_both_formats RELAY_ARG... -- ACTION... -- RECORD...: a connection of these actions leaves these
# records in either format, and nothing else.
in_both_formats() {
    local arguments=() actions=()

    while [ "$1" != -- ]; do arguments+=("$1") && shift; done
    shift
    while [ "$1" != -- ]; do actions+=("$1") && shift; done
    shift
    rm -f tabs common
    relay_once --log="$T/tabs" "${arguments[@]}" 127.0.0.1 "$(port_of target)"
    client "${actions[@]}"
    finished relay
    diff <(tab_lines 127.0.0.1 "$@") <(masked tabs)
    relay_once --log="$T/common" --log-common "${arguments[@]}" 127.0.0.1 "$(port_of target)"
    client "${actions[@]}"
    finished relay
    diff <(common_lines 127.0.0.1 "$@") <(masked common)
}

@test "opened and done-remote-closed: the client ends first" {
    listen target 127.0.0.1 0 echo
    in_both_formats -- send:0123456789 recv:10 fin eof -- '0 0 opened' '10 10 done-remote-closed'
}

@test "done-local-closed: the target ends first; each count stands in its own place" {
    listen target 127.0.0.1 0 send:welcome fin discard
    in_both_formats -- rest send:abc fin -- '0 0 opened' '3 7 done-local-closed'
}

@test "denied, not-allowed" {
    echo 9 >target.port
    in_both_formats --deny=127.* -- closed -- '0 0 denied'
    in_both_formats --allow=10.* -- closed -- '0 0 not-allowed'
}

@test "local-connect-failed and local-bind-failed, with rinetd's dash" {
    free_ports >target.port
    in_both_formats -- send:abc closed -- '0 0 local-connect-failed -'
    in_both_formats --src=192.0.2.77 -- closed -- '0 0 local-bind-failed -'
}

# gone_client [ARG...]: it has reset the connection before the relay starts.
gone_client() {
    rm -f log gone
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 sh -c '
        until [ -e gone ]; do sleep 0.01; done; exec "$@"' - \
        "$RELAY" --log="$T/log" "$@" 127.0.0.1 9
    client rst
    touch gone
    relay_ends 0
}

@test "accept-failed, with a question mark for the client: it is gone before the relay looks" {
    echo 9 >target.port
    gone_client
    diff <(tab_lines '?' '0 0 accept-failed -') <(masked log)
    gone_client --log-common
    diff <(common_lines '?' '0 0 accept-failed -') <(masked log)
    gone_client --allow=10.*
    diff <(tab_lines '?' '0 0 accept-failed -') <(masked log)
}

@test "hosts stand in the log as they were written, the client as the kernel knows it" {
    listen target 127.0.0.1 0 send:welcome
    relay_once --listener=LocalHost:8080 --log="$T/log" 0 "$(port_of target)"
    client discard
    finished relay
    [ "$(log_of log | head -n 1)" = "127.0.0.1|LocalHost|8080|0|$(port_of target)|0|0|opened" ]
    relay_once --listener=0:80 --log="$T/log2" 127.0.0.01 "$(port_of target)"
    client discard
    finished relay
    [ "$(log_of log2 | head -n 1)" = "127.0.0.1|0|80|127.0.0.01|$(port_of target)|0|0|opened" ]
    relay_once --listener='[2001:DB8::0]:443' --log="$T/log3" 0127.0.0.1 "$(port_of target)"
    client discard
    finished relay
    [[ $(log_of log3) == '127.0.0.1|2001:DB8::0|443|0127.0.0.1|'*'|0|0|local-connect-failed -' ]]
    # Without --listener, what the kernel knows
    relay_once --log="$T/log4" unix:/no/such.socket
    client closed
    finished relay
    [ "$(log_of log4)" = \
        "127.0.0.1|127.0.0.1|$(port_of relay)|unix:/no/such.socket|0|0|0|local-connect-failed -" ]
}

@test "the longest names still give one whole line" {
    local label name

    label=$(printf 'a%.0s' {1..63})
    name=$label.$label.$label.${label:0:61}
    relay_once --listener="$name:65535" --log="$T/log" --connect-timeout=1 \
        "unix:/$(printf 'b%.0s' {1..100})"
    client closed
    finished relay
    logged log "127.0.0.1|$name|65535|unix:/$(printf 'b%.0s' {1..100})|0|0|0|local-connect-failed -"
}

# stamped_in ZONE OFFSET: both formats have the local time of that zone, the second one its offset.
stamped_in() {
    local before after second expected='' TZ=$1 common

    export TZ
    rm -f tabs common
    before=$EPOCHSECONDS
    relay_once --log="$T/tabs" 127.0.0.1 9
    client closed
    finished relay
    relay_once --log="$T/common" --log-common 127.0.0.1 9
    client closed
    finished relay
    after=$EPOCHSECONDS
    for ((second = before; second <= after; second++)); do
        expected+=$(date -d "@$second" '+%d/%b/%Y:%H:%M:%S')$'\n'
    done
    grep -qxF "$(cut -f 1 tabs | sed 's/ $//')" <<<"$expected"
    common=$(sed -E 's/.* - - \[(.*)  ([+-][0-9]{4})\] .*/\1 \2/' common)
    grep -qxF "${common% *}" <<<"$expected"
    [ "${common##* }" = "$2" ]
}

@test "times are local, and the common format names the zone" {
    stamped_in UTC +0000
    stamped_in IST-5:30 +0530
    stamped_in NST3:30 -0330
    stamped_in XYZ-14 +1400
    stamped_in XYZ0:15 -0015
}

@test "times are local in a zone of the system's data base" {
    [ -e /usr/share/zoneinfo/Asia/Kolkata ] || skip "tzdata is not installed"
    stamped_in Asia/Kolkata +0530
    stamped_in :Asia/Kolkata +0530
}

@test "a log that is renamed and made anew has the rest of the connection" {
    listen target 127.0.0.1 0 echo
    writable_log log
    relay_once --log="$T/log" 127.0.0.1 "$(port_of target)"
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" send:a recv:1 touch:"$T/talking" \
        wait-file:"$T/rotated" send:b recv:1 fin eof
    wait_for test -e talking
    mv log log.1
    writable_log log
    touch rotated
    finished client
    relay_ends 0
    [[ $(log_of log.1) == *'|0|0|opened' ]]
    [[ $(log_of log) == *'|2|2|done-remote-closed' ]]
    [ "$(cat log log.1 | wc -l)" = 2 ]
}

@test "a log that is missing is made, for its owner to write and for all to read" {
    umask 022
    relay_once --log="$T/log" 127.0.0.1 9
    client closed
    finished relay
    [ "$(stat -c %a log)" = 644 ]
    echo 'the last line of before' >log
    relay_once --log="$T/log" 127.0.0.1 9
    client closed
    finished relay
    [ "$(head -n 1 log)" = 'the last line of before' ]
    [ "$(wc -l <log)" = 2 ]
}

# sinks: each a log that no line can be written to.
bad_sinks() {
    mkdir folder
    mkfifo fifo
    ln -s loop loop
    echo "$T/no/such/folder/log" "$T/folder" /dev/full "$T/fifo" "$T/loop" "$T/fifo/x" \
        "/$(printf 'x%.0s' {1..300})"
}

@test "a log that can't be written: the connection is served all the same, without a word" {
    local sink

    listen target 127.0.0.1 0 echo
    for sink in $(bad_sinks); do
        relay_once --log="$sink" 127.0.0.1 "$(port_of target)"
        run -0 client send:hello fin rest
        [ "$output" = hello ]
        relay_ends 0
        relay_once --log="$sink" --deny=127.* 127.0.0.1 "$(port_of target)"
        client closed
        relay_ends 0
        relay_once --log="$sink" 127.0.0.1 "$(free_ports)"
        client closed
        relay_ends 1
    done
}

@test "a log that can't be written: syslog has the line that is lost, and why" {
    local sink why line

    require namespaces
    start_syslog
    listen target 127.0.0.1 0 echo
    for sink in $(bad_sinks); do
        relay_once --log="$sink" 127.0.0.1 "$(port_of target)"
        client send:hello fin discard
        finished relay
        line=$(printf ' \t127.0.0.1\t127.0.0.1\t%d\t127.0.0.1\t%d\t' \
            "$(port_of relay)" "$(port_of target)")
        for why in $'0\t0\topened' $'5\t5\tdone-remote-closed'; do
            wait_for grep -qF "$line$why" syslog.out
        done
        why="^<27>.* rinetd-relay\[[0-9]+\]: unable to write $sink: [A-Z].*; lost: [0-9]"
        [ "$(grep -cE "$why" syslog.out)" = 2 ]
    done
    grep -q 'full: No space left on device' syslog.out
}

@test "a log over the limit of file sizes disturbs nobody" {
    listen target 127.0.0.1 0 echo
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 sh -c '
        ulimit -f 0; exec "$@"' - "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    run -0 client send:hello fin rest
    [ "$output" = hello ]
    relay_ends 0
    [ ! -s log ]
}

@test "a log that the relay's user may not write disturbs nobody" {
    local user

    listen target 127.0.0.1 0 echo
    touch log
    chmod 0 log
    user=$(user_for_relay)
    [ "$user" = "$(id -un)" ] || chmod 711 .
    export -f as_user
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 bash -c 'as_user "$@"' - \
        "$user" "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    run -0 client send:hello fin rest
    [ "$output" = hello ]
    relay_ends 0
    [ ! -s log ]
}

@test "a fifo as the log is written while somebody reads it" {
    mkfifo fifo
    start reader cat fifo
    listen target 127.0.0.1 0 echo
    exec {keep}<>fifo # the reader outlives each line's writer
    relay_once --log="$T/fifo" 127.0.0.1 "$(port_of target)"
    client send:hello fin rest
    relay_ends 0
    wait_for grep -q 'done-remote-closed' reader.out
    exec {keep}>&-
    [ "$(wc -l <reader.out)" = 2 ]
}

@test "--log=syslog: the same line as information of the facility daemon" {
    local style format=tab_lines

    require namespaces
    listen target 127.0.0.1 0 echo
    for style in '' --log-common; do
        start_syslog
        relay_once --log=syslog ${style:+"$style"} 127.0.0.1 "$(port_of target)"
        client send:hello fin discard
        relay_ends 0
        wait_for grep -q 'done-remote-closed' syslog.out
        stop syslog
        output_of syslog |
            sed -E 's/^<30>[A-Z][a-z]{2} [ 0-9][0-9] (.{8}) rinetd-relay\[[0-9]+\]: //' >said
        [ -z "$style" ] || format=common_lines
        diff <("$format" 127.0.0.1 '0 0 opened' '5 5 done-remote-closed') <(masked said)
    done
    [ ! -e syslog ]
}

@test "a host name with a percent sign can't be, but a socket's path can: it stays as it is" {
    require namespaces
    start_syslog
    relay_once --log=syslog 'unix:/%s%n%d'
    client closed
    finished relay
    wait_for grep -qF $'\tunix:/%s%n%d\t0\t0\t0\tlocal-connect-failed -' syslog.out
    wait_for grep -qF 'unable to connect to unix:/%s%n%d: No such file' syslog.out
}

@test "a hundred connections at once write whole lines only" {
    local line

    listen target 127.0.0.1 0 echo
    serve relay --count=100 127.0.0.1 0 "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    "$PEER" connect --times=100 --parallel=100 127.0.0.1 "$(port_of relay)" \
        send:hello recv:5 fin eof >/dev/null
    finished relay
    line="127.0.0.1|127.0.0.1|$(port_of relay)|127.0.0.1|$(port_of target)"
    [ "$(log_of log | grep -cxF "$line|0|0|opened")" = 100 ]
    [ "$(log_of log | grep -cxF "$line|5|5|done-remote-closed")" = 100 ]
    [ "$(wc -l <log)" = 200 ]
}

@test "without --log there is none" {
    mkdir empty
    cd empty
    listen target 127.0.0.1 0 echo
    relay_once 127.0.0.1 "$(port_of target)"
    run -0 client send:hello fin rest
    [ "$output" = hello ]
    relay_ends 0
    relay_once --log-common --deny=127.* 127.0.0.1 9
    client closed
    relay_ends 0
    [ -z "$(ls -A)" ]
}
