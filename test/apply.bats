#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# rinetd-gen -f systemd --apply under a real systemd: each step is judged by connecting, and open
# connections are to outlive it.

load helper
load connections
load systemd

UNITS=/etc/systemd/system

setup() {
    common_setup
    require systemctl
    [ "$BATS_TEST_NUMBER" -le 2 ] || start_systemd
    mapfile -t PORTS < <(free_ports 3)
    listen target 127.0.0.1 0 echo
}

name_of() {
    echo "rinetd-tcp-127.0.0.1-$1"
}

# write [OPTION...]: what is in $T/rinetd.conf, in mode $MODE, without --apply.
write() {
    inside env --default-signal PATH="${FAKE:+$FAKE:}$PATH" "$GEN" -f systemd -m "${MODE:-wait}" -c "$T/rinetd.conf" \
        -o "${FOLDER:-$UNITS}" -r "$RELAY" -u "${RUN_AS:-nobody}" "$@" 2>said
}

# apply [LINE...]: --apply of these lines; $FLAGS as further options.
apply() {
    [ $# = 0 ] || printf '%s\n' "$@" >rinetd.conf
    # shellcheck disable=SC2086
    write --apply ${FLAGS-} || { cat said && return 1; }
}

# applies_not STATUS [LINE...]
applies_not() {
    local status=0

    printf '%s\n' "${@:2}" >rinetd.conf
    write --apply || status=$?
    [ "$status" = "$1" ] || { echo "status $status, expected $1" && cat said && return 1; }
}

# said LINE...: these, and none else, of what is not a warning.
said() {
    diff <(printf 'rinetd-gen: %s\n' "$@") <(grep -v 'warning: ' said)
}

says() {
    grep -qF -- "$1" said || { cat said && return 1; }
}

# What systemd has of us, and what lies in its folder.
everything() {
    inside systemctl show -p Id,ActiveState,InvocationID,UnitFileState,MainPID \
        "${PORTS[@]/#/rinetd-tcp-127.0.0.1-}" "${PORTS[@]/%/.socket}" 'rinetd-tcp-*'
    inside find "$UNITS" -name 'rinetd*' -printf '%p %l %i %T@\n' | sort
}

files() {
    inside sh -c "cd $UNITS && cksum rinetd-* && ls sockets.target.wants" 2>&1
}

pool_of() {
    inside systemctl show -p MainPID --value "$(name_of "$1").service"
}

# A systemctl that stands before the real one in the PATH: what is on standard input, and then the
# real one's work.
fake_systemctl() {
    FAKE=$T/fake
    mkdir -p "$FAKE"
    { echo '#!/bin/sh' && cat && echo "exec $(command -v systemctl) \"\$@\""; } >"$FAKE/systemctl"
    chmod 755 "$FAKE/systemctl"
}

deny_all() {
    rules "$1"
    echo 'deny 127.*'
}

# is_closed PORT: at once where systemd alone has had the listener, soon where workers have, too.
is_closed() {
    if [ "${MODE-}" = nowait ]; then is_refused "$1"; else soon_refused "$1"; fi
}

is_denied() {
    "$PEER" connect 127.0.0.1 "$1" eof
}

@test "apply: what it cannot be used with" {
    local status=0

    echo >rinetd.conf
    run -2 "$GEN" -c rinetd.conf --apply
    [[ $output == *"--apply is for what --output-dir writes"* ]]
    run -2 "$GEN" -c rinetd.conf --apply -o . -f inetd
    [[ $output == *"--apply cannot be used with inetd"* ]]
    run -2 "$GEN" -c rinetd.conf --apply --run
    run -2 "$GEN" -c rinetd.conf --apply -n
}

@test "apply: without a systemd nothing is written" {
    require namespaces
    mkdir d
    rules "${PORTS[0]}" >rinetd.conf
    run -3 "$GEN" -f systemd -c rinetd.conf -o d -r "$RELAY" -u nobody --apply
    [[ $output == *"systemd does not run here"* ]]
    [ -z "$(ls -A d)" ]
}

@test "apply: a folder that systemd does not read is left alone" {
    mkdir d
    FOLDER=$T/d applies_not 3 "$(rules "${PORTS[0]}")"
    says "systemd does not read units from $T/d"
    [ -z "$(ls -A d)" ]
}

@test "apply: a folder that generators fill is left alone" {
    inside mkdir -p /run/systemd/generator
    FOLDER=/run/systemd/generator applies_not 3 "$(rules "${PORTS[0]}")"
    says "what is in /run/systemd/generator is made by systemd's generators"
    [ -z "$(inside ls -A /run/systemd/generator)" ]
}

@test "apply: new rules serve, also at the next boot, and a second time there is nothing to do" {
    local before

    apply "$(rules "${PORTS[@]:0:2}")"
    forwards "${PORTS[0]}"
    forwards "${PORTS[1]}"
    says "enabled $(name_of "${PORTS[0]}").socket"
    says "started $(name_of "${PORTS[0]}").socket"
    inside systemctl is-enabled "$(name_of "${PORTS[1]}").socket"
    before=$(everything)
    apply
    said 'nothing to do'
    FLAGS=-n apply
    said 'nothing to do'
    diff <(echo "$before") <(everything)
}

@test "apply: below /run it is enabled until the next boot" {
    FOLDER=/run/systemd/system
    inside mkdir -p "$FOLDER"
    apply "$(rules "${PORTS[0]}")"
    forwards "${PORTS[0]}"
    [ "$(inside systemctl is-enabled "$(name_of "${PORTS[0]}").socket")" = enabled-runtime ]
    apply
    said 'nothing to do'
    apply ''
    is_closed "${PORTS[0]}"
    [ -z "$(inside find "$FOLDER" -name 'rinetd*')" ]
}

@test "apply: units that a generator had made are enabled for good" {
    local units=/run/systemd/generator

    inside mkdir -p /etc/systemd/system-generators
    rules "${PORTS[0]}" >rinetd.conf
    inside tee /etc/systemd/system-generators/rinetd-generator >/dev/null <<GENERATOR
#!/bin/sh
$GEN -f systemd -c $T/rinetd.conf -o \$1 -r $RELAY -u nobody
mkdir \$1/sockets.target.wants
ln -s ../$(name_of "${PORTS[0]}").socket \$1/sockets.target.wants
GENERATOR
    inside chmod 755 /etc/systemd/system-generators/rinetd-generator
    inside systemctl daemon-reload
    inside systemctl start "$(name_of "${PORTS[0]}").socket"
    inside test -e "$units/$(name_of "${PORTS[0]}").socket"
    open_and_going_on one "${PORTS[0]}"
    apply
    says "enabled $(name_of "${PORTS[0]}").socket"
    forwards "${PORTS[0]}"
    apply
    said 'nothing to do'
    inside rm /etc/systemd/system-generators/rinetd-generator
    inside systemctl daemon-reload
    [ "$(inside systemctl is-enabled "$(name_of "${PORTS[0]}").socket")" = enabled ]
    inside systemctl stop "$(name_of "${PORTS[0]}").socket" "$(name_of "${PORTS[0]}").service"
    wait_for not_listening "${PORTS[0]}" # else a worker may still have the port
    inside systemctl start sockets.target
    forwards "${PORTS[0]}"
    goes_on one
}

@test "apply: what was enabled until the next boot alone is enabled for good" {
    local socket

    socket=$(name_of "${PORTS[0]}").socket
    rules "${PORTS[0]}" >rinetd.conf
    write
    inside systemctl enable --runtime "$socket"
    [ "$(inside systemctl is-enabled "$socket")" = enabled-runtime ]
    apply
    says "enabled $socket"
    [ "$(inside systemctl is-enabled "$socket")" = enabled ]
    apply
    said 'nothing to do'
}

removed_rule() {
    local kept gone

    apply "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[0]}"
    open_and_going_on two "${PORTS[1]}"
    kept=$(inside systemctl show -p InvocationID,ActiveState "$(name_of "${PORTS[1]}").socket")
    apply "$(rules "${PORTS[1]}")"
    gone=$(name_of "${PORTS[0]}")
    says "disabled $gone.socket"
    says "stopped $gone.socket"
    is_closed "${PORTS[0]}"
    forwards "${PORTS[1]}"
    goes_on one
    goes_on two
    [ -z "$(inside find "$UNITS" -name "$gone*")" ]
    [ "$(inside systemctl show -p InvocationID,ActiveState "$(name_of "${PORTS[1]}").socket")" = \
        "$kept" ]
    apply
    said 'nothing to do'
}

@test "apply: a rule that is gone is closed, its connections and all others go on (wait)" {
    removed_rule
}

@test "apply: a rule that is gone is closed, its connections and all others go on (nowait)" {
    MODE=nowait removed_rule
}

@test "apply: a deny bites at once, with a pool running, and open connections go on" {
    local pool other

    apply "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[0]}"
    forwards "${PORTS[1]}"
    pool=$(pool_of "${PORTS[0]}") other=$(pool_of "${PORTS[1]}")
    [ "$pool" != 0 ]
    apply "$(deny_all "${PORTS[0]}")" "$(rules "${PORTS[1]}")"
    is_denied "${PORTS[0]}"
    [ "$(pool_of "${PORTS[0]}")" != "$pool" ]
    [ "$(pool_of "${PORTS[1]}")" = "$other" ]
    said "changed $UNITS/$(name_of "${PORTS[0]}").service" \
        "restarted $(name_of "${PORTS[0]}").service"
    goes_on one
    apply
    said 'nothing to do'
}

@test "apply: a deny bites at once where each connection is a unit, and open ones go on" {
    MODE=nowait
    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    apply "$(deny_all "${PORTS[0]}")"
    is_denied "${PORTS[0]}"
    goes_on one
    apply
    said 'nothing to do'
}

@test "apply: a rule whose socket changes is opened anew, and its connections go on" {
    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    inside sed -i 's/^Backlog=.*/Backlog=7/' "$UNITS/$(name_of "${PORTS[0]}").socket"
    inside systemctl daemon-reload
    apply
    says "restarted $(name_of "${PORTS[0]}").socket"
    forwards "${PORTS[0]}"
    goes_on one
    apply
    said 'nothing to do'
}

@test "apply: a rule changes its mode, and back, and connections go on" {
    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    MODE=nowait apply
    says "restarted $(name_of "${PORTS[0]}").socket"
    forwards "${PORTS[0]}"
    [ "$(inside systemctl show -p Accept --value "$(name_of "${PORTS[0]}").socket")" = yes ]
    open_and_going_on two "${PORTS[0]}"
    MODE=nowait apply
    said 'nothing to do'
    apply
    says "restarted $(name_of "${PORTS[0]}").socket"
    forwards "${PORTS[0]}"
    [ "$(pool_of "${PORTS[0]}")" != 0 ]
    goes_on one
    goes_on two
    apply
    said 'nothing to do'
}

@test "apply: with -n nothing is touched, and all of it is told" {
    local before

    apply "$(rules "${PORTS[@]:0:2}")"
    forwards "${PORTS[0]}"
    before=$(everything)
    FLAGS=-n apply "$(deny_all "${PORTS[0]}")" "$(rules "${PORTS[2]}")"
    diff <(echo "$before") <(everything)
    said "would change $UNITS/$(name_of "${PORTS[0]}").service" \
        "would create $UNITS/$(name_of "${PORTS[2]}").socket" \
        "would create $UNITS/$(name_of "${PORTS[2]}").service" \
        "would remove $UNITS/$(name_of "${PORTS[1]}").service" \
        "would remove $UNITS/$(name_of "${PORTS[1]}").socket" \
        "would disable $(name_of "${PORTS[1]}").socket" \
        "would stop $(name_of "${PORTS[1]}").socket" \
        "would enable $(name_of "${PORTS[2]}").socket" \
        "would restart $(name_of "${PORTS[0]}").service" \
        "would start $(name_of "${PORTS[2]}").socket"
    forwards "${PORTS[1]}"
}

@test "apply: what a run without it has left is made good" {
    apply "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[0]}"
    open_and_going_on two "${PORTS[1]}"
    { deny_all "${PORTS[0]}" && rules "${PORTS[2]}"; } >rinetd.conf
    write
    apply
    is_denied "${PORTS[0]}"
    is_closed "${PORTS[1]}"
    forwards "${PORTS[2]}"
    inside systemctl is-enabled "$(name_of "${PORTS[2]}").socket"
    [ -z "$(inside find "$UNITS" -name "$(name_of "${PORTS[1]}")*")" ]
    goes_on one
    goes_on two
    apply
    said 'nothing to do'
}

@test "apply: what a run without it and a daemon-reload have left is made good" {
    apply "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[0]}"
    forwards "${PORTS[1]}"
    { deny_all "${PORTS[0]}" && rules "${PORTS[2]}"; } >rinetd.conf
    write
    inside systemctl daemon-reload
    apply
    is_denied "${PORTS[0]}"
    is_closed "${PORTS[1]}"
    [ -z "$(inside find "$UNITS" -name "$(name_of "${PORTS[1]}")*")" ]
    goes_on one
    apply
    said 'nothing to do'
}

@test "apply: a service that was started anew before systemd had read its file is, again" {
    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    deny_all "${PORTS[0]}" >rinetd.conf
    write
    inside systemctl restart "$(name_of "${PORTS[0]}").service"
    inside systemctl daemon-reload
    forwards "${PORTS[0]}"
    FLAGS=-n apply
    said "would restart $(name_of "${PORTS[0]}").service"
    apply
    said "restarted $(name_of "${PORTS[0]}").service"
    is_denied "${PORTS[0]}"
    goes_on one
    apply
    said 'nothing to do'
}

@test "apply: a socket that somebody has changed, and not opened anew, is" {
    apply "$(rules "${PORTS[0]}")"
    forwards "${PORTS[0]}"
    MODE=nowait write
    inside systemctl daemon-reload
    MODE=nowait apply
    says "restarted $(name_of "${PORTS[0]}").socket"
    says "stopped $(name_of "${PORTS[0]}").service"
    says "warning: $(name_of "${PORTS[0]}").service ends with its open connections"
    forwards "${PORTS[0]}"
    MODE=nowait apply
    said 'nothing to do'
}

# drop_in UNIT LINE...
drop_in() {
    inside mkdir -p "$UNITS/$1.d"
    printf '%s\n' "${@:2}" | inside tee "$UNITS/$1.d/own.conf" >/dev/null
}

@test "apply: a command through another program is the same command" {
    local service

    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    service=$(name_of "${PORTS[0]}").service
    drop_in "$service" '[Service]' 'ExecStart=' \
        "$(inside sed -n "s|^ExecStart=|&$(command -v env) |p" "$UNITS/$service")"
    inside systemctl daemon-reload
    apply
    said "restarted $service"
    forwards "${PORTS[0]}"
    apply
    said 'nothing to do'
    drop_in "$service" '[Service]' 'Environment=A=B'
    apply
    said "restarted $service"
    forwards "${PORTS[0]}"
    apply
    said 'nothing to do'
    goes_on one
}

@test "apply: what somebody has added to a socket is opened" {
    local socket

    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    socket=$(name_of "${PORTS[0]}").socket
    drop_in "$socket" '[Socket]' 'ListenStream=' "ListenStream=127.0.0.1:${PORTS[1]}"
    inside systemctl daemon-reload
    apply
    says "restarted $socket"
    forwards "${PORTS[1]}"
    is_closed "${PORTS[0]}"
    apply
    said 'nothing to do'
    drop_in "$socket" '[Socket]' 'ListenStream=' "ListenStream=127.0.0.1:${PORTS[2]}"
    apply
    says "restarted $socket"
    forwards "${PORTS[2]}"
    apply
    said 'nothing to do'
    goes_on one
}

@test "apply: a run that was killed in the middle is made good by the next" {
    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    { deny_all "${PORTS[0]}" && rules "${PORTS[1]}"; } >rinetd.conf
    fake_systemctl <<'FAKE'
case $1 in daemon-reload) kill -KILL "$PPID"; exit 1 ;; esac
FAKE
    write --apply || true
    FAKE=
    apply
    is_denied "${PORTS[0]}"
    forwards "${PORTS[1]}"
    goes_on one
    apply
    said 'nothing to do'
}

other_mode() {
    if [ "$1" = wait ]; then echo nowait; else echo wait; fi
}

@test "apply: a signal in the middle acts when all is open again" {
    local signal status mode='wait'

    apply "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[0]}"
    for signal in INT TERM HUP PIPE; do
        mode=$(other_mode "$mode")
        fake_systemctl <<<"case \$1 in stop) kill -$signal \$PPID ;; esac"
        status=0
        MODE=$mode write --apply || status=$?
        [ "$status" != 0 ]
        says "restarted $(name_of "${PORTS[1]}").socket"
        forwards "${PORTS[0]}"
        forwards "${PORTS[1]}"
        FAKE=
        MODE=$mode apply
        said 'nothing to do'
    done
    goes_on one
}

# not_all_served PORT...
not_all_served() {
    local port

    for port; do
        forwards "$port" 2>/dev/null || return 0
    done
    return 1
}

@test "apply: wherever a run is killed, the next one makes it good" {
    local point ports mode='wait' killed=0

    mapfile -t ports < <(free_ports 8)
    apply "$(rules "${ports[@]}")"
    open_and_going_on one "${ports[0]}"
    for point in 1 2 3 4 5 6 7 8; do
        rm -f count
        fake_systemctl <<FAKE
echo >>$T/count
[ "\$(wc -l <$T/count)" != $point ] || kill -KILL "\$PPID"
FAKE
        mode=$(other_mode "$mode")
        MODE=$mode write --apply || ((killed += 1))
        FAKE=
        MODE=$mode apply
        run ! not_all_served "${ports[@]}"
        MODE=$mode apply
        said 'nothing to do'
    done
    [ "$killed" = 8 ]
    goes_on one
}

@test "apply: two at once with other rules do not mix them" {
    apply "$(rules "${PORTS[0]}")"
    rules "${PORTS[1]}" >rinetd.conf
    fake_systemctl <<FAKE
case \$1 in daemon-reload) touch $T/there; until [ -e $T/go ]; do sleep 0.01; done ;; esac
FAKE
    door
    start first "${DOOR[@]}" env PATH="$T/fake:$PATH" "$GEN" -f systemd -c "$T/rinetd.conf" \
        -o "$UNITS" -r "$RELAY" -u nobody --apply
    wait_for or_over first test -e there
    rules "${PORTS[2]}" >second.conf
    start second "${DOOR[@]}" "$GEN" -f systemd -c "$T/second.conf" -o "$UNITS" -r "$RELAY" \
        -u nobody --apply
    wait_for or_over second waits_for_folder
    is_running second
    touch go
    finished first
    finished second
    is_closed "${PORTS[1]}"
    forwards "${PORTS[2]}"
    FAKE='' FLAGS="-c $T/second.conf" apply
    said 'nothing to do'
}

# Two have it open.
waits_for_folder() {
    [ "$(inside sh -c 'readlink /proc/[0-9]*/fd/*' | grep -cx "$UNITS")" = 2 ]
}

@test "apply: sockets that somebody stopped, and services that failed, are started again" {
    local name

    apply "$(rules "${PORTS[0]}")"
    name=$(name_of "${PORTS[0]}")
    inside systemctl stop "$name.socket"
    inside systemctl disable "$name.socket"
    is_closed "${PORTS[0]}"
    apply
    said "enabled $name.socket" "started $name.socket"
    forwards "${PORTS[0]}"
}

@test "apply: a port that is taken: files and sockets are as before" {
    local before

    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    before=$(files)
    listen other 127.0.0.1 0 hold
    applies_not 3 "$(deny_all "${PORTS[0]}")" "$(rules "$(port_of other)" "${PORTS[1]}")"
    says "unable to start $(name_of "$(port_of other)").socket"
    says 'put back what was there: the files and sockets are as before'
    diff <(echo "$before") <(files)
    forwards "${PORTS[0]}"
    is_closed "${PORTS[1]}"
    goes_on one
    stop other
    apply "$(rules "${PORTS[0]}")"
    said 'systemd has read the units again'
}

@test "apply: rinetd, which units stop, runs again when they are refused" {
    inside tee "$UNITS/rinetd.service" >unit <<<$'[Service]\nExecStart=/bin/sleep 1000'
    inside systemctl daemon-reload
    inside systemctl start rinetd
    listen other 127.0.0.1 0 hold
    applies_not 3 "$(rules "${PORTS[0]}" "$(port_of other)")"
    says 'put back what was there'
    inside systemctl is-active rinetd
    stop other
    apply "$(rules "${PORTS[0]}")"
    run ! inside systemctl is-active rinetd
}

@test "apply: systemd that does not read its files: removed and changed rules serve on" {
    local before

    apply "$(rules "${PORTS[@]:0:2}")"
    forwards "${PORTS[1]}"
    open_and_going_on one "${PORTS[0]}"
    before=$(files)
    fake_systemctl <<'FAKE'
case $1 in daemon-reload) [ -e tried ] || { touch tried; echo 'no room' >&2; exit 1; } ;; esac
FAKE
    applies_not 3 "$(rules "${PORTS[1]}")" 'deny 127.*'
    says 'systemctl: no room'
    says 'put back what was there'
    diff <(echo "$before") <(files)
    forwards "${PORTS[0]}"
    forwards "${PORTS[1]}"
    goes_on one
    FAKE=
    apply "$(rules "${PORTS[@]:0:2}")"
    said 'systemd has read the units again'
}

@test "apply: a socket that had failed before does not hold up the others" {
    apply "$(rules "${PORTS[@]:0:2}")"
    inside systemctl stop "$(name_of "${PORTS[1]}").socket"
    listen other 127.0.0.1 "${PORTS[1]}" hold
    applies_not 3 "$(rules "${PORTS[1]}")" "$(deny_all "${PORTS[0]}")"
    is_denied "${PORTS[0]}"
    says "unable to start $(name_of "${PORTS[1]}").socket"
}

@test "apply: a foreign file in the way is an error before anything happens" {
    local before

    apply "$(rules "${PORTS[0]}")"
    before=$(files)
    inside touch "$UNITS/$(name_of "${PORTS[1]}").service"
    applies_not 3 "$(rules "${PORTS[1]}")"
    says 'did not make what is there'
    forwards "${PORTS[0]}"
    inside rm "$UNITS/$(name_of "${PORTS[1]}").service"
    diff <(echo "$before") <(files)
}

@test "apply: units that are called like ours and are not stay as they are" {
    inside sh -c "printf '[Service]\nExecStart=/bin/sleep 1000\n' >$UNITS/rinetd-tcp-mine.service
        systemctl daemon-reload && systemctl start rinetd-tcp-mine.service"
    apply "$(rules "${PORTS[0]}")"
    apply ''
    inside systemctl is-active rinetd-tcp-mine.service
    inside test -e "$UNITS/rinetd-tcp-mine.service"
}

# to_target ADDRESS PORT: a line.
to_target() {
    echo "$1 $2 127.0.0.1 $(port_of target)"
}

@test "apply: a listener at all addresses becomes one at a single address, and back" {
    local mode port=${PORTS[0]}

    for mode in wait nowait; do
        MODE=$mode
        apply "$(to_target 0.0.0.0 "$port")"
        forwards "$port"
        open_and_going_on one "$port"
        apply "$(to_target 127.0.0.1 "$port")"
        forwards "$port"
        # By workers that had been told to end, too
        [ "$MODE" = nowait ] || wait_for "$PEER" connect 127.0.0.2 "$port" refused
        "$PEER" connect 127.0.0.2 "$port" refused
        apply "$(to_target 0.0.0.0 "$port")"
        forwards "$port"
        [ "$("$PEER" connect 127.0.0.2 "$port" send:hello fin rest)" = hello ]
        goes_on one
        apply
        said 'nothing to do'
        apply ''
        is_closed "$port"
    done
}

@test "apply: :: beside 0.0.0.0 on one port comes and goes" {
    local port=${PORTS[0]}

    apply "$(to_target 0.0.0.0 "$port")"
    open_and_going_on one "$port"
    apply "$(to_target 0.0.0.0 "$port")" "$(to_target :: "$port")"
    forwards "$port"
    [ "$("$PEER" connect ::1 "$port" send:hello fin rest)" = hello ]
    apply
    said 'nothing to do'
    apply "$(to_target 0.0.0.0 "$port")"
    forwards "$port"
    wait_for "$PEER" connect ::1 "$port" refused # by those who had been told to end, too
    goes_on one
}

@test "apply: another user: the next connection is served by him, open ones go on" {
    local pool

    apply "$(rules "${PORTS[0]}")"
    open_and_going_on one "${PORTS[0]}"
    pool=$(pool_of "${PORTS[0]}")
    RUN_AS=daemon apply
    said "changed $UNITS/$(name_of "${PORTS[0]}").service" \
        "restarted $(name_of "${PORTS[0]}").service"
    forwards "${PORTS[0]}"
    [ "$(pool_of "${PORTS[0]}")" != "$pool" ]
    inside pgrep -u daemon -P "$(pool_of "${PORTS[0]}")" >/dev/null
    goes_on one
}

@test "apply: a folder that cannot be written: nothing is changed, and all serve on" {
    local before

    apply "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[0]}"
    before=$(everything)
    inside mount --bind "$UNITS" "$UNITS"
    inside mount -o remount,bind,ro "$UNITS"
    applies_not 3 "$(deny_all "${PORTS[0]}")" "$(rules "${PORTS[2]}")"
    says 'Read-only file system'
    diff <(echo "$before") <(everything)
    forwards "${PORTS[0]}"
    forwards "${PORTS[1]}"
    inside umount "$UNITS"
    apply
    is_denied "${PORTS[0]}"
    is_closed "${PORTS[1]}"
    goes_on one
}

@test "apply: a rule whose service cannot start does not keep the others from serving" {
    local name

    name=$(name_of "${PORTS[0]}")
    apply "$(rules "${PORTS[@]:0:2}")"
    open_and_going_on one "${PORTS[1]}"
    forwards "${PORTS[0]}"
    drop_in "$name.service" '[Service]' 'ExecStartPre=/bin/false'
    inside systemctl daemon-reload
    applies_not 3 "$(rules "${PORTS[@]:0:2}")" 'deny 192.0.2.1'
    says "unable to restart $name.service"
    says 'put back what was there'
    forwards "${PORTS[1]}"
    inside rm -r "$UNITS/$name.service.d"
    inside systemctl daemon-reload
    apply
    forwards "${PORTS[0]}"
    forwards "${PORTS[1]}"
    apply
    said 'nothing to do'
    goes_on one
}

@test "apply: a copy of a unit of ours, under another name, is its owner's" {
    local copy=$UNITS/rinetd-tcp-mycopy.service

    apply "$(rules "${PORTS[0]}")"
    inside sh -c "sed 's|^ExecStart=.*|ExecStart=/bin/sleep 1000|; s/^User=.*//
        s/^StandardInput=.*//; s/^SystemCall.*//' $UNITS/$(name_of "${PORTS[0]}").service >$copy
        systemctl daemon-reload && systemctl start rinetd-tcp-mycopy.service"
    apply
    said 'nothing to do'
    apply ''
    is_closed "${PORTS[0]}"
    inside systemctl is-active rinetd-tcp-mycopy.service
    inside test -e "$copy"
}

@test "apply: a link that leads nowhere and is called like an instance does no harm" {
    local links=$UNITS/sockets.target.wants/rinetd-tcp-127.0.0.1-80@

    inside mkdir -p "$UNITS/sockets.target.wants"
    inside ln -s /nonexistent "${links}1.socket"
    inside ln -s /nonexistent "$links.service"
    apply "$(rules "${PORTS[0]}")"
    forwards "${PORTS[0]}"
    inside test -L "${links}1.socket"
}

@test "apply: a hundred rules, a change of each and their end" {
    local ports

    mapfile -t ports < <(free_ports 100)
    apply "$(rules "${ports[@]}")"
    forwards "${ports[99]}"
    apply "$(rules "${ports[@]}")" 'deny 192.0.2.1'
    forwards "${ports[50]}"
    apply "$(rules "${ports[0]}")"
    forwards "${ports[0]}"
    is_closed "${ports[99]}"
}
