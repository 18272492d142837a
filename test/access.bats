#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Who is let in: the relay with access lists, and with arguments that it must not misread. A client
# that is refused sees the end, or a reset, and not one byte; the target never hears of it.

load helper

setup() {
    common_setup
    listen target --count=1 --deadline=600 127.0.0.1 0 print-peer send:welcome
    to=(127.0.0.1 "$(port_of target)")
}

# The target still waits for its first connection: none of the relays made one.
target_untouched() {
    run -0 "$PEER" connect --from=127.0.0.99 "${to[@]}" rest
    [ "$output" = welcome ]
    finished target
    [[ $(output_of target) == 127.0.0.99\ * ]]
}

# refused FROM WORD [ARG...]: so it is with a client from FROM, and WORD is in the log. A client
# that speaks first gets a reset, another one the end.
refused() {
    local from=$1 word=$2

    rm -f log
    relay_once --log="$T/log" "${@:3}" "${to[@]}"
    "$PEER" connect --from="$from" 127.0.0.1 "$(port_of relay)" closed
    relay_ends 0
    logged log "$from|127.0.0.1|$(port_of relay)|127.0.0.1|${to[1]}|0|0|$word"
    relay_once "${@:3}" "${to[@]}"
    "$PEER" connect --from="$from" 127.0.0.1 "$(port_of relay)" send:x closed
    relay_ends 0
}

# served FROM [ARG...]: a client from FROM reaches the target.
served() {
    rm -f log
    listen other 127.0.0.1 0 send:welcome
    relay_once --log="$T/log" "${@:2}" 127.0.0.1 "$(port_of other)"
    run -0 "$PEER" connect --from="$1" 127.0.0.1 "$(port_of relay)" rest
    [ "$output" = welcome ]
    relay_ends 0
    stop other
    logged log "$1|127.0.0.1|$(port_of relay)|127.0.0.1|$(port_of other)|0|0|opened" \
        "$1|127.0.0.1|$(port_of relay)|127.0.0.1|$(port_of other)|0|7|done-local-closed"
}

# rejected ARG...: the relay does not understand this, and so nobody is let in.
rejected() {
    relay_once --log="$T/no-log" "$@"
    "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
    relay_ends 2
    [ ! -e no-log ]
}

require_ipv6() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
}

# dual_stack ARG...: a relay behind [::], for the next client of either family.
dual_stack() {
    local port

    port=$(free_ports)
    rm -f log
    serve relay --count=1 --status-file="$T/relay.status" :: "$port" "$RELAY" \
        --listener="[::]:$port" --log="$T/log" "$@"
}

@test "no list lets everybody in" {
    served 127.0.0.1
    served 127.200.3.4
}

@test "a client that no allow pattern matches is not-allowed" {
    served 127.0.0.1 --allow=127.0.0.1
    served 127.0.0.3 --allow=127.0.0.1 --allow=127.0.0.2,127.0.0.3
    refused 127.0.0.4 not-allowed --allow=127.0.0.1 --allow=127.0.0.2,127.0.0.3
    refused 127.0.0.11 not-allowed --allow=127.0.0.1
    refused 127.0.0.1 not-allowed --global-allow=10.*
    refused 127.0.0.1 not-allowed --allow=127.0.0. --allow=127.
    target_untouched
}

@test "a client that a deny pattern matches is denied" {
    served 127.0.0.1 --deny=127.0.0.2
    refused 127.0.0.2 denied --deny=127.0.0.2
    refused 127.0.0.3 denied --global-deny=10.*,127.0.0.3
    refused 127.0.0.4 denied --deny=10.* --deny=127.0.0.*
    target_untouched
}

@test "deny beats allow, wherever it stands" {
    refused 127.0.0.2 denied --allow=127.0.0.2 --deny=127.0.0.*
    refused 127.0.0.2 denied --deny=127.0.0.* --allow=127.0.0.2
    refused 127.0.0.2 denied --global-deny=127.0.0.2 --allow=127.0.0.2
    target_untouched
}

@test "the global list and the rule's own must both let a client pass" {
    served 127.0.0.2 --global-allow=127.0.0.* --allow=127.0.0.2
    served 127.0.0.2 --global-allow=127.0.0.* --allow=127.0.0.2 --global-deny=1.* --deny=2.*
    refused 127.0.0.3 not-allowed --global-allow=127.0.0.* --allow=127.0.0.2
    refused 127.0.0.2 not-allowed --global-allow=127.0.0.1 --allow=127.0.0.2
    refused 127.0.0.2 denied --global-allow=127.0.0.* --global-deny=127.0.0.2 --allow=127.0.0.2
    refused 127.0.0.2 denied --global-allow=127.0.0.* --allow=127.0.0.2 --deny=127.0.0.2
    target_untouched
}

@test "the first allow of a rule counts too" { # not so in rinetd 0.73
    served 127.0.0.1 --allow=127.0.0.1 --allow=127.0.0.2
    served 127.0.0.2 --allow=127.0.0.1 --allow=127.0.0.2
}

@test "a question mark is one character, never none" {
    served 127.0.0.1 --allow=127.0.0.?
    served 127.0.0.30 --allow=127.0.0.??
    refused 127.0.0.30 not-allowed --allow=127.0.0.?
    refused 127.0.0.1 not-allowed --allow=127.0.0.??
    refused 127.0.0.1 not-allowed --allow='127.0.0.1???????????????'
    served 127.0.0.1 --deny=127.0.0.1?
    target_untouched
}

@test "an asterisk is any run of characters, dots too" {
    served 127.5.6.1 --allow='127.*.1'
    served 127.5.6.1 --allow='*1'
    served 127.0.0.1 --allow='127.0.0.1*'
    served 127.0.0.1 --allow='**'
    refused 127.5.6.11 not-allowed --allow='127.*.1'
    refused 127.5.6.1 not-allowed --allow='127.*.*.*.*'
    target_untouched
}

@test "a prefix with its length, to the bit" {
    served 127.0.0.127 --allow=127.0.0.0/25
    served 127.9.9.9 --allow=127.0.0.0/8
    served 127.0.0.5 --allow=0.0.0.0/0
    refused 127.0.0.128 not-allowed --allow=127.0.0.0/25
    refused 127.0.0.2 not-allowed --allow=127.0.0.1/32
    refused 127.0.0.77 denied --deny=127.0.0.64/26
    refused 127.0.0.1 not-allowed --allow=::/0
    target_untouched
}

@test "IPv6 clients are matched by their shortest text, and by prefixes" {
    local arg word

    require_ipv6
    listen other 127.0.0.1 0 send:welcome
    for arg in --allow=::1 --allow=::* --allow=::/64 --deny=::2 --deny=0.0.0.0/0; do
        rm -f log
        serve relay --count=1 ::1 0 "$RELAY" --log="$T/log" "$arg" 127.0.0.1 "$(port_of other)"
        run -0 "$PEER" connect ::1 "$(port_of relay)" rest
        [ "$output" = welcome ]
        finished relay
        [[ $(log_of log) == "::1|::1|$(port_of relay)|127.0.0.1|"*done-local-closed ]]
    done
    for arg in --allow=0:0:0:0:0:0:0:1 --allow=::2/128 --allow=0.0.0.0/0 --deny=::1 --deny=::/0; do
        rm -f log
        serve relay --count=1 ::1 0 "$RELAY" --log="$T/log" "$arg" "${to[@]}"
        "$PEER" connect ::1 "$(port_of relay)" closed
        finished relay
        word=denied
        [[ $arg == --deny* ]] || word=not-allowed
        logged log "::1|::1|$(port_of relay)|127.0.0.1|${to[1]}|0|0|$word"
    done
    target_untouched
}

@test "an IPv4 client of an IPv6 listener is matched in both forms, and logged plainly" {
    local arg word

    require_ipv6
    for arg in --deny=127.0.0.1 --deny=::ffff:127.0.0.1 --deny=127.0.0.0/8 \
        --deny=::ffff:0:0/96 --deny='127.*' --deny='::*' --allow=127.0.0.2 --allow=::1; do
        dual_stack "$arg" "${to[@]}"
        "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
        relay_ends 0
        word=denied
        [[ $arg == --deny* ]] || word=not-allowed
        logged log "127.0.0.1|::|$(port_of relay)|127.0.0.1|${to[1]}|0|0|$word"
    done
    target_untouched
    listen other 127.0.0.1 0 send:welcome
    for arg in --allow=127.0.0.1 --allow=::ffff:127.0.0.1 --allow='*127.0.0.1' \
        --allow=127.0.0.0/8 --allow=::ffff:127.0.0.0/104; do
        dual_stack "$arg" 127.0.0.1 "$(port_of other)"
        run -0 "$PEER" connect 127.0.0.1 "$(port_of relay)" rest
        [ "$output" = welcome ]
        relay_ends 0
        [[ $(log_of log) == "127.0.0.1|::|$(port_of relay)|127.0.0.1|"*done-local-closed ]]
    done
}

@test "the mapped form counts if the superserver made the socket plain, but not on 127.0.0.1" {
    served 127.0.0.1 --deny=::ffff:127.0.0.1
    refused 127.0.0.1 not-allowed --allow=::ffff:127.0.0.1
    relay_once --listener='[::]:4711' --deny=::ffff:127.0.0.1 --log="$T/log6" "${to[@]}"
    "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
    relay_ends 0
    logged log6 "127.0.0.1|::|4711|127.0.0.1|${to[1]}|0|0|denied"
    target_untouched
}

@test "a list with as many patterns as fit on a command line" {
    local list

    list=$(printf '10.%d.0.*,' {1..255})127.0.0.1
    served 127.0.0.1 --allow="$list"
    refused 127.0.0.2 not-allowed --allow="$list"
    # shellcheck disable=SC2046
    refused 127.0.0.2 not-allowed $(printf -- '--allow=10.%d.0.* ' {1..64})
    # shellcheck disable=SC2046
    rejected $(printf -- '--allow=127.%d.0.* ' {0..64}) "${to[@]}"
    target_untouched
}

@test "told --refused, the relay logs the client as denied" {
    refused 127.0.0.1 denied --refused
    refused 127.0.0.1 denied --refused --allow=127.0.0.1
    target_untouched
}

@test "a pattern that is none lets nobody in" {
    local pattern

    for pattern in '' ',' '127.0.0.*,' ',127.0.0.*' '127.0.0.*,,127.0.0.1' '127.0.0.* ' \
        localhost all '!10.*' '127.0.0.0/33' '127.0.0.0/' '127.0.0.0/8/8' '127.*/8' '::/129' \
        '127.0.0.0/-1'; do
        rejected --allow="$pattern" "${to[@]}"
    done
    for pattern in '' '10.*,' '10.0.0.0/33'; do
        rejected --deny="$pattern" "${to[@]}"
        rejected --global-allow="$pattern" "${to[@]}"
        rejected --global-deny="$pattern" "${to[@]}"
    done
    target_untouched
}

@test "an option that there is not lets nobody in" {
    local option

    for option in --alow=10.* --ALLOW=10.* --allow --deny --global-allow -x -a --allow:10.* \
        --refused=yes --max=0 --per-source=x --linger=0 --wrap=-x --timeout --timeout=x --timeout=-1 \
        --connect-timeout= --keepalive=yes --src= --src=unix:/x --log=relative --log= \
        --listener=127.0.0.1 --listener=127.0.0.1:0 --listener=::1:80 --log-common=1 -; do
        rejected "$option" "${to[@]}"
    done
    rejected --allow '10.*' "${to[@]}"
    target_untouched
}

@test "a target that is none lets nobody in" {
    rejected
    rejected 127.0.0.1
    rejected "${to[@]}" --deny=127.*
    rejected 127.0.0.1 0
    rejected 127.0.0.1 65536
    rejected 127.0.0.1 "${to[1]}/sctp"
    rejected 127.0.0.1 -1
    rejected 127.0.0.1 http
    rejected 127.0.0.1 ''
    rejected '' "${to[1]}"
    rejected 'a b' "${to[1]}"
    rejected '[::1]' "${to[1]}"
    rejected 127.1 "${to[1]}"
    rejected unix:relative
    rejected unix:/socket "${to[1]}"
    target_untouched
}

@test "the administrator is told why, by syslog" {
    require namespaces
    start_syslog
    rejected --alow=10.* "${to[@]}"
    wait_for grep -qF '"--alow=10.*"' syslog.out
    rejected --allow=10.*, "${to[@]}"
    wait_for grep -qF '"--allow=10.*,"' syslog.out
    rejected 127.0.0.1 70000
    wait_for grep -qF '"70000"' syslog.out
    run -1 grep -vE '^<27>.* rinetd-relay\[[0-9]+\]: ' syslog.out
}
