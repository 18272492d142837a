#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The systemd that other tests boot: what is in it, and that nothing is left of it, however it
# ends.

load helper
load forwarding
load systemd

setup() {
    common_setup
    BED=$BATS_TEST_DIRNAME/with-systemd
}

# The control groups of the system whose process 1 is $1.
group_of() {
    local tree=/sys/fs/cgroup

    [ "$(stat -fc %T "$tree")" = cgroup2fs ] || tree+=/unified
    echo "$tree$(sed -n 's,^0::\(.*/rinetd-test\.[^/]*\).*,\1,p' "/proc/$1/cgroup")"
}

processes_of() {
    find "$1" -name cgroup.procs -exec cat {} +
}

# What a system could leave behind, besides its group and processes.
surroundings() {
    cat /proc/self/mountinfo
    ls -A "$TMPDIR" /run /etc/systemd /usr/local
    cksum /etc/passwd
}

# gone GROUP PID...
gone() {
    local pid

    [ ! -e "$1" ] || return 1
    for pid in "${@:2}"; do
        [ ! -e "/proc/$pid" ] || return 1
    done
}

# boot: without `peer under`, which would end what is left behind.
boot() {
    begin "$@"
    WAIT_S=240 wait_for grep -q '^ready ' "$T/bed.out"
    SYSTEMD=$(sed -n 's/^ready //p' "$T/bed.out")
}

begin() {
    rm -f "$T/bed.out"
    $BED "$@" </dev/null >"$T/bed.out" 2>"$T/bed.err" 3>&- 4>&- &
    echo "$!" >"$T/bed.number"
}

end() {
    kill "-$1" "$(cat "$T/bed.number")"
    over
}

over() {
    wait "$(cat "$T/bed.number")" 2>"$T/bed.end" || true # bash tells of a SIGKILL
}

power_off() {
    inside systemctl poweroff --force --force || true # it takes this one along
    over
}

@test "it boots, and nothing runs but systemd and the journal" {
    start_systemd
    [ "$(inside systemctl is-system-running)" = running ]
    [ -z "$(inside systemctl --no-legend list-units --failed)" ]
    diff <(printf '%s\n' systemd systemd-journal) \
        <(inside ps -e -o comm= | grep -vx ps | sort)
    [ -z "$(inside find /run/systemd /etc/systemd /usr/lib/systemd/system-generators \
        '(' -path '*generator*' -o -path '/etc/*' -name '*.service' ')' -type f)" ]
}

@test "the journal keeps what services say, all of it" {
    start_systemd
    inside systemd-run --quiet -p Type=oneshot --unit=speaker seq 4000
    # Not by _COMM, for which the process must still be there when the journal looks.
    [ "$(journal -u speaker -o cat -t seq | wc -l)" = 4000 ]
    inside logger -p daemon.notice -t tester hello
    [ "$(journal -o cat -t tester -p notice)" = hello ]
}

@test "tests connect to its sockets, and its services to a target of the tests" {
    local port

    start_systemd
    hello ::1
    for address in 127.0.0.1 ::1; do
        port=$(free_ports)
        printf '[Socket]\nListenStream=%s:%d\nAccept=yes\n' "${address/::1/[::1]}" "$port" |
            inside tee "/etc/systemd/system/relay$port.socket"
        printf '[Service]\nStandardInput=socket\nStandardError=journal\nExecStart="%s" ::1 %d\n' \
            "$RELAY" "$(port_of target)" | inside tee "/etc/systemd/system/relay$port@.service"
        inside systemctl daemon-reload
        inside systemctl start "relay$port.socket"
        served "$address" "$port"
    done
}

@test "all may be written in it, and only what is shared stays" {
    start_systemd
    inside touch /etc/mark /usr/local/mark /var/mark /tmp/mark /run/mark "$T/mark"
    inside test -e /etc/mark
    [ ! -e /etc/mark ] && [ ! -e /usr/local/mark ] && [ ! -e /var/mark ] && [ -e "$T/mark" ]
    stop_systemd
    start_systemd
    inside test -e "$T/mark"
    run ! inside test -e /etc/mark
}

@test "make install goes into it, and a user for the relay is there" {
    start_systemd
    install_inside
    inside cmp /usr/local/libexec/rinetd-relay "$RELAY"
    inside setpriv --reuid=rinetd --regid=rinetd --clear-groups /usr/local/sbin/rinetd-gen --version
    [ ! -e /usr/local/libexec/rinetd-relay ]
}

@test "nothing is left behind: the test stops it, SIGTERM, SIGKILL, and its own power off" {
    local group processes how

    require namespaces
    surroundings >before
    for how in stop_systemd 'end TERM' 'end KILL' power_off; do
        if [ "$how" = stop_systemd ]; then start_systemd; else boot "$T"; fi
        group=$(group_of "$SYSTEMD")
        inside systemd-run --quiet --unit=sleeper sleep 1000
        mapfile -t processes < <(processes_of "$group")
        [ "${#processes[@]}" -ge 3 ]
        $how
        wait_for gone "$group" "${processes[@]}"
        diff before <(surroundings)
    done
}

@test "nothing is left behind of a boot that fails, or is killed half way" {
    local group BED_ALONE=$BED

    start_systemd
    group=$(group_of "$SYSTEMD")
    stop_systemd
    group=$(mktemp -d "$group.XXXXXX")
    surroundings >before
    run -70 --separate-stderr as_part_of "$group" "$BED" /no/such/folder/to/share
    grep -q 'systemd did not start$' <<<"${stderr:?}"
    for _ in {1..9}; do # until it is not up by then
        BED="as_part_of $group $BED_ALONE" begin
        wait_for compgen -G "$group/rinetd-test.*/cgroup.procs"
        end KILL
        wait_for rmdir "$group"
        diff before <(surroundings)
        [ -s bed.out ] || break
        mkdir "$group"
    done
    [ ! -s bed.out ]
}

# as_part_of GROUP COMMAND...: below which other runs of these tests have no groups of theirs.
as_part_of() {
    echo "$BASHPID" >"$1/cgroup.procs"
    exec "${@:2}"
}

@test "where there can be no systemd it says why" {
    run -77 --separate-stderr env -u NAMESPACED "$BED"
    [ "$stderr" = 'needs root and name spaces' ]
    require namespaces
    mkdir bin
    ln -s "$(command -v env)" "$(command -v bash)" "$(command -v realpath)" bin
    ln -s "$(command -v unshare)" "$(command -v setpriv)" bin
    run -77 --separate-stderr env PATH="$T/bin" "$BED"
    [ "$stderr" = 'nsenter is not installed' ]
}
