#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Wait mode, when processes end or something is scarce: however the first process ends nobody
# accepts any more and open connections go on; a worker takes only its own connection along, and
# nothing of a client is left to the next.

load helper
load waiting

setup() {
    common_setup
    listen target 127.0.0.1 0 echo
}

# alone: the superserver gives the socket away for good, so that it can be seen who has it.
alone() {
    hand --count=1 127.0.0.1 0 "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
}

# has_ended PID...
has_ended() {
    local pid

    for pid; do
        is_gone "$pid" || return 1
    done
}

# listener_is_free PORT INODE: nobody has it, and another may have the port.
listener_is_free() {
    [ -z "$(holders "$2")" ]
    run ! listening "$1"
    listen other --count=1 127.0.0.1 "$1" echo
    [ "$("$PEER" connect 127.0.0.1 "$1" send:other recv:5 fin eof)" = other ]
    finished other
}

# first_ends_by SIGNAL: with idle workers and two busy ones.
first_ends_by() {
    local port inode pid idle busy began

    alone
    port=$(port_of relay)
    hold one send:world recv:5 data:300000 check:300000 fin eof
    hold two fin eof
    wait_for has_workers -ge 5
    inode=$(inode_of "$port")
    pid=$(first)
    mapfile -t busy < <(busy_workers)
    mapfile -t idle < <(idle_workers)
    [ "${#busy[@]}" = 2 ] && [ "${#idle[@]}" -ge 3 ]
    began=${EPOCHREALTIME/./}
    kill -s "$1" "$pid"
    wait_for is_gone "$pid"
    began=$(((${EPOCHREALTIME/./} - began) / 1000))
    echo "it took $began ms"
    ((began < 30000))
    wait_for has_ended "${idle[@]}"
    wait_for has_no_holder "$inode"
    listener_is_free "$port" "$inode"
    run ! has_ended "${busy[0]}"
    run ! has_ended "${busy[1]}"
    let_go two
    let_go one
    wait_for has_ended "${busy[@]}"
    [ "$(how_often opened)" = 2 ]
    logged_times done-remote-closed 2
}

@test "SIGTERM to the first process: it ends at once, the idle ones too, open connections go on" {
    first_ends_by TERM
    wait_for has_status 0
    [ ! -s said ]
}

@test "SIGKILL to the first process: the same" {
    first_ends_by KILL
    wait_for has_status 'signal 9'
}

@test "SIGINT and SIGHUP to the first process: the same" {
    first_ends_by INT
    wait_for has_status 0
    stop relay
    rm relay.status
    : >log
    first_ends_by HUP
    wait_for has_status 0
}

@test "under a superserver, after SIGTERM the next client gets a new process" {
    local pid

    hand_relay
    hold one
    pid=$(first)
    kill "$pid"
    wait_for is_gone "$pid"
    greets
    [ "$(first)" != "$pid" ]
    let_go one
    wait_for logged_times done-remote-closed 2
}

# firsts_end_by SIGNAL: while clients come, three times at least; how many have come, the one before
# among them, is $served then. They may be quicker than we: hence more rounds.
firsts_end_by() {
    local sent=0 i pid

    served=1
    until ((sent >= 3)); do
        ((served < 30000))
        start many "$PEER" connect --times=1500 --parallel=8 127.0.0.1 "$(port_of relay)" \
            send:x recv:1 fin eof
        for i in 1 2 3 4 5; do
            wait_for or_over many logged_more "$((served + i * 150))"
            is_running many || break
            pid=$(first)
            kill -s "$1" "$pid"
            is_running many || break
            ((++sent))
            wait_for or_over many is_another "$pid"
        done
        finished many
        served=$((served + 1500))
    done
    echo "$sent signals, $served served"
}

@test "SIGTERM while clients come: each is served, by the old process or by the new" {
    local served

    hand_relay
    greets
    firsts_end_by TERM
    wait_for logged_times done-remote-closed "$served"
    logged_times opened "$served"
    [ ! -s said ]
}

@test "SIGKILL of the first process while clients come: each is served, and the log has them all" {
    local served

    hand_relay
    greets
    firsts_end_by KILL
    wait_for logged_times done-remote-closed "$served"
    logged_times opened "$served"
    [ "$(wc -l <log)" = "$((2 * served))" ]
    [ ! -s said ]
}

is_another() {
    [ -n "$(first)" ] && [ "$(first)" != "$1" ]
}

logged_more() {
    [ "$(how_often opened)" -gt "$1" ]
}

@test "SIGTERM to the first process while a worker is stopped: waited for, but not for long" {
    local port inode pid worker began

    alone
    port=$(port_of relay)
    greets
    wait_for has_workers = 5
    inode=$(inode_of "$port")
    pid=$(first)
    worker=$(workers | cut -d ' ' -f 1)
    wait_for is_at_rest "$worker"
    halt "$worker"
    began=${EPOCHREALTIME/./}
    kill "$pid"
    wait_for is_gone "$pid"
    began=$(((${EPOCHREALTIME/./} - began) / 1000))
    echo "it took $began ms"
    # The relay counts its 200 ms by another clock.
    ((began >= 190 && began < 30000))
    wait_for is_gone "$worker"
    listener_is_free "$port" "$inode"
}

@test "SIGKILL of a busy worker: its connection alone is lost, and that is said" {
    local pid

    hand_relay
    hold one
    pid=$(busy_workers)
    hold two
    kill -KILL "$pid"
    wait_for grep -qE "^rinetd-relay: worker $pid died of signal 9, Killed" said
    let_go two
    greets
    touch one.go
    fails one
    [ "$(wc -l <said)" = 1 ]
}

@test "SIGKILL of all idle workers: there are others soon" {
    hand_relay
    hold one
    wait_for has_workers -ge 5
    # shellcheck disable=SC2046
    kill -KILL $(idle_workers) || true # one too many may just leave
    greets
    wait_for has_workers -ge 5
    let_go one
}

@test "workers that die again and again: others follow, with pauses" {
    local count=0 end=$((SECONDS + 3))

    hand_relay --linger=30
    greets
    # On a machine that is slow or busy it takes longer until there are ten.
    until ((SECONDS >= end && count >= 10)); do
        ((SECONDS < end + 20))
        # shellcheck disable=SC2046
        kill -KILL $(workers) 2>/dev/null || true
        wait_for has_workers -ge 1
        count=$(grep -c 'died of signal 9' said || true)
    done
    echo "$count died"
    ((count <= 100))
    wait_for greets
}

one_is_over() {
    ! is_running one || ! is_running two
}

@test "SIGTERM to a busy worker: its connection ends as one of a single relay" {
    local pid

    hand_relay
    hold one closed
    hold two closed
    pid=$(busy_workers | head -n 1)
    [ "$(log_of log | wc -l)" = 2 ]
    kill "$pid"
    wait_for is_gone "$pid"
    wait_for logged_times done-local-closed 1
    touch one.go two.go
    # It was one of them
    wait_for one_is_over
    if is_running one; then finished two; else finished one; fi
    greets
    [ ! -s said ]
}

@test "SIGTERM to an idle worker: it leaves, and nobody notices" {
    local pid

    hand_relay
    greets
    wait_for has_workers = 5
    for pid in $(workers); do
        kill "$pid"
    done
    greets
    wait_for has_workers -ge 3
    [ ! -s said ]
}

@test "a stopped idle worker keeps no client from the others" {
    local pid

    hand_relay
    greets
    wait_for has_workers = 5
    pid=$(workers | cut -d ' ' -f 1)
    wait_for is_at_rest "$pid"
    halt "$pid"
    client --times=50 --parallel=5 send:hello recv:5 fin eof >/dev/null
    kill -CONT "$pid"
    wait_for logged_times done-remote-closed 51
}

# queued COUNT: that many connections to the relay wait to be accepted.
queued() {
    awk -v port=":$(printf %04X "$(port_of relay)")$" -v count="$1" '
        $2 ~ port && $4 == "0A" { split($5, queue, ":"); found = queue[2] }
        END { exit found != sprintf("%08X", count) }' /proc/net/tcp
}

@test "idle workers that were woken and take nothing: others are started for the clients that wait" {
    local idle

    hand_relay
    greets
    wait_for logged_times done-remote-closed 1
    wait_for is_calm 5
    mapfile -t idle < <(workers | xargs -n 1)
    halt "${idle[@]}"
    start many "$PEER" connect --times=5 --parallel=5 127.0.0.1 "$(port_of relay)" \
        send:hello recv:5 wait-file:"$T/go" fin eof
    wait_for queued 5
    kill -CONT "${idle[0]}"
    wait_for logged_times opened 6
    [ "$(how_often done-remote-closed)" = 1 ]
    touch go
    finished many
    kill -CONT "${idle[@]}"
    [ ! -s said ]
}

@test "the listener can't be accepted on any more: exit status 3, and open connections go on" {
    require perl
    # shellcheck disable=SC2016
    hand --count=1 127.0.0.1 0 perl -e '
        my $pid = fork;
        exec @ARGV if $pid == 0;
        until (-e "broken") { select undef, undef, undef, 0.01; }
        shutdown STDIN, 2;
        waitpid $pid, 0;
        exit $? >> 8' "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    hold one
    touch broken
    wait_for has_status 3
    grep -qx 'rinetd-relay: unable to serve the listening socket: Invalid argument' said
    let_go one
    wait_for logged_times done-remote-closed 1
}

# has_in_memory TEXT PID: among all it may write to
has_in_memory() {
    # shellcheck disable=SC2016
    perl -e '
        my ($text, $pid) = @ARGV;
        open my $maps, "<", "/proc/$pid/maps" or die $!;
        open my $memory, "<:raw", "/proc/$pid/mem" or die $!;
        while (<$maps>) {
            /^([0-9a-f]+)-([0-9a-f]+) rw.. (?!.*\[v)/ or next;
            my ($from, $to) = (hex $1, hex $2);
            sysseek $memory, $from, 0 or next;
            sysread $memory, my $bytes, $to - $from or next;
            exit 0 if index($bytes, $text) >= 0;
        }
        exit 1' "$@"
}

# Their shadow memory is terabytes.
refuse_sanitizers() {
    if grep -q __asan_init "$RELAY"; then skip "the memory of a build with sanitizers is too large"; fi
}

# has_none_of PID TEXT...
has_none_of() {
    local text

    for text in "${@:2}"; do
        run ! has_in_memory "$text" "$1"
    done
}

# bats test_tags=memory
@test "nothing of a client is left in its worker: neither bytes, nor its address, nor descriptors" {
    local pid mark="mark$RANDOM$RANDOM" before

    require root perl
    refuse_sanitizers
    hand_relay --max=1 --per-source=3
    greets
    pid=$(workers | tr -d ' ')
    wait_for is_at_rest "$pid"
    before=$(readlink "/proc/$pid/fd/"*)
    # More than once, and in both directions
    start one "$PEER" connect --from=127.11.22.33 127.0.0.1 "$(port_of relay)" \
        "send:$(printf "$mark%.0s" {1..1000})" recv:8000 touch:"$T/up" wait-file:"$T/go" fin discard
    wait_for test -e up
    has_in_memory "$mark" "$pid"
    has_in_memory 127.11.22.33 "$pid"
    touch go
    finished one
    wait_for logged_times done-remote-closed 2
    wait_for is_at_rest "$pid"
    [ "$(workers | tr -d ' ')" = "$pid" ]
    has_none_of "$pid" "$mark" 127.11.22.33 $'\x7f\x0b\x16\x21'
    [ "$(readlink "/proc/$pid/fd/"*)" = "$before" ]
}

# bats test_tags=memory
@test "neither pipes nor memory are left of bulk data, while the client is there and after it" {
    local pid before kib

    hand_relay --max=1
    greets
    pid=$(workers | tr -d ' ')
    wait_for is_at_rest "$pid"
    before=$(readlink "/proc/$pid/fd/"*)
    kib=$(own_kib "$pid")
    hold one both:8000000:1:1 touch:"$T/over" wait-file:"$T/end" fin eof
    touch one.go
    wait_for test -e over
    wait_for is_lean "$pid" "$kib"
    touch end
    finished one
    wait_for is_at_rest "$pid"
    wait_for is_lean "$pid" "$kib"
    [ "$(readlink "/proc/$pid/fd/"*)" = "$before" ]
}

# own_kib PID: memory that is no other's and of no file. The sums in its status may lag.
own_kib() {
    awk '/^Anonymous:/ { print $2 }' "/proc/$1/smaps_rollup"
}

# is_lean PID KIB: it has no pipe, and beside the KIB from before less than a bulk read takes.
is_lean() {
    [[ $(readlink "/proc/$1/fd/"*) != *pipe:* ]] && [ "$(own_kib "$1")" -lt $(($2 + 60)) ]
}

# bats test_tags=memory
@test "nothing of a client that was one too many of its address is left either" {
    local pid

    require root perl
    refuse_sanitizers
    hand_relay --max=2 --per-source=1
    hold one --from=127.11.22.33
    client --from=127.11.22.33 closed
    wait_for grep -q 'from 127.11.22.33 is closed' said
    let_go one
    wait_for logged_times done-remote-closed 1
    for pid in $(workers); do
        wait_for is_at_rest "$pid"
        has_none_of "$pid" 127.11.22.33 $'\x7f\x0b\x16\x21'
    done
}

@test "signals are as they were for the next client of a worker" {
    local pid

    hand_relay --max=1
    greets
    pid=$(workers | tr -d ' ')
    wait_for is_at_rest "$pid"
    grep '^Sig[BIC]' "/proc/$pid/status" >before
    client --times=10 send:hello recv:5 fin eof >/dev/null
    wait_for is_at_rest "$pid"
    grep '^Sig[BIC]' "/proc/$pid/status" | diff before -
    greets
}

# The processor time of all workers
ticks_of_workers() {
    local pid sum=0

    for pid in $(workers); do
        ((sum += $(ticks "$pid")))
    done
    echo "$sum"
}

# Each worker has got all it needs to wait for connections.
all_watch() {
    local pid

    for pid in $(workers); do
        grep -qs '^tfd:' "/proc/$pid/fdinfo/"* || return 1
    done
}

@test "no descriptor for a connection: said once, tried again with pauses, and served later" {
    local pid before

    require prlimit
    hand_relay
    greets
    wait_for is_calm 5
    wait_for all_watch
    for pid in $(workers); do
        prlimit --nofile=0: --pid "$pid"
    done
    start one "$PEER" connect 127.0.0.1 "$(port_of relay)" send:hello recv:5 fin eof
    wait_for grep -q 'unable to accept a connection: .*; trying again' said
    before=$(ticks_of_workers)
    client sleep:1000 rst
    [ "$(($(ticks_of_workers) - before))" -lt 20 ]
    for pid in $(workers); do
        prlimit --nofile=100: --pid "$pid"
    done
    finished one
    [ "$(wc -l <said)" = 1 ]
    greets
}

@test "few descriptors from the start: what is missing is said, tried again, and nothing turns" {
    local limit pid before

    require prlimit
    for limit in 4 5 6; do
        rm -f relay.status said
        hand --count=1 127.0.0.1 0 prlimit --nofile="$limit" "$RELAY" --log="$T/log" \
            127.0.0.1 "$(port_of target)"
        start client "$PEER" connect 127.0.0.1 "$(port_of relay)" discard
        wait_for test -s said
        pid=$(first)
        before=$(ticks "$pid")
        # Twice at least
        "$PEER" connect 127.0.0.1 "$(port_of target)" sleep:1500 rst
        [ "$(($(ticks "$pid") - before))" -lt 20 ]
        [ "$(first)" = "$pid" ]
        grep -qE 'unable to (serve the listening socket|wait for connections|connect|accept)' said
        # A sanitizer may have its own words.
        [ "$(grep -c '^rinetd-relay: unable to [sw]' said)" -le 1 ]
        [ "$(grep -c '^rinetd-relay: ' said)" -lt 15 ]
        kill "$pid"
        wait_for is_gone "$pid"
        stop relay
        stop client
    done
}

@test "no descriptor to start with: the client waits, and is served when there is one" {
    local pid

    require prlimit
    hand 127.0.0.1 0 prlimit --nofile=4:100 "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    start one "$PEER" connect 127.0.0.1 "$(port_of relay)" send:hello recv:5 fin eof
    wait_for grep -q 'unable to serve the listening socket: .*; trying again' said
    pid=$(first)
    prlimit --nofile=100: --pid "$pid"
    finished one
    [ "$(first)" = "$pid" ]
    [ "$(grep -c '^rinetd-relay: ' said)" = 1 ]
    run ! grep . relay.status
}

@test "no further process: said once, tried again with pauses, and served later" {
    local pid before user i

    # Root may have as many as it likes.
    require root prlimit setpriv
    user=$(user_for_relay)
    writable_log log
    hand 127.0.0.1 0 setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups \
        "$RELAY" --log="$T/log" 127.0.0.1 "$(port_of target)"
    greets
    wait_for is_calm 5
    pid=$(first)
    as_user "$user" prlimit --nproc=1: --pid "$pid"
    for i in 1 2 3 4 5; do
        hold "c$i"
    done
    wait_for grep -q 'unable to start a worker: Resource temporarily unavailable' said
    start six "$PEER" connect 127.0.0.1 "$(port_of relay)" send:hello recv:5 touch:"$T/six.up" \
        fin eof
    before=$(ticks "$pid")
    client sleep:1000 rst
    [ "$(($(ticks "$pid") - before))" -lt 20 ]
    [ ! -e six.up ]
    as_user "$user" prlimit --nproc="$(ulimit -Su)": --pid "$pid"
    finished six
    for i in 1 2 3 4 5; do
        let_go "c$i"
    done
    [ "$(grep -c 'unable to start' said)" = 1 ]
}
