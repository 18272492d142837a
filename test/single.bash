# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load single` after the helper: a relay for a single connection from the peer `client` to the peer
# `target`, its log in $T/log.

UNDER=()

# forward [ARG...]: one relay to `port_of target`, or to $TARGET if that is set, with its process id
# in $T/number; by the command ${UNDER[@]}.
forward() {
    local target

    read -ra target <<<"${TARGET:-127.0.0.1 $(port_of target)}"
    rm -f number
    # shellcheck disable=SC2016
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 sh -c '
        echo "$$" >number.new && mv number.new number && exec "$@"' - \
        "${UNDER[@]}" "$RELAY" --log="$T/log" "$@" "${target[@]}"
}

# relay_is_stuck PORT: it sleeps though something is there to be read from its connection with that
# port at either end, so the other side takes no more. It is looked twice, with more time between
# than TCP delays an acknowledgement.
relay_is_stuck() {
    local before

    before=$(input_of_sleeper "$1") && [ -n "$before" ] && sleep 0.25 &&
        [ "$(input_of_sleeper "$1")" = "$before" ]
}

# input_of_sleeper PORT: what the relay has not read while it sleeps, from the client with its own
# port, from the target with the target's.
input_of_sleeper() {
    grep -q '^State:.S' "/proc/$(<number)/status" || return 1
    awk -v port="$(printf :%04X "$1")$" -v own="$(printf :%04X "$(port_of relay)")$" '
        $4 == "01" && (port == own ? $2 ~ own : $3 ~ port) && $5 !~ /:0+$/ {
            sub(/.*:/, "", $5)
            print $5
        }' /proc/net/tcp
}

client() {
    "$PEER" connect 127.0.0.1 "$(port_of relay)" "$@"
}

start_client() {
    start client "$PEER" connect 127.0.0.1 "$(port_of relay)" "$@"
}

# ended FROM_CLIENT TO_CLIENT WORD: the relay is done, and these are its lines.
ended() {
    local line

    line="127.0.0.1|127.0.0.1|$(port_of relay)|127.0.0.1|$(port_of target)"
    relay_ends 0
    logged log "$line|0|0|opened" "$line|$1|$2|$3"
}

# ended_with WORD: the same, where the counts are anybody's guess.
ended_with() {
    relay_ends 0
    [ "$(log_of log | grep -c '|0|0|opened$')" = 1 ]
    [ "$(log_of log | grep -c "|$1\$")" = 1 ]
    [ "$(wc -l <log)" = 2 ]
}
