#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Wait mode: the relay is given the listening socket, by each superserver that can, and serves what
# comes there as it serves a single connection.

load helper
load waiting

setup() {
    common_setup
    listen target 127.0.0.1 0 echo
    writable_log log
}

# on_xinetd ADDR PORT [ARG...]: a service by hand.
on_xinetd() {
    cat >xinetd.conf <<XINETD
service waiting
{
    type = UNLISTED
    socket_type = stream
    protocol = tcp
    flags = IPv6
    wait = yes
    user = $(user_for_relay)
    bind = $1
    port = $2
    server = $RELAY
    server_args = --log=$T/log ${*:3} 127.0.0.1 $(port_of target)
}
XINETD
    start_xinetd xinetd.conf
}

# on_inetd LISTENER PROTOCOL [ARG...]
on_inetd() {
    echo "$1 stream $2 wait $(user_for_relay) $RELAY rinetd-relay --log=$T/log ${*:3}" \
        "127.0.0.1 $(port_of target)" >inetd.conf
    start_inetd inetd.conf
}

# serves_twice ADDR PORT: two at once, one after the other's end, and the log has it all.
serves_twice() {
    start one "$PEER" connect "$1" "$2" send:hello recv:5 wait-file:"$T/go" fin eof
    wait_for logged_times opened 1
    [ "$("$PEER" connect "$1" "$2" send:world recv:5 fin eof)" = world ]
    touch go
    finished one
    wait_for logged_times done-remote-closed 2
    [ "$("$PEER" connect "$1" "$2" send:again recv:5 fin eof)" = again ]
    wait_for logged_times done-remote-closed 3
    [ "$(log_of log | cut -d '|' -f 1 | sort -u)" = "$1" ]
    [ "$(log_of log | cut -d '|' -f 2,3 | sort -u)" = "$1|$2" ]
    [ "$(wc -l <log)" = 6 ]
}

require_ipv6() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
}

@test "xinetd, wait = yes: IPv4" {
    local port

    port=$(free_ports)
    on_xinetd 127.0.0.1 "$port"
    serves_twice 127.0.0.1 "$port"
}

@test "xinetd, wait = yes: IPv6" {
    local port

    require_ipv6
    port=$(free_ports)
    on_xinetd ::1 "$port"
    serves_twice ::1 "$port"
}

@test "xinetd takes the socket back when it was quiet, and starts the relay again" {
    local port pid

    port=$(free_ports)
    on_xinetd 127.0.0.1 "$port" --linger=1
    start one "$PEER" connect 127.0.0.1 "$port" send:x recv:1 touch:"$T/up" wait-file:"$T/go" \
        fin eof
    wait_for test -e up
    pid=$(cut -d' ' -f1 /proc/"$(<xinetd.number)"/task/"$(<xinetd.number)"/children)
    touch go
    finished one
    wait_for is_gone "$pid"
    "$PEER" connect 127.0.0.1 "$port" send:x recv:1 fin eof
    wait_for logged_times done-remote-closed 2
}

@test "openbsd-inetd, wait: IPv4" {
    local port

    port=$(free_ports)
    on_inetd "127.0.0.1:$port" tcp
    serves_twice 127.0.0.1 "$port"
}

@test "openbsd-inetd, wait: IPv6, and again after it was quiet" {
    local port

    require_ipv6
    port=$(free_ports)
    on_inetd "[::1]:$port" tcp6 --linger=1
    serves_twice ::1 "$port"
    wait_for no_child inetd
    [ "$("$PEER" connect ::1 "$port" send:hello recv:5 fin eof)" = hello ]
}

no_child() {
    [ -z "$(children_of "$(children_of "$(cat "$T/$1.pid")" | cut -d ' ' -f 1)")" ]
}

@test "systemd-socket-activate, with --inetd and without" {
    local port how

    require systemd-socket-activate
    for how in --inetd --; do
        port=$(free_ports)
        : >log
        start activate systemd-socket-activate -l "127.0.0.1:$port" "$how" "$RELAY" \
            --log="$T/log" 127.0.0.1 "$(port_of target)"
        wait_listening activate "$port"
        serves_twice 127.0.0.1 "$port"
        stop activate
        rm go
    done
}

@test "LISTEN_FDS of another process, or of two sockets, is not taken" {
    # shellcheck disable=SC2016
    local moved='exec 3<&0 </dev/null; exec "$@"'

    # shellcheck disable=SC2016
    hand 127.0.0.1 0 bash -c "export LISTEN_PID=1 LISTEN_FDS=1; $moved" - "$RELAY" 127.0.0.1 9
    client rst
    wait_for has_status 2
    grep -q 'standard input is not a socket' said
    stop relay
    rm relay.status
    # shellcheck disable=SC2016
    hand 127.0.0.1 0 bash -c "export LISTEN_PID=\$\$ LISTEN_FDS=2; $moved" - "$RELAY" 127.0.0.1 9
    client rst
    wait_for has_status 2
}

@test "a listener on 0, 1 and 2: replaced where it stood, and syslog is told of trouble" {
    local pid inode

    require namespaces
    start_syslog
    start_peer hand relay 127.0.0.1 0 "$RELAY" --log="$T/log" 127.0.0.1 "$(free_ports)"
    client closed
    wait_for grep -qE 'rinetd-relay\[[0-9]+\]: unable to connect to 127.0.0.1' syslog.out
    inode=$(inode_of "$(port_of relay)")
    for pid in $(first) $(workers); do
        [ "$(find "/proc/$pid/fd" -lname "socket:\[$inode\]" | wc -l)" = 1 ]
        [ "$(readlink "/proc/$pid/fd/1")" = /dev/null ]
        [ "$(readlink "/proc/$pid/fd/2")" = /dev/null ]
    done
}

@test "descriptors that a parent leaves open, the listener among them" {
    local inode

    # shellcheck disable=SC2016
    hand --count=1 127.0.0.1 0 bash -c 'exec 3<&0 9<&0 200<&0; exec "$@"' - \
        "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    hold one
    inode=$(inode_of "$(port_of relay)")
    kill "$(first)"
    wait_for has_status 0
    wait_for has_no_holder "$inode"
    let_go one
}

@test "access lists, for each connection" {
    hand_relay --allow=127.0.0.* --deny=127.0.0.2,127.0.0.3
    greets --from=127.0.0.1
    client --from=127.0.0.2 closed
    client --from=127.0.1.1 closed
    client --from=127.0.0.3 closed
    greets --from=127.0.0.4
    wait_for logged_times done-remote-closed 2
    [ "$(log_of log | awk -F '|' '/denied|allowed|opened/ { print $1, $NF }')" = \
        "127.0.0.1 opened
127.0.0.2 denied
127.0.1.1 not-allowed
127.0.0.3 denied
127.0.0.4 opened" ]
    [ ! -s said ]
}

@test "a listener on a unix socket" {
    hand "unix:$T/socket" "$RELAY" --log="$T/log" --per-source=1 --max=2 \
        127.0.0.1 "$(port_of target)"
    for _ in 1 2 3; do
        [ "$("$PEER" connect "unix:$T/socket" send:hello recv:5 fin eof)" = hello ]
    done
    wait_for logged_times done-remote-closed 3
}

@test "the target can't be reached, and can be later" {
    local port

    port=$(port_of target)
    hand_relay
    stop target
    client closed
    client closed
    [ "$(how_often 'local-connect-failed -')" = 2 ]
    listen target 127.0.0.1 "$port" echo
    greets
}

is_busy_or_over() {
    [ -n "$(busy_workers)" ] || ! is_running client
}

@test "a look-up that was given up on ends with its worker, not in the next client's" {
    local pid='' clients=0

    RESOLVER_S=30 name_server silent
    hand 127.0.0.1 0 "$RELAY" --log="$T/log" --connect-timeout=2 --linger=60 no.such.host 9
    # If its time was up before we looked, it may have left already: then another one is watched.
    until [ -n "$pid" ]; do
        ((++clients < 10))
        start client "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
        wait_for is_busy_or_over
        pid=$(busy_workers)
        finished client
    done
    wait_for logged_times 'local-connect-failed -' "$clients"
    wait_for is_gone "$pid"
    wait_for has_workers -ge 3
    client closed
    wait_for logged_times 'local-connect-failed -' "$((clients + 1))"
    grep -q 'unable to look up no.such.host: .* timed out' said
    run ! grep -q died said
}

@test "clients that are gone before they are accepted are no trouble, and are logged" {
    local idle

    hand_relay --max=3
    greets
    wait_for logged_times done-remote-closed 1
    wait_for has_workers = 3
    mapfile -t idle < <(workers | xargs -n 1)
    halt "${idle[@]}"
    client --times=50 --parallel=5 rst
    kill -CONT "${idle[@]}"
    wait_for logged_times 'accept-failed -' 50
    greets
    wait_for logged_times done-remote-closed 2
    [ "$(wc -l <log)" = 54 ]
    # All three may have been at it when the first process looked.
    run ! grep -v ' connections are open, which is --max: ' said
}

@test "--max, --per-source and --linger mean nothing for a single connection" {
    relay_once --log="$T/log" --max=1 --per-source=1 --linger=1 127.0.0.1 "$(port_of target)"
    [ "$(client send:hello recv:5 fin eof)" = hello ]
    relay_ends 0
}

# socket_options PID: "SIDE nodelay keepalive oobinline" of its connections
socket_options() {
    # shellcheck disable=SC2016
    perl -e '
        my $pid = 0 + shift; # a number, for syscall
        my $pidfd = syscall 434, $pid, 0; # pidfd_open(2)
        for my $fd (0, 3 .. 9) {
            next if (readlink("/proc/$pid/fd/$fd") // "") !~ /^socket:/;
            my $copy = syscall 438, $pidfd, $fd, 0; # pidfd_getfd(2)
            if ($copy < 0) { print "unable: $!\n"; next }
            open my $socket, "+<&=", $copy or die;
            next if unpack "i", getsockopt $socket, 1, 30; # SO_ACCEPTCONN
            printf "%s %d %d %d\n", $fd ? "target" : "client",
                map { unpack "i", getsockopt $socket, $_->[0], $_->[1] } [6, 1], [1, 9], [1, 10];
        }' "$1" | tee options
    ! grep -q 'unable: Operation not permitted' options || skip "may not look at another's sockets"
    ! grep -q 'unable: Function not implemented' options || skip "the kernel has no pidfd_getfd"
}

@test "no delay, urgent bytes in line, and keepalive unless it is off: for the first client, too" {
    require root perl
    hand_relay
    hold one
    socket_options "$(busy_workers)"
    [ "$(<options)" = $'client 1 1 1\ntarget 1 1 1' ]
    let_go one
    stop relay
    hand_relay --keepalive=off
    hold one
    socket_options "$(busy_workers)"
    [ "$(<options)" = $'client 1 0 1\ntarget 1 0 1' ]
    let_go one
}
