#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The generator of systemd: /etc/rinetd.conf is what runs, at boot and after daemon-reload, without
# anybody having run rinetd-gen.

load helper
load forwarding
load systemd

WANTS=/etc/systemd/system/multi-user.target.wants

setup() {
    common_setup
    require namespaces
    ln -s "$GEN" rinetd-generator
    mkdir units
    : >/dev/kmsg # the tests' own: a plain file
}

teardown() {
    [ -z "${NAMESPACED-}" ] ||
        rm -f /dev/kmsg /etc/rinetd.conf {/etc/systemd/system,$WANTS}/{,our-}rinetd.service \
            /etc/rc3.d/S01rinetd
    common_teardown
}

# generate [VARIABLE=VALUE...]: as systemd calls it. Of its own it says nothing.
generate() {
    run -0 env "$@" "$T/rinetd-generator" "$T/units" "$T/early" "$T/late"
    [ -z "$output" ]
}

# made NAME...: these, and no others, are in the folder.
made() {
    diff <([ $# = 0 ] || printf '%s\n' "$@" | sort) <(cd units && find . ! -type d -printf '%P\n' | sort)
}

boot_with_generator() {
    GENERATOR=$T/rinetd-generator start_systemd
    install_inside
}

# Standard input becomes the configuration of the system that runs.
reconfigure() {
    inside tee /etc/rinetd.conf >/dev/null
    inside systemctl daemon-reload
    inside systemctl start sockets.target
}

@test "rules are served after boot, without a command" {
    listen target --count=2 127.0.0.1 0 line 'send:hello\n' eof
    mapfile -t ports < <(free_ports 2)
    own_etc rinetd.conf <<-END
	127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of target)
	::1 ${ports[1]} 127.0.0.1 $(port_of target)
	END
    boot_with_generator
    served 127.0.0.1 "${ports[0]}"
    served ::1 "${ports[1]}"
}

@test "after daemon-reload what is new is served, and what is gone can be stopped" {
    listen target --count=2 127.0.0.1 0 line 'send:hello\n' eof
    mapfile -t ports < <(free_ports 2)
    own_etc rinetd.conf <<<"127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of target)"
    boot_with_generator
    served 127.0.0.1 "${ports[0]}"
    reconfigure <<<"127.0.0.1 ${ports[1]} 127.0.0.1 $(port_of target)"
    served 127.0.0.1 "${ports[1]}"
    inside systemctl stop "rinetd-tcp-127.0.0.1-${ports[0]}."{service,socket}
    wait_for not_listening "${ports[0]}" # nor any worker of it
}

@test "a deny is in force once services were stopped before daemon-reload; connections go on" {
    local name

    listen target --count=2 127.0.0.1 0 echo
    mapfile -t ports < <(free_ports 1)
    name=rinetd-tcp-127.0.0.1-${ports[0]}
    own_etc rinetd.conf <<<"127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of target)"
    boot_with_generator
    hold one 127.0.0.1 "${ports[0]}"
    inside systemctl stop "$name".{socket,service}
    wait_for not_listening "${ports[0]}" # else a worker may still have the port
    reconfigure <<END
127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of target)
deny 127.*
END
    refused_silently 127.0.0.1 "${ports[0]}"
    touch one.go
    finished one
}

@test "a unit of the administrator's goes before the generated one" {
    listen target 127.0.0.1 0 line 'send:hello\n' eof
    mapfile -t ports < <(free_ports 2)
    own_etc rinetd.conf <<<"127.0.0.1 ${ports[0]} 127.0.0.1 $(port_of target)"
    boot_with_generator
    inside sh -c "sed 's/:${ports[0]}/:${ports[1]}/' \
        /run/systemd/generator/rinetd-tcp-127.0.0.1-${ports[0]}.socket \
        >/etc/systemd/system/rinetd-tcp-127.0.0.1-${ports[0]}.socket"
    inside systemctl daemon-reload
    inside systemctl restart "rinetd-tcp-127.0.0.1-${ports[0]}.socket"
    served 127.0.0.1 "${ports[1]}"
}

@test "what is wrong is in the kernel log, and the other rules are converted" {
    own_etc rinetd.conf <<-END
	127.0.0.1 8001 127.0.0.1 99999
	127.0.0.1 8002 127.0.0.1 80
	127.0.0.1 8003 127.0.0.1 80 [max=none]
	END
    run -1 "$T/rinetd-generator" "$T/units"
    [ -z "$output" ]
    grep -qE '^<3>rinetd-generator: /etc/rinetd.conf:1:[0-9]+: error: found port "99999"' /dev/kmsg
    grep -qE '^<3>rinetd-generator: /etc/rinetd.conf:3:[0-9]+: error: found "none"' /dev/kmsg
    [ "$(wc -l </dev/kmsg)" = 2 ]
    made rinetd-tcp-127.0.0.1-8002.{service,socket} \
        sockets.target.wants/rinetd-tcp-127.0.0.1-8002.socket
    [ -f units/sockets.target.wants/rinetd-tcp-127.0.0.1-8002.socket ]
    # Nobody is told to run rinetd-gen again
    grep -q '^# When that file has changed: systemctl daemon-reload' units/*.socket
    [ "$(cat units/* 2>/dev/null | grep -c -e --apply)" = 0 ]
}

@test "without a kernel log, messages go to standard error" {
    rm /dev/kmsg
    own_etc rinetd.conf <<<'127.0.0.1 8001 127.0.0.1 99999'
    run -1 "$T/rinetd-generator" "$T/units"
    [[ $output = /etc/rinetd.conf:1:*'error: found port "99999"'* ]]
    made
}

@test "nobody is asked what a name stands for" {
    name_server silent
    own_etc rinetd.conf <<-END
	listener.test 8001 127.0.0.1 80
	localhost 8002 target.test 80 [src=source.test]
	END
    run -1 "$T/rinetd-generator" "$T/units"
    is_running dns
    [ ! -e dns.asked ]
    grep -q '^<3>rinetd-generator: /etc/rinetd.conf:1:1: error: found "listener.test", expected an address' \
        /dev/kmsg
    [ "$(wc -l </dev/kmsg)" = 1 ]
    made rinetd-tcp-127.0.0.1-8002.{service,socket} \
        sockets.target.wants/rinetd-tcp-127.0.0.1-8002.socket
}

@test "where rinetd itself is enabled there are no units, and the kernel log says why" {
    own_etc rinetd.conf <<<'127.0.0.1 8001 127.0.0.1 80'
    mkdir -p "$WANTS"
    echo '[Service]' >/etc/systemd/system/rinetd.service
    generate
    made rinetd-tcp-127.0.0.1-8001.{service,socket} \
        sockets.target.wants/rinetd-tcp-127.0.0.1-8001.socket
    rm -r units/*
    ln -s ../rinetd.service "$WANTS"
    generate
    made
    diff - /dev/kmsg <<-END
	<4>rinetd-generator: rinetd itself is enabled ($WANTS/rinetd.service), so /etc/rinetd.conf is left to it
	END
}

@test "rinetd counts as enabled by another name of its unit" {
    own_etc rinetd.conf <<<'127.0.0.1 8001 127.0.0.1 80'
    mkdir -p "$WANTS"
    echo '[Service]' >/etc/systemd/system/our-rinetd.service
    ln -s our-rinetd.service /etc/systemd/system/rinetd.service
    ln -s ../our-rinetd.service "$WANTS"
    generate
    made
    grep -qF "rinetd itself is enabled ($WANTS/our-rinetd.service)" /dev/kmsg
}

@test "rinetd counts as enabled by its init script, unless it was removed or masked" {
    own_etc rinetd.conf <<<'127.0.0.1 8001 127.0.0.1 80'
    mkdir -p /etc/rc3.d
    : >/etc/rc3.d/S01rinetd
    generate
    made rinetd-tcp-127.0.0.1-8001.{service,socket} \
        sockets.target.wants/rinetd-tcp-127.0.0.1-8001.socket
    rm -r units/*
    chmod +x /etc/rc3.d/S01rinetd
    generate
    made
    grep -q 'rinetd itself is enabled (/etc/rc3.d/S01rinetd)' /dev/kmsg
    mkdir -p /etc/systemd/system
    ln -s /dev/null /etc/systemd/system/rinetd.service
    generate
    made rinetd-tcp-127.0.0.1-8001.{service,socket} \
        sockets.target.wants/rinetd-tcp-127.0.0.1-8001.socket
}

@test "without a configuration, in the initrd and for a user there is nothing to do" {
    rm -f /etc/rinetd.conf
    generate
    own_etc rinetd.conf <<<'127.0.0.1 8001 127.0.0.1 80'
    generate SYSTEMD_IN_INITRD=1
    generate SYSTEMD_SCOPE=user
    made
    [ ! -s /dev/kmsg ]
    generate SYSTEMD_IN_INITRD=0 SYSTEMD_SCOPE=system
    [ -f units/rinetd-tcp-127.0.0.1-8001.socket ]
}

@test "a call that is not systemd's is an error" {
    own_etc rinetd.conf <<<'127.0.0.1 8001 127.0.0.1 80'
    run -2 "$T/rinetd-generator"
    run -2 "$T/rinetd-generator" --help
    run -2 "$T/rinetd-generator" "$T/units" "$T/units"
    made
    [ "$(grep -c '^<4>rinetd-generator: expected one folder, or three' /dev/kmsg)" = 3 ]
}

@test "a configuration that is a fifo keeps nobody waiting" {
    rm -f /etc/rinetd.conf
    mkfifo /etc/rinetd.conf
    run -3 timeout 60 "$T/rinetd-generator" "$T/units"
    grep -q '^<3>rinetd-generator: unable to read /etc/rinetd.conf: it is no regular file' /dev/kmsg
}

@test "a folder that cannot be written to is an error" {
    own_etc rinetd.conf <<<'127.0.0.1 8001 127.0.0.1 80'
    run -3 "$T/rinetd-generator" "$T/missing"
    grep -q "^<3>rinetd-generator: rinetd-gen: unable to write $T/missing" /dev/kmsg
}
