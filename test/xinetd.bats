#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# From rinetd.conf to bytes and log lines, under a real xinetd: what a user of rinetd sees.

load helper
load forwarding

setup() {
    common_setup
    require xinetd
    writable_log log
}

# is_recent DD/Mon/YYYY:HH:MM:SS ZONE: of the last minute?
is_recent() {
    local now at

    now=$(date +%s)
    at=$(date -d "$(sed 's|/| |g; s|:| |' <<<"$1") $2" +%s)
    [ "$at" -le "$now" ] && [ "$at" -ge "$((now - 60))" ]
}

# Has every relay done what it can do?
all_asleep() {
    local pid

    for pid in $(relays_of xinetd); do
        grep -q '^State:[[:space:]]*S' "/proc/$pid/status" || return 1
    done
}

@test "a connection is forwarded, and its two lines are rinetd's to the byte" {
    local port to line lines events=(opened done-remote-closed) counts=($'0\t0' $'3\t6') i

    hello
    port=$(free_ports) to=$(port_of target)
    # The relay has it from xinetd
    TZ=EAST-5:30 forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $to"
    served 127.0.0.1 "$port"
    settled
    mapfile -t lines <log
    [ "${#lines[@]}" = 2 ]
    for i in 0 1; do
        [[ ${lines[i]} =~ ^([0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}:[0-9]{2}:[0-9]{2}:[0-9]{2})\ (.*) ]]
        line=${BASH_REMATCH[2]}
        is_recent "${BASH_REMATCH[1]}" +0530
        [ "$line" = "$(printf '\t%s' 127.0.0.1 127.0.0.1 "$port" 127.0.0.1 "$to" "${counts[i]}" \
            "${events[i]}")" ]
    done
    stop target
}

@test "the common log format, too, with the zone of the place" {
    local port to line lines when zone rest events=(opened done-remote-closed)
    local counts=('0 - - - 0' '6 - - - 3') i pattern

    hello
    port=$(free_ports) to=$(port_of target)
    TZ=WEST3:30 forward "127.0.0.1 $port localhost $to" logcommon "logfile $T/log"
    served 127.0.0.1 "$port"
    settled
    mapfile -t lines <log
    [ "${#lines[@]}" = 2 ]
    pattern='^127\.0\.0\.1 - - \[([^ ]*)  ([-+][0-9]{4})\] (.*)$'
    for i in 0 1; do
        [[ ${lines[i]} =~ $pattern ]]
        when=${BASH_REMATCH[1]} zone=${BASH_REMATCH[2]} rest=${BASH_REMATCH[3]}
        [ "$zone" = -0330 ]
        is_recent "$when" "$zone"
        line="/rinetd-services/127.0.0.1/$port/localhost/$to/${events[i]}"
        [ "$rest" = "\"GET $line HTTP/1.0\" 200 ${counts[i]}" ]
    done
}

@test "who ended first is what the done- line says" {
    local port

    listen target 127.0.0.1 0 line 'send:hello\n' fin eof
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    [ "$("$PEER" connect 127.0.0.1 "$port" 'send:hi\n' line eof fin)" = hello ]
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-local-closed'
}

@test "allow and deny, global and of a rule: who may connect, and who learns nothing" {
    local ports to client verdicts verdict i

    hello
    mapfile -t ports < <(free_ports 4)
    to="127.0.0.1 $(port_of target)"
    forward "logfile $T/log" 'allow 127.0.0.*' 'allow 127.1.0.0/16' 'deny 127.0.0.9' \
        "127.0.0.1 ${ports[0]} $to" \
        "127.0.0.1 ${ports[1]} $to" 'allow 127.0.0.2' 'allow 127.2.*' \
        "127.0.0.1 ${ports[2]} $to" 'deny 127.0.0.??' \
        "127.0.0.1 ${ports[3]} $to" 'deny 127.0.0.2' 'allow 127.0.0.0/30'
    while read -r client verdicts; do
        i=0
        for verdict in $verdicts; do
            : >log
            : >target.out
            case $verdict in
            yes)
                served "--from=$client" 127.0.0.1 "${ports[i]}"
                log_is "$client 0 0 opened" "$client 3 6 done-remote-closed"
                ;;
            *)
                "$PEER" connect "--from=$client" 127.0.0.1 "${ports[i]}" eof
                log_is "$client 0 0 $verdict"
                [ ! -s target.out ]
                ;;
            esac
            ((++i))
        done
        [ "$i" = 4 ]
    done <<EOT
127.0.0.1   yes          not-allowed  yes          yes
127.0.0.2   yes          yes          yes          denied
127.0.0.4   yes          not-allowed  yes          not-allowed
127.0.0.9   denied       denied       denied       denied
127.0.0.10  yes          not-allowed  denied       not-allowed
127.1.2.3   yes          not-allowed  yes          not-allowed
127.2.0.1   not-allowed  not-allowed  not-allowed  not-allowed
EOT
}

@test "access lists without a global one, and the trap of 0.73's first rule" {
    local ports to

    hello
    mapfile -t ports < <(free_ports 3)
    to="127.0.0.1 $(port_of target)"
    forward "127.0.0.1 ${ports[0]} $to" 'allow 127.0.0.2' 'allow 127.0.0.3' \
        "127.0.0.1 ${ports[1]} $to" 'allow 127.0.0.4' "127.0.0.1 ${ports[2]} $to"
    served --from=127.0.0.2 127.0.0.1 "${ports[0]}"
    served --from=127.0.0.3 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.4 127.0.0.1 "${ports[0]}"
    served --from=127.0.0.4 127.0.0.1 "${ports[1]}"
    refused_silently --from=127.0.0.2 127.0.0.1 "${ports[1]}"
    served --from=127.0.0.9 127.0.0.1 "${ports[2]}"
}

@test "IPv4 to IPv6, and back" {
    local ports

    hello 127.0.0.1
    listen six ::1 0 print-peer line 'send:hello\n' eof
    mapfile -t ports < <(free_ports 2)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} ::1 $(port_of six)" \
        "::1 ${ports[1]} 127.0.0.1 $(port_of target)" 'allow ::1'
    served 127.0.0.1 "${ports[0]}"
    settled
    served ::1 "${ports[1]}"
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-remote-closed' \
        '::1 0 0 opened' '::1 3 6 done-remote-closed'
    [[ $(output_of six) == ::1\ * ]]
}

@test ":: serves both families; an IPv4 client is matched and logged by its plain address" {
    local ports to

    hello
    mapfile -t ports < <(free_ports 3)
    to="127.0.0.1 $(port_of target)"
    forward "logfile $T/log" ":: ${ports[0]} $to" 'allow 127.0.0.1' 'allow ::1' \
        ":: ${ports[1]} $to" 'deny ::ffff:127.0.0.2' ":: ${ports[2]} $to" 'allow *:*'
    served ::1 "${ports[0]}"
    settled
    served 127.0.0.1 "${ports[0]}"
    settled
    "$PEER" connect --from=127.0.0.2 127.0.0.1 "${ports[0]}" eof
    settled
    # As rinetd saw it: the mapped form
    "$PEER" connect --from=127.0.0.2 127.0.0.1 "${ports[1]}" eof
    settled
    served --from=127.0.0.3 127.0.0.1 "${ports[1]}"
    settled
    served --from=127.0.0.4 127.0.0.1 "${ports[2]}"
    log_is '::1 0 0 opened' '::1 3 6 done-remote-closed' \
        '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-remote-closed' \
        '127.0.0.2 0 0 not-allowed' '127.0.0.2 0 0 denied' \
        '127.0.0.3 0 0 opened' '127.0.0.3 3 6 done-remote-closed' \
        '127.0.0.4 0 0 opened' '127.0.0.4 3 6 done-remote-closed'
    [[ $(head -n 1 log) == *$'\t::\t'* ]]
}

@test ":: beside 0.0.0.0 on one port: each family has its own rule" {
    local port order

    hello
    listen six ::1 0 line 'send:six\n' eof
    for order in 1 2; do
        port=$(free_ports)
        if [ "$order" = 1 ]; then
            convert xinetd "0.0.0.0 $port 127.0.0.1 $(port_of target)" ":: $port ::1 $(port_of six)"
        else
            convert xinetd ":: $port ::1 $(port_of six)" "0.0.0.0 $port 127.0.0.1 $(port_of target)"
        fi
        start_xinetd xinetd.conf
        served 127.0.0.1 "$port"
        answers six ::1 "$port"
        stop xinetd
    done
}

@test "a name as target is looked up for each connection, and logged as it was written" {
    local port to

    require namespaces
    own_etc hosts <<<'127.0.0.2 moving.test'
    own_etc resolv.conf <<<'options timeout:1 attempts:1'
    listen one 127.0.0.2 0 line 'send:one\n' eof
    to=$(port_of one)
    listen two 127.0.0.3 "$to" line 'send:two\n' eof
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port moving.test $to"
    answers one 127.0.0.1 "$port"
    settled
    own_etc hosts <<<'127.0.0.3 moving.test'
    answers two 127.0.0.1 "$port"
    settled
    own_etc hosts <<<'127.0.0.3 another.test'
    "$PEER" connect 127.0.0.1 "$port" eof
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 3 4 done-remote-closed' \
        '127.0.0.1 0 0 opened' '127.0.0.1 3 4 done-remote-closed' \
        '127.0.0.1 0 0 local-connect-failed -'
    [ "$(cut -f 5 log | sort -u)" = moving.test ]
}

@test "the name localhost works without any set-up" {
    local port

    hello 127.0.0.1
    port=$(free_ports)
    forward "localhost $port localhost $(port_of target)"
    served 127.0.0.1 "$port"
}

@test "unix sockets as target, by path and abstract" {
    local ports

    listen path "unix:$T/socket" line 'send:path\n' eof
    chmod 666 socket
    listen abstract "unix:@xinetd.bats.$$" line 'send:abstract\n' eof
    mapfile -t ports < <(free_ports 3)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} unix:$T/socket" \
        "127.0.0.1 ${ports[1]} unix:@xinetd.bats.$$" "127.0.0.1 ${ports[2]} unix:$T/missing"
    answers path 127.0.0.1 "${ports[0]}"
    settled
    answers abstract 127.0.0.1 "${ports[1]}"
    settled
    refused_silently 127.0.0.1 "${ports[2]}"
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 3 5 done-remote-closed' \
        '127.0.0.1 0 0 opened' '127.0.0.1 3 9 done-remote-closed' \
        '127.0.0.1 0 0 local-connect-failed -' '127.0.0.1 0 0 local-connect-failed -'
    [ "$(head -n 1 log | cut -f 5,6)" = "unix:$T/socket"$'\t0' ]
}

@test "a rule's source address is whom the target sees" {
    local ports to

    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 2)
    forward "127.0.0.1 ${ports[0]} $to [src=127.0.0.99]" "127.0.0.1 ${ports[1]} $to"
    served --from=127.0.0.5 127.0.0.1 "${ports[0]}"
    served --from=127.0.0.5 127.0.0.1 "${ports[1]}"
    [ "$(output_of target | sed -n 's/^\(127[0-9.]*\) .*/\1/p')" = $'127.0.0.99\n127.0.0.1' ]
}

@test "nobody listens at the target: one line, and that at once" {
    local ports

    mapfile -t ports < <(free_ports 2)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} 127.0.0.1 ${ports[1]} [connect-timeout=60]"
    "$PEER" connect --deadline=50 127.0.0.1 "${ports[0]}" eof
    log_is '127.0.0.1 0 0 local-connect-failed -'
}

@test "of two addresses of a name the first is dead: refusing, or silent" {
    local ports to

    require namespaces
    own_etc hosts <<EOT
127.0.0.2 half.test
127.0.0.3 half.test
127.0.0.3 flah.test
127.0.0.2 flah.test
127.0.0.4 mute.test
127.0.0.3 mute.test
127.0.0.3 etum.test
127.0.0.4 etum.test
EOT
    hello 127.0.0.3
    to=$(port_of target)
    listen mute --silent 127.0.0.4 "$to"
    mapfile -t ports < <(free_ports 4)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} half.test $to" \
        "127.0.0.1 ${ports[1]} flah.test $to" \
        "127.0.0.1 ${ports[2]} mute.test $to [connect-timeout=20]" \
        "127.0.0.1 ${ports[3]} etum.test $to [connect-timeout=20]"
    # A silent one has its share of the time, and no more
    for to in 0 1 2 3; do
        start "client.$to" "$PEER" connect --deadline=19 127.0.0.1 "${ports[to]}" \
            'send:hi\n' line fin eof
    done
    for to in 0 1 2 3; do
        finished "client.$to"
        [ "$(<"client.$to.out")" = hello ]
    done
    settled
    cut -f 9 log | tally_is '4 done-remote-closed' '4 opened'
}

@test "half-close: the target's 1 MiB after the client's FIN arrives whole" {
    local port

    listen target 127.0.0.1 0 check:1000:3 eof data:1048576:4
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    "$PEER" connect 127.0.0.1 "$port" data:1000:3 fin check:1048576:4 eof
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 1000 1048576 done-remote-closed'
    stop target
}

@test "half-close: the client's 1 MiB after the target's FIN arrives whole" {
    target_ends_first
}

@test "a client that has sent all and a target that does not read yet: nothing is lost" {
    local port size sum=0

    # What a unix socket holds is little and fixed: of the sizes one or the other leaves the rest,
    # and the end, to the relay
    listen target "unix:$T/socket" wait-file:"$T/go" rest
    chmod 666 socket
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port unix:$T/socket"
    for size in $(seq 100000 20000 400000); do
        start "client.$size" "$PEER" connect 127.0.0.1 "$port" "data:$size" fin eof
        ((sum += size))
    done
    wait_for has_lines log 16
    wait_for all_asleep
    touch go
    for size in $(seq 100000 20000 400000); do
        finished "client.$size"
    done
    settled
    stop target
    [ "$(tail -n +2 target.out | wc -c)" = "$sum" ]
}

@test "64 MiB each way at once, every byte in its place" {
    local port

    listen target --count=1 127.0.0.1 0 both:67108864:5:6 eof
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    "$PEER" connect 127.0.0.1 "$port" both:67108864:6:5 fin eof
    finished target
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 67108864 67108864 done-remote-closed'
}

# bats test_tags=memory
@test "a reader that stalls, either one: the relay stays small, and nothing is lost" {
    local ports pid peak

    # Each side sends what the kernel takes, until that has been nothing for a second
    listen reader 127.0.0.1 0 wait-file:"$T/go" discard
    listen writer 127.0.0.1 0 flood:1000 touch:"$T/full" fin discard
    mapfile -t ports < <(free_ports 2)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of reader)" \
        "127.0.0.1 ${ports[1]} 127.0.0.1 $(port_of writer)"
    start up "$PEER" connect 127.0.0.1 "${ports[0]}" flood:1000 touch:"$T/full2" fin eof
    start down "$PEER" connect --rcvbuf=4096 127.0.0.1 "${ports[1]}" wait-file:"$T/go" rest
    wait_for test -e full
    wait_for test -e full2
    wait_for has_lines log 2
    [ "$(relays_of xinetd | wc -w)" = 2 ]
    for pid in $(relays_of xinetd); do
        peak=$(awk '$1 == "VmHWM:" { print $2 }' "/proc/$pid/status")
        echo "relay $pid: VmHWM $peak KiB"
        [ "$peak" -gt 0 ]
        [ "$peak" -lt 4096 ]
    done
    touch go
    finished up
    finished down
    settled
    # More than the relay can hold, so it did have to wait
    [ "$(output_of writer)" -gt 1000000 ]
    [ "$(wc -c <down.out)" = "$(output_of writer)" ]
    grep -q "$(printf '\t%s\t0\tdone-remote-closed' "$(<up.out)")" log
    grep -q "$(printf '\t0\t%s\tdone-local-closed' "$(output_of writer)")" log
}

@test "a reset in mid-stream is passed on as a reset, from either side" {
    local ports

    listen gets --count=1 127.0.0.1 0 line 'send:on\n' reset
    listen gives 127.0.0.1 0 line data:3000000 rst
    mapfile -t ports < <(free_ports 2)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of gets)" \
        "127.0.0.1 ${ports[1]} 127.0.0.1 $(port_of gives)"
    "$PEER" connect 127.0.0.1 "${ports[0]}" 'send:go\n' line data:3000000 rst
    finished gets
    wait_for has_lines log 2
    settled
    "$PEER" connect 127.0.0.1 "${ports[1]}" 'send:go\n' reset
    settled
    [ "$(cut -f 9 log)" = $'opened\ndone-remote-closed\nopened\ndone-local-closed' ]
}

@test "the log is moved away in use: no signal, and no line lost" {
    local port

    listen target 127.0.0.1 0 echo
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    start held "$PEER" connect 127.0.0.1 "$port" send:abc recv:3 wait-file:"$T/moved" \
        send:de recv:2 fin eof
    wait_for has_lines log 1
    mv log log.1
    writable_log log
    "$PEER" connect 127.0.0.1 "$port" send:x recv:1 fin eof
    wait_for has_lines log 2
    touch moved
    finished held
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 1 1 done-remote-closed' \
        '127.0.0.1 5 5 done-remote-closed'
    [ "$(summary <log.1)" = '127.0.0.1 0 0 opened' ]
}

@test "300 connections at once: each has one opened and one done line, and they never mix" {
    local port

    listen target 127.0.0.1 0 echo
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    start crowd "$PEER" connect --times=300 --parallel=300 127.0.0.1 "$port" \
        data:100:1 check:100:1 wait-file:"$T/go" data:100:2 fin check:100:2 eof
    # Over 64 at once, some have to knock again, and again; on a busy machine that takes its time
    WAIT_S=240 wait_for has_lines log 300
    summary <log | tally_is '300 127.0.0.1 0 0 opened'
    [ "$(relays_of xinetd | wc -w)" = 300 ]
    touch go
    finished crowd
    settled
    summary <log | tally_is '300 127.0.0.1 0 0 opened' '300 127.0.0.1 200 200 done-remote-closed'
}

@test "400 connections in quick succession, and none is refused" {
    local port

    listen target 127.0.0.1 0 echo
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    "$PEER" connect --times=400 127.0.0.1 "$port" send:x fin recv:1 eof >/dev/null
    settled
    summary <log | tally_is '400 127.0.0.1 0 0 opened' '400 127.0.0.1 1 1 done-remote-closed'
}

@test "reload: an unchanged rule's connection lives on, and so does one whose rule changed" {
    local ports to

    listen target 127.0.0.1 0 echo
    listen other 127.0.0.1 0 line 'send:other\n' eof
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 3)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} $to" "127.0.0.1 ${ports[1]} $to"
    start same "$PEER" connect 127.0.0.1 "${ports[0]}" 'send:a\n' line wait-file:"$T/reloaded" \
        'send:b\n' line fin eof
    start changed "$PEER" connect 127.0.0.1 "${ports[1]}" 'send:a\n' line \
        wait-file:"$T/reloaded" 'send:b\n' line fin eof
    wait_for has_lines log 2
    # The order of rules and a new one among them change nothing for the others
    convert xinetd "logfile $T/log" \
        "127.0.0.1 ${ports[1]} 127.0.0.1 $(port_of other) [timeout=60]" 'deny 127.0.0.9' \
        "127.0.0.1 ${ports[2]} $to" "127.0.0.1 ${ports[0]} $to"
    reload_xinetd
    "$PEER" connect --from=127.0.0.9 127.0.0.1 "${ports[1]}" eof
    answers other 127.0.0.1 "${ports[1]}"
    "$PEER" connect 127.0.0.1 "${ports[2]}" 'send:n\n' line fin eof
    touch reloaded
    finished same
    finished changed
    settled
    cut -f 7- log | tr '\t' ' ' |
        tally_is '4 0 0 opened' '1 0 0 denied' '1 2 2 done-remote-closed' \
            '1 3 6 done-remote-closed' '2 4 4 done-remote-closed'
}

@test "reload: a rule that is gone refuses, the others go on with their connections" {
    local ports to

    listen target 127.0.0.1 0 echo
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 2)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} $to" "127.0.0.1 ${ports[1]} $to"
    start held "$PEER" connect 127.0.0.1 "${ports[1]}" 'send:a\n' line \
        wait-file:"$T/reloaded" 'send:b\n' line fin eof
    wait_for has_lines log 1
    convert xinetd "logfile $T/log" "127.0.0.1 ${ports[1]} $to"
    reload_xinetd
    "$PEER" connect 127.0.0.1 "${ports[0]}" refused
    touch reloaded
    finished held
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 4 4 done-remote-closed'
}

@test "max and per-source: one too many is closed without a byte, and room is found again" {
    local ports to

    listen target 127.0.0.1 0 echo
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 2)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} $to [max=2]" \
        "127.0.0.1 ${ports[1]} $to [per-source=1]"
    start one "$PEER" connect 127.0.0.1 "${ports[0]}" send:a recv:1 wait-file:"$T/go" fin eof
    start two "$PEER" connect 127.0.0.1 "${ports[0]}" send:a recv:1 wait-file:"$T/end" fin eof
    wait_for has_lines log 2
    refused_silently 127.0.0.1 "${ports[0]}"
    touch go
    finished one
    wait_for has_lines log 3
    wait_for "$PEER" connect 127.0.0.1 "${ports[0]}" send:a recv:1 fin eof >/dev/null
    start three "$PEER" connect --from=127.0.0.5 127.0.0.1 "${ports[1]}" send:a recv:1 \
        wait-file:"$T/end" fin eof
    wait_for grep -q 127.0.0.5 log
    refused_silently --from=127.0.0.5 127.0.0.1 "${ports[1]}"
    "$PEER" connect --from=127.0.0.6 127.0.0.1 "${ports[1]}" send:a recv:1 fin eof
    touch end
    finished two
    finished three
}

@test "a defaults section that is against everything changes nothing, and sends nothing" {
    local ports to

    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 4)
    echo 'nothing of this may come' >banner
    convert xinetd "logfile $T/log" "127.0.0.1 ${ports[0]} $to" \
        "127.0.0.1 ${ports[1]} $to" 'deny 127.0.0.2' ":: ${ports[2]} $to" \
        "127.0.0.1 ${ports[3]} $to [max=1]"
    cat - xinetd.conf >hostile.conf <<EOT
defaults
{
	only_from       = 192.0.2.1
	no_access       = 127.0.0.0/8 ::1
	banner          = $T/banner
	banner_success  = $T/banner
	banner_fail     = $T/banner
	cps             = 1 10
	instances       = 1
	per_source      = 1
	max_load        = 0.000001
	log_on_success  += TRAFFIC HOST PID DURATION
	log_on_failure  += HOST ATTEMPT
	log_type        = FILE $T/no/such/folder/file
	umask           = 777
	passenv         =
	groups          = yes
	v6only          = yes
	bind            = 192.0.2.1
}
EOT
    start_xinetd hostile.conf 4
    start held "$PEER" connect 127.0.0.1 "${ports[0]}" wait-file:"$T/go" 'send:hi\n' line fin eof
    start other "$PEER" connect 127.0.0.1 "${ports[3]}" wait-file:"$T/go" 'send:hi\n' line fin \
        eof
    wait_for has_lines log 2
    # Here it is xinetd that turns them away
    refused_silently 127.0.0.1 "${ports[3]}"
    for _ in {1..20}; do
        served 127.0.0.1 "${ports[0]}"
    done
    refused_silently --from=127.0.0.2 127.0.0.1 "${ports[1]}"
    served ::1 "${ports[2]}"
    served 127.0.0.1 "${ports[2]}"
    touch go
    finished held
    finished other
    [ "$(cat held.out other.out)" = $'hello\nhello' ]
    settled
    cut -f 9 log | tally_is '2 denied' '24 done-remote-closed' '24 opened'
}

@test "wrap: hosts.allow and hosts.deny decide, by the rule's own name, with one line" {
    local ports to

    require namespaces
    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 4)
    own_etc hosts.allow <<<'ours: 127.0.0.2'
    own_etc hosts.deny <<<$'ours: ALL\nrinetd-relay: 127.0.0.3'
    GEN_FLAGS=--wrap forward "logfile $T/log" \
        "127.0.0.1 ${ports[0]} $to [wrap=ours]" "127.0.0.1 ${ports[1]} $to [wrap=theirs]" \
        "127.0.0.1 ${ports[2]} $to" "127.0.0.1 ${ports[3]} $to [wrap=theirs]" 'deny 127.0.0.4'
    served --from=127.0.0.2 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.3 127.0.0.1 "${ports[0]}"
    served --from=127.0.0.3 127.0.0.1 "${ports[1]}"
    served --from=127.0.0.2 127.0.0.1 "${ports[2]}"
    refused_silently --from=127.0.0.3 127.0.0.1 "${ports[2]}"
    served --from=127.0.0.5 127.0.0.1 "${ports[3]}"
    refused_silently --from=127.0.0.4 127.0.0.1 "${ports[3]}"
    settled
    awk -F '\t' -v base="${ports[*]}" '
        BEGIN { split(base, port, " "); for (i in port) rule[port[i]] = i }
        { print rule[$4], $2, $9 }' log | tally_is \
        '1 1 127.0.0.2 opened' '1 1 127.0.0.2 done-remote-closed' '2 1 127.0.0.3 denied' \
        '1 2 127.0.0.3 opened' '1 2 127.0.0.3 done-remote-closed' \
        '1 3 127.0.0.2 opened' '1 3 127.0.0.2 done-remote-closed' '2 3 127.0.0.3 denied' \
        '1 4 127.0.0.5 opened' '1 4 127.0.0.5 done-remote-closed' '2 4 127.0.0.4 denied'
}

@test "hosts.deny ALL: ALL turns nobody away from a rule without wrap" {
    local port

    require namespaces
    hello
    port=$(free_ports)
    own_etc hosts.allow </dev/null
    own_etc hosts.deny <<<'ALL: ALL'
    forward "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    served 127.0.0.1 "$port"
}

@test "not one byte to the client but the target's, whatever is wrong: target, access, source" {
    local ports to port

    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 5)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} 127.0.0.1 ${ports[4]}" \
        "127.0.0.1 ${ports[1]} $to" 'deny *' "127.0.0.1 ${ports[2]} $to" 'allow 192.0.2.*' \
        "127.0.0.1 ${ports[3]} $to [src=192.0.2.7]"
    for port in "${ports[@]:0:4}"; do
        refused_silently 127.0.0.1 "$port"
    done
    settled
    cut -f 9 log |
        tally_is '2 denied' '2 local-bind-failed -' '2 local-connect-failed -' '2 not-allowed'
}

@test "not one byte to the client but the target's, whatever is wrong: the log" {
    local ports to log

    hello
    to="127.0.0.1 $(port_of target)"
    mapfile -t ports < <(free_ports 3)
    mkdir folder
    echo 'kept' >locked
    chmod 444 locked
    for log in "$T/locked" "$T/no/such/folder/log" "$T/folder" /dev/full "$T/log/below"; do
        forward "logfile $log" "127.0.0.1 ${ports[0]} $to" \
            "127.0.0.1 ${ports[1]} $to" 'deny *' "127.0.0.1 ${ports[2]} 127.0.0.1 1"
        served 127.0.0.1 "${ports[0]}"
        refused_silently 127.0.0.1 "${ports[1]}"
        refused_silently 127.0.0.1 "${ports[2]}"
        stop xinetd
    done
    [ "$(<locked)" = kept ]
    [ ! -s log ]
}

@test "a relay's user without rights on the log: served, and syslog has the line" {
    local port

    require namespaces
    start_syslog
    hello
    port=$(free_ports)
    chown root log
    convert xinetd "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    grep -q 'rinetd.conf:1:9: warning: the user nobody cannot write the log file' said
    start_xinetd xinetd.conf
    served 127.0.0.1 "$port"
    settled
    wait_for grep -q done-remote-closed syslog.out
    [ "$(grep -c 'rinetd-relay.*unable to write .*/log: Permission denied; lost: ' \
        syslog.out)" = 2 ]
    [ ! -s log ]
}

@test "logfile syslog: the same lines, sent to syslog" {
    local port to

    require namespaces
    start_syslog
    hello
    port=$(free_ports) to=$(port_of target)
    forward 'logfile syslog' "127.0.0.1 $port 127.0.0.1 $to"
    served 127.0.0.1 "$port"
    settled
    wait_for grep -q done-remote-closed syslog.out
    # <30> is daemon.info
    sed -n 's/^<30>.*rinetd-relay\[[0-9]*\]: [^ ]* //p' syslog.out >log
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 3 6 done-remote-closed'
}

@test "arguments that are wrong, by a hand in the entry: not one byte either" {
    local port arguments

    hello
    port=$(free_ports)
    convert xinetd "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    mv xinetd.conf good.conf
    for arguments in '--bogus 127.0.0.1 80' '127.0.0.1' '127.0.0.1 0' '--help' '--version' '-V' \
        '--resolve' '--timeout=x 127.0.0.1 80' '--allow=x/y 127.0.0.1 80' '-- 127.0.0.1 80 more' ''
    do
        sed "s|\(server_args *=\).*|${arguments:+\1 $arguments}|" good.conf >xinetd.conf
        start_xinetd xinetd.conf
        refused_silently 127.0.0.1 "$port"
        stop xinetd
    done
    [ ! -s log ]
}

@test "what a relay has in its hands: two sockets, no rights, and of the client nothing but it" {
    local port pid user

    listen target 127.0.0.1 0 echo
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    start held "$PEER" connect 127.0.0.1 "$port" send:a recv:1 touch:"$T/up" wait-file:"$T/go" \
        fin eof
    wait_for test -e up # then it has done with the log
    pid=$(relays_of xinetd | tr -d ' ')
    [ "$(readlink "/proc/$pid/exe")" = "$(realpath "$RELAY")" ]
    # A socket's name is its own: 0 and 1 are the client, 2 is not, and one more is the target
    [ "$(find "/proc/$pid/fd" -mindepth 1 -printf '%f\n' | sort -n | tr '\n' ' ')" = '0 1 2 3 ' ]
    [ "$(readlink "/proc/$pid/fd/0")" = "$(readlink "/proc/$pid/fd/1")" ]
    [ "$(readlink "/proc/$pid/fd/2")" = /dev/null ]
    [[ $(readlink "/proc/$pid/fd/3") == socket:* ]]
    [ "$(readlink "/proc/$pid/fd/3")" != "$(readlink "/proc/$pid/fd/0")" ]
    [ "$(readlink "/proc/$pid/cwd")" = / ]
    user=$(user_for_relay)
    [ "$(awk '$1 == "Uid:" { print $2, $3, $4, $5 }' "/proc/$pid/status")" = \
        "$(id -u "$user") $(id -u "$user") $(id -u "$user") $(id -u "$user")" ]
    if [ "$(id -u)" = 0 ]; then
        [ "$(awk '$1 == "Groups:" { print NF }' "/proc/$pid/status")" = 1 ]
        [ "$(awk '$1 == "CapEff:" { print $2 }' "/proc/$pid/status")" = 0000000000000000 ]
    fi
    # Of the client's making there is its address, as the kernel wrote it
    [ "$(tr '\0' '\n' <"/proc/$pid/environ" | grep -c '^REMOTE_HOST=127\.0\.0\.1$')" = 1 ]
    touch go
    finished held
}

@test "a target that turns into the listener itself ends at once, and starts no other" {
    local ports

    require namespaces
    own_etc hosts <<<'127.0.0.2 loop.test'
    mapfile -t ports < <(free_ports 3)
    forward "logfile $T/log" "127.0.0.1 ${ports[0]} loop.test ${ports[0]}" \
        "0.0.0.0 ${ports[1]} loop.test ${ports[1]}" ":: ${ports[2]} loop.test ${ports[2]}"
    own_etc hosts <<<'127.0.0.1 loop.test'
    refused_silently 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.5 127.0.0.6 "${ports[1]}"
    refused_silently ::1 "${ports[2]}"
    own_etc hosts <<<'::1 loop.test'
    refused_silently ::1 "${ports[2]}"
    own_etc hosts <<<'127.0.0.77 loop.test'
    refused_silently 127.0.0.1 "${ports[1]}"
    refused_silently 127.0.0.1 "${ports[2]}"
    settled
    cut -f 9 log | tally_is '12 local-connect-failed -'
}

@test "two rules whose names lead from one to the other are told of before they run" {
    require namespaces
    own_etc hosts <<<'127.0.0.1 one.test two.test'
    printf '%s\n' '127.0.0.1 7001 two.test 7002' '127.0.0.1 7002 one.test 7001' >rinetd.conf
    # Each connection would start another without end, and no relay could see it
    "$GEN" -n -c rinetd.conf -r "$RELAY" -u "$(user_for_relay)" 2>said || true
    cat said
    grep -q 'rinetd.conf:1:.*two\.test.*circle' said
    grep -q 'rinetd.conf:2:.*one\.test.*circle' said
}
