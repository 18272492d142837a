# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load systemd` after the helper: a real systemd with a journal of its own, for one test. Its
# network is that of the tests, so clients and targets run outside, as for any other superserver;
# $T and the programs are inside, too, at the same paths.

# start_systemd [PATH...]: which are the same inside and out, too.
start_systemd() {
    require namespaces
    rm -f "$T/systemd.out"
    start systemd "$BATS_TEST_DIRNAME/with-systemd" "$BATS_RUN_TMPDIR" "$BUILD" \
        "$(realpath "$BATS_TEST_DIRNAME/..")" ${SANITIZER_LOGS:+"$SANITIZER_LOGS"} "$@"
    WAIT_S=60 wait_for or_over systemd grep -q '^ready ' "$T/systemd.out" || return 1
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
