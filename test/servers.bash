# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# Part of helper.bash: what tests start. Peers by a name of the test's choice; superservers, and
# rinetd itself, as `xinetd`, `inetd` and `rinetd`, each on a configuration of the test's own.

# A peer with a --port-file; the output after the line "listening PORT" is in $T/NAME.out.
start_peer() {
    local verb=$1 name=$2

    shift 2
    rm -f "$T/$name.port"
    start "$name" "$PEER" "$verb" --port-file="$T/$name.port" "$@"
    wait_for or_over "$name" test -s "$T/$name.port"
    [ -s "$T/$name.port" ] || { cat "$T/$name.err" && return 1; }
}

# listen NAME [--OPTION...] ADDR PORT ACTION...; port 0 is a free one.
listen() {
    start_peer listen "$@"
}

# serve NAME [--OPTION...] ADDR PORT COMMAND...: a minimal inetd.
serve() {
    start_peer serve "$@"
}

# What the program says to syslog comes to $T/syslog.out.
start_syslog() {
    require namespaces
    start_peer syslog syslog /dev/log
}

port_of() {
    cat "$T/$1.port"
}

output_of() {
    sed '1{/^listening /d;}' "$T/$1.out"
}

free_ports() {
    "$PEER" free-port "${1:-1}"
}

# relay_once [ARG...]: a relay for the next connection to `port_of relay`, as under inetd, with
# its exit status in $T/relay.status afterwards.
relay_once() {
    serve relay --count=1 --status-file="$T/relay.status" 127.0.0.1 0 "$RELAY" "$@"
}

# listening PORT: is there a listener? Without a connection, which would be one more for it.
listening() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port="$(printf ':%04X' "$1")" '
        $4 == "0A" && substr($2, length($2) - 4) == port { found = 1 }
        END { exit !found }'
}

not_listening() {
    ! listening "$1"
}

# wait_listening NAME PORT...
wait_listening() {
    local name=$1 port

    shift
    for port; do
        wait_for or_over "$name" listening "$port"
        is_running "$name" || { cat "$T/$name".{out,err} && return 1; }
    done
}

services_in() {
    grep -c '^[[:space:]]*service[[:space:]]' "$1"
}

# said PATTERN TIMES: has xinetd said it more often than that?
said() {
    [ "$(grep -c "$1" "$T/xinetd.log")" -gt "$2" ]
}

# await_xinetd PATTERN BEFORE N: until it says PATTERN once more, and N services with it.
await_xinetd() {
    local have

    wait_for or_over xinetd said "$1" "$2" || true
    have=$(grep "$1" "$T/xinetd.log" | tail -n 1 |
        sed 's/.*new=\([0-9]*\) old=\([0-9]*\).*/\1 + \2/; s/.*working: \([0-9]*\).*/\1/')
    if ((${have:-0} != $3)); then
        echo "xinetd has ${have:-no} services, expected $3:"
        cat "$T/xinetd.err" "$T/xinetd.log"
        return 1
    fi
}

# start_xinetd CONF [N]: N services must come up; by default all of CONF.
start_xinetd() {
    XINETD_CONF=$(realpath "$1") # xinetd goes to /, and reads it again from there
    : >"$T/xinetd.log"
    start xinetd xinetd -dontfork -stayalive -pidfile "$T/xinetd.number" \
        -filelog "$T/xinetd.log" -f "$XINETD_CONF"
    await_xinetd 'Started working:' 0 "${2:-$(services_in "$1")}"
}

# reload_xinetd [N]
reload_xinetd() {
    local before

    before=$(grep -c 'Reconfigured:' "$T/xinetd.log" || true)
    kill -HUP "$(cat "$T/xinetd.number")"
    await_xinetd 'Reconfigured:' "$before" "${1:-$(services_in "$XINETD_CONF")}"
}

# start_inetd CONF: openbsd-inetd.
start_inetd() {
    local ports

    mapfile -t ports < <(sed -n 's/^\([^# \t]*:\)\{0,1\}\([0-9][0-9]*\)[ \t].*/\2/p' "$1")
    start inetd inetd -i -R 0 "$(realpath "$1")"
    wait_listening inetd "${ports[@]}"
}

# start_rinetd CONF: the original.
start_rinetd() {
    local ports

    mapfile -t ports < <(awk '$2 ~ /^[0-9]+(\/tcp)?$/ && NF > 3 { print $2 + 0 }' "$1")
    start rinetd rinetd -f -c "$(realpath "$1")"
    wait_listening rinetd "${ports[@]}"
}

# relay_ends STATUS: what `relay_once` started is over, with this exit status.
relay_ends() {
    finished relay && diff <(echo "$1") <(tail -n 1 "$T/relay.status")
}

# log_of FILE: its lines, without the times, which must look as they do, and with | for the tabs.
log_of() {
    sed -E 's,^[0-9]{2}/[A-Z][a-z]{2}/[0-9]{4}(:[0-9]{2}){3} \t,,; s/\t/|/g' "$1"
}

# logged FILE [LINE...]: these, and no others, are its lines.
logged() {
    diff <([ $# = 1 ] || printf '%s\n' "${@:2}") <(log_of "$1")
}

# name_server MODE: at 127.0.0.1, the only one. To it every name is unknown, or is 127.0.0.1 (known;
# late: once there is dns.go); or it says nothing at all. Once it has been asked there is dns.asked.
# Resolvers wait for $RESOLVER_S for an answer, if that is set, before they ask again or give up.
name_server() {
    require namespaces perl
    own_etc resolv.conf <<<"nameserver 127.0.0.1${RESOLVER_S:+$'\n'options timeout:$RESOLVER_S}"
    own_etc nsswitch.conf <<<'hosts: files dns'
    # shellcheck disable=SC2016
    start dns perl -e '
        socket my $s, 2, 2, 0 or die $!;
        bind $s, pack "S n C4 x8", 2, 53, 127, 0, 0, 1 or die $!;
        open my $up, ">", "dns.up";
        while (my $from = recv $s, my $query, 512, 0) {
            open my $asked, ">", "dns.asked";
            my ($question, $type) = $query =~ /^.{12}(.*?\0(..)..)/s or next;
            my $known = $ARGV[0] =~ /^(known|late)$/;
            my $found = $known && $type eq "\0\1";
            next if $ARGV[0] eq "silent";
            select undef, undef, undef, 0.01 until $ARGV[0] ne "late" || -e "dns.go";
            send $s, substr($query, 0, 2) .
                pack("n5", $known ? 0x8180 : 0x8183, 1, $found, 0, 0) . $question .
                ($found ? pack "n3 N n C4", 0xc00c, 1, 1, 60, 4, 127, 0, 0, 1 : ""), 0, $from;
        }' "$1"
    wait_for or_over dns test -e dns.up
    is_running dns
}
