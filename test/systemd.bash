# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load systemd` after the helper: a real systemd with a journal of its own, for one test. Its
# network is that of the tests, so clients and targets run outside, as for any other superserver;
# $T and the programs are inside, too, at the same paths.

start_systemd() {
    require namespaces
    rm -f "$T/systemd.out"
    start systemd "$BATS_TEST_DIRNAME/with-systemd" "$BATS_RUN_TMPDIR" "$BUILD" \
        "$(realpath "$BATS_TEST_DIRNAME/..")" ${SANITIZER_LOGS:+"$SANITIZER_LOGS"}
    WAIT_S=240 wait_for or_over systemd grep -q '^ready ' "$T/systemd.out" || return 1
    if ! grep -q '^ready ' "$T/systemd.out"; then
        [ "$(finished systemd; echo $?)" != 77 ] || skip "$(tail -n 1 "$T/systemd.err")"
        cat "$T/systemd.err"
        return 1
    fi
    SYSTEMD=$(sed -n 's/^ready //p' "$T/systemd.out")
}

# `make install` of this build, to where it goes without further words.
install_inside() {
    inside env -u MAKEFLAGS -u MAKELEVEL make -C "$BATS_TEST_DIRNAME/.." -s -o all O="$BUILD" install
}

stop_systemd() {
    stop systemd
}

# Into it, in the current folder: before a command for `start`, which takes no functions.
door() {
    DOOR=(nsenter --target "$SYSTEMD" --mount --uts --ipc --pid --cgroup -- env -C "$PWD" --)
}

# inside COMMAND...: runs it there.
inside() {
    door
    "${DOOR[@]}" "$@"
}

# serve_inside NAME [--OPTION...] ADDR PORT COMMAND...: the minimal inetd, there.
serve_inside() {
    local name=$1

    shift
    rm -f "$T/$name.port"
    door
    start "$name" "${DOOR[@]}" "$PEER" serve --port-file="$T/$name.port" "$@"
    wait_for or_over "$name" test -s "$T/$name.port"
    [ -s "$T/$name.port" ] || { cat "$T/$name.err" && return 1; }
}

# journal [ARG...]: what journalctl says, after all that was sent to it so far is in it.
journal() {
    inside journalctl --sync
    inside journalctl --no-pager --quiet "$@"
}

# units MODE [LINE...]: these rules, or those of $T/rinetd.conf as it is, become units in place of
# all before, and their sockets are started. What is said of them is in $T/said.
units() {
    local mode=$1 sockets

    shift
    [ $# = 0 ] || printf '%s\n' "$@" >"$T/rinetd.conf"
    inside "$GEN" -c "$T/rinetd.conf" -f systemd -m "$mode" -r "$RELAY" -o "$UNITS" \
        2>"$T/said" || { cat "$T/said" && return 1; }
    inside systemctl daemon-reload
    mapfile -t sockets < <(inside find "$UNITS" -name 'rinetd-*.socket' -printf '%f\n')
    inside systemctl start "${sockets[@]}"
}
UNITS=/etc/systemd/system

# in_both_modes COMMAND: once in each mode, which is $MODE, under a systemd of its own. $MODES can
# name one of them, for who works on that.
in_both_modes() {
    for MODE in ${MODES:-nowait wait}; do
        echo "mode $MODE:"
        start_systemd
        "$@"
        stop_systemd
        rm -f "$T"/*.{out,err}
    done
}

# service_of PORT [ADDR]: the name of the one service, or of all the instances, of that rule.
service_of() {
    if [ "$MODE" = wait ]; then
        echo "rinetd-tcp-${2:-127.0.0.1}-$1.service"
    else
        echo "rinetd-tcp-${2:-127.0.0.1}-$1@*.service"
    fi
}

# relays: the numbers, inside, of the processes that run as the user of the relay.
relays() {
    inside pgrep -u rinetd || true
}

# hold NAME [--OPTION...] ADDR PORT: a connection that has said one byte and got it back, and ends well after
# `release NAME`.
hold() {
    rm -f "$T/$1.held" "$T/$1.go"
    start "$1" "$PEER" connect "${@:2}" send:a recv:1 touch:"$T/$1.held" \
        wait-file:"$T/$1.go" send:b recv:1 fin eof
    wait_for or_over "$1" test -e "$T/$1.held"
    [ -e "$T/$1.held" ] || { cat "$T/$1.err" && return 1; }
}

release() {
    touch "$T/$1.go"
    finished "$1"
    [ "$(cat "$T/$1.out")" = ab ]
}

echoes() {
    [ "$("$PEER" connect "$@" send:hello recv:5 fin eof)" = hello ]
}
