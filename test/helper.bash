# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# For bats files: `load helper` first. Programs: $RELAY $GEN $WRAP $PEER $DATAGRAM; this test's
# folder: $T. What a test starts by `start NAME`, and by all that is built on it, writes to $T/NAME.out
# and $T/NAME.err, and is ended with all its descendants by `stop NAME` or at the test's end.
bats_require_minimum_version 1.5.0
load servers

RELAY=${BUILD:?}/rinetd-relay GEN=$BUILD/rinetd-gen WRAP=$BUILD/rinetd-wrap PEER=$BUILD/peer
DATAGRAM=$BUILD/datagram
export RELAY GEN WRAP PEER DATAGRAM

setup() {
    common_setup
}

teardown() {
    common_teardown
}

common_setup() {
    chmod 755 "$BATS_RUN_TMPDIR" # so that $T can be reached by other users
    T=$BATS_TEST_TMPDIR
    cd "$T" || return 1
}

common_teardown() {
    local file

    # bats shows this if the test failed
    [ -n "${BATS_TEST_COMPLETED-}" ] || tail -n 50 "$T"/*.{err,log} 2>/dev/null || true
    for file in "$T"/*.pid; do
        [ ! -f "$file" ] || stop "$(basename "$file" .pid)" || true
    done
    for file in "$T"/etc/*; do
        [ ! -f "$file" ] || cat "$file" >"/etc/${file##*/}"
    done
    for file in "$T"/sys/*; do
        [ ! -f "$file" ] || cat "$file" >"/proc/sys/net/ipv4/${file##*/}"
    done
}

# require WHAT...: root, namespaces or a command; else skips. For setup() and tests: a skip in
# setup_file is a failure to bats 1.8.
require() {
    local what

    for what; do
        case $what in
        root) [ "$(id -u)" = 0 ] || skip "needs root" ;;
        namespaces) [ -n "${NAMESPACED-}" ] || skip "needs root and name spaces" ;;
        *) command -v "$what" >/dev/null || skip "$what is not installed" ;;
        esac
    done
}

# wait_for COMMAND...: until it succeeds, for at most ${WAIT_S:-60} seconds.
wait_for() {
    local end=$((SECONDS + ${WAIT_S:-60}))

    until "$@"; do
        if ((SECONDS > end)); then
            echo "waited in vain for: $*"
            return 1
        fi
        sleep 0.01
    done
}

# Call it in the test's own shell, neither in `run` nor in a subshell. What another of the same name
# has said is gone at once, not when the new process gets to it.
start() {
    local name=$1

    shift
    {
        "$PEER" under "$@" </dev/null 3>&- 4>&- &
    } >"$T/$name.out" 2>"$T/$name.err"
    echo "$!" >"$T/$name.pid"
}

# stop NAME: ends it, and returns its exit status, 0 if it died of our signal.
stop() {
    local status=0

    kill -TERM "$(cat "$T/$1.pid")" 2>/dev/null || true
    finished "$1" || status=$?
    [ "$status" = 143 ] || return "$status"
}

# finished NAME: waits for its own end, and returns its exit status.
finished() {
    local pid

    pid=$(cat "$T/$1.pid")
    rm "$T/$1.pid"
    wait "$pid"
}

is_running() {
    [ -f "$T/$1.pid" ] && kill -0 "$(cat "$T/$1.pid")" 2>/dev/null
}

# or_over NAME COMMAND...: as a condition to wait for, so that nobody waits for the dead.
or_over() {
    "${@:2}" || ! is_running "$1"
}

# The user that a relay runs as: one who may do nothing, or the caller.
user_for_relay() {
    if [ "$(id -u)" = 0 ]; then echo nobody; else id -un; fi
}

# writable_log FILE...: made as the user of the relay needs it.
writable_log() {
    touch "$@"
    chmod 640 "$@"
    [ "$(id -u)" != 0 ] || chown nobody "$@"
}

# as_user NAME COMMAND...
as_user() {
    local name=$1

    shift
    if [ "$(id -un)" = "$name" ]; then
        "$@"
    else
        setpriv --reuid="$name" --regid="$(id -g "$name")" --clear-groups "$@"
    fi
}

# own_etc FILE: standard input becomes /etc/FILE until the test's end.
own_etc() {
    require namespaces
    mkdir -p "$T/etc"
    [ -f "$T/etc/$1" ] || cat "/etc/$1" >"$T/etc/$1" 2>/dev/null || true
    cat >"/etc/$1"
}

# own_ipv4 NAME VALUE: of /proc/sys/net/ipv4, until the test's end; see tcp(7).
own_ipv4() {
    require namespaces
    mkdir -p "$T/sys"
    [ -f "$T/sys/$1" ] || cat "/proc/sys/net/ipv4/$1" >"$T/sys/$1"
    echo "$2" >"/proc/sys/net/ipv4/$1"
}
