#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The bytes: half-closes, resets, readers that are slow or stall, who ends first, timeouts and
# signals; and what a connection costs while it lasts.

load helper
load single

# Of the relay, in milliseconds.
processor_time() {
    local number ns ticks

    number=$(<number)
    if read -r ns _ <"/proc/$number/schedstat"; then
        echo "$((ns / 1000000))"
    else
        ticks=$(cut -d ' ' -f 14,15 "/proc/$number/stat")
        echo "$((10 * (${ticks% *} + ${ticks#* })))"
    fi
} 2>/dev/null

# relay_rests: while nothing moves, the relay does next to nothing. The time is what is measured; it
# may still move something at first, and a machine that is stalled may charge a process for that.
relay_rests() {
    local before after

    for _ in 1 2 3; do
        before=$(processor_time)
        sleep 0.3
        after=$(processor_time)
        echo "used $((after - before)) ms of 300"
        ((after - before >= 100)) || return 0
    done
    return 1
}

relay_worked() {
    (($(processor_time) >= $1))
}

# in_tcp_table LOCAL REMOTE STATE: is there such a socket? See proc(5); the patterns are grep's.
in_tcp_table() {
    grep -qi " [^ ]*:$1 [^ ]*:$2 $3" /proc/net/tcp
}

hex() {
    printf %04X "$1"
}

# all_taken_by PORT: the peer that is connected to PORT has been relieved of every byte.
all_taken_by() {
    in_tcp_table '[^ ]*' "$(hex "$1")" '01 00000000:'
}

# Before that, an acknowledgement proves nothing: there may be nothing to acknowledge yet, and the
# relay may not have asked yet who the client is, or how the target took the connection.
sent_and_opened() {
    [ -e sent ] && [ -s log ]
}

connects_or_over() {
    relay_connects || [ -s log ]
}

relay_connects() {
    in_tcp_table '[^ ]*' "$(hex "$(port_of target)")" 02
}

@test "one byte, and back" {
    listen target 127.0.0.1 0 echo
    forward
    run -0 client send:x recv:1 fin eof
    [ "$output" = x ]
    ended 1 1 done-remote-closed
}

@test "every byte value comes through, and a connection without any" {
    listen target 127.0.0.1 0 echo
    forward
    [ "$(client 'send:\0\x01\xff\x80\r\n\x04' fin rest | od -An -tx1)" = ' 00 01 ff 80 0d 0a 04' ]
    ended 7 7 done-remote-closed
    rm log
    forward
    client fin eof
    ended 0 0 done-remote-closed
}

@test "the client's half-close: 1 MiB still comes back after it" {
    listen target --count=1 127.0.0.1 0 line eof data:1048576:5
    forward
    client 'send:head\n' fin check:1048576:5 eof
    finished target
    ended 5 1048576 done-remote-closed
}

@test "the target's half-close: 1 MiB still goes there after it" {
    listen target --count=1 127.0.0.1 0 'send:head\n' fin check:1048576:5 eof
    forward
    client line eof data:1048576:5 fin
    finished target
    ended 1048576 5 done-local-closed
}

@test "64 MiB each way at once" {
    listen target --count=1 127.0.0.1 0 both:67108864:1:2 eof
    forward
    client both:67108864:2:1 fin eof
    finished target
    ended 67108864 67108864 done-remote-closed
}

# bats test_tags=memory
@test "a target that stalls: what the client sends does not pile up in the relay" {
    listen target --count=1 127.0.0.1 0 wait-file:"$T/flooded" discard
    forward
    start_client pour:"$T/full" touch:"$T/flooded" wait-file:"$T/measured" fin eof
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of relay)"
    touch full
    wait_for test -e flooded
    [ "$(awk '/^VmHWM:/ { print $2 }' "/proc/$(<number)/status")" -lt 4096 ]
    touch measured
    finished client
    [ "$(<client.out)" -gt 1000000 ]
    ended "$(<client.out)" 0 done-remote-closed
}

# bats test_tags=memory
@test "a client that stalls: what the target sends does not pile up in the relay" {
    listen target --count=1 127.0.0.1 0 pour:"$T/full" touch:"$T/flooded" \
        wait-file:"$T/measured" fin eof
    forward
    start_client wait-file:"$T/flooded" discard
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of target)"
    touch full
    wait_for test -e flooded
    [ "$(awk '/^VmHWM:/ { print $2 }' "/proc/$(<number)/status")" -lt 4096 ]
    touch measured
    finished client
    [ "$(output_of target)" -gt 1000000 ]
    ended 0 "$(output_of target)" done-local-closed
}

@test "a slow client gets all 5 MB, though the target was done long before" {
    listen target --count=1 127.0.0.1 0 data:5000000:3
    forward
    "$PEER" connect --rcvbuf=4096 127.0.0.1 "$(port_of relay)" sleep:100 check:5000000:3 eof
    ended 0 5000000 done-local-closed
}

@test "a slow target gets all 5 MB, though the client was done long before" {
    listen target --count=1 --rcvbuf=4096 127.0.0.1 0 sleep:100 check:5000000:3 eof
    forward
    client data:5000000:3
    finished target
    ended 5000000 0 done-remote-closed
}

@test "the sender has closed before the first byte is read" {
    listen target --count=1 127.0.0.1 0 data:100000:3 close touch:"$T/closed"
    forward
    client wait-file:"$T/closed" check:100000:3 eof
    ended 0 100000 done-local-closed
}

@test "the client is gone before the relay starts, and what it said arrives" {
    listen target --count=1 127.0.0.1 0 rest
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 sh -c '
        until [ -e gone ]; do sleep 0.01; done; exec "$@"' - \
        "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    client send:hello
    touch gone
    finished target
    [ "$(output_of target)" = hello ]
    ended 5 0 done-remote-closed
}

@test "a reset from the client reaches the target as a reset" {
    listen target --count=1 127.0.0.1 0 line touch:"$T/heard" reset
    forward
    client 'send:go\n' wait-file:"$T/heard" rst
    finished target
    ended 3 0 done-remote-closed
}

@test "a reset from the target reaches the client as a reset" {
    listen target --count=1 127.0.0.1 0 line rst
    forward
    client 'send:go\n' reset
    ended 3 0 done-local-closed
}

@test "a reset after the client's half-close is passed on, both ways" {
    listen target --count=1 127.0.0.1 0 eof send:part rst
    forward
    client fin recv:4 reset
    ended_with done-remote-closed
    rm log
    listen target --count=1 127.0.0.1 0 fin touch:"$T/half" reset
    forward
    client eof wait-file:"$T/half" rst
    finished target
    ended 0 0 done-local-closed
}

@test "a reset in full flow, from either side, is passed on" {
    listen target --count=1 127.0.0.1 0 check:8000000:1 rst
    forward
    run -1 client data:800000000:1
    [[ $output == *reset* || $output == *pipe* ]]
    ended_with done-local-closed
    rm log
    listen target --count=1 127.0.0.1 0 data:800000000:1
    forward
    client check:8000000:1 rst
    finished target || status=$?
    [ "$status" = 1 ]
    ended_with done-remote-closed
}

@test "what the client sent before its reset is delivered to a target that is slow" {
    listen target --count=1 --rcvbuf=4096 127.0.0.1 0 wait-file:"$T/gone" check:60000:4 reset
    forward
    start_client data:60000:4 touch:"$T/sent" wait-file:"$T/taken" rst touch:"$T/gone"
    wait_for sent_and_opened
    wait_for all_taken_by "$(port_of relay)"
    touch taken
    finished client
    finished target
    ended 60000 0 done-remote-closed
}

@test "what the target sent before its reset is delivered to a client that is slow" {
    listen target --count=1 127.0.0.1 0 data:60000:4 touch:"$T/sent" wait-file:"$T/taken" \
        rst touch:"$T/gone"
    forward
    start client "$PEER" connect --rcvbuf=4096 127.0.0.1 "$(port_of relay)" \
        wait-file:"$T/gone" check:60000:4 reset
    wait_for sent_and_opened
    wait_for in_tcp_table "$(hex "$(port_of target)")" '[^ ]*' '01 00000000:'
    touch taken
    finished client
    ended 0 60000 done-local-closed
}

@test "the client resets while the target stalls: no spinning, and the end comes through" {
    listen target --count=1 127.0.0.1 0 wait-file:"$T/rested" reset
    forward
    start_client pour:"$T/full" rst
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of relay)"
    touch full
    finished client
    relay_rests
    touch rested
    finished target
    ended_with done-remote-closed
    [ "$(<client.out)" -gt 100000 ]
}

@test "the target resets while the client stalls: no spinning, and the end comes through" {
    listen target --count=1 127.0.0.1 0 pour:"$T/full" rst touch:"$T/gone"
    forward
    start_client wait-file:"$T/rested" reset
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of target)"
    touch full
    wait_for test -e gone
    relay_rests
    touch rested
    finished client
    ended_with done-local-closed
}

@test "SIGTERM ends what a reset client has left for a target that stalls" {
    listen target --count=1 127.0.0.1 0 wait-file:"$T/rested" hold
    forward
    start_client pour:"$T/full" rst
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of relay)"
    touch full
    finished client
    relay_rests
    stop relay
    [ "$(tail -n 1 relay.status)" = 0 ]
    touch rested
    stop target
}

@test "a target that answers and leaves without the rest of the request: the answer arrives" {
    listen target --count=1 127.0.0.1 0 recv:10 data:20000:7 close touch:"$T/left"
    forward
    client data:30000:1 wait-file:"$T/left" check:20000:7 closed
    relay_ends 0
    [[ $(log_of log | tail -n 1) == *'|20000|done-local-closed' ]]
}

@test "both ends close at once, 300 times: 300 opened, 300 done" {
    listen target 127.0.0.1 0 send:y
    serve relay --count=300 --status-file="$T/relay.status" 127.0.0.1 0 \
        "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    "$PEER" connect --times=300 --parallel=10 127.0.0.1 "$(port_of relay)" send:x
    finished relay
    [ "$(grep -cx 0 relay.status)" = 300 ]
    [ "$(log_of log | grep -c '|0|0|opened$')" = 300 ]
    [ "$(log_of log | grep -cE '\|(0|1)\|(0|1)\|done-(remote|local)-closed$')" = 300 ]
    [ "$(wc -l <log)" = 600 ]
}

@test "nothing moves: no processor time, whether idle, half-closed or stalled" {
    listen target --count=1 127.0.0.1 0 recv:1 touch:"$T/there" wait-file:"$T/rested" fin discard
    forward
    start_client send:x wait-file:"$T/rested" fin eof
    wait_for test -e there
    relay_rests
    touch rested
    finished client
    ended_with 'done-[a-z]*-closed'
    rm -f log there rested full
    listen target --count=1 127.0.0.1 0 eof touch:"$T/there" wait-file:"$T/rested" send:y
    forward
    start_client fin wait-file:"$T/rested" recv:1 eof
    wait_for test -e there
    relay_rests
    touch rested
    finished client
    ended 0 1 done-remote-closed
    rm -f log there rested full
    listen target --count=1 127.0.0.1 0 fin wait-file:"$T/rested" eof
    forward
    start_client eof touch:"$T/there" wait-file:"$T/rested" fin
    wait_for test -e there
    relay_rests
    touch rested
    finished client
    ended 0 0 done-local-closed
    rm -f log there rested full
    listen target --count=1 127.0.0.1 0 pour:"$T/full" touch:"$T/there" wait-file:"$T/rested" \
        fin discard
    forward
    start_client pour:"$T/full" wait-file:"$T/rested" fin discard
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of relay)"
    wait_for relay_is_stuck "$(port_of target)"
    touch full
    wait_for test -e there
    wait_for test -s client.out
    relay_rests
    touch rested
    finished client
    ended_with 'done-[a-z]*-closed'
}

@test "a client that closed both ways while the target is silent costs nothing either" {
    listen target --count=1 127.0.0.1 0 eof touch:"$T/there" wait-file:"$T/rested" send:y
    forward
    client send:
    wait_for test -e there
    relay_rests
    touch rested
    finished target
    ended_with done-remote-closed
}

@test "SIGTERM and SIGINT: one done line, and both sides see the end" {
    local signal

    for signal in TERM INT; do
        rm -f log talking
        listen target --count=1 127.0.0.1 0 recv:2 send:xyz closed
        forward
        start_client send:ab recv:3 touch:"$T/talking" closed
        wait_for test -e talking
        kill -s "$signal" "$(<number)"
        finished client
        finished target
        ended 2 3 done-local-closed
    done
}

@test "SIGTERM ends a connection in full flow at once" {
    local began

    listen target --count=1 127.0.0.1 0 both:8000000000:1:2
    forward
    start_client both:8000000000:2:1
    wait_for test -s log
    wait_for relay_worked 100
    began=${EPOCHREALTIME/./}
    kill "$(<number)"
    ended_with done-local-closed
    ((${EPOCHREALTIME/./} - began < 30000000))
}

@test "SIGTERM while the target is being connected: local-connect-failed" {
    listen target --silent 127.0.0.1 0
    forward
    start_client closed
    wait_for relay_connects
    kill "$(<number)"
    finished client
    relay_ends 1
    [[ $(log_of log) == *'|0|0|local-connect-failed -' ]]
}

@test "the client leaves while the target is being connected: local-connect-failed in time" {
    local began=${EPOCHREALTIME/./}

    listen target --silent 127.0.0.1 0
    forward --connect-timeout=1
    start_client send:hello wait-file:"$T/connecting" rst
    # Not for longer than its time
    wait_for connects_or_over
    touch connecting
    relay_ends 1
    [[ $(log_of log) == *'|0|0|local-connect-failed -' ]]
    ((${EPOCHREALTIME/./} - began < 30000000))
}

@test "a relay that is killed leaves neither side waiting" {
    listen target --count=1 127.0.0.1 0 line touch:"$T/heard" closed
    forward
    start_client 'send:x\n' closed
    wait_for test -e heard
    kill -KILL "$(<number)"
    finished client
    finished target
    relay_ends 'signal 9'
}

# One connection for each way, at once, and one that is half-closed. The traffic comes long before
# the time is up, so that whoever is slow does not miss it.
@test "an idle timeout ends the connection, half-closed or not; traffic either way puts it off" {
    local began=${EPOCHREALTIME/./} way after

    listen up --count=1 127.0.0.1 0 line closed
    listen down --count=1 127.0.0.1 0 sleep:1000 send:xy closed
    listen half --count=1 127.0.0.1 0 fin closed touch:"$T/over-half"
    for way in up down half; do
        serve "relay-$way" --count=1 127.0.0.1 0 "$RELAY" --log="$T/log-$way" --timeout=6 \
            127.0.0.1 "$(port_of "$way")"
    done
    start client-up "$PEER" connect 127.0.0.1 "$(port_of relay-up)" sleep:1000 'send:a\n' closed \
        touch:"$T/over-up"
    start client-down "$PEER" connect 127.0.0.1 "$(port_of relay-down)" recv:2 closed \
        touch:"$T/over-down"
    start client-half "$PEER" connect 127.0.0.1 "$(port_of relay-half)" eof wait-file:"$T/over-half"
    for way in up down half; do
        finished "client-$way"
        finished "$way"
        finished "relay-$way"
        after=$(($(stat -c %.3Y "over-$way" | tr -d .) - began / 1000))
        echo "$way: after $after ms"
        # The kernel dates files by its ticks
        [ "$way" = half ] || ((after >= 6950))
        ((after >= 5950 && after < 45000))
    done
    [[ $(log_of log-up | tail -n 1) == *'|2|0|done-remote-closed' ]]
    [[ $(log_of log-down | tail -n 1) == *'|0|2|done-remote-closed' ]]
    [[ $(log_of log-half | tail -n 1) == *'|0|0|done-local-closed' ]]
}

@test "an idle timeout ends a connection that stalls" {
    listen target --count=1 127.0.0.1 0 wait-file:"$T/over"
    forward --timeout=1
    start_client flood:100 wait-file:"$T/over"
    ended_with done-remote-closed
    touch over
    # Who was slow to send sees the end in the middle of that.
    finished client || grep -q 'Connection reset by peer' client.err
    finished target
}

# socket_options [ARG...]: "SIDE nodelay keepalive" of a live connection's sockets, in $T/said.
socket_options() {
    rm -f said live
    listen target --count=1 127.0.0.1 0 echo
    # A parent may look at its child's sockets: pidfd_open(2), pidfd_getfd(2).
    # shellcheck disable=SC2016
    serve relay --count=1 127.0.0.1 0 perl -e '
        my $pid = fork // die; unless ($pid) { exec @ARGV or die }
        open my $said, ">", "said.new" or die;
        select undef, undef, undef, 0.01 until -e "live";
        my $pidfd = syscall 434, $pid, 0;
        for my $fd (0, 3 .. 9) {
            next if (readlink("/proc/$pid/fd/$fd") // "") !~ /^socket:/;
            my $copy = syscall 438, $pidfd, $fd, 0;
            if ($copy < 0) { print $said "unable: $!\n"; next }
            open my $socket, "+<&=", $copy or die;
            printf $said "%s %d %d\n", $fd ? "target" : "client",
                map { unpack "i", getsockopt $socket, $_->[0], $_->[1] } [6, 1], [1, 9];
        }
        close $said; rename "said.new", "said"; waitpid $pid, 0' -- \
        "$RELAY" "$@" 127.0.0.1 "$(port_of target)"
    client send:x recv:1 touch:"$T/live" wait-file:"$T/said" fin eof
    finished relay
    ! grep -q 'unable: Operation not permitted' said || skip "may not look at another's sockets"
    ! grep -q 'unable: Function not implemented' said || skip "the kernel has no pidfd_getfd"
    cat said
}

@test "no delay on either socket, and keepalive unless it is turned off" {
    require perl
    socket_options
    [ "$(<said)" = $'client 1 1\ntarget 1 1' ]
    socket_options --keepalive=on
    [ "$(<said)" = $'client 1 1\ntarget 1 1' ]
    socket_options --keepalive=off
    [ "$(<said)" = $'client 1 0\ntarget 1 0' ]
}
