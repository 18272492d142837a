#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# rinetd-gen --apply with a xinetd that runs and includes the folder, each step judged by
# connecting.

load helper
load connections

setup() {
    common_setup
    require xinetd namespaces
    mapfile -t PORTS < <(free_ports 3)
    listen target 127.0.0.1 0 echo
    mkdir d
    printf 'defaults\n{\n}\nincludedir %s\n' "$T/d" >xinetd.conf
    writable_log log
}

# write [OPTION...]: what is in rinetd.conf, in mode $MODE, without --apply.
write() {
    "$GEN" -m "${MODE:-nowait}" -c rinetd.conf -o "${FOLDER:-d}" -r "${PROGRAM:-$RELAY}" \
        -u "${RUN_AS:-nobody}" "$@" 2>said
}

# apply [LINE...]: --apply of these lines, with the log; $FLAGS as further options.
apply() {
    [ $# = 0 ] || printf '%s\n' "logfile $T/log" "$@" >rinetd.conf
    # shellcheck disable=SC2086
    write --apply ${FLAGS-} || { cat said && return 1; }
}

# applies_not STATUS [LINE...]
applies_not() {
    local status=0

    printf '%s\n' "logfile $T/log" "${@:2}" >rinetd.conf
    write --apply || status=$?
    [ "$status" = "$1" ] || { echo "status $status, expected $1" && cat said && return 1; }
}

# up LINE...: these rules, under a xinetd that has them.
up() {
    printf '%s\n' "logfile $T/log" "$@" >rinetd.conf
    write
    start_xinetd xinetd.conf "$(services_in d/rinetd)"
}

says() {
    grep -qF -- "$1" said || { cat said && return 1; }
}

is_denied() {
    "$PEER" connect 127.0.0.1 "$1" eof
}

@test "apply: a new rule is served, a changed one goes by its new rules, open connections go on" {
    up "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    apply "$(rules "${PORTS[0]}")" 'deny 127.*' "$(rules "${PORTS[1]}")"
    is_denied "${PORTS[0]}"
    forwards "${PORTS[1]}"
    says 'has reloaded'
    goes_on one
}

@test "apply: of the connections that xinetd ends it warns, and each has its last line" {
    up "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on kept "${PORTS[0]}"
    open_client one "${PORTS[1]}" closed
    open_client two "${PORTS[1]}" closed
    FLAGS=-n apply "$(rules "${PORTS[0]}")"
    says "warning: this would end 2 connections to 127.0.0.1:${PORTS[1]}"
    says 'would reload xinetd'
    says "would change d/rinetd"
    forwards "${PORTS[1]}"
    apply "$(rules "${PORTS[0]}")"
    says "warning: ending 2 connections to 127.0.0.1:${PORTS[1]}"
    finished one
    finished two
    is_refused "${PORTS[1]}"
    [ "$(grep -c "${PORTS[1]}.*done-local-closed" log)" = 2 ]
    goes_on kept
}

@test "apply: a deny bites at once with a pool that runs, and open connections go on" {
    MODE="wait"
    up "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[0]}"
    open_and_going_on two "${PORTS[1]}"
    apply "$(rules "${PORTS[0]}")" 'deny 127.*' "$(rules "${PORTS[1]}")"
    old_is_gone
    is_denied "${PORTS[0]}"
    forwards "${PORTS[1]}"
    goes_on one
    goes_on two
    apply
    run ! grep -E 'ending process|changed' said
}

@test "apply: with -n the same is said of whom it would end as without" {
    for MODE in nowait wait; do
        up "$(rules "${PORTS[@]:0:2}")"
        open_client one "${PORTS[0]}" closed
        open_client two "${PORTS[1]}" closed
        FLAGS=-n apply "$(rules "${PORTS[0]}")" 'deny 127.*'
        ended <said | sed 's/would end process/ending process/; s/this would end/ending/' >told
        apply
        diff told <(ended <said)
        [ "$(wc -l <told)" = 1 ]
        stop one || true
        stop two || true
        stop xinetd
    done
}

ended() {
    grep -E 'process .* old rules|connections? to'
}

first_process() {
    pgrep -P "$(cat xinetd.number)"
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

# Whoever was told to end has done so: until then he may yet take a client.
old_is_gone() {
    local pid

    pid=$(sed -n 's/.*ending process \([0-9]*\),.*/\1/p' said)
    [[ $pid =~ ^[0-9]+$ ]] || { echo "not one process: $pid" && return 1; }
    wait_for is_gone "$pid"
}

@test "apply: another user, or another relay, and the first process is not the old one" {
    local old uid

    MODE="wait"
    up "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    old=$(first_process)
    RUN_AS=daemon apply
    says "ending process $old, which has old rules"
    wait_for is_gone "$old"
    open_and_going_on two "${PORTS[0]}"
    old=$(first_process)
    uid=$(sed -n 's/^Uid:\t\([0-9]*\).*/\1/p' "/proc/$old/status")
    [ "$uid" = "$(id -u daemon)" ]
    cp "$RELAY" relay
    RUN_AS=daemon PROGRAM=$T/relay apply
    says "ending process $old, which has old rules"
    wait_for is_gone "$old"
    forwards "${PORTS[0]}"
    [ "$(readlink "/proc/$(first_process)/exe")" = "$T/relay" ]
    goes_on one
    goes_on two
    RUN_AS=daemon PROGRAM=$T/relay apply
    run ! grep 'ending process' said
}

@test "apply: a rule that is gone in wait mode: its connections go on" {
    MODE="wait"
    up "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[1]}"
    apply "$(rules "${PORTS[0]}")"
    soon_refused "${PORTS[1]}"
    run ! grep warning: said
    goes_on one
    forwards "${PORTS[0]}"
}

@test "apply: a rule changes its mode and back" {
    up "$(rules "${PORTS[0]}")"
    open_client one "${PORTS[0]}" closed
    MODE="wait" apply
    says "warning: ending 1 connection to 127.0.0.1:${PORTS[0]}"
    finished one
    forwards "${PORTS[0]}"
    open_and_going_on two "${PORTS[0]}"
    MODE=nowait apply
    forwards "${PORTS[0]}"
    goes_on two
}

@test "apply: what a run without it has left is made good" {
    MODE="wait"
    up "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    { rules "${PORTS[0]}" && echo 'deny 127.*' && rules "${PORTS[1]}"; } >rinetd.conf
    write
    apply
    old_is_gone
    is_denied "${PORTS[0]}"
    forwards "${PORTS[1]}"
    goes_on one
}

@test "apply: without a xinetd the files are written, and it is said" {
    applies_not 3 "$(rules "${PORTS[0]}")"
    says 'created d/rinetd'
    says 'xinetd does not run'
    [ -s d/rinetd ]
}

@test "apply: a xinetd that reads another folder is no success" {
    up "$(rules "${PORTS[0]}")"
    mkdir e
    FOLDER=e applies_not 3 "$(rules "${PORTS[1]}")"
    says "did not read e/rinetd"
    forwards "${PORTS[0]}"
}

@test "apply: a port that is taken is no success" {
    up "$(rules "${PORTS[0]}")"
    listen other 127.0.0.1 0 hold
    applies_not 3 "$(rules "${PORTS[0]}" "$(port_of other)")"
    says "xinetd does not listen at 127.0.0.1:$(port_of other)"
    forwards "${PORTS[0]}"
}

@test "apply: the private xinetd of --run is not the one" {
    mkdir -m 755 tmp
    rules "${PORTS[0]}" >run.conf
    TMPDIR=$T/tmp start gen "$GEN" --run -c run.conf -r "$RELAY" -u nobody
    wait_for or_over gen grep -q listening gen.err
    applies_not 3 "$(rules "${PORTS[1]}")"
    says 'xinetd does not run'
    stop gen
}
