#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# How the target is reached: families, names and name servers, every address in its share of the
# time, source addresses, unix sockets; and the listener itself as the target, which is refused.

load helper

# reaches [ARG...] TARGET...: the relay's client is served by the target called `target`.
reaches() {
    relay_once --log="$T/log" "$@"
    run -0 "$PEER" connect 127.0.0.1 "$(port_of relay)" 'send:hi\n' rest
    [ "$output" = welcome ]
    relay_ends 0
}

# reaches_not WORD [ARG...] TARGET...: exit status 1, WORD in the log, not a byte for the client.
reaches_not() {
    rm -f log
    relay_once --log="$T/log" "${@:2}"
    "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
    relay_ends 1
    [ "$(log_of log | cut -d '|' -f 6-)" = "0|0|$1" ]
}

# said TEXT: the relay tells the administrator, where the test catches that.
said() {
    [ -z "${NAMESPACED-}" ] || wait_for grep -qF "$1" syslog.out
}

listen_for_said() {
    [ -z "${NAMESPACED-}" ] || start_syslog
}

# lasts MIN MAX COMMAND...: in milliseconds.
lasts() {
    local min=$1 max=$2 began=${EPOCHREALTIME/./}

    shift 2
    "$@"
    began=$(((${EPOCHREALTIME/./} - began) / 1000))
    echo "it took $began ms"
    ((began >= min && began < max))
}

# catches_term: the relay of `relay_once` has come so far that SIGTERM does not just kill it.
catches_term() {
    local pid caught

    pid=$(cat relay.pid)
    for _ in 1 2; do
        pid=$(cut -d ' ' -f 1 "/proc/$pid/task/$pid/children")
        [ -n "$pid" ] || return 1
    done
    caught=$(sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$pid/status")
    ((0x${caught:-0} & 0x4000))
} 2>/dev/null

# target ADDR [PORT]
target() {
    listen target "$1" "${2:-0}" line send:welcome
}

require_ipv6() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
}

@test "an IPv4 client and an IPv6 target, and back" {
    require_ipv6
    target ::1
    reaches ::1 "$(port_of target)"
    reaches 0:0::1 "$(port_of target)"
    stop target
    target 127.0.0.1
    serve relay --count=1 ::1 0 "$RELAY" --log="$T/back" 127.0.0.1 "$(port_of target)"
    run -0 "$PEER" connect ::1 "$(port_of relay)" 'send:hi\n' rest
    [ "$output" = welcome ]
    finished relay
    [ "$(log_of back | tail -n 1)" = \
        "::1|::1|$(port_of relay)|127.0.0.1|$(port_of target)|3|7|done-local-closed" ]
}

@test "a mapped address and 0.0.0.0 as target reach this host's IPv4" {
    target 127.0.0.1
    reaches 0.0.0.0 "$(port_of target)"
    reaches 0 "$(port_of target)"
    reaches 127.0.0.01 "$(port_of target)"
    require_ipv6
    reaches ::ffff:127.0.0.1 "$(port_of target)"
}

# unknowing TARGET...: a relay in whose eyes whoever opens a file by which names are known waits for
# ever.
unknowing() {
    local file

    [ -p silent ] || mkfifo silent
    {
        echo '#!/bin/sh'
        for file in hosts resolv.conf nsswitch.conf services host.conf gai.conf; do
            [ ! -e "/etc/$file" ] || echo "mount --bind '$T/silent' /etc/$file || exit 9"
        done
        echo "exec '$RELAY' \"\$@\""
    } >unknowing.sh
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
        "$(type -P unshare)" --mount sh "$T/unknowing.sh" "$@"
}

@test "only a name is looked up: for a numeric target no file is opened by which names are known" {
    require namespaces
    target 127.0.0.1
    unknowing --src=127.0.0.1 --listener=no.such.host:80 127.0.0.1 "$(port_of target)"
    run -0 "$PEER" connect 127.0.0.1 "$(port_of relay)" 'send:hi\n' rest
    [ "$output" = welcome ]
    relay_ends 0
    unknowing --log="$T/log" --connect-timeout=1 localhost "$(port_of target)"
    "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
    relay_ends 1
    grep -q 'local-connect-failed -' log
}

@test "a name as target, looked up anew for each connection" {
    own_etc hosts <<<'127.0.0.5 moving.test'
    target 127.0.0.5
    reaches moving.test "$(port_of target)"
    own_etc hosts <<<'127.0.0.6 moving.test'
    reaches_not 'local-connect-failed -' moving.test "$(port_of target)"
    target 127.0.0.6 "$(port_of target)"
    reaches moving.test "$(port_of target)"
    [ "$(log_of log | tail -n 1 | cut -d '|' -f 4,5)" = "moving.test|$(port_of target)" ]
}

@test "a name that a name server knows, with a final dot or not" {
    name_server known
    target 127.0.0.1
    reaches target.test "$(port_of target)"
    reaches target.test. "$(port_of target)"
    reaches Target.TEST "$(port_of target)"
}

@test "a name of /etc/hosts in other letters" {
    name_server unknown
    own_etc hosts <<<'127.0.0.1 target.test'
    target 127.0.0.1
    reaches Target.TEST "$(port_of target)"
}

@test "a name with IPv6 first and nothing there: IPv4 is tried, and the other way round" {
    require_ipv6
    own_etc hosts <<<$'::1 both.test\n127.0.0.1 both.test'
    target 127.0.0.1
    reaches both.test "$(port_of target)"
    stop target
    target ::1
    reaches both.test "$(port_of target)"
}

# The resolver sorts the addresses, so each of them is the dead one once.
@test "the first of two addresses refuses: the second one is reached" {
    local port

    own_etc hosts <<<$'127.0.0.1 two.test\n127.0.0.2 two.test'
    target 127.0.0.1
    port=$(port_of target)
    reaches two.test "$port"
    stop target
    target 127.0.0.2 "$port"
    reaches two.test "$port"
    stop target
    reaches_not 'local-connect-failed -' two.test "$port"
}

@test "the first of two addresses is silent: the second one is reached in its half of the time" {
    local port

    own_etc hosts <<<$'127.0.0.1 two.test\n127.0.0.2 two.test'
    target 127.0.0.1
    port=$(port_of target)
    listen silent --silent 127.0.0.2 "$port"
    reaches --connect-timeout=6 two.test "$port"
    stop target
    stop silent
    target 127.0.0.2 "$port"
    listen silent --silent 127.0.0.1 "$port"
    reaches --connect-timeout=6 two.test "$port"
}

@test "three silent addresses share the time; the last one is reached" {
    local port

    own_etc hosts < <(printf '127.0.0.%d many.test\n' 3 1 2 4)
    port=$(free_ports)
    listen one --silent 127.0.0.1 "$port"
    listen two --silent 127.0.0.2 "$port"
    listen three --silent 127.0.0.3 "$port"
    target 127.0.0.4 "$port"
    reaches --connect-timeout=6 many.test "$port"
}

@test "nobody answers: local-connect-failed when the time is over" {
    listen_for_said
    listen silent --silent 127.0.0.1 0
    lasts 1000 30000 reaches_not 'local-connect-failed -' --connect-timeout=1 \
        127.0.0.1 "$(port_of silent)"
    said "unable to connect to 127.0.0.1 (127.0.0.1) port $(port_of silent)"
    said "timed out"
}

@test "two silent addresses: the time holds for both together" {
    local port

    own_etc hosts <<<$'127.0.0.1 two.test\n127.0.0.2 two.test'
    listen silent --silent 127.0.0.1 0
    port=$(port_of silent)
    listen silent2 --silent 127.0.0.2 "$port"
    lasts 1000 30000 reaches_not 'local-connect-failed -' --connect-timeout=1 two.test "$port"
}

@test "an address that nothing leads to, or that the network swallows" {
    require namespaces ip
    listen_for_said
    reaches_not 'local-connect-failed -' 192.0.2.1 80
    said 'Network '
    # Not an address of this host, so what goes there over the loopback is dropped
    ip route add 198.51.100.7 dev lo
    lasts 1000 30000 reaches_not 'local-connect-failed -' --connect-timeout=1 198.51.100.7 80
    ip route delete 198.51.100.7
}

# asked_in_vain: by a resolver that itself would give up much later than the relay has to.
asked_in_vain() {
    RESOLVER_S=30 name_server silent
}

@test "a name server that never answers: the time holds for the look-up too" {
    asked_in_vain
    listen_for_said
    lasts 1000 25000 reaches_not 'local-connect-failed -' --connect-timeout=1 slow.test 80
    said 'unable to look up slow.test: '
    said 'timed out'
    lasts 1000 25000 reaches_not 'local-connect-failed -' --connect-timeout=1 --src=slow.test \
        127.0.0.1 80
}

@test "SIGTERM while the name server is silent: local-connect-failed at once" {
    asked_in_vain
    relay_once --log="$T/log" slow.test 80
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
    wait_for has_asked
    wait_for catches_term
    lasts 0 25000 stop relay
    [ "$(tail -n 1 relay.status)" = 1 ]
    [[ $(log_of log) == *'|slow.test|80|0|0|local-connect-failed -' ]]
    finished client
}

# There are two UDP sockets: the name server's, and that of somebody who asks.
has_asked() {
    [ "$(grep -c '^ *[0-9]*: ' /proc/net/udp)" -gt 1 ]
}

@test "a name that nobody knows: local-connect-failed, and the reason in the system's words" {
    name_server unknown
    listen_for_said
    lasts 0 30000 reaches_not 'local-connect-failed -' nowhere.test 80
    said 'unable to look up nowhere.test: Name '
    reaches_not 'local-connect-failed -' --src=nowhere.test 127.0.0.1 80
}

@test "a target that refuses: local-connect-failed, and the address in the message" {
    local port

    listen_for_said
    port=$(free_ports)
    lasts 0 30000 reaches_not 'local-connect-failed -' 127.0.0.1 "$port"
    said "unable to connect to 127.0.0.1 (127.0.0.1) port $port: Connection refused"
}

@test "connect-timeout=0 is no time-out, and not none at all" {
    target 127.0.0.1
    reaches --connect-timeout=0 127.0.0.1 "$(port_of target)"
    listen silent --silent 127.0.0.1 0
    relay_once --log="$T/log0" --connect-timeout=0 127.0.0.1 "$(port_of silent)"
    run -1 "$PEER" connect --deadline=0.5 127.0.0.1 "$(port_of relay)" closed
    [[ $output == *'closed: not done by the deadline'* ]]
    [ ! -e log0 ]
    wait_for catches_term
    stop relay
    [[ $(log_of log0) == *'|local-connect-failed -' ]]
}

@test "src: the target sees this address" {
    listen target 127.0.0.1 0 print-peer line send:welcome
    reaches --src=127.0.0.77 127.0.0.1 "$(port_of target)"
    [[ $(output_of target) == 127.0.0.77\ * ]]
}

@test "src as a name, and an IPv6 one" {
    require_ipv6
    own_etc hosts <<<$'127.0.0.78 source.test\n::1 source.test'
    listen target 127.0.0.1 0 print-peer line send:welcome
    reaches --src=source.test 127.0.0.1 "$(port_of target)"
    [[ $(output_of target) == 127.0.0.78\ * ]]
    stop target
    target ::1
    reaches --src=::1 ::1 "$(port_of target)"
    reaches --src=source.test ::1 "$(port_of target)"
}

@test "a source address that is not this host's: local-bind-failed" {
    listen_for_said
    target 127.0.0.1
    reaches_not 'local-bind-failed -' --src=192.0.2.77 127.0.0.1 "$(port_of target)"
    said 'unable to use the source address 192.0.2.77: '
    run -1 grep -q . <(output_of target)
}

@test "a source address of the other family only: local-bind-failed" {
    require_ipv6
    listen_for_said
    target 127.0.0.1
    reaches_not 'local-bind-failed -' --src=::1 127.0.0.1 "$(port_of target)"
    said '127.0.0.1 has no address of the family of the source address ::1'
    stop target
    target ::1
    reaches_not 'local-bind-failed -' --src=127.0.0.1 ::1 "$(port_of target)"
}

@test "a target with both families: only that of the source address is tried" {
    local port

    require_ipv6
    own_etc hosts <<<$'::1 both.test\n127.0.0.1 both.test'
    target 127.0.0.1
    port=$(port_of target)
    reaches --src=127.0.0.9 both.test "$port"
    reaches_not 'local-connect-failed -' --src=::1 both.test "$port"
    stop target
    target ::1 "$port"
    reaches --src=::1 both.test "$port"
    reaches_not 'local-connect-failed -' --src=127.0.0.9 both.test "$port"
}

@test "the time is shared by those addresses only that the source address allows" {
    local port

    require_ipv6
    own_etc hosts <<<$'::1 both.test\n127.0.0.1 both.test\n127.0.0.2 both.test'
    listen silent --silent 127.0.0.1 0
    port=$(port_of silent)
    listen silent2 --silent 127.0.0.2 "$port"
    lasts 1000 30000 reaches_not 'local-connect-failed -' --src=127.0.0.9 --connect-timeout=1 \
        both.test "$port"
}

@test "unix sockets by path and abstract; port 0 in the log" {
    listen target "unix:$T/socket" line send:welcome
    reaches "unix:$T/socket"
    [ "$(log_of log | tail -n 1)" = \
        "127.0.0.1|127.0.0.1|$(port_of relay)|unix:$T/socket|0|3|7|done-local-closed" ]
    stop target
    listen target "unix:@dial.bats.$$" line send:welcome
    reaches "unix:@dial.bats.$$"
    reaches_not 'local-bind-failed -' --src=127.0.0.1 "unix:@dial.bats.$$"
}

@test "a unix stream: half-closes, and a client's reset ends it" {
    listen target --count=1 "unix:$T/socket" line eof data:1048576:5
    relay_once --log="$T/log" "unix:$T/socket"
    "$PEER" connect 127.0.0.1 "$(port_of relay)" 'send:x\n' fin check:1048576:5 eof
    finished target
    relay_ends 0
    listen target --count=1 "unix:$T/socket" line touch:"$T/heard" eof
    relay_once --log="$T/log" "unix:$T/socket"
    "$PEER" connect 127.0.0.1 "$(port_of relay)" 'send:x\n' wait-file:"$T/heard" rst
    finished target
    relay_ends 0
}

@test "a unix socket that is missing, deserted or not ours: local-connect-failed" {
    listen_for_said
    reaches_not 'local-connect-failed -' "unix:$T/nowhere"
    said "unable to connect to unix:$T/nowhere: No such file or directory"
    listen target "unix:$T/socket" line
    stop target
    reaches_not 'local-connect-failed -' "unix:$T/socket"
    said "unable to connect to unix:$T/socket: Connection refused"
    reaches_not 'local-connect-failed -' "unix:@dial.bats.nobody.$$"
}

# crowded: a unix socket with a full backlog, until the file `room` is there.
crowded() {
    require perl
    # shellcheck disable=SC2016
    start target perl -e '
        socket my $s, 1, 1, 0 or die $!;
        bind $s, pack "S a108", 1, "socket" or die $!;
        listen $s, 0;
        socket my $first, 1, 1, 0 or die $!;
        connect $first, pack "S a108", 1, "socket" or die $!;
        open my $up, ">", "crowded";
        select undef, undef, undef, 0.01 until -e "room";
        for (1, 2) { accept my $c, $s; syswrite $c, "welcome" if $_ == 2 }'
    wait_for or_over target test -e crowded
    is_running target
}

@test "a unix socket with a full backlog is waited for" {
    crowded
    relay_once --log="$T/log" "unix:$T/socket"
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" touch:"$T/asked" rest
    wait_for test -e asked
    # The relay meets a full backlog: it makes no connection in this time, and does not fail
    sleep 0.2
    [ ! -e log ]
    touch room
    finished client
    [ "$(<client.out)" = welcome ]
    relay_ends 0
}

@test "a unix socket with a full backlog is waited for by the deadline only" {
    crowded
    lasts 1000 30000 reaches_not 'local-connect-failed -' --connect-timeout=1 "unix:$T/socket"
    relay_once --log="$T/log0" --connect-timeout=0 "unix:$T/socket"
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" touch:"$T/asked" closed
    wait_for test -e asked
    wait_for catches_term
    lasts 0 30000 stop relay
    finished client
    [ "$(tail -n 1 relay.status)" = 1 ]
}

# behind PORT LISTENER ADDR TARGET [ARG...]: a relay on this port of LISTENER, forwarding to the
# same port of TARGET, and a client that connects to ADDR. A relay that connects to itself is its
# own client, again and again: here five times at most.
behind() {
    rm -f log relay.status
    serve relay --count=5 --status-file="$T/relay.status" "$2" "$1" "$RELAY" --log="$T/log" \
        --connect-timeout=2 "${@:5}" "$4" "$1"
    "$PEER" connect "$3" "$1" 'send:hi\n' discard
    wait_for test -s relay.status
    stop relay
}

# refuses_itself LISTENER ADDR TARGET [ARG...]: no connection is made.
refuses_itself() {
    behind "$(free_ports)" "$@"
    diff <(echo 1) relay.status
    [ "$(log_of log | cut -d '|' -f 6-)" = '0|0|local-connect-failed -' ]
}

@test "the listener itself as the target is refused" {
    listen_for_said
    refuses_itself 127.0.0.1 127.0.0.1 127.0.0.1
    said 'the target is the listener itself'
    refuses_itself 127.0.0.1 127.0.0.1 0
    refuses_itself 127.0.0.1 127.0.0.1 0.0.0.0
    refuses_itself 127.0.0.1 127.0.0.1 0177.0.0.01
    refuses_itself 0.0.0.0 127.0.0.7 127.0.0.7
    refuses_itself 127.0.0.1 127.0.0.1 127.0.0.1 --listener=192.0.2.1:80 # whatever the log says
    require_ipv6
    refuses_itself 127.0.0.1 127.0.0.1 ::ffff:127.0.0.1
    refuses_itself :: 127.0.0.1 ::ffff:127.0.0.1
    refuses_itself :: 127.0.0.1 127.0.0.1
    refuses_itself ::1 ::1 ::1
    refuses_itself ::1 ::1 ::
}

@test "behind a wildcard listener, each of this host's addresses is the listener" {
    refuses_itself 0.0.0.0 127.0.0.1 127.0.0.9 --listener=0.0.0.0:80
    refuses_itself 0.0.0.0 127.0.0.1 127.0.0.9 --listener=0:80
    require_ipv6
    refuses_itself 0.0.0.0 127.0.0.1 ::ffff:127.0.0.9 --listener=0.0.0.0:80
    refuses_itself :: ::1 127.0.0.9 '--listener=[::]:80'
    refuses_itself :: 127.0.0.1 ::1 '--listener=[::]:80'
    refuses_itself :: ::1 0.0.0.0 '--listener=[::]:80'
    refuses_itself :: 127.0.0.1 :: '--listener=[::]:80'
}

@test "a name of the listener, and another address of it after that" {
    own_etc hosts <<<$'127.0.0.1 self.test\n127.0.0.9 self.test'
    refuses_itself 127.0.0.1 127.0.0.1 self.test
    refuses_itself 0.0.0.0 127.0.0.1 self.test --listener=0.0.0.0:80
}

@test "unknown to the relay to be a wildcard, the listener is met once, not for ever" {
    behind "$(free_ports)" 0.0.0.0 127.0.0.1 127.0.0.9
    [ "$(log_of log | grep -c '|opened$')" = 1 ]
    [ "$(log_of log | grep -c '|local-connect-failed -$')" = 1 ]
}

@test "the same port on another address, or for the other family, is a good target" {
    target 127.0.0.2
    behind "$(port_of target)" 127.0.0.1 127.0.0.1 127.0.0.2
    [[ $(log_of log) == *'|3|7|done-local-closed' ]]
    [ "$(<relay.status)" = 0 ]
    require_ipv6
    stop target
    target ::1
    behind "$(port_of target)" 0.0.0.0 127.0.0.1 ::1 --listener=0.0.0.0:80
    [[ $(log_of log) == *'|3|7|done-local-closed' ]]
}

# only_port PORT COMMAND...: with one port alone for outgoing connections.
only_port() {
    local range=/proc/sys/net/ipv4/ip_local_port_range before status=0

    before=$(<"$range")
    echo "$1 $1" >"$range"
    "${@:2}" || status=$?
    echo "$before" >"$range"
    return "$status"
}

# is_not_itself HOST: nobody listens there, and the relay's socket gets that very port as its own.
is_not_itself() {
    local port

    port=$(free_ports)
    rm -f log
    relay_once --log="$T/log" "$1" "$port"
    only_port "$port" "$PEER" connect 127.0.0.1 "$(port_of relay)" send:echo closed
    relay_ends 1
    logged log "127.0.0.1|127.0.0.1|$(port_of relay)|$1|$port|0|0|local-connect-failed -"
}

@test "TCP's accidental connection of a socket to itself is taken for a refusal" {
    require namespaces
    is_not_itself 127.0.0.1
    is_not_itself 0
    require_ipv6
    is_not_itself ::1
    is_not_itself ::
}

@test "TCP's accidental connection of a socket to itself, by its mapped address" {
    require namespaces
    require_ipv6
    is_not_itself ::ffff:127.0.0.1
}

@test "--resolve: what the relay's own resolver finds" {
    name_server unknown
    own_etc hosts <<<$'127.0.0.1 two.test\n127.0.0.2 two.test\n::1 six.test'
    printf '%s\n' two.test six.test nowhere.test 127.0.0.1 unix:/socket '' -x six.test >names
    run -0 "$RELAY" --resolve <names
    [[ ${lines[0]} == $'two.test\tfound\t127.0.0.1 127.0.0.2' ||
        ${lines[0]} == $'two.test\tfound\t127.0.0.2 127.0.0.1' ]]
    [ "${lines[1]}" = $'six.test\tfound\t::1' ]
    [[ ${lines[2]} == $'nowhere.test\tfailed\tunable to look up nowhere.test: '* ]]
    [ "${lines[3]}" = $'127.0.0.1\tfailed\tnot a host name' ]
    [ "${lines[4]}" = $'unix:/socket\tfailed\tnot a host name' ]
    [ "${lines[5]}" = $'\tfailed\tnot a host name' ]
    [ "${lines[6]}" = $'-x\tfailed\tnot a host name' ]
    [ "${lines[7]}" = $'six.test\tfound\t::1' ]
    [ "${#lines[@]}" = 8 ]
    run -0 "$RELAY" --resolve --connect-timeout=0 <<<six.test
    [ "$output" = $'six.test\tfound\t::1' ]
    run -0 "$RELAY" --resolve </dev/null
    [ -z "$output" ]
}

@test "--resolve waits for a silent name server no longer than it was told" {
    asked_in_vain
    lasts 1000 25000 run -0 "$RELAY" --resolve --connect-timeout=1 <<<slow.test
    [[ $output == $'slow.test\tfailed\tunable to look up slow.test: '*'timed out' ]]
}
