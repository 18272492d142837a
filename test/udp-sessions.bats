#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The relay on a socket for datagrams: each client has its session, gets its own replies from the
# address that it wrote to, and datagrams stay what they were.

load helper
load datagrams

setup() {
    common_setup
    answer target 127.0.0.1 0
    writable_log log
}

@test "fifty clients at once: each gets its own replies, in a session of its own" {
    relay
    ask --clients=50 --sizes=0,1,508,1472 --rounds=5
    [ "$(cat asked)" = '1000 sent, 1000 got, 0 again' ]
    [ "$(peers_of target)" = 50 ]
    [ "$(how_often opened)" = 50 ]
    [ "$(wc -l <log)" = 50 ]
    [ ! -s said ]
}

@test "large datagrams of many clients, and 65507 bytes of one" {
    relay
    ask --sizes=8192,65507,65507,8192 --rounds=3
    [ "$(sizes_at target)" = '8192 65507 65507 8192 8192 65507 65507 8192 8192 65507 65507 8192' ]
    # Together they are more than the socket holds, so some may be lost before the relay sees them.
    ask --from=127.0.0.2 --clients=50 --sizes=8192 --retry=300
    ask --from=127.0.0.3 --clients=8 --sizes=65507 --rounds=2 --retry=200
    [ "$(peers_of target)" = 59 ]
}

@test "IPv6: fifty clients, and all sizes" {
    require_ipv6
    answer six ::1 0
    ON=::1 TO="::1 $(port_of six)" relay
    ON=::1 ask --clients=50 --sizes=0,1,508,1472 --rounds=3
    [ "$(peers_of six)" = 50 ]
    [ "$(how_often opened)" = 50 ]
    ON=::1 ask --sizes=8192,65507
    [ "$(cut -f 2 log | sort -u)" = ::1 ]
}

@test "IPv6 clients of an IPv4 target, and the other way round" {
    require_ipv6
    ON=::1 relay
    ON=::1 ask --clients=5 --sizes=0,100,9000
    stop relay
    answer six ::1 0
    TO="::1 $(port_of six)" relay
    ask --clients=5 --sizes=0,100,9000
    [ "$(peers_of six)" = 5 ]
}

@test "one socket for both families: an IPv4 client has its plain address" {
    require_ipv6
    ON=:: relay --allow=127.0.0.1 --allow=::1
    AT=::1 say --from="[::1]:7001" six
    AT=127.0.0.1 say --from=127.0.0.1:7001 four
    AT=::1 ask --clients=10 --sizes=0,5 --rounds=2
    AT=127.0.0.1 ask --clients=10 --sizes=0,5 --rounds=2
    [ "$(records | head -n 2)" = $'::1 3 0 opened\n127.0.0.1 4 0 opened' ]
    [ "$(how_often opened)" = 22 ]
    [ "$(peers_of target)" = 22 ]
}

# Replies come from whichever address was written to, to one client, and
# to several at once.
from_each() {
    local port i clients=()

    port=$(free_ports)
    for i in 5 4 3 2 1 3 5; do
        AT=127.0.0.$i ask --from="127.0.0.1:$port" --sizes=0,1,508 --window=3
    done
    [ "$(peers_of target)" = 5 ]
    [ "$(how_often opened)" = 5 ]
    for i in 1 2 3 4 5; do
        start "client$i" "$DATAGRAM" ask --clients=10 --sizes=9,99 --rounds=10 "127.0.0.$i" \
            "$(port_of relay)"
        clients+=("client$i")
    done
    for i in "${clients[@]}"; do
        finished "$i"
    done
    [ "$(peers_of target)" = 55 ]
}

@test "a wildcard listener: replies leave from the address that was written to" {
    ON=0.0.0.0 relay
    from_each
}

@test "a wildcard listener of both families, too" {
    require_ipv6
    ON=:: relay
    from_each
    AT=::1 ask --clients=3
}

@test "the IPv4 wildcard of an IPv6 socket, too" {
    require_ipv6
    ON=::ffff:0.0.0.0 relay
    from_each
}

@test "a wildcard listener with several IPv6 addresses" {
    require namespaces ip
    require_ipv6
    ip address add 2001:db8::1/128 dev lo nodad
    ip address add 2001:db8::2/128 dev lo nodad
    ON=:: relay
    for address in ::1 2001:db8::1 2001:db8::2 ::1; do
        AT=$address ask --from='[::1]:7777' --sizes=0,1,508
    done
    [ "$(peers_of target)" = 3 ]
    ip address delete 2001:db8::1/128 dev lo
    ip address delete 2001:db8::2/128 dev lo
}

# links: two of them to another name space, whose process is $other, with the same addresses: ours
# are fe80::1, on va and vb, the other's fe80::2, on wa and wb.
links() {
    local link

    start other unshare --net sleep 1000
    wait_for is_elsewhere
    other=$(children_of "$(cat other.pid)")
    other=${other% }
    for link in a b; do
        ip link add "v$link" type veth peer name "w$link" netns "$other"
        ip link set "v$link" up
        ip address add fe80::1/64 dev "v$link" nodad
        nsenter -t "$other" -n ip link set "w$link" up
        nsenter -t "$other" -n ip address add fe80::2/64 dev "w$link" nodad
    done
    for link in a b; do
        wait_for is_up "v$link"
        wait_for is_up "w$link" nsenter -t "$other" -n
    done
}

# is_up LINK [COMMAND...]
is_up() {
    "${@:2}" ip -o link show dev "$1" | grep -q ' state UP '
}

is_elsewhere() {
    local pid now

    pid=$(children_of "$(cat other.pid)")
    now=$(readlink "/proc/${pid% }/ns/net") && [ "$now" != "$(readlink /proc/self/ns/net)" ]
}

# from_there FROM TO: asks from that side. What is sent again has one more answer, which the next one
# that asks from there must not get: hence not soon.
from_there() {
    nsenter -t "$other" -n "$DATAGRAM" ask --from="[$1]:7001" --sizes=0,1,508 --retry=5000 "$2" \
        "$(port_of relay)"
}

@test "link-local addresses: the same one on another link is another client" {
    local other link

    require namespaces ip nsenter
    require_ipv6
    links
    ON=:: relay
    for link in a b a b; do
        from_there "fe80::2%w$link" "fe80::1%w$link"
    done
    [ "$(peers_of target)" = 2 ]
    [ "$(how_often opened)" = 2 ]
    # One link-local address alone tells of a link, too: of this one, as the kernel takes the other
    # where it is not told.
    ip address add 2001:db8::1/64 dev vb nodad
    nsenter -t "$other" -n ip address add 2001:db8::2/64 dev wb nodad
    from_there fe80::2%wb 2001:db8::1
    from_there 2001:db8::2 fe80::1%wb
    [ "$(peers_of target)" = 4 ]
    stop relay
    ON=fe80::1%va relay
    from_there fe80::2%wa fe80::1%wa
    [ "$(peers_of target)" = 5 ]
    ip link delete va
    ip link delete vb
}

@test "a broadcast is answered from an address of this host" {
    ON=0.0.0.0 relay
    AT=127.255.255.255 ask --expect-from=127.0.0.1 --sizes=0,7
}

@test "replies may be several, larger, and late; each in its order" {
    relay
    stop target
    listen_datagrams target --replies=40 127.0.0.1 "$(port_of target)" echo
    ask --replies=40 --sizes=0,1,300 --in-order --clients=5
    stop target
    listen_datagrams target --replies=3 --reply-size=60000 --delay=10 127.0.0.1 \
        "$(port_of target)" echo
    ask --replies=3 --reply-size=60000 --sizes=0,1,300 --in-order
    stop target
    listen_datagrams target --replies=2 --reply-size=0 127.0.0.1 "$(port_of target)" echo
    ask --replies=2 --reply-size=0 --sizes=0,1,300 --clients=5
}

@test "a client that does not wait for replies: the order stays, to the target and back" {
    relay
    ask --window=64 --sizes=1,2,3,4,5,60,700 --rounds=40 --in-order
    [ "$(sizes_at target)" = "$(for _ in {1..40}; do echo 1 2 3 4 5 60 700; done | xargs)" ]
}

@test "no datagram is made up, and an empty one is passed on" {
    relay
    run -0 say --from=127.0.0.1:7001 abc '' de
    [ "$output" = $'abc\n\nde' ]
    [ "$(sizes_at target)" = '3 0 2' ]
    run -0 say --from=127.0.0.1:7002 ''
    [ "$output" = '' ]
    [ "$(sizes_at target)" = '3 0 2 0' ]
    [ "$(records)" = $'127.0.0.1 3 0 opened\n127.0.0.1 0 0 opened' ]
}

@test "a session is of an address and a port" {
    relay
    ask --from=127.0.0.1:7001
    ask --from=127.0.0.1:7002
    ask --from=127.0.0.2:7001
    ask --from=127.0.0.1:7001
    ask --from=127.0.0.2:7001
    [ "$(peers_of target)" = 3 ]
    [ "$(records)" = $'127.0.0.1 32 0 opened\n127.0.0.1 32 0 opened\n127.0.0.2 32 0 opened' ]
}

@test "src: the target sees this address" {
    relay --src=127.0.0.77
    ask --clients=3
    [ "$(output_of target | cut -d ' ' -f 1 | sort -u)" = 127.0.0.77 ]
    stop relay
    relay --src=localhost
    ask --clients=3
    [ "$(output_of target | tail -n 1 | cut -d ' ' -f 1)" = 127.0.0.1 ]
}

@test "a name as target, for many clients at once, each with several datagrams waiting" {
    own_etc hosts <<<'127.0.0.1 target.test'
    TO="target.test $(port_of target)" relay
    ask --clients=25 --sizes=0,1,508 --window=6 --rounds=2 --in-order
    [ "$(peers_of target)" = 25 ]
    [ "$(cut -f 5 log | sort -u)" = target.test ]
}

# answers_and_goes FILE: a target that says that it is asked, answers that first datagram once FILE
# exists, 100 times by 10 bytes, and ends.
answers_and_goes() {
    rm -f leaver.out
    # shellcheck disable=SC2016
    start leaver perl -e '
        socket my $s, 2, 2, 0 or die $!;
        bind $s, pack "S n C4 x8", 2, 0, 127, 0, 0, 1 or die $!;
        $| = 1;
        print +(unpack "S n", getsockname $s)[1], "\n";
        my $from = recv $s, my $data, 65536, 0;
        print "asked\n";
        select undef, undef, undef, 0.01 until -e $ARGV[0];
        send $s, sprintf("%010d", $_), 0, $from for 1 .. 100;' "$1"
    wait_for test -s leaver.out
}

# The relay is told of the refusal when it has answers left to read: it reads them a part at a time.
@test "answers that came before a refusal get to the client" {
    local pid count

    require perl
    for count in 1 2; do
        rm -f go log
        writable_log log
        answers_and_goes "$T/go"
        TO="127.0.0.1 $(head -n 1 leaver.out)" relay
        exec 5<>"/dev/udp/127.0.0.1/$(port_of relay)"
        printf one >&5
        wait_for grep -q asked leaver.out
        pid=$(first)
        kill -STOP "$pid"
        touch go
        finished leaver
        for _ in $(seq "$count"); do
            printf two >&5
        done
        kill -CONT "$pid"
        wait_for has_records 2
        exec 5>&-
        [[ $(records | sed -n 2p) == '127.0.0.1 '*' 1000 done-local-closed' ]]
        stop relay
    done
}
