# shellcheck shell=bash
# SPDX-License-Identifier: ISC
#
# Part of run: who takes part, and how each is started on a port of its own, in the foreground, for
# the target on $TARGET_PORT. Where it can, it logs every connection to a file, as rinetd does.

# Who is compared by a target is near to the other: the speed of the machine drifts.
ALL_CONTENDERS=(direct-again direct xinetd-redirect nowait socket-proxyd rinetd wait haproxy haproxy-splice
    nginx activate activate-wait acceptor acceptor-libc redir redir-i socat)
UDP_CONTENDERS=(direct-again direct udp-acceptor udp-rinetd udp-wait udp-socat udp-nginx)

# How long a session stays without a datagram, as rinetd has it.
UDP_TIMEOUT_S=72

# NAME: what it is, and what it logs.
declare -A ABOUT=(
    [direct]='no relay at all|'
    [direct-again]='the same once more: how noisy the run was|'
    [nowait]='relay under xinetd, nowait|two lines a connection to a file'
    [wait]='relay under xinetd, wait|two lines a connection to a file'
    [activate]='relay under systemd-socket-activate --accept|two lines a connection to a file'
    [activate-wait]='relay under systemd-socket-activate, wait|two lines a connection to a file'
    [acceptor]='relay under the smallest acceptor|two lines a connection to a file'
    [acceptor-libc]="the same, built with the system's libc|two lines a connection to a file"
    [rinetd]='rinetd|a line or two a connection to a file'
    [redir]='redir|nothing: it has syslog only'
    [redir-i]='redir -i under xinetd|nothing: it has syslog only'
    [socat]='socat, TCP-LISTEN with fork|notices to a file'
    [xinetd-redirect]="xinetd's redirect|start and end of a connection to a file"
    [socket-proxyd]='systemd-socket-proxyd|nothing: it cannot'
    [haproxy]='haproxy, mode tcp|a line a connection to a file'
    [haproxy-splice]='haproxy, splice forced, pipes of 1 MiB|a line a connection to a file'
    [nginx]='nginx stream|a line a connection to a file'
    [udp-wait]='relay under xinetd, UDP|two lines a session to a file'
    [udp-acceptor]='relay under the smallest superserver, UDP|two lines a session to a file'
    [udp-rinetd]='rinetd, UDP|a line or two a session to a file'
    [udp-socat]='socat, UDP4-LISTEN with fork|notices to a file'
    [udp-nginx]='nginx stream, UDP|a line a session to a file'
    [noop]='musl program that connects and closes|'
    [noop-again]='the same once more: how noisy the run was|'
    [relay]='relay, static musl, 10 patterns|two lines to a file'
    [relay-libc]="relay, the system's libc, 10 patterns|two lines to a file"
    [list-10]='relay, list of 10 patterns|two lines to a file'
    [list-long]='relay, list of %d patterns|two lines to a file'
    [crowd]='relay under the smallest acceptor, as nobody|two lines a connection to a file'
    [crowd-without]='the same, pipe2 and splice refused|two lines a connection to a file'
)

# Where a program that is needed is; fails if it is not there.
program() {
    local folder

    for folder in "$DAEMONS/usr/sbin" "$DAEMONS/usr/bin" /usr/local/sbin /usr/local/bin /usr/sbin \
        /usr/bin /lib/systemd; do
        [ ! -x "$folder/$1" ] || { echo "$folder/$1" && return; }
    done
    return 1
}

nginx_module() {
    local file

    for file in {"$DAEMONS",}/usr/lib/nginx/modules/ngx_stream_module.so; do
        [ ! -f "$file" ] || { echo "$file" && return; }
    done
    return 1
}

# Fails, and says what is missing, if a contender cannot take part here.
is_here() {
    local need

    case ${1#udp-} in
    nowait | wait | xinetd-redirect) need=xinetd ;;
    activate*) need=systemd-socket-activate ;;
    redir-i) need='xinetd redir' ;;
    socket-proxyd) need='systemd-socket-activate systemd-socket-proxyd' ;;
    haproxy*) need=haproxy ;;
    nginx) need=nginx ;;
    rinetd | redir | socat) need=${1#udp-} ;;
    *) need= ;;
    esac
    for need in $need; do
        program "$need" >/dev/null || { echo "$need" && return 1; }
    done
    [[ $1 != *-libc || -x $WORK/bin/relay-libc ]] || { echo "the build with the system's libc" && return 1; }
    [[ $1 != *nginx ]] || nginx_module >/dev/null || { echo libnginx-mod-stream && return 1; }
}

versions() {
    local name

    for name in xinetd rinetd redir socat haproxy nginx systemd; do
        printf '%s\t' "$name"
        case $name in
        xinetd) "$(program xinetd)" -version 2>&1 ;;
        rinetd) "$(program rinetd)" -v 2>&1 ;;
        redir) "$(program redir)" -v 2>&1 ;;
        socat) "$(program socat)" -V 2>&1 | sed -n 2p ;;
        haproxy) "$(program haproxy)" -v 2>&1 ;;
        nginx) "$(program nginx)" -v 2>&1 ;;
        systemd) systemd-socket-activate --version 2>&1 ;;
        esac | grep -oE '[0-9]+(\.[0-9]+)*[^ ,]*' | head -n 1 || echo missing
    done
}

log_of() {
    echo "$WORK/$1.log"
}

# run_xinetd NAME: xinetd in the foreground on $WORK/NAME.conf.
run_xinetd() {
    alone "$(program xinetd)" -dontfork -stayalive -pidfile "$WORK/$1.number" \
        -filelog "$WORK/$1.xinetd" -f "$WORK/$1.conf"
}

# relay_under_xinetd NAME MODE RULE: the entry is the generator's own.
relay_under_xinetd() {
    printf 'logfile %s\n%s\n' "$(log_of "$1")" "$3" >"$WORK/$1.rinetd"
    "$WORK/bin/rinetd-gen" -c "$WORK/$1.rinetd" -f xinetd -m "$2" -r "$WORK/bin/rinetd-relay" \
        -u "$RELAY_USER" >"$WORK/$1.conf"
    sed -i 's/cps  *= 50 10/cps = 0 0/' "$WORK/$1.conf"
    run_xinetd "$1"
}

# xinetd_entry PORT LINE...
xinetd_entry() {
    printf 'service bench\n{\n'
    printf '%s\n' 'type = UNLISTED' 'socket_type = stream' 'protocol = tcp' 'wait = no' \
        'bind = 127.0.0.1' "port = $1" 'instances = UNLIMITED' 'per_source = UNLIMITED' 'cps = 0 0' \
        'flags = IPv4 NOLIBWRAP' "user = $RELAY_USER" "${@:2}"
    printf '}\n'
}

haproxy_conf() {
    cat <<CONF
global
    log stdout format raw local0
    maxconn 2500
    ${2:+tune.pipesize 1048576}
defaults
    mode tcp
    log global
    option tcplog
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    ${2:+option splice-request}
    ${2:+option splice-response}
listen bench
    bind 127.0.0.1:$1
    server target 127.0.0.1:$TARGET_PORT
CONF
}

# nginx_conf NAME PORT TIMEOUT [PARAMETERS]: of its listener.
nginx_conf() {
    cat <<CONF
load_module $(nginx_module);
daemon off;
pid $WORK/$1.pid;
error_log $WORK/$1.err;
worker_processes auto;
worker_rlimit_nofile 65536;
events { worker_connections 9000; }
stream {
    log_format connections '\$time_local \$remote_addr \$status \$bytes_sent \$bytes_received';
    access_log $(log_of "$1") connections;
    server {
        listen 127.0.0.1:$2 ${4-};
        proxy_pass 127.0.0.1:$TARGET_PORT;
        proxy_timeout $3;
    }
}
CONF
}

# become_for_datagrams NAME PORT: never returns.
become_for_datagrams() {
    local log port=$2 rule

    log=$(log_of "$1")
    rule="127.0.0.1 $port/udp 127.0.0.1 $TARGET_PORT/udp [timeout=$UDP_TIMEOUT_S]"
    case $1 in
    udp-wait) relay_under_xinetd "$1" wait "$rule" ;;
    udp-acceptor)
        alone "$WORK/bin/udp-wait" 127.0.0.1 "$port" "$WORK/bin/rinetd-relay" "--log=$log" \
            "--timeout=$UDP_TIMEOUT_S" 127.0.0.1 "$TARGET_PORT"
        ;;
    udp-rinetd)
        printf 'logfile %s\n%s\n' "$log" "$rule" >"$WORK/$1.conf"
        alone "$(program rinetd)" -f -c "$WORK/$1.conf"
        ;;
    udp-socat)
        # Not UDP4-RECVFROM: that is a process for each datagram.
        alone "$(program socat)" -T "$UDP_TIMEOUT_S" -d -d -lf "$log" \
            "UDP4-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr" "UDP4:127.0.0.1:$TARGET_PORT"
        ;;
    udp-nginx)
        # Without reuseport any of its processes may get the next datagram of a session.
        nginx_conf "$1" "$port" "${UDP_TIMEOUT_S}s" 'udp reuseport' >"$WORK/$1.conf"
        alone "$(program nginx)" -p "$WORK" -c "$WORK/$1.conf"
        ;;
    esac
    exit 127
}

# become NAME PORT: never returns.
become() {
    local log port=$2 activate relay

    log=$(log_of "$1")
    relay=("$WORK/bin/rinetd-relay" "--log=$log" 127.0.0.1 "$TARGET_PORT")
    case $1 in
    activate* | socket-proxyd) activate=("$(program systemd-socket-activate)" -l "127.0.0.1:$port") ;;
    esac
    case $1 in
    nowait | wait)
        relay_under_xinetd "$1" "$1" "127.0.0.1 $port 127.0.0.1 $TARGET_PORT [max=$CONNECTIONS_MAX]"
        ;;
    activate) alone "${activate[@]}" --accept --inetd "${relay[@]}" ;;
    activate-wait) alone "${activate[@]}" --inetd "${relay[@]}" ;;
    acceptor) alone "$WORK/bin/accept" 127.0.0.1 "$port" "${relay[@]}" ;;
    acceptor-libc) alone "$WORK/bin/accept" 127.0.0.1 "$port" "$WORK/bin/relay-libc" "${relay[@]:1}" ;;
    crowd) alone "${AS_NOBODY[@]}" "$WORK/bin/accept" 127.0.0.1 "$port" "${relay[@]}" ;;
    crowd-without)
        alone "${AS_NOBODY[@]}" "$WORK/bin/without-pipes" "$WORK/bin/accept" 127.0.0.1 "$port" \
            "${relay[@]}"
        ;;
    rinetd)
        printf 'logfile %s\n127.0.0.1 %s 127.0.0.1 %s\n' "$log" "$port" "$TARGET_PORT" \
            >"$WORK/rinetd.conf"
        alone "$(program rinetd)" -f -c "$WORK/rinetd.conf"
        ;;
    redir) alone "$(program redir)" -n -l err "127.0.0.1:$port" "127.0.0.1:$TARGET_PORT" ;;
    redir-i)
        xinetd_entry "$port" "server = $(program redir)" \
            "server_args = -i -l err 127.0.0.1:$TARGET_PORT" >"$WORK/redir-i.conf"
        run_xinetd redir-i
        ;;
    socat)
        alone "$(program socat)" -d -d -lf "$log" \
            "TCP-LISTEN:$port,bind=127.0.0.1,fork,reuseaddr,backlog=4096" "TCP:127.0.0.1:$TARGET_PORT"
        ;;
    xinetd-redirect)
        xinetd_entry "$port" "redirect = 127.0.0.1 $TARGET_PORT" "log_type = FILE $log" \
            'log_on_success = HOST DURATION EXIT' >"$WORK/xinetd-redirect.conf"
        run_xinetd xinetd-redirect
        ;;
    socket-proxyd)
        alone "${activate[@]}" "$(program systemd-socket-proxyd)" --connections-max=20000 \
            "127.0.0.1:$TARGET_PORT"
        ;;
    haproxy | haproxy-splice)
        haproxy_conf "$port" "$([ "$1" = haproxy ] || echo splice)" >"$WORK/$1.conf"
        alone "$(program haproxy)" -db -f "$WORK/$1.conf" >"$log"
        ;;
    nginx)
        nginx_conf nginx "$port" 1h >"$WORK/nginx.conf"
        alone "$(program nginx)" -p "$WORK" -c "$WORK/nginx.conf"
        ;;
    udp-*) become_for_datagrams "$@" ;;
    esac
    exit 127
}
