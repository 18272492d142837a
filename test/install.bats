#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# make install, as a packager calls it: out of the tree, with flags of its own, into a staging
# folder. Then that folder is moved to where it says it is, and works there.

load helper
load forwarding

# One build for all tests, from a copy, so that nothing in the tree could be missing or be touched.
# What make was told for this build is not for that one.
setup_file() {
    local top=$BATS_TEST_DIRNAME/..

    unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES O LIBC SANITIZE WERROR CFLAGS CPPFLAGS LDFLAGS
    chmod 755 "$BATS_RUN_TMPDIR" "$BATS_FILE_TMPDIR"
    cd "$BATS_FILE_TMPDIR" || return 1
    mkdir src
    cp -a "$top"/{Makefile,VERSION,templates,sysusers,man,examples} "$top"/*.[ch] src
    list src >src.before
    (umask 077 && packager install) >install.log 2>&1 || { cat install.log && return 1; }
    list src >src.after
}

setup() {
    common_setup
    B=$BATS_FILE_TMPDIR
    STAGE=$B/stage$B/usr
}

# packager TARGET [VARIABLE=VALUE...]
packager() {
    make -j2 -C "$BATS_FILE_TMPDIR/src" V=1 O="$BATS_FILE_TMPDIR/out" \
        DESTDIR="$BATS_FILE_TMPDIR/stage" PREFIX="$BATS_FILE_TMPDIR/usr" \
        SYSCONFDIR="$BATS_FILE_TMPDIR/etc" LOCALSTATEDIR="$BATS_FILE_TMPDIR/var" \
        CPPFLAGS=-DOF_A_PACKAGER=1 CFLAGS='-O1 -fno-math-errno' \
        LDFLAGS=-Wl,--build-id=0xdecade "$@"
}

list() {
    (cd "$1" && find . -printf '%y %m %s %T@ %p\n' | sort -k 5)
}

# Lines of the build that compile, or link, without $2.
without_flag() {
    grep "$1" "$B/install.log" | grep -cvF -e "$2" || true
}

@test "install: the files of the contract, no others, each with its mode" {
    local name

    {
        echo 755 sbin/rinetd-gen
        echo 755 libexec/rinetd-relay
        echo 755 libexec/rinetd-wrap
        for name in rinetd-gen rinetd-relay rinetd-wrap; do
            echo "644 share/man/man8/$name.8"
        done
        echo 644 share/man/man5/rinetd.conf.5
        echo 644 lib/sysusers.d/rinetd-relay.conf
        echo 644 share/rinetd-relay/examples/logrotate
        echo 644 share/rinetd-relay/examples/rinetd.conf
        for name in "$B"/src/templates/*; do
            echo "644 share/rinetd-relay/templates/${name##*/}"
        done
    } | sort >expected
    (cd "$STAGE" && find . -not -type d -printf '%m %P\n') | sort | diff expected -
    [ -z "$(find "$B/stage" -not -type d -not -path "$STAGE/*")" ]
    # Whatever the packager's umask is, others must be able to reach them
    [ -z "$(find "$STAGE" -type d -not -perm 755)" ]
}

@test "install: templates and manual pages are those of the source" {
    local file

    for file in "$B"/src/templates/*; do
        cmp "$file" "$STAGE/share/rinetd-relay/templates/${file##*/}"
    done
    for file in "$B"/src/man/*.[58]; do
        cmp "$file" "$STAGE/share/man/man${file##*.}/${file##*/}"
    done
}

@test "install: nothing installed knows where it was built" {
    local path

    for path in "$B/src" "$B/out" "$B/stage"; do
        run -1 grep -rF "$path" "$STAGE"
    done
}

@test "install: building elsewhere leaves the source as it was" {
    diff "$B/src.before" "$B/src.after"
    [ -x "$B/out/rinetd-gen" ]
}

@test "install: a packager's flags are in every command, beside the hardening" {
    local flag

    [ "$(grep -c -e ' -c ' "$B/install.log")" -ge 15 ]
    [ "$(grep -c -e ' -o [^ ]*/rinetd-[a-z]* ' "$B/install.log")" = 3 ]
    for flag in -DOF_A_PACKAGER=1 '-O1 -fno-math-errno' -fstack-protector-strong; do
        [ "$(without_flag ' -c ' "$flag")" = 0 ]
    done
    for flag in -Wl,--build-id=0xdecade -Wl,-z,relro; do
        [ "$(without_flag ' -o [^ ]*/rinetd-[a-z]* ' "$flag")" = 0 ]
    done
    # Ours come first, so that theirs have the last word
    [ "$(grep -e ' -c ' "$B/install.log" | grep -c -e '-O1.* -O2')" = 0 ]
}

@test "install: again, and with the manual pages elsewhere" {
    unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES O LIBC SANITIZE WERROR CFLAGS CPPFLAGS LDFLAGS
    packager install DESTDIR="$T/second" MANDIR=/usr/man >log 2>&1
    [ "$(grep -c -e ' -c ' log)" = 0 ]
    [ "$(cd second/usr/man && find . -type f | sort | tr '\n' ' ')" = \
        './man5/rinetd.conf.5 ./man8/rinetd-gen.8 ./man8/rinetd-relay.8 ./man8/rinetd-wrap.8 ' ]
    packager install DESTDIR="$T/second" MANDIR=/usr/man >log 2>&1
}

# Puts what was staged in its place, once.
move_in() {
    [ -d "$B/usr" ] || cp -a "$STAGE" "$B/usr"
    mkdir -p "$B/etc" "$B/var/log"
}

@test "installed: rinetd-gen knows where its relay and its configuration are" {
    local user

    move_in
    user=$(user_for_relay)
    rm -f "$B/etc/rinetd.conf"
    run -3 "$B/usr/sbin/rinetd-gen" -u "$user"
    [[ $output == *"$B/etc/rinetd.conf: No such file or directory"* ]]
    echo '127.0.0.1 7001 127.0.0.1 7002' >"$B/etc/rinetd.conf"
    run -0 --separate-stderr "$B/usr/sbin/rinetd-gen" -u "$user" --wrap
    # shellcheck disable=SC2154
    [ -z "$stderr" ]
    [[ $output =~ [[:space:]]server[[:space:]]*=\ ([^[:space:]]*) ]]
    [ "${BASH_REMATCH[1]}" = "$B/usr/libexec/rinetd-wrap" ]
    [[ $output == *" rinetd-relay $B/usr/libexec/rinetd-relay "* ]]
    run -0 "$B/usr/libexec/rinetd-relay" --version
    [ "$output" = "rinetd-relay $(<"$B/src/VERSION")" ]
}

@test "installed: who lacks the user is told of the file that makes it" {
    ! getent passwd rinetd || skip "there is a user rinetd here"
    move_in
    echo '127.0.0.1 7001 127.0.0.1 7002' >"$B/etc/rinetd.conf"
    run -0 "$B/usr/sbin/rinetd-gen" -f systemd
    [[ $output == *"the user rinetd does not exist"*": systemd-sysusers $B/usr/lib/sysusers.d/rinetd-relay.conf"* ]]
    run -0 "$B/usr/sbin/rinetd-gen" -f systemd -u another
    [[ $output == *"the user another does not exist"*": useradd "* ]]
    require systemd-sysusers
    mkdir -p root/etc
    systemd-sysusers --root="$T/root" "$B/usr/lib/sysusers.d/rinetd-relay.conf"
    grep -q '^rinetd:.*:/nonexistent:/usr/sbin/nologin$' root/etc/passwd
    grep -q '^rinetd:' root/etc/group
}

@test "installed: the example of a configuration is good, and the templates are the built-in ones" {
    move_in
    "$B/usr/sbin/rinetd-gen" -n -c "$B/usr/share/rinetd-relay/examples/rinetd.conf"
    echo '127.0.0.1 7001 127.0.0.1 7002' >rinetd.conf
    "$B/usr/sbin/rinetd-gen" -c rinetd.conf >built-in
    "$B/usr/sbin/rinetd-gen" -c rinetd.conf --templates "$B/usr/share/rinetd-relay/templates" |
        diff built-in -
}

CONNECTIONS=1600

# send_load PORT: a quarter of the connections.
send_load() {
    start load "$PEER" connect --times=$((CONNECTIONS / 4)) --parallel=4 127.0.0.1 "$1" \
        send:x fin recv:1 eof
}

# In the instant between the old file and the new a line goes to syslog.
all_lines() {
    zcat -f "$B"/var/log/rinetd.log*
    sed -n 's/.* unable to write .*; lost: //p' syslog.out
}

all_lines_are_there() {
    [ "$(all_lines | wc -l)" -ge $((2 * CONNECTIONS)) ]
}

@test "installed: logrotate turns the log over under load, and no line is lost" {
    local before port log=$BATS_FILE_TMPDIR/var/log/rinetd.log rotation

    require namespaces xinetd logrotate logger
    move_in
    cp /etc/passwd /etc/group .
    echo 'rinetd:x:64123:64123::/nonexistent:/usr/sbin/nologin' | cat passwd - | own_etc passwd
    echo 'rinetd:x:64123:' | cat group - | own_etc group
    start_syslog
    listen target 127.0.0.1 0 echo
    port=$(free_ports)
    printf '%s\n' "logfile $log" "127.0.0.1 $port 127.0.0.1 $(port_of target)" >"$B/etc/rinetd.conf"
    mkdir xinetd.d
    "$B/usr/sbin/rinetd-gen" -o xinetd.d
    [ "$(stat -c '%U %G %a' "$log")" = 'rinetd rinetd 640' ]
    start_xinetd xinetd.d/rinetd
    for rotation in 1 2 3; do
        before=$(wc -l <"$log")
        send_load "$port"
        wait_for has_lines "$log" $((before + 100))
        logger --socket /dev/log 'rotation begins'
        logrotate -f -s "$T/state" "$B/usr/share/rinetd-relay/examples/logrotate"
        logger --socket /dev/log 'rotation is done'
        [ "$(stat -c '%U %G %a' "$log")" = 'rinetd rinetd 640' ]
        finished load
    done
    send_load "$port"
    finished load
    settled
    wait_for all_lines_are_there || true
    all_lines | cut -f 7- | tr '\t' ' ' | tally_is \
        "$CONNECTIONS 0 0 opened" "$CONNECTIONS 1 1 done-remote-closed"
    [ "$(find "$B/var/log" -name 'rinetd.log?*' | wc -l)" = "$rotation" ]
    [ "$(grep -c 'rotation is done' syslog.out)" = 3 ]
    [ "$(lost_outside)" -lt 100 ]
}

# lost_outside: lines that the log did not take while there was no rotation. How many those within
# are depends on how slow logrotate is; without one they are what was just being written.
lost_outside() {
    awk '/rotation begins/ { within = 1 }
        /rotation is done/ { within = 0 }
        /lost: / && !within { count++ }
        END { print count + 0 }' syslog.out
}

@test "install-generator: the rest, and the one link by which systemd knows rinetd-gen" {
    local link=usr/lib/systemd/system-generators/rinetd-generator

    packager install-generator DESTDIR="$T/stage" >make.log 2>&1 || { cat make.log && false; }
    diff <(cd "$B/stage" && find . -not -type d | sort) \
        <(cd "$T/stage" && find . -not -type d -not -path "./$link" | sort)
    [ "$(readlink "$T/stage/$link")" = "$B/usr/sbin/rinetd-gen" ]
    packager install-generator DESTDIR="$T/stage" GENERATORDIR=/elsewhere >make.log 2>&1
    [ -L "$T/stage/elsewhere/rinetd-generator" ]
}
