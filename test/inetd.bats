#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# From rinetd.conf to bytes and log lines, under openbsd-inetd; and what of it inetutils-inetd can.

load helper
load forwarding

export SUPERSERVER=inetd

setup() {
    common_setup
    require inetd
    writable_log log
}

# forward LINE...: under an inetd that runs.
forward() {
    convert inetd "$@"
    start_inetd "$T/inetd.conf"
}

# reload_inetd PORT: which is new, in the last line, and so the last that inetd comes to.
reload_inetd() {
    kill -HUP "$(cat inetd.pid)"
    wait_listening inetd "$1"
}

listening_on_both() {
    local port

    port=$(printf ':%04X' "$1")
    [ "$(cat /proc/net/tcp /proc/net/tcp6 |
        awk -v port="$port" '$4 == "0A" && substr($2, length($2) - 4) == port' | wc -l)" = 2 ]
}

@test "inetd: a connection is forwarded, with its two lines; a reply comes after a half-close" {
    local port to

    listen target 127.0.0.1 0 check:1000:3 eof data:1048576:4
    port=$(free_ports) to=$(port_of target)
    forward "logfile $T/log" "127.0.0.1 $port localhost $to"
    "$PEER" connect 127.0.0.1 "$port" data:1000:3 fin check:1048576:4 eof
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 1000 1048576 done-remote-closed'
    [ "$(cut -f 3-6 log | sort -u)" = "127.0.0.1"$'\t'"$port"$'\t'"localhost"$'\t'"$to" ]
    stop target
}

@test "inetd: the client's bytes after the target's FIN arrive" {
    target_ends_first
}

@test "inetd: allow and deny, global and of a rule; not one byte to who is refused" {
    local ports to

    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 3)
    forward "logfile $T/log" 'allow 127.0.0.*' 'deny 127.0.0.9' "127.0.0.1 ${ports[0]} $to" \
        "127.0.0.1 ${ports[1]} $to" 'allow 127.0.0.2' 'allow 127.0.0.9' \
        "127.0.0.1 ${ports[2]} 127.0.0.1 1"
    served --from=127.0.0.2 127.0.0.1 "${ports[1]}"
    settled
    served --from=127.0.0.3 127.0.0.1 "${ports[0]}"
    settled
    refused_silently --from=127.0.0.9 127.0.0.1 "${ports[0]}"
    settled
    refused_silently --from=127.0.0.3 127.0.0.1 "${ports[1]}"
    settled
    refused_silently --from=127.0.0.9 127.0.0.1 "${ports[1]}"
    settled
    refused_silently --from=127.1.0.1 127.0.0.1 "${ports[0]}"
    settled
    refused_silently 127.0.0.1 "${ports[2]}"
    settled
    uniq -c <(summary <log) | sed 's/^ *//' | diff - <(printf '%s\n' \
        '1 127.0.0.2 0 0 opened' '1 127.0.0.2 3 6 done-remote-closed' \
        '1 127.0.0.3 0 0 opened' '1 127.0.0.3 3 6 done-remote-closed' \
        '2 127.0.0.9 0 0 denied' '2 127.0.0.3 0 0 not-allowed' '2 127.0.0.9 0 0 denied' \
        '2 127.1.0.1 0 0 not-allowed' '2 127.0.0.1 0 0 local-connect-failed -')
}

@test "inetd: IPv6 to IPv4 and back; :: takes both, and an IPv4 client has its plain address" {
    local ports

    hello
    listen six ::1 0 line 'send:six\n' eof
    mapfile -t ports < <(free_ports 3)
    forward "logfile $T/log" "::1 ${ports[0]} 127.0.0.1 $(port_of target)" \
        "127.0.0.1 ${ports[1]} ::1 $(port_of six)" \
        ":: ${ports[2]} 127.0.0.1 $(port_of target)" 'allow 127.0.0.*' 'allow ::1' \
        'deny 127.0.0.2' 'deny ::ffff:*.9'
    served ::1 "${ports[0]}"
    settled
    answers six 127.0.0.1 "${ports[1]}"
    settled
    served ::1 "${ports[2]}"
    settled
    served 127.0.0.1 "${ports[2]}"
    settled
    "$PEER" connect --from=127.0.0.2 127.0.0.1 "${ports[2]}" eof
    settled
    "$PEER" connect --from=127.0.0.9 127.0.0.1 "${ports[2]}" eof
    log_is '::1 0 0 opened' '::1 3 6 done-remote-closed' \
        '127.0.0.1 0 0 opened' '127.0.0.1 3 4 done-remote-closed' \
        '::1 0 0 opened' '::1 3 6 done-remote-closed' \
        '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-remote-closed' \
        '127.0.0.2 0 0 denied' '127.0.0.9 0 0 denied'
}

@test "inetd: :: beside 0.0.0.0 on one port" {
    local port

    hello
    listen six ::1 0 line 'send:six\n' eof
    port=$(free_ports)
    forward ":: $port ::1 $(port_of six)" "0.0.0.0 $port 127.0.0.1 $(port_of target)"
    wait_for listening_on_both "$port"
    served 127.0.0.1 "$port"
    answers six ::1 "$port"
}

@test "inetd: 1000 connections in quick succession, and none is throttled" {
    local port

    listen target 127.0.0.1 0 echo
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    "$PEER" connect --times=1000 --parallel=4 127.0.0.1 "$port" send:x fin recv:1 eof >/dev/null
    settled
    summary <log | tally_is '1000 127.0.0.1 0 0 opened' '1000 127.0.0.1 1 1 done-remote-closed'
}

@test "inetd: reload takes up changes, and every open connection lives on" {
    local ports to

    listen target 127.0.0.1 0 echo
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 4)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} $to" "127.0.0.1 ${ports[1]} $to" \
        "127.0.0.1 ${ports[2]} $to"
    for i in 0 1 2; do
        start "held$i" "$PEER" connect 127.0.0.1 "${ports[i]}" 'send:a\n' line \
            wait-file:"$T/reloaded" 'send:b\n' line fin eof
    done
    wait_for has_lines log 3
    # One changed, one removed, one as it was, one new
    convert inetd "logfile $T/log" "127.0.0.1 ${ports[2]} $to" "127.0.0.1 ${ports[0]} $to" \
        'deny 127.0.0.*' "127.0.0.1 ${ports[3]} $to"
    reload_inetd "${ports[3]}"
    refused_silently 127.0.0.1 "${ports[0]}"
    "$PEER" connect 127.0.0.1 "${ports[1]}" refused
    "$PEER" connect 127.0.0.1 "${ports[2]}" send:n fin recv:1 eof
    "$PEER" connect 127.0.0.1 "${ports[3]}" send:n fin recv:1 eof
    touch reloaded
    for i in 0 1 2; do
        finished "held$i"
    done
    settled
    cut -f 7- log | tr '\t' ' ' |
        tally_is '5 0 0 opened' '2 0 0 denied' '2 1 1 done-remote-closed' '3 4 4 done-remote-closed'
}

@test "inetd: the log moved away, unwritable, or without its folder disturbs nobody" {
    local ports to log

    hello
    mkdir folder
    mapfile -t ports < <(free_ports 2)
    to="127.0.0.1 $(port_of target)"
    for log in "$T/log" "$T/folder" "$T/no/such/folder/log" /dev/full; do
        forward "logfile $log" "127.0.0.1 ${ports[0]} $to" "127.0.0.1 ${ports[1]} $to" 'deny *'
        [ "$log" != "$T/log" ] || mv log log.1
        [ "$log" != "$T/log" ] || writable_log log
        served 127.0.0.1 "${ports[0]}"
        refused_silently 127.0.0.1 "${ports[1]}"
        settled
        stop inetd
    done
    summary <log | tally_is '2 127.0.0.1 0 0 denied' '1 127.0.0.1 0 0 opened' \
        '1 127.0.0.1 3 6 done-remote-closed'
}

@test "inetd: TCP wrappers are asked by a rule that wants it, and by no other" {
    local ports to

    require namespaces
    own_etc hosts.allow </dev/null
    own_etc hosts.deny <<<'ours: 127.0.0.3'
    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 2)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} $to [wrap=ours]" "127.0.0.1 ${ports[1]} $to"
    served 127.0.0.1 "${ports[0]}"
    settled
    refused_silently --from=127.0.0.3 127.0.0.1 "${ports[0]}"
    own_etc hosts.deny <<<'ALL: ALL'
    served --from=127.0.0.3 127.0.0.1 "${ports[1]}"
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-remote-closed' \
        '127.0.0.3 0 0 denied' '127.0.0.3 0 0 denied' \
        '127.0.0.3 0 0 opened' '127.0.0.3 3 6 done-remote-closed'
}

@test "inetd: what its file cannot say is refused, and the rest is written" {
    local patterns=() i

    # openbsd-inetd would read what is over 1023 bytes as a line of its own
    for i in {1..200}; do
        patterns+=("allow 10.0.$i.*")
    done
    printf '%s\n' '127.0.0.1 7001 127.0.0.1 80 [max=2]' '127.0.0.1 7002 127.0.0.1 80' \
        "${patterns[@]}" '127.0.0.1 7003 127.0.0.1 80' >rinetd.conf
    run -1 --separate-stderr "$GEN" -f inetd -c rinetd.conf -r "$RELAY" -u "$(user_for_relay)"
    [ "$(grep -c '^[^#]' <<<"$output")" = 1 ]
    [[ $output == *$'\n127.0.0.1:7003 stream tcp4 nowait.'* ]]
    # shellcheck disable=SC2154
    [[ $stderr == *'rinetd.conf:1:'*'error:'*'max'*'rinetd.conf:2:'*'error:'*'1023'* ]]
}

@test "inetutils-inetd: a rule for IPv4 works by the same line" {
    local ports to

    require inetutils-inetd
    export SUPERSERVER=other
    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 2)
    convert inetd "logfile $T/log" "127.0.0.1 ${ports[0]} $to" 'deny 127.0.0.2' \
        "0.0.0.0 ${ports[1]} $to"
    start other inetutils-inetd -d "-p$T/number" "$T/inetd.conf"
    wait_listening other "${ports[@]}"
    served 127.0.0.1 "${ports[0]}"
    settled
    "$PEER" connect --from=127.0.0.2 127.0.0.1 "${ports[0]}" eof
    settled
    served 127.0.0.1 "${ports[1]}"
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-remote-closed' \
        '127.0.0.2 0 0 denied' \
        '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-remote-closed'
}
