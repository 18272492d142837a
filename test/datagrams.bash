# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load datagrams` after the helper: clients and targets of UDP, and a relay that has the socket.
# The relay alone is under `peer hand`, which is called `relay` and gives it the socket anew whenever
# it has ended and there is something to read; what the relay says is in $T/said, its log in $T/log,
# its exit status in $T/relay.status.

# answer NAME [--OPTION...] ADDR PORT: a target that echoes, with a line for each datagram.
answer() {
    listen_datagrams "$1" --print "${@:2}" echo
}

# listen_datagrams NAME [--OPTION...] ADDR PORT ACTION; port 0 is a free one.
listen_datagrams() {
    local name=$1

    shift
    rm -f "$T/$name.port"
    start "$name" "$DATAGRAM" listen --port-file="$T/$name.port" "$@"
    wait_for or_over "$name" test -s "$T/$name.port"
    [ -s "$T/$name.port" ] || { cat "$T/$name.err" && return 1; }
}

# hand_datagrams [--OPTION...] ADDR PORT COMMAND...: the socket for COMMAND.
hand_datagrams() {
    start_peer hand relay --datagram --stderr="$T/said" --status-file="$T/relay.status" "$@"
}

# relay [--OPTION...]: one on a free port of 127.0.0.1, or of $ON, to `target`, or to $TO.
relay() {
    local to

    read -ra to <<<"${TO:-127.0.0.1 $(port_of target)}"
    hand_datagrams "${ON:-127.0.0.1}" 0 "$RELAY" --log="$T/log" "$@" "${to[@]}"
}

# ask [--OPTION...]: of the relay; prints nothing if all is well.
ask() {
    "$DATAGRAM" ask "$@" "${ON:-127.0.0.1}" "$(port_of relay)" >"$T/asked" || return 1
}
