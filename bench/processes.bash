# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# Part of run: starting and ending what is measured, and the kernel's numbers about it.

declare -A PID=() PORT=()
# Below those that the kernel gives to clients, here or in the name space.
NEXT_PORT=$((BENCH_INSIDE ? 2000 + RANDOM % 6000 : 20000 + RANDOM % 10000))

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

bound() {
    grep -q "^ *[0-9]*: [0-9A-F]*$(printf ':%04X' "$1") 00000000:0000 07" /proc/net/udp
}

# serves NAME: it has its port.
serves() {
    case $1 in
    udp-*) bound "${PORT[$1]}" ;;
    *) listening "${PORT[$1]}" ;;
    esac
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

# free_port: sets FREE to a port that nobody uses at any address. Whoever listens there would be
# loaded and measured in place of a contender that cannot start.
free_port() {
    while FREE=$((NEXT_PORT++)) && grep -qs "^ *[0-9]*: [0-9A-F]*$(printf ':%04X' "$FREE") " \
        /proc/net/{tcp,tcp6,udp,udp6}; do
        :
    done
}

# free_ports COUNT: the same for so many in a row, of which FREE is the first.
free_ports() {
    local last=-1 row=0

    while ((row < $1)); do
        free_port
        ((row = FREE == last + 1 ? row + 1 : 1))
        last=$FREE
    done
    FREE=$((last - $1 + 1))
}

lives() {
    kill -0 "${PID[$1]}" 2>/dev/null
}

or_gone() {
    "${@:2}" || ! lives "$1"
}

# has_started NAME: it listens by itself.
has_started() {
    wait_until 30000 or_gone "$1" serves "$1"
    lives "$1" && serves "$1"
}

# The usual limit, but for those that have all connections in one process: some of the others close all
# there could be each time they start a process.
files_for() {
    case ${1#udp-} in
    target | rinetd | socket-proxyd | haproxy* | nginx) echo "$FILES_MAX" ;;
    *) echo 1024 ;;
    esac
}

# alone COMMAND...: becomes COMMAND in a session of its own. The scheduler shares a processor among
# sessions first, sched(7): who had one with the load generator would be measured as a part of it,
# and the servers of xinetd, which gives each of them a session, would not.
alone() {
    exec setsid "$@"
}

# launch NAME COMMAND...: in a cgroup of its own, where COMMAND is to be `alone`.
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

# Both have the same number, which is that of direct.
start_target() {
    local name

    free_port
    TARGET_PORT=$FREE PORT[target]=$FREE PORT[udp-target]=$FREE
    launch target alone "$BUILD/bench/serve" 127.0.0.1 "$TARGET_PORT"
    launch udp-target alone "$BUILD/bench/udp-serve" 127.0.0.1 "$TARGET_PORT"
    for name in target udp-target; do
        has_started "$name" && continue
        say "the target does not start: $(cat "$WORK/$name.err")"
        return 1
    done
    PORT[direct]=$TARGET_PORT PORT[direct-again]=$TARGET_PORT
}

# start NAME: fails if it does not listen.
start() {
    [[ $1 != direct* ]] || return 0
    [ -z "${PID[$1]-}" ] || return 0
    free_port
    PORT[$1]=$FREE
    touch "$(log_of "$1")"
    [ "$RELAY_USER" != nobody ] || chown nobody "$(log_of "$1")"
    launch "$1" become "$1" "${PORT[$1]}"
    has_started "$1" && return
    say "$1 does not start: $(tail -n 2 "$WORK/$1.err" "$WORK/$1.xinetd" 2>/dev/null)"
    stop "$1"
    return 1
}

is_empty() {
    local events

    [ -z "$CGROUP" ] || { read -r events <"$CGROUP/$1/cgroup.events" && [ "$events" = "populated 0" ]; }
}

# processes: all there are, a line "PID PARENT GROUP START" each; START tells two of one number apart.
processes() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed -n 's/^\([0-9]*\) (.*) \([^Z]\) /\1 \2 /p' |
        awk '{ print $1, $3, $4, $21 }'
}

# family PID: its descendants and its process group, itself included, as lines "PID START".
family() {
    processes | awk -v first="$1" '
        { parent[$1] = $2; group[$1] = $3; start[$1] = $4 }
        END {
            for (pid in parent) {
                for (up = pid; up != first && up in parent; )
                    up = parent[up]
                if (up == first || group[pid] == first)
                    print pid, start[pid]
            }
        }'
}

# survivors: sets LEFT to those of FAMILY that still are.
survivors() {
    LEFT=$(processes | awk -v family="$FAMILY" '
        BEGIN { for (i = split(family, line, "\n"); i > 0; i--) known[line[i]] }
        ($1 " " $4) in known { print $1 }')
}

is_extinct() {
    survivors
    [ -z "$LEFT" ]
}

# end NAME: and all that it has started. xinetd leaves its servers that wait to themselves, so they
# are looked up while they are its children.
end() {
    local FAMILY LEFT

    if [ -n "$CGROUP" ]; then
        kill "${PID[$1]}" 2>/dev/null
        wait_until 200 is_empty "$1" || echo 1 >"$CGROUP/$1/cgroup.kill"
        wait_until 30000 is_empty "$1"
        return
    fi
    FAMILY=$(family "${PID[$1]}")
    survivors
    # shellcheck disable=SC2086 # a word each
    kill $LEFT 2>/dev/null
    wait_until 500 is_extinct && return
    # shellcheck disable=SC2086
    kill -KILL $LEFT 2>/dev/null
    wait_until 30000 is_extinct
}

stop() {
    [ -n "${PID[$1]-}" ] || return 0
    end "$1" || say "$1 does not end"
    wait "${PID[$1]}" 2>/dev/null
    unset "PID[$1]"
    [ -z "$CGROUP" ] || rmdir "$CGROUP/$1"
    [[ -z $MEMORY || $MEMORY = "$CGROUP" ]] || rmdir "$MEMORY/$1"
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
