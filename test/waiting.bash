# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load waiting` after the helper: a relay that has the listening socket. The superserver is called
# `relay` in all of this, whatever it is; what the relay says is in $T/said, its log in $T/log, the
# exit status of its first process in $T/relay.status.

# hand [--OPTION...] ADDR PORT COMMAND...: the listener for COMMAND when the first client comes, and
# again after it has ended.
hand() {
    start_peer hand relay --stderr="$T/said" --status-file="$T/relay.status" "$@"
}

# hand_relay [ARG...]: a relay to `target`, on a free port.
hand_relay() {
    hand 127.0.0.1 0 "$RELAY" --log="$T/log" "$@" 127.0.0.1 "$(port_of target)"
}

# client [--OPTION...] ACTION...
client() {
    local options=()

    while [[ ${1-} == --* ]]; do
        options+=("$1")
        shift
    done
    "$PEER" connect "${options[@]}" 127.0.0.1 "$(port_of relay)" "$@"
}

# greets [--OPTION...]: a client is served, from the first byte to the end.
greets() {
    [ "$(client "$@" send:hello recv:5 fin eof)" = hello ]
}

# hold NAME [--from=ADDR] [ACTION...]: a client that is served, and stays until $T/NAME.go is there;
# then the actions, by default a last exchange and the end.
hold() {
    local name=$1 options=() port

    shift
    port=$(port_of relay)
    rm -f "$T/$name.up" "$T/$name.go"
    [[ ${1-} != --* ]] || { options=("$1") && shift; }
    [ $# != 0 ] || set -- send:world recv:5 fin eof
    start "$name" "$PEER" connect "${options[@]}" 127.0.0.1 "$port" send:hello recv:5 \
        touch:"$T/$name.up" wait-file:"$T/$name.go" "$@"
    wait_for or_over "$name" test -e "$T/$name.up"
    is_running "$name"
}

# let_go NAME: it ends well.
let_go() {
    touch "$T/$1.go"
    finished "$1"
}

# fails NAME: it ends as it should not.
fails() {
    if finished "$1"; then return 1; fi
}

children_of() {
    cat "/proc/$1/task/$1/children" 2>/dev/null
}

# The superserver, and the relay's first process, which is its child.
superserver() {
    children_of "$(cat "$T/relay.pid")" | cut -d ' ' -f 1
}

first() {
    children_of "$(superserver)" | tr -d ' '
}

workers() {
    children_of "$(first)"
}

count_workers() {
    workers | wc -w
}

# has_workers TEST: for wait_for; TEST as for test(1): has_workers -ge 4
has_workers() {
    test "$(count_workers)" "$@"
}

# Workers that serve somebody: those whose descriptor 0 is a socket.
busy_workers() {
    local pid

    for pid in $(workers); do
        [[ $(readlink "/proc/$pid/fd/0") != socket:* ]] || echo "$pid"
    done
}

idle_workers() {
    comm -23 <(workers | xargs -n 1 | sort) <(busy_workers | sort)
}

# is_at_rest WORKER: it waits for a connection, and nothing of the last one is left to be done.
is_at_rest() {
    [ ! -e "/proc/$1/fd/0" ] && grep -qs '^State:.S' "/proc/$1/status"
}

# is_calm N: there are so many workers, and the first process, which watches for some milliseconds
# after each connection whether another one waits, has slept for longer than that.
is_calm() {
    local pid before

    pid=$(first)
    before=$(sleeps "$pid") && sleep 0.1 && [ "$(sleeps "$pid")" = "$before" ] &&
        has_workers -eq "$1"
}

sleeps() {
    grep -qs '^State:.S' "/proc/$1/status" && grep ctxt_switches "/proc/$1/status"
}

# halt PID...: returns when they are stopped.
halt() {
    local pid

    kill -STOP "$@"
    for pid; do
        wait_for grep -q '^State:.T' "/proc/$pid/status"
    done
}

is_gone() {
    [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"
}

has_status() {
    [ "$(tail -n 1 "$T/relay.status" 2>/dev/null)" = "$1" ]
}

# inode_of PORT: of its listening socket
inode_of() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf ':%04X' "$1")" '
        $4 == "0A" && substr($2, length($2) - 4) == port { print $10 }'
}

# holders INODE: the processes that have this socket
holders() {
    find /proc/[0-9]*/fd -lname "socket:\[$1\]" 2>/dev/null | cut -d / -f 3 | sort -u
}

has_no_holder() {
    [ -z "$(holders "$1")" ]
}

# ticks PID: of the processor, used so far
ticks() {
    awk '{ print $14 + $15 }' "/proc/$1/stat"
}

# how_often WORD: lines of the log that end so
how_often() {
    grep -c "$1\$" "$T/log"
}

logged_times() {
    [ "$(how_often "$1")" = "$2" ]
}
