# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load connections` after the helper: what clients see of rules whose target echoes, before,
# during and after a reload.

# rules PORT...: lines that forward them to the peer `target`.
rules() {
    local port

    for port; do
        echo "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    done
}

# open_client NAME PORT [ACTION...]: one that has got an answer, and then does the actions.
open_client() {
    local name=$1 port=$2

    shift 2
    rm -f "$T/$name.up" "$T/$name.go"
    start "$name" "$PEER" connect 127.0.0.1 "$port" send:hi recv:2 "touch:$T/$name.up" "$@"
    wait_for or_over "$name" test -e "$name.up"
    [ -e "$name.up" ]
}

# open_and_going_on NAME PORT; goes_on NAME: ends it well.
open_and_going_on() {
    open_client "$1" "$2" "wait-file:$T/$1.go" send:again recv:5 fin eof
}

goes_on() {
    touch "$1.go"
    finished "$1"
}

forwards() {
    [ "$("$PEER" connect 127.0.0.1 "$1" send:hello fin rest)" = hello ]
}

# soon_refused PORT: once those who had the listener, and were told to end, have done so.
soon_refused() {
    wait_for not_listening "$1"
    is_refused "$1"
}

is_refused() {
    "$PEER" connect 127.0.0.1 "$1" refused
}
