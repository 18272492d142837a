# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# `load forwarding` after the helper: rules in, a superserver that forwards by them out. The file
# is $T/rinetd.conf, its log $T/log; `target` is a peer that answers each line with "hello".

# convert FORMAT [LINE...]: the lines, or rinetd.conf as it is, become FORMAT.conf, with $GEN_FLAGS
# as further options. What is said of them is in $T/said; errors are a failure.
convert() {
    local format=$1

    shift
    [ $# = 0 ] || printf '%s\n' "$@" >"$T/rinetd.conf"
    # shellcheck disable=SC2086
    "$GEN" -c "$T/rinetd.conf" -f "$format" -r "$RELAY" -u "$(user_for_relay)" \
        ${GEN_FLAGS-} >"$T/$format.part" 2>"$T/said" || { cat "$T/said" && return 1; }
    mv "$T/$format.part" "$T/$format.conf"
}

# forward LINE...: under a xinetd that runs.
forward() {
    convert xinetd "$@"
    start_xinetd "$T/xinetd.conf"
}

# The standard target, port 0 or as said; it ends after the client.
hello() {
    listen target "${1:-127.0.0.1}" "${2:-0}" print-peer line 'send:hello\n' eof
}

# answers TEXT [--from=ADDR] ADDR PORT: the answer to one line is that line, and no byte more.
answers() {
    local text

    text=$("$PEER" connect "${@:2}" 'send:hi\n' line fin eof) || return 1
    [ "$text" = "$1" ]
}

served() {
    answers hello "$@"
}

# refused_silently [--from=ADDR] ADDR PORT: not a byte comes, be there something sent or not. Who
# has sent nothing sees a proper end; else the kernel may make a reset of it.
refused_silently() {
    "$PEER" connect "$@" eof
    "$PEER" connect "$@" 'send:hi\n' closed
}

# The processes that serve connections now: children of the superserver, which is NAME's child.
relays_of() {
    local pid

    pid=$(cat "$T/$1.pid")
    pid=$(cut -d' ' -f1 "/proc/$pid/task/$pid/children")
    cat "/proc/$pid/task/$pid/children"
}

is_idle() {
    [ -z "$(relays_of "$1")" ]
}

has_lines() {
    [ "$(wc -l <"$1")" -ge "$2" ]
}

# Until no connection is served any more, and the log is what it will be.
settled() {
    wait_for is_idle "${SUPERSERVER:-xinetd}"
}

# Lines of the log as CLIENT FROM-CLIENT TO-CLIENT MESSAGE.
summary() {
    awk -F '\t' 'NF != 9 { print "bad line: " $0; next } { print $2, $7, $8, $9 }'
}

# log_is LINE...: these and no others, as summary has them, once all is done.
log_is() {
    settled
    diff <(printf '%s\n' "$@") <(summary <"$T/log")
}

# How often each line of standard input comes.
tally() {
    sort | uniq -c | sed 's/^ *//'
}

# tally_is "COUNT LINE"...
tally_is() {
    diff <(printf '%s\n' "$@" | sort -k 2) <(tally)
}

# target_ends_first: what the client sends after the target's FIN, a MiB, arrives whole.
target_ends_first() {
    local port

    listen target --count=1 127.0.0.1 0 data:1000:3 fin check:1048576:4 eof
    port=$(free_ports)
    forward "logfile $T/log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    "$PEER" connect 127.0.0.1 "$port" check:1000:3 eof data:1048576:4 fin
    finished target
    log_is '127.0.0.1 0 0 opened' '127.0.0.1 1048576 1000 done-local-closed'
}
