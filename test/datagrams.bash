# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load datagrams` after the helper: clients and targets of UDP, and a relay that has the socket.
# The relay alone is under `peer hand`, which is called `relay` and gives it the socket anew whenever
# it has ended and there is something to read; what the relay says is in $T/said, its log in $T/log,
# its exit status in $T/relay.status, and it is `first` of waiting.bash.
load waiting

require_ipv6() {
    grep -q '^00000000000000000000000000000001 ' /proc/net/if_inet6 || skip "no IPv6 here"
}

# listen_datagrams NAME [--OPTION...] ADDR PORT ACTION; port 0 is a free one, which nobody else gets
# while the target is away.
listen_datagrams() {
    local name=$1

    shift
    [ "${*: -2:1}" != 0 ] || set -- "${@:1:$#-2}" "$(free_ports)" "${*: -1}"
    rm -f "$T/$name.port"
    start "$name" "$DATAGRAM" listen --port-file="$T/$name.port" "$@"
    wait_for or_over "$name" test -s "$T/$name.port"
    [ -s "$T/$name.port" ] || { cat "$T/$name.err" && return 1; }
}

# answer NAME [--OPTION...] ADDR PORT: a target that echoes, with a line for each datagram.
answer() {
    listen_datagrams "$1" --print "${@:2}" echo
}

# sizes_at NAME: of the datagrams that came to this target, on one line.
sizes_at() {
    output_of "$1" | cut -d ' ' -f 3 | xargs
}

# has_got N: so many datagrams came to the target.
has_got() {
    [ "$(output_of target | wc -l)" = "$1" ]
}

# peers_of NAME: how many there were to this target, which is how many sessions.
peers_of() {
    output_of "$1" | cut -d ' ' -f 1,2 | sort -u | wc -l
}

# hand_datagrams [--OPTION...] ADDR PORT COMMAND...: the socket for COMMAND.
hand_datagrams() {
    hand --datagram "$@"
}

# relay [--OPTION...]: one on a free port of 127.0.0.1, or of $ON, to `target`, or to $TO; by the
# command ${UNDER[@]}.
relay() {
    local to

    read -ra to <<<"${TO:-127.0.0.1 $(port_of target)}"
    hand_datagrams "${ON:-127.0.0.1}" "${PORT:-0}" "${UNDER[@]}" "$RELAY" --log="$T/log" "$@" "${to[@]}"
}
UNDER=()

# ask [--OPTION...]: of the relay, at $AT, by default where it listens; what is sent and got is in
# $T/asked.
ask() {
    "$DATAGRAM" ask "$@" "${AT:-${ON:-127.0.0.1}}" "$(port_of relay)" >"$T/asked"
}

# say [--OPTION...] TEXT...: to the relay, and prints its replies.
say() {
    local options=()

    while [[ ${1-} == --* ]]; do
        options+=("$1")
        shift
    done
    "$DATAGRAM" say "${options[@]}" "${AT:-${ON:-127.0.0.1}}" "$(port_of relay)" "$@"
}

# Lines of the log as CLIENT FROM-CLIENT TO-CLIENT MESSAGE.
records() {
    log_of "$T/log" | awk -F '|' 'NF != 8 { print "bad line: " $0; next } { print $1, $6, $7, $8 }'
}

has_records() {
    [ -e "$T/log" ] && [ "$(wc -l <"$T/log")" -ge "$1" ]
}

# records_are LINE...: these and no others, once there are as many.
records_are() {
    wait_for has_records $# || true
    diff <(printf '%s\n' "$@") <(records)
}

# The same, in any order.
sorted_records_are() {
    wait_for has_records $# || true
    diff <(printf '%s\n' "$@" | sort) <(records | sort)
}

# datagram_socket PORT: is one bound there?
datagram_socket() {
    cat /proc/net/udp /proc/net/udp6 2>/dev/null |
        awk -v port="$(printf ':%04X' "$1")" '
            substr($2, length($2) - 4) == port { found = 1 }
            END { exit !found }'
}

# starts_anew: a rule with timeout=1 and linger=1, whose relay ends twice and is there again.
starts_anew() {
    local i

    for i in 3 6; do
        ask --clients=3 --sizes=9 --replies=0
        wait_for logged_times opened "$i"
        settled
        [ "$(how_often done-remote-closed)" = "$i" ]
    done
    ask --clients=3 --sizes=9 --retry=500 # a session may end before its answer comes
    [ "$(how_often opened)" -ge 9 ]
}

# queue_is_empty PORT: has all been read that came to this socket?
queue_is_empty() {
    awk -v port="$(printf ':%04X' "$1")" '
        substr($2, length($2) - 4) == port && $5 !~ /:00000000$/ { left = 1 }
        END { exit left }' /proc/net/udp
}

queue_is_not_empty() {
    ! queue_is_empty "$1"
}

# life_of_a_rule: one with max=2 that lets in 127.0.0.* but for 127.0.0.2; its target goes and comes.
life_of_a_rule() {
    local i port

    port=$(port_of target)
    ask --from=127.0.0.2 --replies=0 --rounds=20
    ask --from=127.0.1.1 --replies=0 --rounds=20
    for i in 1 2 3; do
        ask --from="127.0.0.1:700$i" --sizes=$i
    done
    stop target
    say --from=127.0.0.1:7003 --replies=0 gone
    wait_for logged_times done-local-closed 1
    answer target 127.0.0.1 "$port"
    ask --from=127.0.0.1:7003 --sizes=4 --retry=100
    records_are '127.0.0.2 0 0 denied' '127.0.1.1 0 0 not-allowed' '127.0.0.1 1 0 opened' \
        '127.0.0.1 2 0 opened' '127.0.0.1 1 1 done-remote-closed' '127.0.0.1 3 0 opened' \
        '127.0.0.1 7 3 done-local-closed' '127.0.0.1 4 0 opened'
}
