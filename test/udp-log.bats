#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What the log says of datagrams, in both formats and to the byte, and who is let in: looked up for a
# session's first datagram, and told once in a while.

load helper
load datagrams

setup() {
    common_setup
    export TZ=UTC
    answer target 127.0.0.1 0
    writable_log log
}

# The file's bytes, with TIME for each time.
masked() {
    sed -E 's,[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}(:[0-9]{2}){3},TIME,' "$1"
}

# tabs FROM_CLIENT TO_CLIENT WORD...: the bytes of one line; of a client at ${CLIENT}.
tabs() {
    printf 'TIME \t%s\t127.0.0.1\t%d\t127.0.0.1\t%d\t%d\t%d\t%s\n' "${CLIENT:-127.0.0.1}" \
        "$(port_of relay)" "$(port_of target)" "$1" "$2" "${*:3}"
}

common() {
    printf '%s - - [TIME  +0000] "GET /rinetd-services/127.0.0.1/%d/127.0.0.1/%d/%s ' \
        "${CLIENT:-127.0.0.1}" "$(port_of relay)" "$(port_of target)" "${*:3}"
    printf 'HTTP/1.0" 200 %d - - - %d\n' "$2" "$1"
}

# in_both_formats COMMAND [RELAY_ARG...]: for each, COMMAND makes traffic and tells what the lines
# are by "$line FROM TO WORD".
in_both_formats() {
    local line

    for line in tabs common; do
        : >log
        if [ "$line" = tabs ]; then relay "${@:2}"; else relay --log-common "${@:2}"; fi
        "$1"
        stop relay
        diff lines <(masked log)
    done
}

# The second client ends the session of the first: no time would be long enough for an answer.
ended() {
    run -0 say --from=127.0.0.1:7001 one three
    run -0 say --from=127.0.0.1:7002 x
    {
        "$line" 3 0 opened
        "$line" 8 8 done-remote-closed
        "$line" 1 0 opened
        "$line" 1 1 done-local-closed
    } >lines
}

# logged WORD N: so many lines have it.
logged() {
    [ "$(grep -c "$1" "$T/log")" = "$2" ]
}

@test "opened has the first datagram's size, and done-remote-closed both counts" {
    in_both_formats ended --max=1
}

refused() {
    local port

    port=$(port_of target)
    run -0 say --from=127.0.0.1:7001 one
    stop target
    say --from=127.0.0.1:7001 --replies=0 three
    wait_for logged done-local-closed 1
    answer target 127.0.0.1 "$port"
    { "$line" 3 0 opened; "$line" 8 3 done-local-closed; } >lines
}

@test "the target refuses: done-local-closed" {
    in_both_formats refused
}

terminated() {
    run -0 say ''
    kill "$(first)"
    wait_for logged done-local-closed 1
    { "$line" 0 0 opened; "$line" 0 0 done-local-closed; } >lines
}

@test "an empty datagram is a session of no bytes" {
    in_both_formats terminated
}

kept_out() {
    AT=127.0.0.1 ask --from=127.0.0.2 --replies=0 --rounds=20
    AT=127.0.0.1 ask --from=127.0.0.3 --replies=0 --rounds=20
    AT=127.0.0.1 ask --from=127.0.0.4
    kill "$(first)"
    wait_for logged done-local-closed 1
    {
        CLIENT=127.0.0.2 "$line" 0 0 denied
        CLIENT=127.0.0.3 "$line" 0 0 not-allowed
        CLIENT=127.0.0.4 "$line" 32 0 opened
        CLIENT=127.0.0.4 "$line" 32 32 done-local-closed
    } >lines
}

@test "denied and not-allowed: one line each for twenty datagrams, and nothing for the target" {
    in_both_formats kept_out --allow=127.0.0.2 --allow=127.0.0.4 --deny=127.0.0.2
    [ "$(sizes_at target)" = '32 32' ]
}

@test "the log's bytes: of two records in an IPv6 listener's session" {
    require_ipv6
    answer six ::1 0
    ON=::1 TO="::1 $(port_of six)" relay --max=1 --listener='[::1]:53'
    ON=::1 say --from='[::1]:7001' hello
    ON=::1 say --from='[::1]:7002' x
    diff <(printf 'TIME \t::1\t::1\t53\t::1\t%d\t5\t%d\t%s\n' "$(port_of six)" 0 opened \
        "$(port_of six)" 5 done-remote-closed) <(masked log | head -n 2)
}

@test "a refused client is told once per timeout, whatever its ports; others have lines of their own" {
    relay --deny=127.0.0.2 --deny=127.0.0.3 --linger=1
    ask --from=127.0.0.2 --replies=0 --clients=30 --rounds=3
    ask --from=127.0.0.3 --replies=0 --clients=30 --rounds=3
    ask --from=127.0.0.4
    records_are '127.0.0.2 0 0 denied' '127.0.0.3 0 0 denied' '127.0.0.4 32 0 opened'
    stop relay
    : >log
    relay --timeout=1 --deny=127.0.0.2
    wait_for is_denied_again 127.0.0.2
}

is_denied_again() {
    ask --from="$1" --replies=0
    [ "$(how_often denied)" -ge 2 ]
}

@test "a refusal is remembered longer than linger, so that the next relay does not tell it again" {
    local pid

    relay --timeout=60 --linger=1 --deny=127.0.0.2
    ask --from=127.0.0.2 --replies=0
    wait_for has_records 1
    pid=$(first)
    sleep 1.5
    [ "$(first)" = "$pid" ]
    ask --from=127.0.0.2 --replies=0
    ask --from=127.0.0.3
    [ "$(records)" = $'127.0.0.2 0 0 denied\n127.0.0.3 32 0 opened' ]
}

@test "two thousand refused addresses: no more lines than are remembered, and who may is served" {
    local i

    relay --deny=127.1.*
    for i in {0..15}; do
        refuse_many "$i"
        wait_for queue_is_empty "$(port_of relay)" # all at once are more than the socket holds
    done
    ask --clients=5
    [ "$(wc -l <log)" -le 1100 ]
    [ "$(how_often denied)" -ge 1000 ]
}

# 125 addresses, a datagram each.
refuse_many() {
    perl -e '
        for my $last (1 .. 125) {
            socket my $s, 2, 2, 0 or die $!;
            bind $s, pack "S n C4 x8", 2, 0, 127, 1, $ARGV[0], $last or die $!;
            send $s, "x", 0, pack "S n C4 x8", 2, $ARGV[1], 127, 0, 0, 1 or die $!;
        }' "$1" "$(port_of relay)"
}

# listed CLIENT...: they become the file's compiled list, at once in place of another.
listed() {
    { seq -f '10.0.%g.0/28' 100; printf '%s\n' "$@"; } >all.txt
    printf '%s\n' 'deny @all.txt' '127.0.0.1 1 127.0.0.1 2' >compile.conf
    mkdir -p made
    "$GEN" -c compile.conf -f inetd -u "$(user_for_relay)" -o made 2>said.gen || { cat said.gen; return 1; }
    cp made/rinetd.*.inetd.acl list.new
    mv list.new list.acl
}

is_denied() {
    ask --from="$1" --replies=0
    records | grep -q "^$1 0 0 denied\$"
}

is_served() {
    ask --from="$1" --retry=100
}

@test "a list in a file: what changes in it counts for new sessions, without a new process" {
    local pid

    listed 127.0.0.2
    relay --deny="@$T/list.acl"
    is_served 127.0.0.3
    wait_for is_denied 127.0.0.2
    pid=$(first)
    listed 127.0.0.3
    wait_for is_denied 127.0.0.3
    is_served 127.0.0.2
    [ "$(first)" = "$pid" ]
    [ "$(how_often denied)" = 2 ]
}

@test "a list in a file that is not there keeps everybody out" {
    relay --deny="@$T/no.such.list"
    ask --replies=0 --clients=5
    wait_for has_records 1
    [ "$(records)" = '127.0.0.1 0 0 denied' ]
    [ -z "$(sizes_at target)" ]
    wait_for grep -q 'no.such.list' said
    [ "$(wc -l <said)" -le 4 ] # once a second at most, and seconds may be long here
}

@test "a session that is open stays so, whatever the lists say later" {
    listed 127.0.0.2
    relay --deny="@$T/list.acl"
    say --from=127.0.0.3:7001 one
    listed 127.0.0.3
    say --from=127.0.0.3:7001 two
    [ "$(how_often opened)" = 1 ]
    wait_for is_denied 127.0.0.3
    say --from=127.0.0.3:7001 three
}

@test "many sessions, one log: no line is missing, and none is cut" {
    relay --max=200
    ask --clients=200 --sizes=10
    ask --from=127.0.0.2 --clients=200 --sizes=10 # which end the sessions of the others
    stop relay
    diff <(records | sort | uniq -c | sed 's/^ *//') - <<-END
	200 127.0.0.1 10 0 opened
	200 127.0.0.1 10 10 done-remote-closed
	200 127.0.0.2 10 0 opened
	200 127.0.0.2 10 10 done-local-closed
	END
}

@test "a log that can't be written is no matter to clients, and syslog is told" {
    start_syslog
    rm log
    mkdir log
    relay
    ask --clients=10 --sizes=0,1,508
    wait_for grep -qF "unable to write $T/log: Is a directory; lost: " syslog.out
    [ ! -s said ]
}
