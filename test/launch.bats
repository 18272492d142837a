#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# rinetd-gen --run: a configuration under a private xinetd, from the first listener to nothing left.

load helper
load connections

setup() {
    common_setup
    require xinetd
    mkdir -m 755 tmp
    export TMPDIR=$T/tmp
    mapfile -t PORTS < <(free_ports 3)
    listen target 127.0.0.1 0 echo
}

# launch [COMMAND...]: starts rinetd-gen (under COMMAND) on what is in run.conf.
launch() {
    start gen "$@" "$GEN" --run -c run.conf -r "$RELAY" -u "$(user_for_relay)"
}

# The same, until the listeners are up.
launch_up() {
    launch "$@"
    wait_for or_over gen says listening
    says listening
}

# says TEXT: on standard error.
says() {
    grep -qF -- "$1" gen.err
}

# has_logged N EVENT
has_logged() {
    [ "$(grep -c "$2\$" "${LOG:-gen.out}")" = "$1" ]
}

# reload [TEXT]: until it says TEXT.
reload() {
    kill -HUP "$(cat gen.pid)"
    wait_for or_over gen says "${1:-reloaded:}"
    says "${1:-reloaded:}"
}

# ends_with STATUS
ends_with() {
    local status=0

    finished gen || status=$?
    [ "$status" = "$1" ] || { echo "status $status, expected $1" && cat gen.err && return 1; }
}

# Of what the launcher starts: xinetd has the temporary folder in its arguments, the relays their
# listener. The pattern is in a file, so that grep does not find itself.
some_process() {
    printf '%s\n' "$T/tmp/" "${PORTS[@]/#/--listener=127.0.0.1:}" >patterns
    grep -qsF -f patterns /proc/[0-9]*/cmdline
}

nothing_left() {
    run ! some_process || { echo "a process is left" && return 1; }
    [ -z "$(ls -A tmp)" ] || { ls -lR tmp && return 1; }
}

nothing_runs() {
    ! some_process
}

pids_with() {
    printf '%s\n' "$1" >patterns
    grep -lsF -f patterns /proc/[0-9]*/cmdline | sed 's|/proc/||; s|/.*||'
}

@test "run: says when the listeners are up, forwards, and is silent else" {
    rules "${PORTS[@]}" >run.conf
    launch_up
    for port in "${PORTS[@]}"; do
        forwards "$port"
    done
    stop gen
    [ "$(cat gen.err)" = "rinetd-gen: listening: 3 rules: 127.0.0.1:${PORTS[0]}, \
127.0.0.1:${PORTS[1]}, 127.0.0.1:${PORTS[2]}" ]
    [ ! -s gen.out ]
    nothing_left
}

@test "run: SIGTERM ends open connections, each with its done line, and leaves nothing behind" {
    { rules "${PORTS[@]}" && echo "logfile /dev/stdout"; } >run.conf
    launch_up
    open_client one "${PORTS[0]}" closed
    open_client two "${PORTS[1]}" closed
    stop gen
    nothing_left
    has_logged 2 opened
    has_logged 2 done-local-closed
    grep -qP "\t127.0.0.1\t${PORTS[1]}\t127.0.0.1\t$(port_of target)\t2\t2\tdone-local" gen.out
    finished one
    finished two
}

@test "run: a hundred relays at once end with a line each" {
    { rules "${PORTS[0]}" && echo "logfile /dev/stdout"; } >run.conf
    launch_up
    start crowd "$PEER" connect --times=100 --parallel=100 127.0.0.1 "${PORTS[0]}" closed
    wait_for has_logged 100 opened
    stop gen
    nothing_left
    has_logged 100 done-local-closed
    finished crowd
}

@test "run: SIGINT stops it as well, though the shell that started it ignores it" {
    { rules "${PORTS[0]}" && echo "logfile /dev/stdout"; } >run.conf
    launch_up bash -c 'trap "" INT; exec "$@"' -
    open_client one "${PORTS[0]}" closed
    kill -INT "$(cat gen.pid)"
    ends_with 0
    nothing_left
    has_logged 1 done-local-closed
    finished one
}

@test "run: a configuration with an error is not started" {
    { rules "${PORTS[0]}" && echo junk; } >run.conf
    launch
    ends_with 1
    says 'run.conf:2:1: error: '
    nothing_left
}

@test "run: a port in use is an error that names the rule" {
    listen other 127.0.0.1 0 hold
    rules "${PORTS[0]}" "$(port_of other)" >run.conf
    launch
    ends_with 3
    says "xinetd: bind failed (Address already in use"
    grep -q "rule \"127.0.0.1 $(port_of other) 127.0.0.1" gen.err
    says 'unable to open 1 of 2 listeners'
    [ "$(grep -c 'bind failed' gen.err)" = 1 ]
    run ! says 'listening:'
    nothing_left
    stop other
}

@test "run: without a rule it waits for one" {
    : >run.conf
    launch_up
    says 'listening: 0 rules'
    rules "${PORTS[0]}" >run.conf
    reload 'reloaded: 1 rule: 1 new, 0 kept, 0 dropped'
    forwards "${PORTS[0]}"
    stop gen
    nothing_left
}

@test "run: a reload with an error keeps what runs" {
    { rules "${PORTS[0]}" && echo "logfile /dev/stdout"; } >run.conf
    launch_up
    open_and_going_on one "${PORTS[0]}"
    { rules "${PORTS[1]}" && echo junk; } >run.conf
    reload 'nothing reloaded'
    says 'run.conf:2:1: error: '
    forwards "${PORTS[0]}"
    is_refused "${PORTS[1]}"
    goes_on one
    stop gen
    nothing_left
}

@test "run: a relay that is gone keeps xinetd from being told to reload" {
    cp "$RELAY" relay
    { rules "${PORTS[0]}" && echo "logfile /dev/stdout"; } >run.conf
    RELAY=$T/relay launch_up
    open_and_going_on one "${PORTS[0]}"
    rm relay
    reload 'nothing reloaded'
    says 'error: unable to execute'
    goes_on one
    stop gen
    nothing_left
}

@test "run: a reload ends the connections of removed rules alone, and names these first" {
    { rules "${PORTS[@]:0:2}" && echo "logfile /dev/stdout"; } >run.conf
    launch_up
    open_and_going_on kept "${PORTS[0]}"
    open_client gone "${PORTS[1]}" closed
    { rules "${PORTS[0]}" "${PORTS[2]}" && echo "logfile /dev/stdout"; } >run.conf
    reload 'reloaded: 2 rules: 1 new, 1 kept, 1 dropped'
    finished gone
    grep -A1 'warning: ' gen.err | sed -n 2p | grep -q 'reloaded:'
    says "warning: rule \"127.0.0.1 ${PORTS[1]} 127.0.0.1"
    run ! says "rule \"127.0.0.1 ${PORTS[0]}"
    run ! says 'Sending signal 9'
    wait_for has_logged 1 done-local-closed # by way of the launcher
    grep -qP "\t${PORTS[1]}\t.*\t2\t2\tdone-local-closed$" gen.out
    is_refused "${PORTS[1]}"
    forwards "${PORTS[2]}"
    goes_on kept
    stop gen
    nothing_left
}

@test "run: a rule that changes its target keeps its open connections" {
    listen other 127.0.0.1 0 send:other fin discard
    rules "${PORTS[0]}" >run.conf
    launch_up
    open_and_going_on one "${PORTS[0]}"
    echo "127.0.0.1 ${PORTS[0]} 127.0.0.1 $(port_of other)" >run.conf
    reload
    [ "$("$PEER" connect 127.0.0.1 "${PORTS[0]}" fin rest)" = other ]
    goes_on one
    run ! says warning
    stop gen
    nothing_left
}

# first_process PORT: who has the listener in wait mode.
first_process() {
    ps --ppid "$(cat tmp/rinetd-gen.*/xinetd.pid)" -o pid=,args= |
        awk -v told="--listener=127.0.0.1:$1" 'index($0, told " ") { print $1 }'
}

is_gone() {
    ! kill -0 "$1" 2>/dev/null
}

# launch_waiting: as launch_up, in wait mode.
launch_waiting() {
    start gen "$GEN" --run -m wait -c run.conf -r "$RELAY" -u "$(user_for_relay)"
    wait_for or_over gen says listening
}

@test "run: in wait mode it forwards, and SIGTERM ends all connections with their done lines" {
    { rules "${PORTS[@]:0:2}" && echo "logfile /dev/stdout"; } >run.conf
    launch_waiting
    open_client one "${PORTS[0]}" closed
    open_client two "${PORTS[0]}" closed
    open_client three "${PORTS[1]}" closed
    [ "$(first_process "${PORTS[0]}" | wc -l)" = 1 ]
    stop gen
    nothing_left
    has_logged 3 opened
    has_logged 3 done-local-closed
    finished one
    finished two
    finished three
}

@test "run: in wait mode a reload closes removed rules and lets their connections go on" {
    { rules "${PORTS[@]:0:2}" && echo "logfile /dev/stdout"; } >run.conf
    launch_waiting
    open_and_going_on kept "${PORTS[0]}"
    open_and_going_on gone "${PORTS[1]}"
    { rules "${PORTS[0]}" "${PORTS[2]}" && echo "logfile /dev/stdout"; } >run.conf
    reload 'reloaded: 2 rules: 1 new, 1 kept, 1 dropped'
    run ! says warning
    soon_refused "${PORTS[1]}"
    forwards "${PORTS[0]}"
    forwards "${PORTS[2]}"
    goes_on kept
    goes_on gone
    stop gen
    has_logged 4 done-remote-closed
    nothing_left
}

@test "run: in wait mode a new deny bites at once, and other rules keep their first process" {
    local first other

    { rules "${PORTS[@]:0:2}" && echo "logfile /dev/stdout"; } >run.conf
    launch_waiting
    open_and_going_on one "${PORTS[0]}"
    forwards "${PORTS[1]}"
    first=$(first_process "${PORTS[0]}") other=$(first_process "${PORTS[1]}")
    { rules "${PORTS[0]}" && echo 'deny 127.*' && rules "${PORTS[1]}" &&
        echo "logfile /dev/stdout"; } >run.conf
    reload 'reloaded: 2 rules: 0 new, 2 kept, 0 dropped'
    wait_for is_gone "$first" # who has been told to end, and may yet take a client
    "$PEER" connect 127.0.0.1 "${PORTS[0]}" eof
    [ "$(first_process "${PORTS[0]}")" != "$first" ]
    [ "$(first_process "${PORTS[1]}")" = "$other" ]
    wait_for has_logged 1 denied
    goes_on one
    stop gen
    nothing_left
}

@test "run: in wait mode a connection of a removed rule ends with the launcher at the latest" {
    { rules "${PORTS[@]:0:2}" && echo "logfile /dev/stdout"; } >run.conf
    launch_waiting
    open_client one "${PORTS[1]}" closed
    { rules "${PORTS[0]}" && echo "logfile /dev/stdout"; } >run.conf
    reload
    stop gen
    has_logged 1 done-local-closed
    finished one
    nothing_left
}

@test "run: a listener moves to another address of the same port" {
    rules "${PORTS[0]}" >run.conf
    launch_up
    open_client one "${PORTS[0]}" closed
    rules "${PORTS[0]}" | sed 's/127.0.0.1/0.0.0.0/' >run.conf
    reload 'reloaded: 1 rule: 1 new, 0 kept, 1 dropped'
    finished one
    forwards "${PORTS[0]}"
    stop gen
    nothing_left
}

@test "run: the wildcard of IPv6 gives IPv4 to a rule of its own, and takes it back" {
    local four six

    four=$(rules "${PORTS[0]}" | sed 's/127.0.0.1/0.0.0.0/')
    six=$(rules "${PORTS[0]}" | sed 's/127.0.0.1/::/')
    grep -qs '^0\{31\}1 ' /proc/net/if_inet6 || skip "no IPv6 here"
    echo "$six" >run.conf
    launch_up
    forwards "${PORTS[0]}"
    printf '%s\n' "$six" "$four" >run.conf
    reload 'reloaded: 2 rules: 2 new, 0 kept, 1 dropped'
    forwards "${PORTS[0]}"
    "$PEER" connect ::1 "${PORTS[0]}" send:hi recv:2 fin eof
    echo "$six" >run.conf
    reload 'reloaded: 1 rule: 1 new, 0 kept, 2 dropped'
    forwards "${PORTS[0]}"
    "$PEER" connect ::1 "${PORTS[0]}" send:hi recv:2 fin eof
    stop gen
    nothing_left
}

@test "run: a port in use is a warning on reload, and the next reload tries again" {
    rules "${PORTS[0]}" >run.conf
    launch_up
    open_and_going_on one "${PORTS[0]}"
    listen other 127.0.0.1 0 hold
    rules "${PORTS[0]}" "$(port_of other)" >run.conf
    reload 'reloaded: 1 rule: 0 new, 1 kept, 0 dropped'
    says 'warning: unable to open 1 of 2 listeners'
    forwards "${PORTS[0]}"
    stop other
    reload 'reloaded: 2 rules: 1 new, 1 kept, 0 dropped'
    forwards "$(port_of other)"
    goes_on one
    stop gen
    nothing_left
}

@test "run: of many reloads in quick succession the last one counts" {
    rules "${PORTS[0]}" >run.conf
    launch_up
    for _ in {1..20}; do
        rules "${PORTS[1]}" >run.new
        mv run.new run.conf
        kill -HUP "$(cat gen.pid)"
    done
    rules "${PORTS[2]}" >run.new
    mv run.new run.conf
    kill -HUP "$(cat gen.pid)"
    wait_for listening "${PORTS[2]}"
    forwards "${PORTS[2]}"
    is_refused "${PORTS[0]}"
    is_refused "${PORTS[1]}"
    stop gen
    nothing_left
}

@test "run: works without root" {
    require root
    writable_log relay.log
    { rules "${PORTS[0]}" && echo "logfile $T/relay.log"; } >run.conf
    chmod 1777 tmp
    chmod 644 run.conf
    start gen setpriv --reuid=nobody --regid="$(id -g nobody)" --clear-groups "$GEN" --run \
        -c run.conf -r "$RELAY"
    wait_for or_over gen says listening
    forwards "${PORTS[0]}"
    open_client one "${PORTS[0]}" closed
    reload 'reloaded: 1 rule: 0 new, 1 kept, 0 dropped'
    stop gen
    LOG=relay.log has_logged 2 opened
    LOG=relay.log has_logged 1 done-local-closed
    finished one
    nothing_left
}

@test "run: a relative logfile lies in the working directory" {
    writable_log relay.log
    { rules "${PORTS[0]}" && echo "logfile relay.log"; } >run.conf
    launch_up
    forwards "${PORTS[0]}"
    stop gen
    LOG=relay.log has_logged 1 opened
    LOG=relay.log has_logged 1 done-remote-closed
}

@test "run: pidlogfile holds the launcher's pid until its end" {
    { rules "${PORTS[0]}" && echo "pidlogfile launcher"; } >run.conf
    launch_up
    grep -qx '[0-9][0-9]*' launcher
    grep -qF -- --run "/proc/$(cat launcher)/cmdline"
    kill -HUP "$(cat launcher)"
    wait_for or_over gen says reloaded:
    kill -TERM "$(cat launcher)"
    ends_with 0
    [ ! -e launcher ]
    nothing_left
}

@test "run: standard output that nobody reads stops neither signals nor connections" {
    { rules "${PORTS[0]}" && echo "logfile /dev/stdout"; } >run.conf
    mkfifo stuck
    exec 7<>stuck
    launch_up bash -c 'exec 7>&- "$@" >stuck' -
    "$PEER" connect --times=600 --parallel=8 127.0.0.1 "${PORTS[0]}" send:hi recv:2 fin eof
    reload
    open_client one "${PORTS[0]}" closed
    stop gen
    exec 7>&-
    finished one
    says 'of the log were not read from standard output'
    nothing_left
}

@test "run: a relay that does not react is killed by the second SIGTERM" {
    rules "${PORTS[0]}" >run.conf
    launch_up
    open_client one "${PORTS[0]}" closed
    kill -STOP "$(pids_with "--listener=127.0.0.1:${PORTS[0]}")"
    kill -TERM "$(cat gen.pid)"
    wait_for not_listening "${PORTS[0]}"
    sleep 0.6 # a second signal that comes at once counts as the same request
    kill -TERM "$(cat gen.pid)"
    finished one
    ends_with 0
    says 'killed relays: 1; they did not end'
    nothing_left
}

@test "run: xinetd does not outlive a launcher that was killed" {
    { rules "${PORTS[0]}" && echo "pidlogfile launcher"; } >run.conf
    launch_up
    forwards "${PORTS[0]}"
    kill -KILL "$(cat launcher)"
    soon_refused "${PORTS[0]}"
    wait_for nothing_runs
    ends_with 137
}

@test "run: when xinetd dies the relays end with their done lines" {
    { rules "${PORTS[0]}" && echo "logfile /dev/stdout"; } >run.conf
    launch_up
    open_client one "${PORTS[0]}" closed
    kill -KILL "$(cat tmp/rinetd-gen.*/xinetd.pid)"
    ends_with 3
    says 'xinetd was ended by signal 9'
    has_logged 1 done-local-closed
    finished one
    nothing_left
}

@test "run: without xinetd it says what is missing" {
    local place

    for place in /usr/sbin /usr/local/sbin; do
        [ ! -e "$place/xinetd" ] || require namespaces
        [ ! -e "$place/xinetd" ] || mount --bind /dev/null "$place/xinetd"
    done
    rules "${PORTS[0]}" >run.conf
    PATH=/usr/bin:/bin launch
    ends_with 3
    umount /usr/sbin/xinetd /usr/local/sbin/xinetd 2>/dev/null || true
    says 'unable to find xinetd'
    nothing_left
}
