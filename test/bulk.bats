#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Bulk data, which go through pipes: what arrives, when there are pipes, and what happens where
# there can be none.

# shellcheck disable=SC2034 # UNDER and TARGET are of forward

load helper
load single

# More than all buffers between two peers hold.
MUCH=67108864

# has_pipes N: the relay has so many ends of pipes.
has_pipes() {
    [ "$(find "/proc/$(<number)/fd" -lname 'pipe:*' 2>/dev/null | wc -l)" = "$1" ]
}

# Through a relay to what listens as `target`.
moves_both_ways() {
    forward
    client both:$MUCH:2:1 fin eof
    finished target
    relay_ends 0
    [[ $(log_of log | tail -n 1) == *"|$MUCH|$MUCH|done-remote-closed" ]]
}

@test "64 MiB each way at once: IPv4, IPv6 and unix sockets" {
    listen target --count=1 127.0.0.1 0 both:$MUCH:1:2 eof
    moves_both_ways
    listen target --count=1 "unix:$T/socket" both:$MUCH:1:2 eof
    TARGET=unix:$T/socket moves_both_ways
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
    listen target --count=1 ::1 0 both:$MUCH:1:2 eof
    TARGET="::1 $(port_of target)" moves_both_ways
}

@test "much and little by turns, each way by itself: every byte in its place" {
    local up=() down=() i n

    RANDOM=1
    for i in {1..25}; do
        n=$(((RANDOM % 2 ? RANDOM * 60 : RANDOM / 20) + 1))
        up+=("data:$n:$i") down+=("check:$n:$i")
        n=$(((RANDOM % 2 ? RANDOM * 60 : RANDOM / 20) + 1))
        up+=("check:$n:$((99 * i))") down+=("data:$n:$((99 * i))")
    done
    listen target --count=1 127.0.0.1 0 "${down[@]}" eof
    forward
    client "${up[@]}" fin eof
    finished target
    ended_with done-remote-closed
}

# stalls_with_pipe: the relay of `forward`, whose pipe is full, and then empty, and then gone.
stalls_with_pipe() {
    listen target --count=1 "$@" wait-file:"$T/go" check:$MUCH:1 touch:"$T/got" line send:x eof
    forward
    start_client data:$MUCH:1 wait-file:"$T/rested" 'send:\n' recv:1 fin eof
    wait_for has_pipes 2
}

# is_full: of what the client pours the relay takes no more, and it has a pipe.
is_full() {
    wait_for has_pipes 2
    wait_for relay_is_stuck "$(port_of relay)"
    has_pipes 2
    touch full
    wait_for test -e flooded
}

@test "a target that stalls keeps what is in the pipe, and gets all; the quiet pipe is closed" {
    stalls_with_pipe 127.0.0.1 0
    touch go
    wait_for test -e got
    wait_for has_pipes 0
    touch rested
    finished client
    finished target
    ended $((MUCH + 1)) 1 done-remote-closed
}

@test "the same with a unix socket" {
    TARGET=unix:$T/socket stalls_with_pipe "unix:$T/socket"
    touch go
    wait_for has_pipes 0
    touch rested
    finished client
    finished target
    relay_ends 0
    [[ $(log_of log | tail -n 1) == *"|$((MUCH + 1))|1|done-remote-closed" ]]
}

@test "no pipe for small messages, however many" {
    local i actions=()

    for i in {1..20}; do
        actions+=(both:20000:5:5)
    done
    listen target --count=1 127.0.0.1 0 echo
    forward
    start_client "${actions[@]}" touch:"$T/there" wait-file:"$T/seen" fin eof
    wait_for test -e there
    has_pipes 0
    touch seen
    finished client
    ended 400000 400000 done-remote-closed
}

# Where the buffers are small the client can't send all of it before the target goes on.
sent_or_stuck() {
    [ -e sent ] || relay_is_stuck "$(port_of relay)"
}

@test "a half-close with much still in the pipe: the other side gets it, and then the end" {
    # By the first bytes, which are taken slowly, there is a pipe for the others.
    listen target --count=1 --rcvbuf=4096 127.0.0.1 0 check:2000000:2 touch:"$T/taken" \
        wait-file:"$T/go" check:2500000:3 eof send:x
    forward
    start_client data:2000000:2 data:2500000:3 fin touch:"$T/sent" recv:1 eof
    wait_for test -e taken
    wait_for sent_or_stuck
    wait_for has_pipes 2
    touch go
    finished client
    finished target
    ended 4500000 1 done-remote-closed
}

@test "a reset while the pipe is full, from either side, is passed on" {
    listen target --count=1 127.0.0.1 0 wait-file:"$T/go" rst
    forward
    start_client pour:"$T/full" touch:"$T/flooded" reset
    is_full
    touch go
    finished client
    ended_with done-local-closed
    rm -f log go full flooded
    listen target --count=1 127.0.0.1 0 wait-file:"$T/go" reset
    forward
    start_client pour:"$T/full" touch:"$T/flooded" rst
    is_full
    touch go
    finished client
    finished target
    ended_with done-remote-closed
    [ "$(log_of log | tail -n 1 | cut -d '|' -f 6)" -le "$(<client.out)" ]
}

@test "SIGTERM while the pipe is full ends the connection" {
    listen target --count=1 127.0.0.1 0 wait-file:"$T/go" reset
    forward
    start_client pour:"$T/full" touch:"$T/flooded" closed
    is_full
    kill "$(<number)"
    ended_with done-local-closed
    finished client
    touch go
    finished target
}

@test "no descriptor is left for a pipe: read and written" {
    require prlimit
    UNDER=(prlimit --nofile=5)
    listen target --count=1 127.0.0.1 0 both:$MUCH:1:2 eof
    moves_both_ways
    rm log
    listen target --count=1 127.0.0.1 0 wait-file:"$T/go" discard
    forward
    start_client pour:"$T/full" touch:"$T/flooded" wait-file:"$T/go"
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of relay)"
    has_pipes 0
    touch full
    wait_for test -e flooded
    touch go
    finished client
    relay_ends 0
}

# The user of whom nothing else runs.
AS_HOARDER=(setpriv --reuid=54321 --regid=54321 --clear-groups --)

# start_hoard: of large pipes, as many as that user may have.
start_hoard() {
    # shellcheck disable=SC2016
    start hoard "${AS_HOARDER[@]}" perl -e '
        my @kept;
        while (@kept < 2000 && pipe my $out, my $in) {
            fcntl $in, 1031, 1048576 or last; # F_SETPIPE_SZ
            push @kept, $out, $in;
        }
        $| = 1;
        print "full\n";
        sleep 60'
    wait_for test -s hoard.out
}

@test "as a user with no large pipe left: read and written, and with a pipe later" {
    require root perl setpriv
    [ "$(</proc/sys/fs/pipe-user-pages-soft)" -gt 0 ] || skip "pipes are not limited here"
    UNDER=("${AS_HOARDER[@]}")
    install -m 666 /dev/null log
    start_hoard
    listen target --count=1 127.0.0.1 0 both:$MUCH:1:2 eof
    moves_both_ways
    listen target --count=1 127.0.0.1 0 wait-file:"$T/go" discard
    forward
    rm log
    install -m 666 /dev/null log
    start_client pour:"$T/full" touch:"$T/flooded" wait-file:"$T/go" flood:20000 fin
    wait_for test -s log
    wait_for relay_is_stuck "$(port_of relay)"
    has_pipes 0
    touch full
    wait_for test -e flooded
    stop hoard
    touch go
    wait_for has_pipes 2
    stop client
    relay_ends 0
}
