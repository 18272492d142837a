#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# rinetd-wrap: TCP wrappers decide first, by /etc/hosts.allow and /etc/hosts.deny of the test's own,
# then the relay with its own lists. A client that is refused gets nothing, but for what the
# administrator's `twist` says.

load helper

setup() {
    common_setup
    require namespaces
    own_etc hosts.allow </dev/null
    own_etc hosts.deny </dev/null
    chmod 644 /etc/hosts.allow /etc/hosts.deny
    listen target 127.0.0.1 0 line send:welcome
}

# client FROM ACTION...: to the relay, in FROM's family.
client() {
    local to=127.0.0.1

    [[ $1 != *:* ]] || to=::1
    "$PEER" connect --from="$1" "$to" "$(port_of relay)" "${@:2}"
}

# wrapped NAME [ARG...]: a wrapped relay for the next connection.
wrapped() {
    rm -f log
    serve relay --count=1 --status-file="$T/relay.status" "${listener:-127.0.0.1}" 0 \
        "$WRAP" "$1" "$RELAY" --log="$T/log" "${@:2}" 127.0.0.1 "$(port_of target)"
}

# lets_in NAME CLIENT [ARG...]
lets_in() {
    wrapped "$1" "${@:3}"
    run -0 client "$2" 'send:hi\n' rest
    [ "$output" = welcome ]
    relay_ends 0
    [ "$(log_of log | cut -d '|' -f 1,6-)" = "$2|0|0|opened"$'\n'"$2|3|7|done-local-closed" ]
}

# refuses WORD NAME CLIENT [ARG...]
refuses() {
    wrapped "$2" "${@:4}"
    client "$3" closed
    relay_ends 0
    [ "$(log_of log | cut -d '|' -f 1,6-)" = "$3|0|0|$1" ]
}

require_ipv6() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
}

@test "without a rule everybody is let in" {
    lets_in rinetd-relay 127.0.0.1
    rm /etc/hosts.allow /etc/hosts.deny
    lets_in rinetd-relay 127.0.0.1
}

@test "hosts.deny refuses: the word denied in the log, not a byte, exit status 0" {
    own_etc hosts.deny <<<'rinetd-relay: 127.0.0.2'
    refuses denied rinetd-relay 127.0.0.2
    lets_in rinetd-relay 127.0.0.1
    [ "$(output_of target)" = hi ]
    own_etc hosts.deny <<<'ALL: ALL'
    refuses denied rinetd-relay 127.0.0.1
}

@test "hosts.allow goes before hosts.deny" {
    own_etc hosts.allow <<<'rinetd-relay: 127.0.0.0/255.255.255.252 EXCEPT 127.0.0.2'
    own_etc hosts.deny <<<'ALL: ALL'
    lets_in rinetd-relay 127.0.0.3
    refuses denied rinetd-relay 127.0.0.2
    refuses denied rinetd-relay 127.0.0.4
}

@test "the rule's daemon name is what counts" {
    own_etc hosts.allow <<<'web.front: ALL'
    own_etc hosts.deny <<<'ALL: ALL'
    lets_in web.front 127.0.0.1
    refuses denied web 127.0.0.1
    refuses denied rinetd-relay 127.0.0.1
    refuses denied rinetd-wrap 127.0.0.1
}

@test "IPv6 clients" {
    local listener=::1

    require_ipv6
    own_etc hosts.allow <<<'six: [::1]'
    own_etc hosts.deny <<<'ALL: ALL'
    lets_in six ::1
    refuses denied other ::1
    own_etc hosts.allow <<<'six: [::2]/128'
    refuses denied six ::1
}

@test "an IPv4 client of an IPv6 listener goes by its IPv4 address" {
    local listener=::

    require_ipv6
    own_etc hosts.allow <<<'mapped: 127.0.0.1'
    own_etc hosts.deny <<<'ALL: ALL'
    lets_in mapped 127.0.0.1
    own_etc hosts.allow </dev/null
    own_etc hosts.deny <<<'mapped: 127.0.0.1'
    refuses denied mapped 127.0.0.1
}

@test "who passes TCP wrappers still has to pass the relay's lists" {
    own_etc hosts.allow <<<'ALL: ALL'
    refuses denied rinetd-relay 127.0.0.1 --deny=127.*
    refuses not-allowed rinetd-relay 127.0.0.1 --global-allow=10.*
    lets_in rinetd-relay 127.0.0.1 --allow=127.0.0.1
    own_etc hosts.allow </dev/null
    own_etc hosts.deny <<<'ALL: ALL'
    refuses denied rinetd-relay 127.0.0.1 --allow=127.0.0.1
}

@test "a rule that libwrap can't carry out refuses" {
    start_syslog
    own_etc hosts.deny <<<'rinetd-relay: 10.0.0.0/8: no-such-option'
    lets_in rinetd-relay 127.0.0.1
    own_etc hosts.deny <<<'rinetd-relay: 127.0.0.1: no-such-option'
    refuses denied rinetd-relay 127.0.0.1
    wait_for grep -q 'hosts.deny, line 1: bad option name' syslog.out
    own_etc hosts.allow <<<'rinetd-relay: 127.0.0.1: no-such-option'
    refuses denied rinetd-relay 127.0.0.1
}

@test "a line that is no rule is passed over, as tcpd does, and syslog has a warning" {
    start_syslog
    own_etc hosts.deny <<<$'rinetd-relay 127.0.0.1\nrinetd-relay: 127.0.0.2'
    lets_in rinetd-relay 127.0.0.1
    wait_for grep -q 'hosts.deny, line 1: missing ":" separator' syslog.out
    refuses denied rinetd-relay 127.0.0.2
}

@test "a hosts.deny that the relay's user can't read refuses" {
    export -f as_user
    own_etc hosts.deny <<<'ALL: 10.0.0.1'
    chmod 600 /etc/hosts.deny
    writable_log log
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
        bash -c 'as_user nobody "$@"' - \
        "$WRAP" rinetd-relay "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    client 127.0.0.1 'send:hi\n' closed
    relay_ends 0
    [[ $(log_of log) == *'|0|0|denied' ]]
}

@test "a twist sends its own text, and the relay is never started" {
    own_etc hosts.deny <<<'rinetd-relay: ALL: twist /bin/echo go away %a'
    wrapped rinetd-relay
    run -0 client 127.0.0.1 rest
    [ "$output" = 'go away 127.0.0.1' ]
    finished relay
    [ ! -e log ]
}

@test "a spawned command runs, and the client hears nothing of it" {
    own_etc hosts.allow <<<"rinetd-relay: ALL: spawn (/bin/echo %a %d | /usr/bin/tee $T/spawned)"
    lets_in rinetd-relay 127.0.0.1
    wait_for grep -qx '127.0.0.1 rinetd-relay' spawned
}

@test "the relay is missing: exit status 3, syslog knows, and the client gets the end" {
    local rule line='<27>[^<]* rinetd-wrap\[[0-9]+\]: unable to run /no/such/relay: No such [^<]*'

    start_syslog
    for rule in '' 'ALL: ALL'; do
        own_etc hosts.deny <<<"$rule"
        serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
            "$WRAP" rinetd-relay /no/such/relay 127.0.0.1 9
        client 127.0.0.1 closed
        relay_ends 3
    done
    wait_for grep -qzE "$line$line" syslog.out
}

@test "what the relay has to say still reaches syslog, and never the client" {
    start_syslog
    wrapped rinetd-relay --no-such-option
    client 127.0.0.1 closed
    relay_ends 2
    wait_for grep -qE '^<27>.* rinetd-relay\[[0-9]+\]: unknown option "--no-such-option"' syslog.out
    stop target
    wrapped rinetd-relay
    client 127.0.0.1 closed
    relay_ends 1
    wait_for grep -qE '^<27>.* rinetd-relay\[[0-9]+\]: unable to connect to 127.0.0.1' syslog.out
}

@test "descriptor 2 is a file: the relay's messages still go there" {
    serve relay --count=1 --stderr="$T/said" --status-file="$T/relay.status" 127.0.0.1 0 \
        "$WRAP" rinetd-relay "$RELAY" --no-such-option
    client 127.0.0.1 closed
    relay_ends 2
    [[ $(<said) == 'rinetd-relay: unknown option "--no-such-option"'* ]]
}

@test "bad arguments: exit status 2, and not a byte to the client" {
    local name

    for name in '' -x --help --version; do
        serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
            "$WRAP" "$name" "$RELAY" 127.0.0.1 "$(port_of target)"
        client 127.0.0.1 closed
        relay_ends 2
    done
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 "$WRAP" --version
    client 127.0.0.1 closed
    relay_ends 2
    run -2 "$WRAP" </dev/null
    [[ $output == 'rinetd-wrap: usage: rinetd-wrap NAME rinetd-relay [options] HOST PORT' ]]
    run -2 "$WRAP" rinetd-relay </dev/null
    run -2 "$WRAP" rinetd-relay "$RELAY" 127.0.0.1 9 </dev/null
    [[ $output == 'rinetd-wrap: standard input is not a connection: '* ]]
    run -0 "$WRAP" --version </dev/null
    [ "$output" = "rinetd-wrap $(<"$BATS_TEST_DIRNAME/../VERSION")" ]
}

@test "a client that is gone already is no reason to fail" {
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 sh -c '
        until [ -e gone ]; do sleep 0.01; done; exec "$@"' - \
        "$WRAP" rinetd-relay "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    client 127.0.0.1 rst
    touch gone
    relay_ends 0
    [[ $(log_of log) == '?|127.0.0.1|'*'|accept-failed -' ]]
}
