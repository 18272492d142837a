#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Access lists from files, and those that -o compiles: who gets in, whatever starts the relay, and
# that nobody does where such a list is not what it should be.

load helper
load forwarding

# blocklist N [LINE...]: so many networks that no client here is in, as blocklists come, and LINEs.
blocklist() {
    printf '; a blocklist\r\n'
    seq 0 "$(($1 - 1))" |
        awk '{ printf "%d.%d.%d.0/28 ; SBL%d\r\n", 1 + $1 / 65536, $1 / 256 % 256, $1 % 256, $1 }'
    [ $# = 1 ] || printf '%s\n' "${@:2}"
}

# generate FORMAT [OPTION...]: what is in rinetd.conf, into the folder out, which a superserver gets.
generate() {
    mkdir -p out
    "$GEN" -c rinetd.conf -f "$1" -r "$RELAY" -u "$(user_for_relay)" -o out "${@:2}" 2>said ||
        { cat said && return 1; }
}

# rules LINE...
rules() {
    writable_log log
    printf '%s\n' "logfile $T/log" "$@" >rinetd.conf
}

# compiled FORMAT [FOLDER]: the compiled list, where there is one.
compiled() {
    local lists=("${2:-$T/out}"/rinetd.*."$1".acl)

    [ "${#lists[@]}" = 1 ] && [ -f "${lists[0]}" ] && echo "${lists[0]}"
}

# lists [FOLDER]: how many compiled lists there are.
lists() {
    find "${1:-out}" -name '*.acl' | wc -l
}

# compile FILE: a compiled list of its patterns as $T/list.acl, which takes the place of any before
# at once.
compile() {
    { blocklist 100; cat "$1"; } >all.txt
    printf '%s\n' 'deny @all.txt' '127.0.0.1 1 127.0.0.1 2' >compile.conf
    mkdir -p made
    "$GEN" -c compile.conf -f inetd -u "$(user_for_relay)" -o made 2>said ||
        { cat said && return 1; }
    cp "$(compiled inetd made)" list.new
    mv list.new list.acl
}

# who CLIENT...: the list of these.
who() {
    printf '%s\n' "$@" >who.txt
    compile who.txt
}

# The relay with the list, for one connection and what comes of it.
once() {
    rm -f relay.status
    relay_once --log="$T/log" "$@" 127.0.0.1 "$(port_of target)"
}

gets_in() {
    served --from="$1" 127.0.0.1 "$(port_of relay)"
    relay_ends 0
}

is_kept_out() {
    refused_once --from="$1" 127.0.0.1 "$(port_of relay)"
    relay_ends 0
}

refused_once() {
    "$PEER" connect "$@" 'send:hi\n' closed
}

two_rules() {
    local ports=("$@")

    blocklist 3000 127.0.0.4 '127.0.1.*' '*.77' >block.txt
    rules 'deny @block.txt' "127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of target)" \
        "127.0.0.1 ${ports[1]} 127.0.0.1 $(port_of target)" 'allow @friends.txt'
    blocklist 500 127.0.0.4 127.0.0.5 >friends.txt
}

# What these two let in.
two_rules_hold() {
    local ports=("$@")

    served --from=127.0.0.5 127.0.0.1 "${ports[0]}"
    served --from=127.0.0.6 127.0.0.1 "${ports[0]}"
    served --from=127.0.0.5 127.0.0.1 "${ports[1]}"
    refused_silently --from=127.0.0.4 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.77 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.1.9 127.0.0.1 "${ports[1]}"
    refused_silently --from=127.0.0.6 127.0.0.1 "${ports[1]}"
}

@test "under xinetd, in both modes" {
    local ports

    require xinetd
    hello
    mapfile -t ports < <(free_ports 2)
    two_rules "${ports[@]}"
    for mode in nowait wait; do
        generate xinetd -m "$mode"
        [ "$(grep -cE -- "--global-deny=@$T/out/rinetd[.][0-9a-f]{16}[.]xinetd[.]acl " out/rinetd)" = 2 ]
        [ "$(lists)" = 2 ]
        start_xinetd out/rinetd
        two_rules_hold "${ports[@]}"
        stop xinetd
    done
    [ "$(grep -c $'127.0.0.4\t.*\tdenied$' log)" = 4 ]
    [ "$(grep -c $'127.0.0.6\t.*\tnot-allowed$' log)" = 4 ]
}

@test "under inetd, whose lines are the shortest" {
    local ports

    require inetd
    hello
    mapfile -t ports < <(free_ports 2)
    two_rules "${ports[@]}"
    generate inetd
    start_inetd out/rinetd.inetd
    two_rules_hold "${ports[@]}"
}

@test "a list of few patterns that the line has no room for" {
    local port

    require inetd
    hello
    port=$(free_ports)
    rules "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    {
        for i in {1..20}; do echo "allow 2001:db8:1111:2222:3333:4444:$i:*"; done
        for i in {1..20}; do echo "deny 2001:db8:1111:2222:3333:5555:$i:*"; done
        echo 'allow 127.0.0.2'
    } >>rinetd.conf
    run -1 "$GEN" -c rinetd.conf -f inetd -r "$RELAY" -u "$(user_for_relay)"
    [[ $output == *'reads at most 1023: the access lists are too long; -o puts them into files'* ]]
    generate inetd
    start_inetd out/rinetd.inetd
    served --from=127.0.0.2 127.0.0.1 "$port"
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
}

# shellcheck disable=SC2153 # MODE is set by in_both_modes
in_units() {
    local ports

    hello
    mapfile -t ports < <(free_ports 2)
    two_rules "${ports[@]}"
    sed -i 1d rinetd.conf
    units "$MODE"
    two_rules_hold "${ports[@]}"
    stop target
}

@test "under systemd, in both modes" {
    load systemd
    in_both_modes in_units
}

@test "--apply of a list that has changed: it counts, and nothing is started anew" {
    local port before list

    load systemd
    require systemctl
    start_systemd
    hello
    port=$(free_ports)
    rules "127.0.0.1 $port 127.0.0.1 $(port_of target)" 'deny @block.txt'
    sed -i 1d rinetd.conf
    blocklist 100 >block.txt
    inside "$GEN" -f systemd -c "$T/rinetd.conf" -o "$UNITS" -r "$RELAY" -u nobody --apply
    served --from=127.0.0.3 127.0.0.1 "$port"
    list=$(inside find "$UNITS" -name '*.acl')
    [ -n "$list" ]
    before=$(inside systemctl show -p MainPID,InvocationID "rinetd-tcp-127.0.0.1-$port.service")
    blocklist 100 127.0.0.3 >block.txt
    inside "$GEN" -f systemd -c "$T/rinetd.conf" -o "$UNITS" -r "$RELAY" -u nobody -n --apply 2>said
    grep -q "would change $list" said
    run ! grep -q 'would re' said
    inside "$GEN" -f systemd -c "$T/rinetd.conf" -o "$UNITS" -r "$RELAY" -u nobody --apply 2>said
    run ! grep -Eq 'restarted|systemd has read' said
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    served --from=127.0.0.4 127.0.0.1 "$port"
    [ "$before" = "$(inside systemctl show -p MainPID,InvocationID \
        "rinetd-tcp-127.0.0.1-$port.service")" ]
    echo "127.0.0.1 $port 127.0.0.1 $(port_of target)" >rinetd.conf
    inside "$GEN" -f systemd -c "$T/rinetd.conf" -o "$UNITS" -r "$RELAY" -u nobody -n --apply 2>said
    grep -q "would remove $list" said
    inside "$GEN" -f systemd -c "$T/rinetd.conf" -o "$UNITS" -r "$RELAY" -u nobody --apply 2>said
    grep -q "removed $list" said
    run ! inside test -e "$list"
    served --from=127.0.0.3 127.0.0.1 "$port"
}

@test "systemd's generator puts them beside its units" {
    require namespaces
    ln -s "$GEN" rinetd-generator
    mkdir units
    : >/dev/kmsg # the tests' own
    blocklist 100 >/etc/rinetd-block.txt
    own_etc rinetd.conf <<<$'deny @rinetd-block.txt\n127.0.0.1 80 127.0.0.1 81'
    run -0 "$T/rinetd-generator" "$T/units" "$T/early" "$T/late"
    rm /etc/rinetd-block.txt /dev/kmsg
    [ -z "$output" ]
    grep -qF -- "--global-deny=@$(compiled systemd "$T/units")" units/rinetd-tcp-127.0.0.1-80.service
}

# Standard input becomes the configuration of the system that runs, by its generator.
reconfigure() {
    inside tee /etc/rinetd.conf >/dev/null
    inside systemctl daemon-reload
    inside systemctl start sockets.target
}

@test "with systemd's generator they hold after boot, and after each reload" {
    local port

    load systemd
    require namespaces
    hello
    port=$(free_ports)
    ln -s "$GEN" rinetd-generator
    blocklist 100 127.0.0.3 >block.txt
    GENERATOR=$T/rinetd-generator start_systemd
    install_inside
    reconfigure <<<"deny @$T/block.txt"$'\n'"127.0.0.1 $port 127.0.0.1 $(port_of target)"
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    served --from=127.0.0.4 127.0.0.1 "$port"
    blocklist 100 127.0.0.4 >block.txt
    inside systemctl daemon-reload
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    served --from=127.0.0.3 127.0.0.1 "$port"
}

@test "--apply with xinetd: a list that comes, changes and goes" {
    local port

    require xinetd namespaces
    hello
    port=$(free_ports)
    mkdir out
    printf 'defaults\n{\n}\nincludedir %s\n' "$T/out" >xinetd.conf
    rules "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    generate xinetd
    start_xinetd xinetd.conf 1
    blocklist 100 127.0.0.3 >block.txt
    echo 'deny @block.txt' >>rinetd.conf
    generate xinetd --apply
    grep -q 'has reloaded' said
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    blocklist 100 127.0.0.4 >block.txt
    generate xinetd --apply
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    served --from=127.0.0.3 127.0.0.1 "$port"
    sed -i '$d' rinetd.conf
    generate xinetd --apply
    [ "$(ls out)" = rinetd ]
    served --from=127.0.0.4 127.0.0.1 "$port"
}

@test "--run: its lists come and go with its private folder" {
    local port before

    require xinetd
    hello
    port=$(free_ports)
    mkdir -m 755 tmp
    rules "127.0.0.1 $port 127.0.0.1 $(port_of target)" 'deny @block.txt'
    sed -i 1d rinetd.conf
    blocklist 5000 127.0.0.3 >block.txt
    TMPDIR=$T/tmp start gen "$GEN" --run -c rinetd.conf -r "$RELAY" -u "$(user_for_relay)"
    wait_for or_over gen grep -q listening gen.err
    before=$(echo tmp/*/*.acl)
    [ -s "$before" ]
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    served --from=127.0.0.4 127.0.0.1 "$port"
    blocklist 5000 127.0.0.4 >block.txt
    kill -HUP "$(cat gen.pid)"
    wait_for or_over gen grep -q reloaded: gen.err
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    served --from=127.0.0.3 127.0.0.1 "$port"
    # What cannot be loaded takes nothing away; what can, what is not needed any more.
    cp rinetd.conf good.conf
    echo 'deny x' >>rinetd.conf
    kill -HUP "$(cat gen.pid)"
    wait_for or_over gen grep -q 'nothing reloaded' gen.err
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    served --from=127.0.0.3 127.0.0.1 "$port"
    sed 's/^deny .*/deny @other.txt/' good.conf >rinetd.conf
    blocklist 3 127.0.0.4 >other.txt
    : >gen.err
    kill -HUP "$(cat gen.pid)"
    wait_for or_over gen grep -q reloaded: gen.err
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    served --from=127.0.0.3 127.0.0.1 "$port"
    [ "$(lists tmp)" = 1 ]
    [ ! -e "$before" ]
    stop gen
    [ -z "$(ls tmp)" ]
}

@test "a million patterns" {
    local list

    hello
    blocklist 1000000 127.0.0.3 >block.txt
    rules 'deny @block.txt' '127.0.0.1 1 127.0.0.1 2'
    generate inetd
    list=$(compiled inetd)
    once --deny="@$list"
    is_kept_out 127.0.0.3
    once --deny="@$list"
    gets_in 127.0.0.4
    run -0 --separate-stderr "$GEN" -c rinetd.conf -u "$(user_for_relay)" -r "$RELAY" -T 9.16.1.7
    [ "$output" = 'rinetd.conf:3: 127.0.0.1 1: denied: block.txt:528387: deny 9.16.1.0/28, by rinetd.conf:2' ]
    run -0 --separate-stderr "$GEN" -c rinetd.conf -u "$(user_for_relay)" -r "$RELAY" -T 9.16.1.17
    [ "$output" = 'rinetd.conf:3: 127.0.0.1 1: allowed: no deny line matches' ]
}

@test "patterns and compiled lists beside each other" {
    hello
    who 127.0.0.3
    once --deny="@$T/list.acl" --deny=127.0.0.4
    is_kept_out 127.0.0.3
    once --deny="@$T/list.acl" --deny=127.0.0.4
    is_kept_out 127.0.0.4
    once --allow="@$T/list.acl" --allow=127.0.0.4
    gets_in 127.0.0.4
    once --allow="@$T/list.acl" --allow=127.0.0.4
    gets_in 127.0.0.3
    once --global-allow="@$T/list.acl" --global-deny="@$T/list.acl"
    is_kept_out 127.0.0.3
}

# refuses_all HOW: whoever comes, and it says why.
refuses_all() {
    for list in --allow --deny; do
        rm -f relay.err
        : >log
        once "$list=@$T/list.acl" --allow=127.0.0.3
        is_kept_out 127.0.0.3
        [ "$(cut -f 9 log)" = "$([ "$list" = --deny ] && echo denied || echo not-allowed)" ]
        wait_for grep -q "unable to use the access list $T/list.acl: .*; refusing 127.0.0.3" \
            syslog.out
        : >syslog.out
    done
}

@test "a list that is damaged, cut short, foreign or missing lets nobody in, and it is said" {
    start_syslog
    hello
    writable_log log
    who 127.0.0.9
    cp list.acl good.acl
    once --deny="@$T/list.acl"
    gets_in 127.0.0.3
    head -c -1 good.acl >list.acl
    refuses_all
    { cat good.acl && echo; } >list.acl
    refuses_all
    head -c 4096 good.acl >list.acl
    refuses_all
    : >list.acl
    refuses_all
    { head -c 4105 good.acl && printf '\377' && tail -c +4107 good.acl; } >list.acl
    refuses_all
    { head -c 75 good.acl && printf '\2' && tail -c +77 good.acl; } >list.acl
    refuses_all
    { head -c 76 good.acl && printf '\4\3\2\1' && tail -c +81 good.acl; } >list.acl
    refuses_all
    echo '127.0.0.3' >list.acl
    refuses_all
    rm list.acl
    refuses_all
    mkdir list.acl
    refuses_all
    rmdir list.acl
    mkfifo list.acl
    refuses_all
}

@test "a list that the relay's user cannot read lets nobody in; a closed folder is warned of" {
    local port

    require root xinetd
    start_syslog
    hello
    port=$(free_ports)
    rules "127.0.0.1 $port 127.0.0.1 $(port_of target)" 'deny @block.txt'
    blocklist 100 >block.txt
    mkdir -m 700 out
    generate xinetd
    grep -q "the user nobody cannot reach the compiled access lists, so nobody will be let in: the folder \"$T/out\" is missing or closed" said
    start_xinetd out/rinetd
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    wait_for grep -q 'unable to use the access list .*: Permission denied; refusing 127.0.0.3' syslog.out
    chmod 755 out
    served --from=127.0.0.3 127.0.0.1 "$port"
    generate xinetd
    run ! grep -q 'access lists' said
}

@test "wait mode: a list that is replaced, and one that is lost, count at once" {
    local port

    load waiting
    hello
    writable_log log
    who 127.0.0.9
    hand_relay --deny="@$T/list.acl" --linger=60
    port=$(port_of relay)
    served --from=127.0.0.3 127.0.0.1 "$port"
    who 127.0.0.3
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    served --from=127.0.0.4 127.0.0.1 "$port"
    truncate -s 100 list.acl
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    rm list.acl
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    grep -q "unable to use the access list $T/list.acl: it is cut short; refusing 127.0.0.4" said
    grep -q "unable to use the access list $T/list.acl: No such file" said
    who 127.0.0.3
    served --from=127.0.0.4 127.0.0.1 "$port"
    [ ! -s relay.status ]
}

@test "TCP wrappers pass the list on, in both modes" {
    load waiting
    require namespaces
    own_etc hosts.allow </dev/null
    own_etc hosts.deny </dev/null
    chmod 644 /etc/hosts.allow /etc/hosts.deny
    hello
    writable_log log
    who 127.0.0.3
    for client in 127.0.0.3 127.0.0.4; do
        serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 "$WRAP" web "$RELAY" \
            --log="$T/log" --deny="@$T/list.acl" 127.0.0.1 "$(port_of target)"
        if [ "$client" = 127.0.0.3 ]; then is_kept_out $client; else gets_in $client; fi
    done
    hand_relay --wrap=web --deny="@$T/list.acl"
    refused_silently --from=127.0.0.3 127.0.0.1 "$(port_of relay)"
    served --from=127.0.0.4 127.0.0.1 "$(port_of relay)"
}

@test "-o: one file a list, whoever names it, and the same bytes each time" {
    local before

    blocklist 100 >block.txt
    rules 'deny @block.txt' '127.0.0.1 1 127.0.0.1 2' 'allow @block.txt' '127.0.0.1 3 127.0.0.1 4' \
        'deny @block.txt' '127.0.0.1 5 127.0.0.1 6' 'deny @block.txt' 'deny 10.*'
    generate xinetd
    [ "$(lists)" = 2 ]
    grep -qE 'created out/rinetd[.][0-9a-f]{16}[.]xinetd[.]acl$' said
    [ "$(grep -oE 'rinetd[.][0-9a-f]{16}' out/rinetd | sort | uniq -c | awk '{ print $1 }' | sort -n | xargs)" = '1 5' ]
    [ "$(stat -c %a out/*.acl | sort -u)" = 644 ]
    head -qn 1 out/*.acl | grep -aq '^# Made by rinetd-gen: '
    before=$(cd out && stat -c '%n %i %Y' ./*)
    generate xinetd
    [ "$before" = "$(cd out && stat -c '%n %i %Y' ./*)" ]
    run ! grep -q 'rinetd-gen: [cr]' said
}

@test "-o: a list that no rule needs outlives by one run those who may still need it" {
    local before

    blocklist 100 >block.txt
    rules 'deny @block.txt' '127.0.0.1 1 127.0.0.1 2'
    generate xinetd
    before=$(compiled xinetd)
    # Another format's are not this one's to remove, and what only looks like one is nobody's.
    generate systemd
    echo mine >out/rinetd.0123456789abcdef.xinetd.acl
    truncate -s 1G out/rinetd.0123456789abcdef.inetd.acl out/rinetd.0123456789abcde0.xinetd.acl
    sed -i '/^deny/d' rinetd.conf
    generate xinetd
    run ! grep -q removed said
    [ -s "$before" ]
    generate xinetd
    grep -q "removed out/${before##*/}" said
    [ ! -e "$before" ]
    [ "$(lists)" = 4 ]
}

@test "-o: a list from a file stays in a file, however few patterns it has" {
    blocklist 100 >block.txt
    rules 'deny @block.txt' '127.0.0.1 1 127.0.0.1 2'
    generate xinetd
    cp out/rinetd before
    : >block.txt
    generate xinetd
    grep -q 'warning: found no pattern in "block.txt"' said
    cmp out/rinetd before
    [ "$(lists)" = 1 ]
    hello
    once --deny="@$(compiled xinetd)"
    gets_in 127.0.0.3
    echo 127.0.0.3 >block.txt
    generate xinetd
    cmp out/rinetd before
    once --deny="@$(compiled xinetd)"
    is_kept_out 127.0.0.3
    sed -i 's/^deny .*/deny 127.0.0.3/' rinetd.conf
    generate xinetd
    grep -q -- '--global-deny=127.0.0.3 ' out/rinetd
}

# Neither the rules of before, nor those of now, nor both in part let 127.0.0.3 in.
@test "whoever old rules and new ones refuse gets in at no time" {
    local port

    require xinetd
    hello
    port=$(free_ports)
    blocklist 100 127.0.0.3 >block.txt
    blocklist 100 127.0.0.9 >other.txt
    rules "127.0.0.1 $port 127.0.0.1 $(port_of target)" 'deny @block.txt'
    generate xinetd
    start_xinetd out/rinetd
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    rules 'deny @block.txt' "127.0.0.1 $port 127.0.0.1 $(port_of target)" 'deny @other.txt'
    generate xinetd
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    served --from=127.0.0.4 127.0.0.1 "$port"
    reload_xinetd
    wait_for refused_silently --from=127.0.0.9 127.0.0.1 "$port"
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    served --from=127.0.0.4 127.0.0.1 "$port"
    # Their lists are there for one change without a reload, and let nobody in after two.
    rules "127.0.0.1 $port 127.0.0.1 $(port_of target)" 'deny 127.0.0.3'
    generate xinetd
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    served --from=127.0.0.4 127.0.0.1 "$port"
    generate xinetd
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    refused_silently --from=127.0.0.4 127.0.0.1 "$port"
    reload_xinetd
    wait_for served --from=127.0.0.4 127.0.0.1 "$port"
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
}

@test "two names of one file are two lists, which may part" {
    local ports

    require xinetd
    hello
    mapfile -t ports < <(free_ports 2)
    blocklist 100 127.0.0.3 >common.txt
    ln -s common.txt web.txt
    rules "127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of target)" 'deny @common.txt' \
        "127.0.0.1 ${ports[1]} 127.0.0.1 $(port_of target)" 'deny @web.txt'
    generate xinetd
    [ "$(lists)" = 2 ]
    start_xinetd out/rinetd
    refused_silently --from=127.0.0.3 127.0.0.1 "${ports[1]}"
    cp common.txt own.txt
    mv own.txt web.txt
    blocklist 100 >common.txt
    generate xinetd
    served --from=127.0.0.3 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.3 127.0.0.1 "${ports[1]}"
}

@test "a folder that a line cannot name, or has no room for" {
    local long

    long=$T/$(printf 'd%.0s' {1..250})/$(printf 'e%.0s' {1..250})/$(printf 'f%.0s' {1..250})/$(printf 'g%.0s' {1..250})
    mkdir -p 'a folder' "$long"
    rules '127.0.0.1 1 127.0.0.1 2'
    for i in {1..40}; do echo "deny 10.0.0.$i"; done >>rinetd.conf
    for dir in 'a folder' "$long"; do
        "$GEN" -c rinetd.conf -f inetd -r "$RELAY" -u "$(user_for_relay)" -o "$dir"
        grep -q -- '--deny=10.0.0.1,' "$dir/rinetd.inetd"
        [ "$(lists "$dir")" = 0 ]
    done
    echo 10.0.0.1 >block.txt
    rules 'deny @block.txt' '127.0.0.1 1 127.0.0.1 2' '127.0.0.1 3 127.0.0.1 4'
    run -1 "$GEN" -c rinetd.conf -f inetd -r "$RELAY" -u "$(user_for_relay)" -o 'a folder'
    [[ ${lines[0]} == 'rinetd-gen: error: unable to have access lists in the folder "'*': inetd cannot pass on a name with a blank or a control byte' ]]
    [ "${#lines[@]}" = 1 ]
    run -1 "$GEN" -c rinetd.conf -f inetd -r "$RELAY" -u "$(user_for_relay)" -o "$long"
    [[ ${lines[0]} == 'rinetd-gen: error: unable to have access lists in the folder "'*': with its name a line would have '*' bytes too many' ]]
    [ "${#lines[@]}" = 1 ]
    "$GEN" -c rinetd.conf -f systemd -r "$RELAY" -u "$(user_for_relay)" -o 'a folder'
    [ "$(lists 'a folder')" = 1 ]
}

@test "-o never takes the place of a file that is not its own" {
    local list

    blocklist 100 >block.txt
    rules 'deny @block.txt' '127.0.0.1 1 127.0.0.1 2'
    generate xinetd
    list=$(compiled xinetd)
    rm out/rinetd
    echo mine >"$list"
    run -3 "$GEN" -c rinetd.conf -r "$RELAY" -u "$(user_for_relay)" -o out
    [[ $output == *'did not make what is there'* ]]
    [ "$(cat "$list")" = mine ]
    [ ! -e out/rinetd ]
}

@test "a list in error changes nothing, and is told line by line" {
    blocklist 100 >block.txt
    rules 'deny @block.txt' '127.0.0.1 1 127.0.0.1 2'
    generate xinetd
    cp -a out before
    echo '127.0.0.1/33' >>block.txt
    run -1 "$GEN" -c rinetd.conf -r "$RELAY" -u "$(user_for_relay)" -o out
    [[ $output == *'block.txt:102:1: error: found "127.0.0.1/33", expected a number from 0 to 32'* ]]
    diff -r before out
    run -1 "$GEN" -c rinetd.conf -r "$RELAY" -u "$(user_for_relay)"
    [[ $output != *$'\nservice '* ]]
}
