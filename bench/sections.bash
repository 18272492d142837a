# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# Part of run: what is measured, a function section_NAME each.

ALL_SECTIONS='start-up connections-1 connections-32 down up both request byte hold hold-after-bulk
    hold-10000 crowd lists udp-many udp-flow udp-row udp-paced udp-sessions'

MIB=$((1 << 20))

# How much work. Many short slots rather than a few long ones: a virtual machine's speed changes within
# tenths of a second, and a ratio is as good as its two slots are near each other.
sizes() {
    if [ -n "${QUICK-}" ]; then
        START_ROUNDS=${ROUNDS:-15} START_S=0.05 RATE_ROUNDS=${ROUNDS:-3} SLOT_S=0.07
        ROUNDS=${ROUNDS:-3} BULK_MIB=64 HELD=250 HELD_ROUNDS=1 MANY=0 CROWD_MIB=1
        LIST_PATTERNS=100000
    else
        START_ROUNDS=${ROUNDS:-100} START_S=0.05 RATE_ROUNDS=${ROUNDS:-35} SLOT_S=0.1
        ROUNDS=${ROUNDS:-15} BULK_MIB=512 HELD=1000 HELD_ROUNDS=3 MANY=10000 CROWD_MIB=2
        LIST_PATTERNS=1000000
    fi
    # shellcheck disable=SC2059 # the number goes into it
    printf -v 'ABOUT[list-long]' "${ABOUT[list-long]}" "$LIST_PATTERNS"
}

# record SECTION ROUND NAME WHAT VALUE
record() {
    printf '%s\t%s\t%s\t%s\t%s\n' "$@" >>"$DATA"
}

failed() {
    record "$1" "$2" "$3" failed 1
    say "$1, round $2: $3 failed: ${4-}"
}

# The words KEY=VALUE of a line into the table, and what the processor did for COUNT of them.
record_line() {
    local section=$1 round=$2 name=$3 word

    for word in $4; do
        record "$section" "$round" "$name" "${word%%=*}" "${word#*=}"
    done
}

# cpu_since SECTION ROUND NAME BEFORE LINE: microseconds a connection, or seconds a GiB.
cpu_since() {
    local count unit=1

    [ -n "$CPU" ] && [[ $3 != direct* ]] || return 0
    count=${5%% *}
    [[ $count != gib=* ]] || unit=1000000
    awk -v used=$((CPU - $4)) -v count="${count#*=}" -v unit=$unit -v section="$1" -v round="$2" \
        -v name="$3" 'BEGIN { OFS = "\t"; print section, round, name, "cpu", used / unit / count }' \
        >>"$DATA"
}

# load_once SECTION ROUND NAME LOAD-ARGUMENT...: sets LINE to what the load generator says, which is
# udp-load in sections of UDP.
load_once() {
    local program=load

    [[ $1 != udp-* ]] || program=udp-load
    LINE=$("$BUILD/bench/$program" "${@:4}" 127.0.0.1 "${PORT[$3]}" 2>"$WORK/load.err") || {
        failed "$1" "$2" "$3" "$(cat "$WORK/load.err")"
        return 1
    }
}

# slot SECTION ROUND NAME LOAD-ARGUMENT...
slot() {
    local before LINE

    cpu_of "$3"
    before=$CPU
    load_once "$@" || return 0
    settle "$3"
    record_line "$1" "$2" "$3" "$LINE"
    cpu_since "$1" "$2" "$3" "$before" "$LINE"
}

# choose SECTION NAME...: sets CHOSEN to those that are asked for, are here, and start.
choose() {
    local section=$1 name lacks

    shift
    CHOSEN=()
    for name; do
        [[ -z $ONLY || " $ONLY " = *" $name "* ]] || continue
        if ! lacks=$(is_here "$name"); then
            record "$section" 0 "$name" missing "$lacks"
        elif start "$name"; then
            CHOSEN+=("$name")
        else
            failed "$section" 0 "$name" 'it does not start'
        fi
    done
}

# each_round ROUNDS FUNCTION: FUNCTION ROUND NAME, for all that are chosen, in an order that rotates.
each_round() {
    local round i count=${#CHOSEN[@]}

    for ((round = 1; round <= $1; round++)); do
        for ((i = 0; i < count; i++)); do
            "$2" "$round" "${CHOSEN[(i + round) % count]}"
        done
    done
}

stop_chosen() {
    local name

    for name in "${CHOSEN[@]}"; do
        stop "$name"
    done
}

warm_up() {
    local name LINE

    for name in "${CHOSEN[@]}"; do
        load_once "$section" 0 "$name" "$@" || true
        settle "$name"
    done
}

connections_slot() {
    slot "$section" "$1" "$2" connections "--at-once=$at_once" "--seconds=$SLOT_S"
}

connections() {
    local section=connections-$1 at_once=$1

    choose "$section" "${ALL_CONTENDERS[@]}"
    warm_up connections "--at-once=$at_once" --seconds=0.05
    each_round "$RATE_ROUNDS" connections_slot
    stop_chosen
}

section_connections_1() {
    connections 1
}

section_connections_32() {
    connections 32
}

# The slow ones have less to move, and are told per GiB all the same.
bulk_slot() {
    local bytes=$((BULK_MIB * MIB))

    case $2 in
    rinetd | redir* | socat | haproxy | nginx) bytes=$((bytes / 2)) ;;
    xinetd-redirect) bytes=$((bytes / 16)) ;;
    esac
    [ "$section" != both ] || bytes=$((bytes / 2))
    slot "$section" "$1" "$2" "$section" "--bytes=$bytes"
}

bulk() {
    local section=$1

    choose "$section" "${ALL_CONTENDERS[@]}"
    warm_up "$section" --bytes=$((8 * MIB + 4321)) --check-all
    each_round "$ROUNDS" bulk_slot
    stop_chosen
}

section_down() {
    bulk down
}

section_up() {
    bulk up
}

section_both() {
    bulk both
}

requests_slot() {
    slot "$section" "$1" "$2" "$section" "--seconds=$SLOT_S"
}

requests() {
    local section=$1

    choose "$section" "${ALL_CONTENDERS[@]}"
    warm_up "$section" --seconds=0.05
    each_round "$RATE_ROUNDS" requests_slot
    stop_chosen
}

section_request() {
    requests request
}

section_byte() {
    requests byte
}

# record_each WHAT KIB: by connection, within hold_slot.
record_each() {
    record "$section" "$round" "$name" "$1" \
        "$(awk -v all="$2" -v held="$held" 'BEGIN { print all / held }')"
}

# hold_by PORT: within hold_slot. Not a coprocess: as soon as that is gone, so are its descriptors, and
# what it has said.
hold_by() {
    rm -f "$WORK/ask"
    mkfifo "$WORK/ask"
    exec {ask}<>"$WORK/ask"
    exec {answers}< <(exec "$BUILD/bench/load" hold "${hold_arguments[@]}" 127.0.0.1 "$1" \
        <"$WORK/ask" 2>"$WORK/load.err" {ask}>&-)
    pid=$!
}

# hold_slot ROUND NAME: in a contender of its own, since some keep what they once had. Both ends are
# in the sum; the report takes off what the same costs without a relay.
hold_slot() {
    local round=$1 name=$2 line='' answered='' before charged pid ask answers

    start "$name" || return 0
    warm_one "$name"
    memory_used
    before=$USED
    memory_of "$name"
    charged=$CHARGED
    hold_by "${PORT[$name]}"
    read -r line <&"$answers"
    settle "$name"
    pause "${hold_pause_s:-0.1}"
    memory_used
    memory_of "$name"
    [ -z "$line" ] || echo >&"$ask"
    read -r answered <&"$answers"
    wait "$pid"
    exec {ask}>&- {answers}<&-
    if [[ $answered = answered=* ]]; then
        record_each kib $((USED - before))
        [ -z "$CHARGED" ] || record_each charged_kib $(((CHARGED - charged) / 1024))
        record_line "$section" "$round" "$name" "$line"
    else
        failed "$section" "$round" "$name" "$(cat "$WORK/load.err")"
    fi
    stop "$name"
}

# What a contender sets up for its first connection is not the price of each.
warm_one() {
    "$BUILD/bench/load" connections --seconds=0.01 127.0.0.1 "${PORT[$1]}" >"$WORK/load.out" 2>&1
    settle "$1"
}

# hold SECTION ROUNDS HELD NAME...: the words of hold_arguments are for load.
hold() {
    local section=$1 rounds=$2 held=$3

    shift 3
    choose "$section" "$@"
    stop_chosen
    each_round "$rounds" hold_slot
}

section_hold() {
    local hold_arguments=("--streams=$HELD")

    hold hold "$ROUNDS" "$HELD" direct direct-again nowait wait
    hold hold-others "$HELD_ROUNDS" "$HELD" direct acceptor-libc rinetd redir redir-i socat \
        xinetd-redirect socket-proxyd haproxy nginx
}

section_hold_after_bulk() {
    local hold_arguments=(--streams=100 --bytes=$((BULK_MIB * MIB / 32)))
    local hold_pause_s=3 # what the flow of bulk needed may be given back only when that is clearly over

    hold hold-after-bulk "$HELD_ROUNDS" 100 direct nowait wait haproxy-splice
}

section_hold_10000() {
    local hold_arguments=("--streams=$MANY")

    [ "$MANY" != 0 ] || { say 'not in a quick run' && return 0; }
    hold hold-10000 1 "$MANY" direct nowait wait
}

crowd_slot() {
    slot crowd "$1" "$2" down --streams=500 "--bytes=$((CROWD_MIB * MIB))"
}

section_crowd() {
    local section=crowd

    choose crowd direct crowd crowd-without
    warm_up down --streams=500 --bytes=100000 --check-all
    each_round "$ROUNDS" crowd_slot
    stop_chosen
}

# start_slot ROUND NAME
start_slot() {
    local line

    case $2 in
    noop*) set -- "$1" "$2" "$WORK/bin/noop" ;;
    relay) set -- "$1" "$2" "$WORK/bin/rinetd-relay" "${start_arguments[@]}" ;;
    relay-libc) set -- "$1" "$2" "$WORK/bin/relay-libc" "${start_arguments[@]}" ;;
    list-10) set -- "$1" "$2" "$WORK/bin/rinetd-relay" "${list_10[@]}" ;;
    list-*) set -- "$1" "$2" "$WORK/bin/rinetd-relay" "${list_many[@]}" ;;
    esac
    line=$("$WORK/bin/start" "--seconds=$START_S" 127.0.0.1 "$port" "${@:3}" 127.0.0.1 "$port" \
        2>"$WORK/load.err") || {
        failed "$section" "$1" "$2" "$(cat "$WORK/load.err")"
        return 0
    }
    record_line "$section" "$1" "$2" "$line"
}

# count_calls NAME COMMAND...: the system calls of one connection, by strace; within section_start_up.
count_calls() {
    local strace

    strace=$(command -v strace) && "$strace" -o /dev/null true 2>/dev/null || {
        record "$section" 0 "calls of $1" missing 'a strace that may trace'
        return 0
    }
    "$WORK/bin/start" --seconds=0 127.0.0.1 "$port" "$strace" -o "$WORK/strace" "${@:2}" \
        127.0.0.1 "$port" >/dev/null 2>"$WORK/load.err" || {
        failed "$section" 0 "$1" "under strace: $(cat "$WORK/load.err")"
        return 0
    }
    record "$section" 0 "$1" calls "$(grep -cv '^[-+]' "$WORK/strace")"
}

section_start_up() {
    local section=start-up port patterns start_arguments

    free_port
    port=$FREE
    patterns=$(printf '10.%s.*,' {1..9})
    start_arguments=("--allow=${patterns}127.*" "--log=$WORK/start.log")
    CHOSEN=(noop noop-again relay)
    [ ! -x "$WORK/bin/relay-libc" ] || CHOSEN+=(relay-libc)
    count_calls noop "$WORK/bin/noop"
    count_calls relay "$WORK/bin/rinetd-relay" "${start_arguments[@]}"
    [ ! -x "$WORK/bin/relay-libc" ] ||
        count_calls relay-libc "$WORK/bin/relay-libc" "${start_arguments[@]}"
    each_round "$START_ROUNDS" start_slot
}

# list_of COUNT: networks of blocklists, in no order, always the same; none has a loopback address.
list_of() {
    awk -v count="$1" 'BEGIN {
        state = 1
        while (made < count) {
            state = (state * 1103515245 + 12345) % 2147483648
            a = 1 + int(state / 65536) % 223
            state = (state * 1103515245 + 12345) % 2147483648
            b = int(state / 65536) % 256; c = int(state / 4096) % 256; d = int(state / 16) % 64
            if (a == 127)
                continue
            if (made % 4 == 0)
                printf "%d.%d.%d.0/24\n", a, b, c
            else
                printf "%d.%d.%d.%d/30\n", a, b, c, d * 4
            made++
        }
    }'
}

# list_command NAME COUNT: a list of so many patterns, as rinetd-gen has a relay use it: sets COMMAND.
list_command() {
    local folder=$WORK/$1 started status

    mkdir -p "$folder/units"
    free_port
    list_of "$2" >"$folder/list"
    printf 'logfile %s\n127.0.0.1 %s 127.0.0.1 %s\ndeny @%s\n' "$folder/log" "$FREE" "$port" \
        "$folder/list" >"$folder/conf"
    started=$(date +%s%N)
    perl -e '
        my $pid = fork() // die; if (!$pid) { exec @ARGV or exit 127 }
        my $peak = 0;
        while (waitpid($pid, 1) == 0) {
            if (open my $f, "<", "/proc/$pid/status") {
                while (<$f>) { $peak = $1 if /^VmHWM:\s+(\d+)/ && $1 > $peak }
            }
            select undef, undef, undef, 0.005;
        }
        print "$peak\n"; exit($? >> 8)' "$WORK/bin/rinetd-gen" -c "$folder/conf" -f xinetd -m nowait \
        -o "$folder/units" -r "$WORK/bin/rinetd-relay" -u "$RELAY_USER" >"$folder/peak" \
        2>"$folder/err"
    status=$?
    read -r -a COMMAND < <(sed -n 's/^\s*server_args\s*=\s*//p' "$folder/units/rinetd" 2>/dev/null)
    [ "$status" = 0 ] && [[ "${COMMAND[*]}" = *--deny=* ]] || return 1
    record lists 0 "$1" compile_ms $((($(date +%s%N) - started) / 1000000))
    record lists 0 "$1" compile_mib $(($(cat "$folder/peak") / 1024))
    unset 'COMMAND[-1]' 'COMMAND[-1]' # the target, which each slot names
}

section_lists() {
    local section=lists port list_10 list_many COMMAND

    free_port
    port=$FREE
    CHOSEN=()
    if ! list_command list-10 10; then
        record lists 0 list-10 missing 'a rinetd-gen that compiles lists'
        return 0
    fi
    list_10=("${COMMAND[@]}")
    list_command list-long "$LIST_PATTERNS" || {
        failed lists 0 list-long "$(head -n 2 "$WORK/list-long/err")"
        return 0
    }
    list_many=("${COMMAND[@]}")
    CHOSEN=(list-10 list-long)
    each_round "$START_ROUNDS" start_slot
}

# udp NAME VERB LOAD-ARGUMENT...: clients have the same ports in each round, and so their sessions.
udp() {
    local section=$1 udp_arguments FREE

    free_ports 50
    udp_arguments=("${@:2}" "--from=$FREE")
    choose "$section" "${UDP_CONTENDERS[@]}"
    warm_up greet "${udp_arguments[@]:1}"
    each_round "$RATE_ROUNDS" udp_slot
    stop_chosen
}

udp_slot() {
    slot "$section" "$1" "$2" "${udp_arguments[@]}" "--seconds=$SLOT_S"
}

section_udp_many() {
    udp udp-many flow --clients=50 --window=4 --bytes=64
}

section_udp_flow() {
    udp udp-flow flow --window=32 --bytes=1400
}

section_udp_row() {
    udp udp-row flow --bytes=64
}

section_udp_paced() {
    udp udp-paced paced --clients=50 --rate=5000 --bytes=64
}

# udp_sessions_slot ROUND NAME: the end of a session comes a second after its datagram, and is part of
# what it costs: so processor time is that from one slot to the next.
udp_sessions_slot() {
    local LINE

    cpu_of "$2"
    [ -z "${last_line[$2]-}" ] ||
        cpu_since "$section" $(($1 - 1)) "$2" "${last_cpu[$2]}" "${last_line[$2]}"
    last_cpu[$2]=$CPU last_line[$2]=
    load_once "$section" "$1" "$2" sessions --clients=16 --bytes=64 "--seconds=$SLOT_S" || return 0
    record_line "$section" "$1" "$2" "$LINE"
    last_line[$2]=$LINE
}

section_udp_sessions() {
    local section=udp-sessions UDP_TIMEOUT_S=1
    local -A last_cpu=() last_line=()

    choose "$section" "${UDP_CONTENDERS[@]}"
    warm_up greet
    each_round "$RATE_ROUNDS" udp_sessions_slot
    stop_chosen
}
