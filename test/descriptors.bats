#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What the relay is started with: the client's socket on 0, 1 and 2 as inetd does it, closed
# descriptors, other things than a connection, and what a parent leaves open. Whatever goes wrong,
# the client gets no byte of the relay's own, and the administrator gets a reason.

load helper

# silent STATUS ARG...: with 0, 1 and 2 the client's socket, the relay ends with this status, and
# the client sees nothing of it.
silent() {
    relay_once "${@:2}"
    "$PEER" connect 127.0.0.1 "$(port_of relay)" closed
    relay_ends "$1"
}

# told STATUS REASON ARG...: silent to the client, and syslog has the reason.
told() {
    silent "$1" "${@:3}"
    wait_for grep -qE "^<27>.* rinetd-relay\[[0-9]+\]: .*$2" syslog.out
}

# started HOW ARG...: the relay, started by the shell words HOW, "$@" being its command line.
started() {
    # shellcheck disable=SC2016
    serve relay --count=1 --stderr="$T/said" --status-file="$T/relay.status" 127.0.0.1 0 \
        bash -c "$1" - "$RELAY" "${@:2}"
}

client() {
    "$PEER" connect 127.0.0.1 "$(port_of relay)" "$@"
}

# on_socket KIND COMMAND...: with a socket of this kind as standard input.
on_socket() {
    require perl
    # shellcheck disable=SC2016
    perl -e '
        my $kind = shift;
        socket my $s, 2, $kind eq "stream" ? 1 : 2, 0 or die $!;
        $kind eq "unbound" or bind $s, pack "S n C4 x8", 2, 0, 127, 0, 0, 1 or die $!;
        open STDIN, "<&", $s or die $!;
        exec @ARGV or die $!' "$@"
}

@test "the client's socket on 0, 1 and 2: not a byte of ours, whatever goes wrong" {
    local port

    port=$(free_ports)
    silent 2
    silent 2 --no-such-option 127.0.0.1 "$port"
    silent 2 --timeout=x 127.0.0.1 "$port"
    silent 2 127.0.0.1 99999
    silent 2 --help
    silent 2 -h
    silent 2 --version
    silent 2 -V
    silent 2 --resolve
    silent 1 127.0.0.1 "$port"
    silent 1 --log=/no/such/log 127.0.0.1 "$port"
    silent 1 --src=192.0.2.7 127.0.0.1 "$port"
    silent 1 unix:/no/such/socket
    silent 0 --deny=* 127.0.0.1 "$port"
    silent 0 --deny=* --log=/no/such/log 127.0.0.1 "$port"
    silent 0 --refused --log=/dev/full 127.0.0.1 "$port"
}

@test "the client's socket on 0, 1 and 2: syslog has the reason" {
    local port

    require namespaces
    start_syslog
    port=$(free_ports)
    told 2 'expected HOST PORT'
    told 2 'unknown option "--no-such-option"' --no-such-option 127.0.0.1 "$port"
    told 2 'not for a connection' --help
    told 2 'not for a connection' --version
    told 1 "port $port: Connection refused" 127.0.0.1 "$port"
    told 1 'unable to write /no/such/log: No such file' --log=/no/such/log 127.0.0.1 "$port"
}

@test "without a syslog there is nobody to tell, and nothing else changes" {
    require namespaces
    rm -f /dev/log
    silent 2 --no-such-option 127.0.0.1 9
    silent 1 --log=/no/such/log 127.0.0.1 "$(free_ports)"
    silent 1 --log=syslog 127.0.0.1 "$(free_ports)"
    listen target 127.0.0.1 0 echo
    relay_once --log=syslog 127.0.0.1 "$(port_of target)"
    run -0 client send:hello fin rest
    [ "$output" = hello ]
    relay_ends 0
}

@test "descriptor 2 is a file: messages go there" {
    local port

    port=$(free_ports)
    # shellcheck disable=SC2016
    started 'exec "$@"' 127.0.0.1 "$port"
    client closed
    relay_ends 1
    [ "$(<said)" = \
        "rinetd-relay: unable to connect to 127.0.0.1 (127.0.0.1) port $port: Connection refused" ]
    rm said
    # shellcheck disable=SC2016
    started 'exec "$@"' --no-such-option 127.0.0.1 "$port"
    client closed
    relay_ends 2
    [ "$(<said)" = 'rinetd-relay: unknown option "--no-such-option"; --help lists them all' ]
}

@test "descriptor 2 is a file: that the log can't be written goes to syslog even so" {
    require namespaces
    start_syslog
    listen target 127.0.0.1 0 echo
    # shellcheck disable=SC2016
    started 'exec "$@"' --log=/no/such/log 127.0.0.1 "$(port_of target)"
    run -0 client send:hello fin rest
    [ "$output" = hello ]
    relay_ends 0
    wait_for grep -q 'unable to write /no/such/log: .*; lost: .*done-remote-closed' syslog.out
    [ ! -s said ]
}

@test "--help and --version go to standard output, and a failure there is one" {
    run -0 --separate-stderr "$RELAY" --help </dev/null
    [[ $output == 'usage: rinetd-relay [options] HOST PORT'* ]]
    [[ $output == *--connect-timeout=SECONDS*--keepalive=on\|off*--max=N*--per-source=N* ]]
    [[ $output == *--linger=SECONDS*--wrap=NAME* ]]
    # shellcheck disable=SC2154
    [ -z "$stderr" ]
    run -0 --separate-stderr "$RELAY" --version </dev/null
    [ "$output" = "rinetd-relay $(<"$BATS_TEST_DIRNAME/../VERSION")" ]
    # shellcheck disable=SC2016
    run -3 sh -c '"$1" --version >/dev/full' - "$RELAY"
}

@test "1 and 2 are closed: served, and nothing else lands on the target or the client" {
    local closed

    listen target 127.0.0.1 0 line send:welcome eof
    # shellcheck disable=SC2016
    for closed in 'exec "$@" >&-' 'exec "$@" 2>&-' 'exec "$@" >&- 2>&-'; do
        started "$closed" --log=/no/such/log 127.0.0.1 "$(port_of target)"
        run -0 client 'send:hi\n' recv:7 fin rest
        [ "$output" = welcome ]
        relay_ends 0
        started "$closed" --no-such-option 127.0.0.1 "$(port_of target)"
        client closed
        relay_ends 2
        started "$closed" 127.0.0.1 "$(free_ports)"
        client closed
        relay_ends 1
    done
    [ "$(output_of target)" = $'hi\nhi\nhi' ]
}

@test "2 is closed: syslog has the messages" {
    require namespaces
    start_syslog
    # shellcheck disable=SC2016
    started 'exec "$@" 2>&-' --no-such-option
    client closed
    relay_ends 2
    wait_for grep -q 'rinetd-relay\[[0-9]*\]: unknown option' syslog.out
}

@test "0 is closed, or all three are: exit status 2" {
    run -2 bash -c '"$@" <&-' - "$RELAY" 127.0.0.1 9
    [[ $output == "rinetd-relay: standard input is not a socket: start it from xinetd or inetd"* ]]
    run -2 bash -c '"$@" <&- >&- 2>&-' - "$RELAY" 127.0.0.1 9
    [ -z "$output" ]
    run -2 bash -c '"$@" <&- >&-' - "$RELAY" --nonsense
    [[ $output == 'rinetd-relay: unknown option'* ]]
}

@test "0 is no socket: exit status 2, and the message says what to do" {
    local file

    : >file
    for file in /dev/null file .; do
        run -2 "$RELAY" --log="$T/log" 127.0.0.1 9 <"$file"
        [[ $output == 'rinetd-relay: standard input is not a socket: start it from xinetd'* ]]
    done
    # shellcheck disable=SC2002
    run -2 bash -c 'echo | "$@"' - "$RELAY" --log="$T/log" 127.0.0.1 9
    [[ $output == 'rinetd-relay: standard input is not a socket: '* ]]
    [ ! -e log ]
}

@test "0 is a datagram socket, but not one to be served: exit status 2, and the message says so" {
    run -2 on_socket unbound "$RELAY" --log="$T/log" 127.0.0.1 9
    [[ $output == 'rinetd-relay: standard input is a datagram socket that is not bound to a port' ]]
    run -2 on_socket udp "$RELAY" --log="$T/log" "unix:$T/socket"
    [[ $output == 'rinetd-relay: a unix socket is no target for datagrams' ]]
    run -2 on_socket udp "$RELAY" --log="$T/log" --wrap=web 127.0.0.1 9
    [[ $output == 'rinetd-relay: --wrap and --refused are for connections: '* ]]
    run -2 on_socket udp "$RELAY" --log="$T/log" --refused 127.0.0.1 9
    [[ $output == 'rinetd-relay: --wrap and --refused are for connections: '* ]]
    [ ! -e log ]
}

@test "0 is a socket that was never connected: accept-failed" {
    run -0 on_socket stream "$RELAY" --log="$T/log" 127.0.0.1 9
    [[ $(log_of log) == '?|127.0.0.1|'*'|127.0.0.1|9|0|0|accept-failed -' ]]
}

@test "0 is a unix stream: without access lists it is served, with them nobody can match" {
    listen target 127.0.0.1 0 echo
    serve relay --count=1 --status-file="$T/relay.status" "unix:$T/socket" "$RELAY" \
        --log="$T/log" 127.0.0.1 "$(port_of target)"
    run -0 "$PEER" connect "unix:$T/socket" send:hello fin rest
    [ "$output" = hello ]
    relay_ends 0
    [[ $(log_of log | tail -n 1) == '?|?|0|127.0.0.1|'*'|5|5|done-remote-closed' ]]
    rm log
    serve relay --count=1 --status-file="$T/relay.status" "unix:$T/socket" "$RELAY" \
        --log="$T/log" --allow='*' 127.0.0.1 "$(port_of target)"
    "$PEER" connect "unix:$T/socket" closed
    relay_ends 0
    [[ $(log_of log) == *'|0|0|not-allowed' ]]
}

@test "SIGPIPE is at its default: a side that is gone does not kill the relay" {
    listen target 127.0.0.1 0 recv:1000 rst
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
        env --default-signal=PIPE "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    run -1 client data:100000000
    relay_ends 0
    [[ $(log_of log | tail -n 1) == *done-local-closed ]]
    listen target --count=1 127.0.0.1 0 data:100000000
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
        env --default-signal=PIPE "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    client check:1000 close
    relay_ends 0
}

@test "SIGPIPE is at its default, and nobody reads standard error: the status is as ever" {
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
        env --default-signal=PIPE bash -c '
            exec 2> >(exit); until ! kill -0 "$!" 2>/dev/null; do sleep 0.01; done; exec "$@"' - \
        "$RELAY" --log="$T/log" --no-such-option 127.0.0.1 9
    client closed
    relay_ends 2
}

@test "signals that a parent blocked or ignored still end the connection" {
    listen target --count=1 127.0.0.1 0 line closed
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 \
        env --block-signal=TERM --ignore-signal=TERM "$RELAY" --log="$T/log" \
        127.0.0.1 "$(port_of target)"
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" 'send:x\n' closed
    wait_for test -s log
    stop relay
    [ "$(tail -n 1 relay.status)" = 0 ]
    finished client
    finished target
    [[ $(log_of log | tail -n 1) == *done-local-closed ]]
}

@test "descriptors that a parent leaves open, the client's socket among them, do no harm" {
    # shellcheck disable=SC2016
    local leaky='exec 3<&0 4>/dev/null 5</dev/null 9<&0 200<&0; exec "$@"'

    listen target --count=1 127.0.0.1 0 line eof send:welcome
    started "$leaky" --log="$T/log" 127.0.0.1 "$(port_of target)"
    run -0 client 'send:x\n' fin rest
    [ "$output" = welcome ]
    relay_ends 0
    finished target
    listen target --count=1 127.0.0.1 0 line rst
    started "$leaky" 127.0.0.1 "$(port_of target)"
    client 'send:x\n' reset
    relay_ends 0
    started "$leaky" --deny=* 127.0.0.1 9
    client closed
    relay_ends 0
}

@test "while bytes move, four descriptors are open, and 1 and 2 are no sockets" {
    listen target 127.0.0.1 0 echo
    # shellcheck disable=SC2016
    started 'echo "$$" >number; exec "$@" >&- 2>&-' --log="$T/log" 127.0.0.1 "$(port_of target)"
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" send:x recv:1 touch:"$T/there" \
        wait-file:"$T/seen" fin eof
    wait_for test -e there
    [ "$(find "/proc/$(<number)/fd" -type l | wc -l)" = 4 ]
    [ "$(readlink "/proc/$(<number)/fd/1")" = /dev/null ]
    [ "$(readlink "/proc/$(<number)/fd/2")" = /dev/null ]
    touch seen
    finished client
    relay_ends 0
}

@test "an empty environment and a folder that is gone" {
    listen target 127.0.0.1 0 echo
    # shellcheck disable=SC2016
    started 'mkdir gone; cd gone; rmdir ../gone; exec env -i "$@"' --log="$T/log" \
        127.0.0.1 "$(port_of target)"
    run -0 client send:hello fin rest
    [ "$output" = hello ]
    relay_ends 0
    [ "$(wc -l <log)" = 2 ]
}
