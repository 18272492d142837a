#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Generated units under a real systemd: what reaches the relay, and what its sandbox leaves open
# and shut.

# shellcheck disable=SC2016 # what systemd must not expand

load helper
load forwarding
load systemd

setup() {
    common_setup
    start_systemd
    UNITS=/etc/systemd/system
}

# convert_inside FLAG... : $T/rinetd.conf into units, and their sockets started.
convert_inside() {
    inside "$GEN" -c "$T/rinetd.conf" -f systemd -u nobody -r "$RELAY" -o "$UNITS" "$@" 2>"$T/said" ||
        { cat "$T/said" && return 1; }
    inside systemctl daemon-reload
    inside sh -c 'cd "$1" && systemctl start rinetd-tcp-*.socket' - "$UNITS"
}

conf() {
    printf '%s\n' "$@" >"$T/rinetd.conf"
}

# A relay that writes down how it was called, into the log that it was told of.
make_scribe() {
    cat >"$T/scribe" <<'EOT'
#!/bin/sh
for word; do
    case $word in
    --log=*) log=${word#--log=} ;;
    esac
done
printf '%s\n' "$@" >>"$log"
EOT
    chmod 755 "$T/scribe"
}

# called LOG WORD...: the scribe's last call.
called() {
    local log=$1

    shift
    wait_for test -s "$log"
    printf '%s\n' "$@" | diff - "$log"
}

@test "specifiers, variables, quotes and backslashes come out literally, words and folders alike" {
    local port log target

    make_scribe
    while IFS= read -r log && IFS= read -r target; do
        log=$T/$log
        mkdir -p "${log%/*}"
        chown nobody "${log%/*}"
        port=$(free_ports)
        if [[ $log == *\ * ]]; then
            conf "logfile \"$log\""
        else
            conf "logfile $log"
        fi
        echo "127.0.0.1 $port $target" >>rinetd.conf
        convert_inside -m nowait -r "$T/scribe"
        "$PEER" connect 127.0.0.1 "$port" eof
        called "$log" "--listener=127.0.0.1:$port" "--log=$log" "$target"
        inside systemctl show -P Description "rinetd-tcp-127.0.0.1-$port@any.service" |
            diff <(echo "rinetd: 127.0.0.1 $port $target") -
    done <<'EOT'
100 %n 'x' \y $HOME;é/${USER} \n.log
unix:/run/%n$HOME${HOME}$$"'\;
"quoted"%%h\;'/$HOME%t"
unix:@$HOME\x41\
plain/log
unix:/run/;
EOT
}

@test "the relay: served, logged in a folder with an odd name, and in the journal without" {
    local port folder="$T/it's 100%"

    hello
    port=$(free_ports)
    mkdir "$folder"
    chown nobody "$folder"
    conf "logfile \"$folder/log\"" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    convert_inside -m nowait
    served 127.0.0.1 "$port"
    wait_for grep -q done- "$folder/log"
    # Rotated by renaming: the next line makes a new one
    mv "$folder/log" "$folder/log.1"
    served 127.0.0.1 "$port"
    wait_for grep -q done- "$folder/log"
    conf "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    convert_inside -m nowait
    served 127.0.0.1 "$port"
    wait_for in_journal RESULT=opened
}

in_journal() {
    journal -o cat "$@" | grep -q .
}

@test "targets in homes, /run/user, /tmp, /var/tmp and /dev are reached" {
    local path ports i=0

    door
    for path in /home/u/s /root/s /run/user/7/s /tmp/s /var/tmp/s /dev/shm/s /run/s; do
        inside mkdir -p "${path%/*}"
        inside chmod 755 "${path%/*}"
        start "target.$i" "${DOOR[@]}" "$PEER" listen --port-file="$T/$i.port" "unix:$path" \
            line 'send:hello\n' eof
        wait_for or_over "target.$i" test -s "$i.port"
        inside chmod 777 "$path"
        ((++i))
    done
    mapfile -t ports < <(free_ports 7)
    i=0
    for path in /home/u/s /root/s /run/user/7/s /tmp/s /var/tmp/s /dev/shm/s /run/s; do
        echo "127.0.0.1 ${ports[i]} unix:$path"
        ((++i))
    done >rinetd.conf
    convert_inside -m nowait
    for ((i = 0; i < 7; i++)); do
        served 127.0.0.1 "${ports[i]}"
    done
}

@test "a log below a home, and in /tmp" {
    local port log

    hello
    port=$(free_ports)
    for log in /home/u/log /tmp/logs/log; do
        inside mkdir -p "${log%/*}"
        inside chown nobody "${log%/*}"
        conf "logfile $log" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
        convert_inside -m nowait
        served 127.0.0.1 "$port"
        wait_for inside grep -q done- "$log"
    done
}

@test "in the sandbox nothing else can be written, seen or become" {
    local port

    port=$(free_ports)
    cat >scribe <<'EOT'
#!/bin/sh
{
    for path in /etc/open /usr/open /var/open; do
        (: >"$path/oops") 2>/dev/null && echo "wrote $path"
    done
    ls /home /root 2>/dev/null
    ls -d /proc/1 2>/dev/null
    grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr '\t\n' '= '
    id -un
} >"${0%/*}/out/said"
EOT
    chmod 755 scribe
    mkdir out
    chown nobody out
    inside mkdir -p /home/u
    inside install -d -m 777 /etc/open /usr/open /var/open
    conf "logfile $T/out/log" "127.0.0.1 $port 127.0.0.1 9"
    convert_inside -m nowait -r "$T/scribe"
    "$PEER" connect 127.0.0.1 "$port" eof
    wait_for test -s out/said
    diff out/said - <<'EOT'
CapEff:=0000000000000000 CapBnd:=0000000000000000 NoNewPrivs:=1 Seccomp:=2 nobody
EOT
}

# relay_has_pipes N: all relays together have so many ends.
relay_has_pipes() {
    [ "$(inside pgrep -x rinetd-relay | while read -r pid; do
        inside find "/proc/$pid/fd" -lname 'pipe:*'
    done | wc -l)" = "$1" ]
}

@test "bulk data go through pipes in the sandbox, too, in both modes" {
    local port mode

    for mode in nowait wait; do
        rm -f go
        # By the second half the relay has had its bulk, and is held up
        listen target 127.0.0.1 0 check:16777216:1 wait-file:"$T/go" check:16777216:2 send:x eof
        port=$(free_ports)
        conf "127.0.0.1 $port 127.0.0.1 $(port_of target)"
        convert_inside -m "$mode"
        start client "$PEER" connect 127.0.0.1 "$port" data:16777216:1 data:16777216:2 \
            recv:1 fin eof
        wait_for relay_has_pipes 2
        touch go
        finished client
        stop target
    done
}

@test "wait mode: a relay that can't start is tried once a second, and the client waits for it" {
    local port starts

    port=$(free_ports)
    cat >late <<'EOT'
#!/bin/sh
cd "${0%/*}/out" || exit 3
date +%s%3N >>starts
[ -e go ] || exit 3
rm go
exec sleep 300
EOT
    chmod 755 late
    mkdir out
    chown nobody out
    conf "logfile $T/out/log" "127.0.0.1 $port 127.0.0.1 9"
    convert_inside -r "$T/late"
    start client "$PEER" connect 127.0.0.1 "$port" hold
    wait_for started 3
    mapfile -t starts <out/starts
    ((starts[2] - starts[0] > 1500))
    inside systemctl is-active "rinetd-tcp-127.0.0.1-$port.socket"
    : >go
    chmod 666 go
    mv go out
    wait_for test ! -e out/go
    inside systemctl is-active "rinetd-tcp-127.0.0.1-$port.service"
    is_running client
}

# started TIMES
started() {
    [ "$(wc -l 2>/dev/null <out/starts)" -ge "$1" ]
}
