# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# Part of run: starting and ending what is measured, and the kernel's numbers about it.

declare -A PID=() PORT=()
NEXT_PORT=$((2000 + RANDOM % 6000))

# pause SECONDS, without a process of its own.
pause() {
    read -rt "$1" -u "$NEVER" || true
}

# MEMORY is a folder with a counter of its own, whichever of the two generations has it.
prepare_memory_cgroup() {
    local root

    MEMORY= MEMORY_COUNTER=memory.current
    if [ -n "$CGROUP" ] && [ -f "$CGROUP/memory.current" ]; then
        echo +memory >"$CGROUP/cgroup.subtree_control" 2>/dev/null && MEMORY=$CGROUP
        return 0
    fi
    root=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2; exit }' /proc/mounts)
    if [ -n "$root" ] && mkdir "$root/rinetd-bench-$$" 2>/dev/null; then
        MEMORY=$root/rinetd-bench-$$ MEMORY_COUNTER=memory.usage_in_bytes
    fi
}

prepare_cgroup() {
    local root

    CGROUP=
    root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    if [ -n "$root" ] && mkdir "$root/rinetd-bench-$$" 2>/dev/null; then
        CGROUP=$root/rinetd-bench-$$
    else
        say 'no cgroup can be made: no processor time'
    fi
    prepare_memory_cgroup
}

# Not in the shell: that reads the table byte by byte, and thousands of connections are in it.
listening() {
    grep -q "^ *[0-9]*: [0-9A-F]*$(printf ':%04X' "$1") 00000000:0000 0A" /proc/net/tcp
}

# wait_until MILLISECONDS COMMAND...
wait_until() {
    local end=$((${EPOCHREALTIME/./} / 1000 + $1))

    shift
    until "$@"; do
        ((${EPOCHREALTIME/./} / 1000 <= end)) || return 1
        pause 0.005
    done
}

or_gone() {
    "${@:2}" || ! kill -0 "${PID[$1]}" 2>/dev/null
}

# The usual limit, but for those that have all connections in one process: some of the others close all
# there could be each time they start a process.
files_for() {
    case $1 in
    target | rinetd | socket-proxyd | haproxy* | nginx) echo "$FILES_MAX" ;;
    *) echo 1024 ;;
    esac
}

# launch NAME COMMAND...: in a cgroup and a session of its own.
launch() {
    local name=$1

    shift
    [ -z "$CGROUP" ] || mkdir -p "$CGROUP/$name"
    [ -z "$MEMORY" ] || mkdir -p "$MEMORY/$name"
    (
        trap - EXIT INT TERM HUP
        [ -z "$CGROUP" ] || echo "$BASHPID" >"$CGROUP/$name/cgroup.procs"
        [ -z "$MEMORY" ] || echo "$BASHPID" >"$MEMORY/$name/cgroup.procs"
        ulimit -Sn "$(files_for "$name")"
        "$@"
    ) </dev/null >"$WORK/$name.out" 2>"$WORK/$name.err" &
    PID[$name]=$!
}

start_target() {
    TARGET_PORT=$((NEXT_PORT++))
    launch target exec "$BUILD/bench/serve" 127.0.0.1 "$TARGET_PORT"
    wait_until 5000 or_gone target listening "$TARGET_PORT"
    listening "$TARGET_PORT" || {
        say "the target does not start: $(cat "$WORK/target.err")"
        return 1
    }
    PORT[direct]=$TARGET_PORT PORT[direct-again]=$TARGET_PORT
}

# start NAME: fails if it does not listen.
start() {
    [[ $1 != direct* ]] || return 0
    [ -z "${PID[$1]-}" ] || return 0
    PORT[$1]=$((NEXT_PORT++))
    touch "$(log_of "$1")"
    [ "$RELAY_USER" != nobody ] || chown nobody "$(log_of "$1")"
    launch "$1" become "$1" "${PORT[$1]}"
    wait_until 5000 or_gone "$1" listening "${PORT[$1]}"
    listening "${PORT[$1]}" && return
    say "$1 does not start: $(tail -n 2 "$WORK/$1.err" "$WORK/$1.xinetd" 2>/dev/null)"
    stop "$1"
    return 1
}

is_empty() {
    local events

    [ -z "$CGROUP" ] || { read -r events <"$CGROUP/$1/cgroup.events" && [ "$events" = "populated 0" ]; }
}

stop() {
    local pid=${PID[$1]-}

    [ -n "$pid" ] || return 0
    kill "$pid" 2>/dev/null || true
    [ -z "$CGROUP" ] || wait_until 200 is_empty "$1" || echo 1 >"$CGROUP/$1/cgroup.kill"
    wait "$pid" 2>/dev/null
    unset "PID[$1]"
    if [ -n "$CGROUP" ]; then
        wait_until 5000 is_empty "$1"
        rmdir "$CGROUP/$1"
        [[ -z $MEMORY || $MEMORY = "$CGROUP" ]] || rmdir "$MEMORY/$1"
    fi
    rm -f "$(log_of "$1")"
}

stop_all() {
    local name

    for name in "${!PID[@]}"; do
        stop "$name"
    done
    [[ -z ${MEMORY-} || $MEMORY = "$CGROUP" ]] || rmdir "$MEMORY"
    [ -z "${CGROUP-}" ] || rmdir "$CGROUP"
    CGROUP= MEMORY=
}

# cpu_of NAME: sets CPU to the microseconds of all its processes, of those that are gone too.
cpu_of() {
    local key value

    CPU=
    [ -n "$CGROUP" ] && [ -f "$CGROUP/$1/cpu.stat" ] || return 0
    while read -r key value; do
        [ "$key" != usage_usec ] || CPU=$value
    done <"$CGROUP/$1/cpu.stat"
}

# Processes that end after their last byte are part of the cost. Waits until nothing is used.
settle() {
    local before i

    [[ $1 != direct* ]] || return 0
    for i in {1..50}; do
        cpu_of "$1"
        before=${CPU:-0}
        pause 0.004
        cpu_of "$1"
        ((${CPU:-0} - before > 40)) || return 0
    done
    : "$i"
}

# memory_used: sets USED to the KiB that hold neither free memory nor what can be dropped at will.
# A sum over the whole machine: what the kernel holds for a process and its sockets is in it.
memory_used() {
    local key value rest

    USED=0
    while read -r key value rest; do
        case $key in
        MemTotal:) USED=$((USED + value)) ;;
        MemFree: | Buffers: | Cached: | SReclaimable:) USED=$((USED - value)) ;;
        esac
    done </proc/meminfo
    : "$rest"
}

# memory_of NAME: sets CHARGED to the bytes that its cgroup is charged for, or to nothing.
memory_of() {
    CHARGED=
    [ -z "$MEMORY" ] || [ ! -d "$MEMORY/$1" ] || read -r CHARGED <"$MEMORY/$1/$MEMORY_COUNTER"
}
