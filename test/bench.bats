#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The benchmark's own tools: that damage is seen, and that the numbers are what they are said to be.
load helper

BENCH=${BATS_TEST_DIRNAME:?}/../bench LOAD=${BUILD:?}/bench/load UDP_LOAD=${BUILD:?}/bench/udp-load

has_port() {
    grep -q '^listening' "$T/target.out"
}

# start_target [OPTION...]: sets PORT.
start_target() {
    start target "$BUILD/bench/serve" "$@" 127.0.0.1 0
    wait_for or_over target has_port
    PORT=$(sed -n 's/^listening //p' "$T/target.out")
}

# start_udp_target [OPTION...]: sets PORT.
start_udp_target() {
    start target "$BUILD/bench/udp-serve" "$@" 127.0.0.1 0
    wait_for or_over target has_port
    PORT=$(sed -n 's/^listening //p' "$T/target.out")
}

# numbers SECTION WHAT NAME VALUE...: a value for each round.
numbers() {
    local round=0 value

    for value in "${@:4}"; do
        printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$((++round))" "$3" "$2" "$value" >>"$T/data"
    done
}

# verdict_on LIMIT: on b beside a.
verdict_on() {
    echo "down cpu b a $*" >"$T/targets"
    "$BENCH/report" "$T/data" "$T/targets" "$T" | grep '^| Bulk, to the client: '
}

@test "a byte that is damaged on the way down is seen" {
    start_target --damage=70000
    "$LOAD" down --bytes=70000 --check-all 127.0.0.1 "$PORT"
    run -1 "$LOAD" down --bytes=70001 --check-all 127.0.0.1 "$PORT"
    [[ $output = *'the stream is damaged'* ]]
    run -1 "$LOAD" both --bytes=100000 --check-all 127.0.0.1 "$PORT"
    run -1 "$LOAD" request --bytes=65536 --seconds=30 --check-all 127.0.0.1 "$PORT"
    [[ $output = *'the answer is damaged'* ]]
}

@test "a stripe of each piece is compared without being asked" {
    start_target --damage=1048576
    run -1 "$LOAD" down --bytes=2000000 127.0.0.1 "$PORT"
    [[ $output = *'the stream is damaged'* ]]
}

@test "damage within an answer, and beyond the stripes, is found" {
    start_target --damage=30001
    run -1 "$LOAD" request --bytes=65536 --seconds=30 127.0.0.1 "$PORT"
    [[ $output = *'the answer is damaged'* ]]
}

@test "a byte that is damaged on the way up is found wherever it is" {
    start_target
    run -1 "$LOAD" up --bytes=1000003 --damage=300001 --check-all 127.0.0.1 "$PORT"
    [[ $output = *'the stream upward is damaged'* ]]
    run -1 "$LOAD" both --bytes=1000003 --damage=300001 --check-all 127.0.0.1 "$PORT"
    run -1 "$LOAD" request --bytes=65536 --damage=30001 --seconds=30 127.0.0.1 "$PORT"
}

@test "every shape of work comes back from a sound target" {
    local shape

    start_target
    for shape in 'connections --seconds=0.01' 'connections --at-once=8 --seconds=0.01' \
        'down --bytes=1000001' 'up --bytes=1000001' 'both --bytes=1000001 --streams=3' \
        'request --seconds=0.01' 'byte --seconds=0.01'; do
        # shellcheck disable=SC2086
        "$LOAD" $shape 127.0.0.1 "$PORT"
    done
    run -0 "$LOAD" hold --streams=20 127.0.0.1 "$PORT" <<<''
    [[ ${lines[0]} = held=20* && ${lines[1]} = answered=20* ]]
}

@test "nobody there is a failure" {
    run -1 "$LOAD" byte 127.0.0.1 "$(free_ports)"
    run -1 "$UDP_LOAD" flow --seconds=0.01 127.0.0.1 "$(free_ports)"
    [[ $output = *'nothing has come back'* ]]
}

@test "every shape of datagrams comes back from a sound target" {
    local shape

    start_udp_target
    for shape in 'greet --clients=3' 'flow --bytes=16' 'flow --bytes=65507' \
        'flow --clients=5 --window=4 --bytes=1400' 'paced --rate=1000 --clients=5' \
        'sessions --clients=4'; do
        # shellcheck disable=SC2086
        run -0 "$UDP_LOAD" $shape --seconds=0.02 --lost-after=9 127.0.0.1 "$PORT"
        [[ $output = *count=[1-9]*' made_up=0.0000'* ]]
    done
}

@test "a datagram that is damaged on its way back is seen" {
    start_udp_target --damage=3
    run -1 "$UDP_LOAD" greet --clients=3 --lost-after=9 127.0.0.1 "$PORT"
    [[ $output = *'a datagram is damaged'* ]]
}

@test "a datagram that is damaged on its way there is seen" {
    start_udp_target
    run -1 "$UDP_LOAD" greet --damage --lost-after=9 127.0.0.1 "$PORT"
    [[ $output = *'the server says that a datagram is damaged'* ]]
}

@test "a datagram that comes twice is seen" {
    start_udp_target --twice=2
    run -1 "$UDP_LOAD" flow --window=4 --seconds=30 --lost-after=9 127.0.0.1 "$PORT"
    [[ $output = *'a datagram has come twice'* ]]
}

@test "a datagram that does not come back is counted, but for no rate" {
    start_udp_target --lose=2
    loses 'count=1 * lost=50.0000 *' sessions --clients=2 --seconds=0
    loses '* lost=[1-9]*' flow --window=2 --seconds=0.01
}

# loses PATTERN WORK...: that is what comes of it; who is slow may have more time for that.
loses() {
    local after said

    for after in 0.5 5; do
        # shellcheck disable=SC2053
        said=$("$UDP_LOAD" "${@:2}" --lost-after="$after" 127.0.0.1 "$PORT") &&
            [[ $said = $1 ]] && return 0
        echo "after $after s: $said"
    done
    return 1
}

@test "clients with ports of their own have the same ones again" {
    local port

    start_udp_target
    port=$(free_ports)
    "$UDP_LOAD" flow --from="$port" --seconds=0.01 --lost-after=9 127.0.0.1 "$PORT"
    "$UDP_LOAD" flow --from="$port" --seconds=0.01 --lost-after=9 127.0.0.1 "$PORT"
    run -1 "$UDP_LOAD" flow --from="$PORT" --seconds=0.01 127.0.0.1 "$PORT"
    [[ $output = *'have a port of its own'* ]]
}

has_port_of() {
    grep -q ":$(printf %04X "$1") 00000000:0000 07" /proc/net/udp
}

has_lines() {
    [ "$(wc -l <"$T/said")" = "$1" ]
}

@test "the smallest superserver starts a command for what waits, and again when it has ended" {
    local port

    port=$(free_ports)
    # shellcheck disable=SC2016
    start superserver "$BUILD/bench/udp-wait" 127.0.0.1 "$port" /usr/bin/perl -e '
        sysread STDIN, my $datagram, 99; open my $said, ">>", $ARGV[0]; print $said "$datagram\n"' "$T/said"
    wait_for or_over superserver has_port_of "$port"
    : >"$T/said"
    printf one >"/dev/udp/127.0.0.1/$port"
    wait_for has_lines 1
    printf two >"/dev/udp/127.0.0.1/$port"
    wait_for has_lines 2
    [ "$(cat "$T/said")" = $'one\ntwo' ]
}

@test "the median of the ratios of a round, and the quartiles" {
    numbers down cpu a 1 2 4 8 10
    numbers down cpu b 1 4 12 32 50 # ratios 1 to 5
    run -0 verdict_on '<= 4.5'
    [[ $output = *'3.000 (2.000 to 4.000) | met |' ]]
    run -0 verdict_on '>= 4.5'
    [[ $output = *'| missed |' ]]
}

@test "a target between the quartiles is not decided" {
    numbers down cpu a 1 1 1 1
    numbers down cpu b 1 2 3 4
    run -0 verdict_on '<= 2.6'
    [[ $output = *'2.500 (1.750 to 3.250) | not decided |' ]]
}

@test "a contender that failed has not reached a target" {
    numbers down cpu a 1 1
    numbers down cpu b 1 1
    numbers down failed b 1
    run -0 verdict_on '<= 2'
    [[ $output = *'missed: 1 failed |' ]]
}

# memory_verdict: on what the relay holds under xinetd.
memory_verdict() {
    echo 'hold kib nowait - <= 95' >"$T/targets"
    "$BENCH/report" "$T/data" "$T/targets" "$T" | grep '^| Memory of an idle connection: '
}

@test "memory is judged without cgroups for it, the two ends taken off" {
    numbers hold kib direct 10 10 10
    numbers hold kib nowait 100 101 102
    run -0 memory_verdict
    [[ $output = *': memory each |'*'| 91.000 (90.500 to 91.500) | met |' ]]
}

@test "memory is judged by the cgroup where there is one" {
    numbers hold kib direct 10
    numbers hold kib nowait 100
    numbers hold charged_kib nowait 99
    run -0 memory_verdict
    [[ $output = *': charged to its cgroup |'*'| 99.000 (99.000 to 99.000) | missed |' ]]
}

@test "a round that does not say what the two ends take says nothing" {
    numbers hold kib direct 10
    numbers hold kib nowait 100 200
    run -0 memory_verdict
    [[ $output = *'| 90.000 (90.000 to 90.000) | met |' ]]
}

@test "what is missing is named" {
    numbers down cpu a 1 1
    printf 'down\t0\tb\tmissing\tsome-program\n' >>"$T/data"
    run -0 "$BENCH/report" "$T/data" /dev/null "$T"
    [[ $output = *'b'*' is missing: some-program is not here.'* ]]
}

# runner COMMANDS: in a shell that has what starts and ends contenders, without cgroups.
runner() {
    bash -uc 'BENCH_INSIDE= CGROUP= MEMORY= RELAY_USER=$(id -un) WORK=$1
        . "$2/contenders.bash"
        . "$2/processes.bash"
        say() { echo "$*"; }
        FILES_MAX=$(ulimit -Sn)
        mkfifo "$WORK/never"
        exec {NEVER}<>"$WORK/never" 3>&-
        eval "$3"' runner "$T" "$BENCH" "$1"
}

@test "all that a contender has started ends with it" {
    # One that has left its group, and one that has left its parent.
    # shellcheck disable=SC2016
    run -0 runner 'launch x alone sh -c "setsid sleep 1000 & (sleep 1001 &); exec sleep 1002"
        has_three() {
            FAMILY=$(family "${PID[x]}")
            [ "$(sed "s,\([0-9]*\) .*,/proc/\1/comm," <<<"$FAMILY" | xargs cat 2>/dev/null)" = \
                $'\''sleep\nsleep\nsleep'\'' ]
        }
        wait_until 60000 has_three || exit 1
        stop x
        is_extinct'
    [ -z "$output" ]
}

@test "a port that somebody uses is not taken" {
    start_target
    # shellcheck disable=SC2016
    run -0 runner "NEXT_PORT=$PORT"'; free_port; echo "$FREE"'
    [ "$output" -gt "$PORT" ]
}

@test "ports in a row are free, and so is the one of datagrams" {
    start_udp_target
    # shellcheck disable=SC2016
    run -0 runner "NEXT_PORT=$((PORT - 1))"'; free_ports 3; echo "$FREE"'
    [ "$output" -gt "$PORT" ]
}

@test "who does not start on a port is not taken for who listens there" {
    start_target
    # shellcheck disable=SC2016
    run -1 runner "PORT[x]=$PORT"'
        launch x false; wait_until 60000 eval "! lives x"; has_started x'
}

@test "a round with the relay and without ends with a table" {
    QUICK=1 ROUNDS=1 SECTIONS=connections-1 CONTENDERS='direct acceptor' RESULTS=$T \
        run -0 "$BENCH/run"
    grep '^| no relay at all (.direct.) | [0-9]' "$T/RESULTS.md"
    grep '^| relay under the smallest acceptor (.acceptor.) | [0-9]' "$T/RESULTS.md"
    [ -s "$T/connections-1.svg" ]
}

@test "a round of datagrams with the relay and without ends with a table" {
    QUICK=1 ROUNDS=2 SECTIONS='udp-many udp-sessions' CONTENDERS='direct udp-acceptor' RESULTS=$T \
        run -0 "$BENCH/run"
    [ "$(grep -c '^| no relay at all (.direct.) | [0-9]' "$T/RESULTS.md")" = 2 ]
    [ "$(grep -c '^| relay under the smallest superserver, UDP (.udp-acceptor.) | [0-9]' \
        "$T/RESULTS.md")" = 2 ]
    run -1 grep failed "$T/RESULTS.md"
    [ -s "$T/udp-many.svg" ]
}
