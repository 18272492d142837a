#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Units of rinetd-gen under a real systemd: who is forwarded where, in both modes.

load helper
load forwarding
load systemd

families() {
    local ports

    mapfile -t ports < <(free_ports 4)
    listen target ::1 0 echo
    listen target4 127.0.0.1 0 print-peer echo
    units "$MODE" "127.0.0.1 ${ports[0]} ::1 $(port_of target)" \
        "::1 ${ports[1]} 127.0.0.1 $(port_of target4) [src=127.0.0.7]" \
        "0.0.0.0 ${ports[2]} ::1 $(port_of target)" ":: ${ports[2]} localhost $(port_of target4)" \
        ":: ${ports[3]} ::1 $(port_of target)"
    echoes 127.0.0.1 "${ports[0]}"
    echoes ::1 "${ports[1]}"
    echoes 127.0.0.9 "${ports[2]}"
    echoes ::1 "${ports[2]}"
    echoes ::1 "${ports[3]}"
    grep -q '^127.0.0.7 ' target4.out
    run ! "$PEER" connect ::1 "${ports[0]}" closed
    stop target
    stop target4
}

@test "IPv4 and IPv6, one address, all of them, or both on one port" {
    in_both_modes families
}

access() {
    local ports

    mapfile -t ports < <(free_ports 2)
    listen target 127.0.0.1 0 echo
    units "$MODE" 'deny 127.0.0.66' \
        "0.0.0.0 ${ports[0]} 127.0.0.1 $(port_of target)" 'allow 127.0.0.2' 'allow 127.0.0.3?' \
        "127.0.0.1 ${ports[1]} 127.0.0.1 $(port_of target)" 'deny 127.0.0.2'
    echoes --from=127.0.0.2 127.0.0.1 "${ports[0]}"
    echoes --from=127.0.0.35 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.3 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.66 127.0.0.1 "${ports[0]}"
    refused_silently --from=127.0.0.66 127.0.0.1 "${ports[1]}"
    refused_silently --from=127.0.0.2 127.0.0.1 "${ports[1]}"
    echoes --from=127.0.0.3 127.0.0.1 "${ports[1]}"
    stop target
}

@test "access lists" {
    in_both_modes access
}

# A socket in the sandbox's sight, an abstract one, and one in /tmp, of which each system has its own.
unix_targets() {
    local ports

    mapfile -t ports < <(free_ports 3)
    rm -f target.socket
    listen target "unix:$T/target.socket" echo
    chmod 777 target.socket
    listen abstract unix:@rinetd-test echo
    door
    start inner "${DOOR[@]}" "$PEER" listen --port-file="$T/inner.port" unix:/tmp/target.socket echo
    wait_for or_over inner test -s inner.port
    inside chmod 777 /tmp/target.socket
    units "$MODE" "127.0.0.1 ${ports[0]} unix:$T/target.socket" \
        "127.0.0.1 ${ports[1]} unix:@rinetd-test" "127.0.0.1 ${ports[2]} unix:/tmp/target.socket"
    echoes 127.0.0.1 "${ports[0]}"
    echoes 127.0.0.1 "${ports[1]}"
    echoes 127.0.0.1 "${ports[2]}"
    stop target
    stop abstract
    rm inner.p*
}

@test "targets that are unix sockets" {
    in_both_modes unix_targets
}

wrapped() {
    local port

    port=$(free_ports)
    listen target 127.0.0.1 0 echo
    echo 'gate: 127.0.0.2' | inside tee /etc/hosts.deny >hosts.deny
    units "$MODE" "127.0.0.1 $port 127.0.0.1 $(port_of target) [wrap=gate]"
    echoes 127.0.0.1 "$port"
    refused_silently --from=127.0.0.2 127.0.0.1 "$port"
    echoes --from=127.0.0.3 127.0.0.1 "$port"
    echo 'gate: 127.0.0.3' | inside tee /etc/hosts.deny >hosts.deny
    refused_silently --from=127.0.0.3 127.0.0.1 "$port"
    echoes --from=127.0.0.2 127.0.0.1 "$port"
    journal -o cat -t rinetd-relay CLIENT=127.0.0.2 RESULT=denied | grep -q 'denied$'
    stop target
}

@test "TCP wrappers, asked anew for each connection" {
    in_both_modes wrapped
}

late_address() {
    local port

    port=$(free_ports)
    listen target 127.0.0.1 0 echo
    units "$MODE" "192.0.2.7 $port 127.0.0.1 $(port_of target)"
    run ! "$PEER" connect 192.0.2.7 "$port" closed
    ip addr add 192.0.2.7/32 dev lo
    echoes 192.0.2.7 "$port"
    ip addr del 192.0.2.7/32 dev lo
    stop target
}

@test "an address that comes after the socket" {
    in_both_modes late_address
}

installed() {
    local port

    port=$(free_ports)
    listen target 127.0.0.1 0 echo
    install_inside
    echo "127.0.0.1 $port 127.0.0.1 $(port_of target)" | inside tee /etc/rinetd.conf >rinetd.conf
    inside /usr/local/sbin/rinetd-gen -f systemd -m "$MODE" -o "$UNITS" 2>said
    diff /dev/null <(grep -v ' created ' said)
    inside systemctl daemon-reload
    inside systemctl enable --quiet --now "rinetd-tcp-127.0.0.1-$port.socket"
    inside test -e "$UNITS/sockets.target.wants/rinetd-tcp-127.0.0.1-$port.socket"
    echoes 127.0.0.1 "$port"
    [ "$(inside systemctl show -P SourcePath "rinetd-tcp-127.0.0.1-$port.socket")" = \
        /etc/rinetd.conf ]
    stop target
}

@test "make install, rinetd-gen and systemctl enable, with nothing said on the way" {
    in_both_modes installed
}

sandboxed() {
    local port pid

    port=$(free_ports)
    listen target 127.0.0.1 0 echo
    units "$MODE" "127.0.0.1 $port 127.0.0.1 $(port_of target)"
    hold client 127.0.0.1 "$port"
    inside touch /root/mark /home/mark /tmp/mark
    [ -n "$(relays)" ]
    for pid in $(relays); do
        inside cat "/proc/$pid/status" >status
        diff - <(sed -nE 's/^(Cap.*|NoNewPrivs|Seccomp|Uid):\s*/\1 /p' status) <<-END
		Uid $(inside id -u rinetd)	$(inside id -u rinetd)	$(inside id -u rinetd)	$(inside id -u rinetd)
		CapInh 0000000000000000
		CapPrm 0000000000000000
		CapEff 0000000000000000
		CapBnd 0000000000000000
		CapAmb 0000000000000000
		NoNewPrivs 1
		Seccomp 2
		END
        for place in / /etc /usr /var/log "$T"; do
            inside nsenter --target "$pid" --mount touch "$place/mark" 2>touch.err || true
            grep -q 'Read-only file system$' touch.err
        done
        [ -z "$(inside nsenter --target "$pid" --mount find /root /home /tmp -mindepth 1)" ]
    done
    release client
    stop target
}

@test "each process of a service is in its sandbox" {
    in_both_modes sandboxed
}
