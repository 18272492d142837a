#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# rinetd-gen from outside: options, exit statuses, what is written where, and the warnings about
# this host. What becomes of which line of a configuration is in golden/.

# shellcheck disable=SC2016,SC2030,SC2031,SC2154 # programs for other shells; what `run` sets

load helper

# Starts what takes 15 and 20 seconds, for the last tests in this file to look at.
setup_file() {
    start_hanging_resolver
    start_locked_out
}

teardown_file() {
    local file

    for file in "$BATS_FILE_TMPDIR"/*.pid; do
        kill -TERM "$(cat "$file")" 2>/dev/null || true
    done
}

setup() {
    common_setup
    printf '%s\n' '127.0.0.1 8001 203.0.113.1 80' >good
    printf '%s\n' '127.0.0.1 8001 203.0.113.1 80' 'bad' '127.0.0.1 8002 203.0.113.1 80' >bad
    printf '%s\n' '127.0.0.1 8001 203.0.113.1 80 [timeout=1]' >odd # worth a warning, no more
}

# gen [OPTION...]: nothing on this host is worth a warning, unless an option says so.
gen() {
    "$GEN" --user=root --relay=/bin/true "$@"
}

# run_gen STATUS [OPTION...]: with the texts in $output and $stderr.
run_gen() {
    local status=$1

    shift
    run "-$status" --separate-stderr gen "$@"
}

# conf LINE...
conf() {
    printf '%s\n' "$@" >conf
}

# make_program FILE: a program from standard input.
make_program() {
    cat >"$1"
    chmod 755 "$1"
}

# stub_resolver: ./relay, which finds whatever name it is asked for, but not missing.*
stub_resolver() {
    make_program relay <<'EOT'
#!/bin/sh
while read -r name; do
    case $name in
    missing.*) printf '%s\tfailed\tName or service not known\n' "$name" ;;
    own.*) printf '%s\tfound\t203.0.113.1 127.0.0.1\n' "$name" ;;
    *) printf '%s\tfound\t203.0.113.1 2001:db8::1\n' "$name" ;;
    esac
done
EOT
}

start_hanging_resolver() {
    cat >"$BATS_FILE_TMPDIR/relay" <<'EOT'
#!/bin/sh
read -r name
printf '%s\tfound\t203.0.113.1\n' "$name"
exec sleep 300
EOT
    chmod 755 "$BATS_FILE_TMPDIR/relay"
    printf '127.0.0.1 8001 a.test 80\n127.0.0.1 8002 b.test 80\n127.0.0.1 8003 c.test 80\n' \
        >"$BATS_FILE_TMPDIR/conf"
    "$PEER" under bash -c '
        cd "$1"; start=$SECONDS
        "$2" --user=root --relay="$1/relay" -c conf >out 2>err; status=$?
        echo "$status $((SECONDS - start))" >done.new; mv done.new done' - \
        "$BATS_FILE_TMPDIR" "$GEN" </dev/null >/dev/null 2>&1 3>&- 4>&- &
    echo "$!" >"$BATS_FILE_TMPDIR/hanging.pid"
}

# A run into a folder that another has locked all the time.
start_locked_out() {
    mkdir "$BATS_FILE_TMPDIR/locked"
    echo '127.0.0.1 1 203.0.113.1 80' >"$BATS_FILE_TMPDIR/one"
    "$PEER" under bash -c '
        cd "$1" && exec 5<locked && flock 5 || exit
        "$2" --user=root --relay=/bin/true -c one -o locked >locked.out 2>locked.err 5<&-
        echo "$?" >locked.new; mv locked.new locked.status' - \
        "$BATS_FILE_TMPDIR" "$GEN" </dev/null >/dev/null 2>&1 3>&- 4>&- &
    echo "$!" >"$BATS_FILE_TMPDIR/locked.pid"
}

# services FILE: the names of all services in it.
services() {
    sed -n 's/^service //p' "$1"
}

# attribute NAME FILE: its values in FILE, one line a service.
attribute() {
    sed -n "s/^\t$1 *= *//p" "$2"
}

# is_silent: nothing was said, and all converted.
is_silent() {
    [ "$output$stderr" = "" ]
}

# state FILE...: changes if anybody touched one.
state() {
    stat -c '%n %i %y %z %s %a %u %g' "$@" && cksum "$@"
}

# --- options and exit statuses

@test "help and version are printed, and need no configuration" {
    run -0 --separate-stderr "$GEN" --help -c /nonexistent
    [[ $output == "usage: rinetd-gen "* && $stderr = "" ]]
    for option in config format mode output-dir check explain run relay user strict wrap \
        templates version; do
        [[ $output == *" --$option "* ]]
    done
    run -0 "$GEN" -V
    [ "$output" = "rinetd-gen $(cat "$BATS_TEST_DIRNAME/../VERSION")" ]
    run -3 --separate-stderr sh -c '"$1" --version >/dev/full' - "$GEN"
}

@test "wrong usage is 2, says so in a line or two, and reads nothing" {
    local line arguments count=0

    while IFS= read -r line; do
        read -r -a arguments <<<"$line"
        run -2 --separate-stderr "$GEN" -c /nonexistent "${arguments[@]}"
        [[ $output = "" && $stderr == *rinetd-gen* && ${#stderr_lines[@]} -le 2 ]]
        [[ $stderr == *--help* ]]
        ((++count))
    done <<'EOT'
--bogus
-x
operand
-- -n
-c
--format
-f Systemd
-f XINETD
--mode=waits
-m Nowait
-n -T 127.0.0.1
-o . -T 127.0.0.1
-R -n
-R -o .
-R -T 127.0.0.1
-R -f inetd
-R -c -
-T host.example
-T 127.1
-T 127.0.0.1/8
-T unix:/x
-T 127.0.0.*
-r rinetd-relay
-r ./rinetd-relay
-u -x
-u @user@
-u a:b
-u abcdefghijklmnopqrstuvwxyz1234567
--strict=yes
EOT
    [ "$count" = 29 ]
}

@test "no byte of --user or --relay can say something else in an entry" {
    local value

    for value in '' 'a b' $'a\tb' $'root\n\tserver = /bin/sh' 'a#b' '{' $'a\x01' $'\xc3\xa9'; do
        run -2 --separate-stderr "$GEN" -c good --user="$value"
        [[ $output = "" && $stderr == *'expected a name or a number'* ]]
    done
    for value in '' '/a b' $'/a\tb' $'/bin/true\n\tuser = root' $'/a\rb' $'/a\x7f'; do
        run -2 --separate-stderr "$GEN" -c good --relay="$value"
        [[ $output = "" && $stderr == *'expected an absolute path'* ]]
    done
    # What is plain text stays that
    gen -c good --relay='/x/@user@}#"' >out 2>/dev/null
    [ "$(attribute server out)" = '/x/@user@}#"' ]
    gen -c good --user=1234 >out 2>/dev/null
    [ "$(attribute user out)" = 1234 ]
}

@test "status 0: all is converted, and nothing is said" {
    run_gen 0 -c good
    [ "$stderr" = "" ]
    [ "$(services - <<<"$output")" = rinetd-tcp-127.0.0.1-8001 ]
    run_gen 0 -c good -f xinetd -m nowait
    [ "$stderr" = "" ]
    run_gen 0 -c good --format=inetd --mode=nowait
    [ "$stderr" = "" ]
    [[ $output == *$'\n127.0.0.1:8001 stream tcp4 nowait'* ]]
    run_gen 0 -c odd
    [[ ${#stderr_lines[@]} = 1 && $stderr == "odd:1:32: warning: "* ]]
}

@test "status 1: a bad line is told with its place, and the good rules are converted" {
    conf '127.0.0.1 8001 203.0.113.1 80' 'logfile log' '127.0.0.1 8002 203.0.113.1 0' \
        '127.0.0.1 8003 203.0.113.1 80'
    run_gen 1 -c conf
    [[ ${#stderr_lines[@]} = 2 && ${stderr_lines[0]} == "conf:2:9: error: "* ]]
    [[ ${stderr_lines[1]} == "conf:3:28: error: found port \"0\", expected "* ]]
    [ "$(services - <<<"$output")" = $'rinetd-tcp-127.0.0.1-8001\nrinetd-tcp-127.0.0.1-8003' ]
}

@test "--strict: a warning counts as an error, and then nothing is converted" {
    run_gen 0 --strict -c good
    [ -n "$output" ]
    run_gen 1 --strict -c odd
    [[ $output = "" && $stderr == *": warning: "* ]]
    run_gen 1 --strict -c bad
    [ "$output" = "" ]
    run_gen 1 --strict -n -c odd
    mkdir d
    run_gen 1 --strict -c odd -o d
    [ "$(ls -A d)" = "" ]
}

@test "status 3: a configuration that can't be read, with the reason" {
    mkdir d
    run_gen 3 -c missing
    [[ $output = "" && $stderr == "rinetd-gen: unable to read missing: No such file or directory" ]]
    run_gen 3 -c d
    [[ $output = "" && $stderr == "rinetd-gen: unable to read d: Is a directory" ]]
    run_gen 3 -n -c missing
    run_gen 3 --strict -c missing
    run_gen 3 -T 127.0.0.1 -c missing
    [ "$output" = "" ]
    run_gen 3 -c missing -o d
    [ "$(ls -A d)" = "" ]
    run_gen 3 -c good/conf
    run -3 --separate-stderr sh -c '"$1" -c - <&-' - "$GEN"
    [[ $stderr == "rinetd-gen: unable to read "*": Bad file descriptor" ]]
}

@test "status 3: a configuration that the caller may not read" {
    require root
    chmod 600 good
    run -3 --separate-stderr as_user nobody "$GEN" -c "$T/good"
    [ "$stderr" = "rinetd-gen: unable to read $T/good: Permission denied" ]
}

@test "status 3: standard output that can't be written" {
    for where in '>/dev/full' '>&-'; do
        run -3 --separate-stderr sh -c '"$1" -u root -r /bin/true -c good '"$where" - "$GEN"
        [[ $stderr == "rinetd-gen: unable to write standard output: "* ]]
        run -3 --separate-stderr sh -c '"$1" -u root -r /bin/true -c good -T ::1 '"$where" - "$GEN"
    done
    # Nothing was to be written, so that is no failure
    run -0 sh -c '"$1" -u root -r /bin/true -c good -n >/dev/full' - "$GEN"
}

@test "standard input, a pipe and a name beginning with '-' are configurations, too" {
    gen -c good >expected
    run_gen 0 -c - <good
    [[ $output == *"from <stdin>."* && $stderr = "" ]]
    diff <(sed 1d expected) <(sed 1d <<<"$output")
    run_gen 0 -c <(cat good)
    diff <(sed 1d expected) <(sed 1d <<<"$output")
    printf 'x\n' >./-odd
    run_gen 1 -c -odd
    [[ $stderr == "-odd:1:1: error: "* ]]
    run_gen 1 -c - <bad
    [[ $stderr == "<stdin>:2:1: error: "* ]]
}

@test "no configuration named: it is /etc/rinetd.conf" {
    own_etc rinetd.conf <<<'127.0.0.1 8009 203.0.113.1 80'
    "$GEN" --help | grep -q 'default /etc/rinetd.conf' || skip "built for another /etc"
    run_gen 0
    [[ $output == *"from /etc/rinetd.conf."* && $output == *rinetd-tcp-127.0.0.1-8009* ]]
}

@test "-n prints nothing on standard output, and changes no status" {
    run_gen 0 -n -c good
    is_silent
    run_gen 0 --check -c odd
    [[ $output = "" && $stderr == *warning* ]]
    run_gen 1 -n -c bad
    [[ $output = "" && $stderr == "bad:2:1: error: "* ]]
    mkdir d
    run_gen 0 -n -c good -o d
    is_silent
    [ "$(ls -A d)" = "" ]
}

@test "of an option given twice the last one counts" {
    run_gen 0 -c missing -c good -f inetd -f xinetd -u nobody -u root
    [[ $output == *$'\tuser            = root\n'* ]]
}

# --- -T: who would be let in

# explained ADDRESS LINE...: what -T says of conf, line by line; each LINE is a pattern.
explained() {
    local told

    run -"${STATUS:-0}" --separate-stderr gen -c conf -T "$1"
    shift
    [ "$(wc -l <<<"$output")" = "$#" ]
    while IFS= read -r told; do
        # shellcheck disable=SC2053
        [[ $told == $1 ]] || { echo "$told" && return 1; }
        shift
    done <<<"$output"
}

@test "-T tells the verdict on a client for every rule, and the line that decides" {
    conf 'allow 10.*' 'allow 2001:db8:*' 'deny 10.9.*' \
        '127.0.0.1 8001 203.0.113.1 80' \
        '127.0.0.1 8002 203.0.113.1 80' 'allow 10.1.*' 'deny 10.1.1.0/24'
    explained 10.1.2.3 'conf:4: 127.0.0.1 8001: allowed: conf:1: allow 10.\*' \
        'conf:5: 127.0.0.1 8002: allowed: conf:6: allow 10.1.\*'
    explained 10.9.0.1 'conf:4: *: denied: conf:3: deny 10.9.\*' \
        'conf:5: *: denied: conf:3: deny 10.9.\*'
    explained 10.1.1.7 'conf:4: *: allowed: *' 'conf:5: *: denied: conf:7: deny 10.1.1.0/24'
    explained 10.2.1.7 'conf:4: *: allowed: *' 'conf:5: *: not-allowed: *conf:6*'
    explained 192.0.2.1 'conf:4: *: not-allowed: *global*conf:1*' \
        'conf:5: *: not-allowed: *global*conf:1*'
    explained 2001:DB8:0::1 'conf:4: *: allowed: conf:2: allow 2001:db8:\*' \
        'conf:5: *: not-allowed: *conf:6*'
}

@test "-T: without access lines everybody, and with deny lines only, all others" {
    conf '127.0.0.1 8001 203.0.113.1 80' '127.0.0.1 8002 203.0.113.1 80' 'deny 10.*'
    explained 192.0.2.1 'conf:1: 127.0.0.1 8001: allowed: there are no access lines' \
        'conf:2: 127.0.0.1 8002: allowed: no deny line matches'
    explained 10.0.0.1 'conf:1: *: allowed: *' 'conf:2: *: denied: conf:3: deny 10.\*'
}

@test "-T: the status is that of the configuration, and a rule left out lets nobody in" {
    conf '127.0.0.1 8001 203.0.113.1 0' '127.0.0.1 8002 203.0.113.1 80' 'allow nobody' \
        '127.0.0.1 8003 203.0.113.1 80' '127.0.0.1 8003 203.0.113.1 80'
    STATUS=1 explained 10.0.0.1 'conf:1: *left out*' 'conf:2: *left out*' \
        'conf:4: 127.0.0.1 8003: allowed: *' 'conf:5: *left out*'
    conf 'allow junk' '127.0.0.1 8001 203.0.113.1 80'
    STATUS=1 explained 10.0.0.1 'conf:2: *left out*'
}

@test "-T: a client of IPv4 at a listener of IPv6 is matched in both forms, as in 0.73" {
    conf ':: 8001 203.0.113.1 80' 'allow ::ffff:10.1.*' 'allow 10.2.*'
    for prefix in '' ::ffff:; do
        explained "${prefix}10.1.0.1" 'conf:1: :: 8001: allowed: conf:2: allow ::ffff:10.1.\*'
        explained "${prefix}10.2.0.1" 'conf:1: :: 8001: allowed: conf:3: allow 10.2.\*'
        explained "${prefix}10.3.0.1" 'conf:1: *: not-allowed: *'
    done
}

@test "-T and the relay agree where a listener is an IPv4-mapped address" {
    local port

    port=$(free_ports)
    listen target 127.0.0.1 0 send:in fin
    conf "::ffff:127.0.0.1 $port 127.0.0.1 $(port_of target)" 'allow ::ffff:127.0.0.1'
    explained 127.0.0.1 '*: allowed: *'
    serve relay --count=1 127.0.0.1 "$port" "$RELAY" "--listener=[::ffff:127.0.0.1]:$port" \
        --allow=::ffff:127.0.0.1 127.0.0.1 "$(port_of target)"
    run -0 "$PEER" connect 127.0.0.1 "$port" fin rest
    [ "$output" = in ]
}

@test "-T: TCP wrappers are named where they are asked, too" {
    conf '127.0.0.1 8001 203.0.113.1 80' '127.0.0.1 8002 203.0.113.1 80 [wrap=sshd]'
    explained 10.0.0.1 'conf:1: 127.0.0.1 8001: allowed: *' 'conf:2: *wrappers*sshd*'
    run_gen 0 -c conf --wrap -T 10.0.0.1
    [[ ${lines[0]} == *wrappers*rinetd-relay* && ${lines[1]} == *wrappers*sshd* ]]
}

@test "-T names the file of an included line, without raw control bytes" {
    mkdir d
    printf '127.0.0.1 8001 203.0.113.1 80\n' >d/$'a\n\x1b[31m'
    printf 'deny 10.*\n' >d/b
    conf 'include d/*'
    explained 10.0.0.1 'd/a*:1: 127.0.0.1 8001: denied: d/b:1: deny 10.\*'
    [[ ! ${output//$'\n'/} =~ [[:cntrl:]] ]]
}

# --- -o: files

@test "-o writes the folder's file, and says what it did" {
    mkdir d
    umask 077
    run_gen 0 -c good -o d
    [[ $output = "" && $stderr = "rinetd-gen: created d/rinetd" ]]
    gen -c good | cmp - d/rinetd
    [ "$(stat -c %a d/rinetd)" = 644 ]
    run_gen 0 -c good -f inetd -o d/
    [[ $output = "" && $stderr == "rinetd-gen: created d/"*rinetd.inetd ]]
    [ "$(sed -n '1p;$p' d/rinetd.inetd)" = $'# BEGIN rinetd-gen\n# END rinetd-gen' ]
    [ "$(ls -A d)" = $'rinetd\nrinetd.inetd' ]
}

@test "-o leaves a file that would not change untouched" {
    local before

    mkdir d
    gen -c good -o d 2>/dev/null
    touch -d '2001-02-03 04:05:06' d/rinetd
    before=$(state d/rinetd)
    run_gen 0 -c good -o d
    is_silent
    [ "$(state d/rinetd)" = "$before" ]
    # Other comments make no other output
    printf '# a comment\n\n' | cat - good >conf
    cp conf good
    run_gen 0 -c good -o d
    is_silent
    [ "$(state d/rinetd)" = "$before" ]
}

@test "-o replaces a file of its own that would change" {
    local inode

    mkdir d
    gen -c good -o d 2>/dev/null
    ln d/rinetd kept
    inode=$(stat -c %i d/rinetd)
    conf '127.0.0.1 8002 203.0.113.1 80'
    run_gen 0 -c conf -o d
    [[ $output = "" && $stderr = "rinetd-gen: changed d/rinetd" ]]
    [ "$(services d/rinetd)" = rinetd-tcp-127.0.0.1-8002 ]
    # The old one is as it was for whoever is reading it
    [ "$(stat -c %i kept)" = "$inode" ]
    gen -c good | cmp - kept
    # Rules that are gone leave nothing behind
    conf '# none'
    run_gen 0 -c conf -o d
    [ "$(services d/rinetd)" = "" ]
    [ "$(ls -A d)" = rinetd ]
}

@test "-o: a reader sees the old file or the new one, never a part or none" {
    local i sums

    mkdir d
    for i in 1 2; do
        # Of some MiB, so that a write takes its time
        awk -v port="$((i * 10))" 'BEGIN { for (i = 0; i < 5000; i++)
            printf "127.0.%d.%d 80%d 203.0.113.1 80\n", i / 200, i % 200, port }' >conf.$i
    done
    gen -c conf.1 -o d 2>/dev/null
    sums=$(cksum <d/rinetd)
    gen -c conf.2 -o d 2>/dev/null
    sums+=$'\n'$(cksum <d/rinetd)
    # Nor any other file that xinetd would read: it passes over names with a dot
    start reader bash -c 'reads=0
        shopt -s dotglob
        until [ -e stop ]; do
            sum=$(cksum <d/rinetd) && grep -qxF -- "$sum" <<<"$1" || exit 1
            for file in d/*; do
                case ${file#d/} in rinetd | *.*) ;; *) echo "$file"; exit 1 ;; esac
            done
            ((++reads)); echo "$reads" >reads
        done
        exit 0' - "$sums"
    wait_for or_over reader test -s reads
    i=0
    until ((i >= 20)) && has_read_again || ((i >= 2000)) || ! is_running reader; do
        gen -c "conf.$((i % 2 + 1))" -o d 2>/dev/null
        ((i += 1))
    done
    touch stop
    finished reader
    has_read_again
    [ "$(ls -A d)" = rinetd ]
}

has_read_again() {
    [ "$(<reads)" -gt 1 ] 2>/dev/null
}

@test "-o touches no file that it did not make, and no link, folder or pipe in its place" {
    local kind before

    for kind in file empty link dangling folder fifo; do
        rm -rf d ours
        mkdir d
        gen -c good >ours
        case $kind in
        file) printf 'service mine\n{\n}\n' >d/rinetd ;;
        empty) : >d/rinetd ;;
        link) ln -s ../ours d/rinetd ;;
        dangling) ln -s ../missing d/rinetd ;;
        folder) mkdir d/rinetd ;;
        fifo) mkfifo d/rinetd ;;
        esac
        before=$(stat -c '%i %F %y %s' d/rinetd)
        conf '127.0.0.1 8002 203.0.113.1 80'
        run -3 --separate-stderr timeout 60 "$GEN" -u root -r /bin/true -c conf -o d
        [[ $output = "" && $stderr == "rinetd-gen: unable to write d/rinetd: "* ]]
        [ "$(stat -c '%i %F %y %s' d/rinetd)" = "$before" ]
        [ "$(ls -A d)" = rinetd ]
        [ ! -e missing ]
        gen -c good | cmp - ours
    done
}

@test "-o: a configuration with errors changes nothing" {
    local before

    mkdir d
    run_gen 1 -c bad -o d
    [[ $output = "" && $stderr == "bad:2:1: error: "* && $(ls -A d) = "" ]]
    gen -c good -o d 2>/dev/null
    before=$(state d/rinetd)
    run_gen 1 -c bad -o d
    run_gen 1 -c odd -o d --strict
    run_gen 1 -c odd -o d --templates /nonexistent || run_gen 3 -c odd -o d --templates /nonexistent
    [ "$(state d/rinetd)" = "$before" ]
    [ "$(ls -A d)" = rinetd ]
}

@test "-o: a folder that is missing, or is none" {
    run_gen 3 -c good -o missing
    [[ $stderr == "rinetd-gen: unable to write missing/rinetd: No such file or directory" ]]
    run_gen 3 -c good -o good
    [[ $stderr == *"Not a directory" ]]
    [ ! -e missing ]
}

@test "-o: a folder that is read-only" {
    local before

    require namespaces
    mkdir d
    gen -c good -o d 2>/dev/null
    before=$(state d/rinetd)
    mount --bind d d
    mount -o remount,bind,ro d
    run_gen 0 -c good -o d
    is_silent
    run_gen 3 -c odd -o d
    [[ $stderr == *"unable to write d/rinetd: Read-only file system"* ]]
    umount d
    [ "$(state d/rinetd)" = "$before" ]
    [ "$(ls -A d)" = rinetd ]
}

@test "-o: a folder that the caller may not write" {
    local user

    user=$(user_for_relay)
    mkdir d
    gen -c good -o d 2>/dev/null
    chmod 555 d
    run -3 --separate-stderr as_user "$user" "$GEN" -u root -r /bin/true -c "$T/odd" -o "$T/d"
    [[ $stderr == *"unable to write $T/d/rinetd: Permission denied"* ]]
    chmod 755 d
    [ "$(ls -A d)" = rinetd ]
    gen -c good | cmp - d/rinetd
}

@test "-o: a folder that the caller may write but not list" {
    local user

    user=$(user_for_relay)
    mkdir d
    [ "$(id -u)" != 0 ] || chown "$user" d
    chmod 333 d
    # What was written is no failure
    run -0 --separate-stderr as_user "$user" "$GEN" -u root -r /bin/true -c "$T/good" -o "$T/d"
    chmod 755 d
    gen -c "$T/good" | cmp - d/rinetd
}

@test "-o: a full disk leaves the old file, and nothing half-written" {
    require namespaces
    mkdir d
    mount -t tmpfs -o size=64k,mode=755 tmpfs d
    gen -c good -o d 2>/dev/null
    awk 'BEGIN { for (i = 1; i < 300; i++) print "127.0.0.1", i, "203.0.113.1 80" }' >conf
    run_gen 3 -c conf -o d
    [ "$stderr" = "rinetd-gen: unable to write d/rinetd: No space left on device" ]
    [ "$(ls -A d)" = rinetd ]
    gen -c good | cmp - d/rinetd
    umount d
}

@test "-o: a disk that gets full in the middle of many units leaves all of them as they were" {
    local before

    require namespaces
    mkdir d
    mount -t tmpfs -o size=64k,mode=755 tmpfs d
    conf '127.0.0.1 1 203.0.113.1 80' '127.0.0.1 2 203.0.113.1 80' '127.0.0.1 3 203.0.113.1 80'
    gen -f systemd -c conf -o d 2>/dev/null
    before=$(cksum d/* && ls -A d)
    awk 'BEGIN { for (i = 2; i < 9; i++) print "127.0.0.1", i, "203.0.113.2 80" }' >conf
    run_gen 3 -f systemd -c conf -o d
    [[ $stderr == *"rinetd-gen: unable to write d/rinetd-tcp-127.0.0.1-"*": No space left on device" ]]
    diff <(echo "$before") <(cksum d/* && ls -A d)
    mount -o remount,size=1m d
    run_gen 0 -f systemd -c conf -o d
    [ "$(find d -name 'rinetd*' | wc -l)" = 14 ]
    [ ! -e d/rinetd-tcp-127.0.0.1-1.socket ]
    umount d
}

@test "-o: units of rules that are gone go, and nobody else's" {
    conf '127.0.0.1 1 203.0.113.1 80' '127.0.0.1 2 203.0.113.1 80'
    mkdir d
    echo mine >d/rinetd-tcp-127.0.0.7-1.socket
    ln -s /dev/null d/rinetd-tcp-127.0.0.6-1.socket
    ln -s rinetd-tcp-127.0.0.1-1.socket d/rinetd-tcp-127.0.0.5-1.socket
    gen -f systemd -c conf -o d 2>/dev/null
    echo '# Made by rinetd-gen, and renamed' >d/theirs.socket
    conf '127.0.0.1 2 203.0.113.1 80'
    run_gen 0 -f systemd -c conf -o d
    [ "$(cd d && echo *)" = "rinetd-tcp-127.0.0.1-2.service rinetd-tcp-127.0.0.1-2.socket \
rinetd-tcp-127.0.0.5-1.socket rinetd-tcp-127.0.0.6-1.socket rinetd-tcp-127.0.0.7-1.socket theirs.socket" ]
    grep -qF 'rinetd-gen: removed d/rinetd-tcp-127.0.0.1-1.socket' <<<"$stderr"
    conf '127.0.0.1 3 203.0.113.1 80'
    ln -s /dev/null d/rinetd-tcp-127.0.0.1-3.socket
    run_gen 3 -f systemd -c conf -o d
    [[ $stderr == *"did not make what is there"* ]]
    [ -e d/rinetd-tcp-127.0.0.1-2.socket ]
}

@test "-o: xinetd passes over what an interrupted run may have left beside the file" {
    local ports

    require xinetd
    mapfile -t ports < <(free_ports 2)
    mkdir d
    conf "127.0.0.1 ${ports[0]} 203.0.113.1 80"
    gen -u "$(id -un)" -c conf -o d 2>/dev/null
    conf "127.0.0.1 ${ports[1]} 203.0.113.1 80"
    gen -u "$(id -un)" -c conf >d/.rinetd-gen.A1b2C3
    gen -u "$(id -un)" -c conf -f inetd >d/rinetd.inetd
    echo "includedir $T/d" >xinetd.conf
    start_xinetd xinetd.conf 1
    stop xinetd
}

@test "-o: what an interrupted run has left goes with the next one" {
    mkdir d
    touch d/.rinetd-gen.A1b2C3
    conf '127.0.0.1 1 203.0.113.1 80'
    run_gen 0 -c conf -o d
    [ "$(ls -A d)" = rinetd ]
}

@test "-o: a folder that can be written and not read" {
    mkdir -m 300 d
    conf '127.0.0.1 1 203.0.113.1 80'
    [ "$(id -u)" != 0 ] || chown nobody d
    as_user "$(user_for_relay)" "$GEN" -c conf -o d 2>/dev/null
    chmod 700 d
    [ "$(ls -A d)" = rinetd ]
}

# --- the log file

@test "-o as root makes a missing log file, for the user of the relay, mode 0640" {
    require root
    mkdir d log
    conf 'logfile '"$T"'/log/rinetd.log' '127.0.0.1 8001 203.0.113.1 80'
    umask 0
    run_gen 0 -u nobody -c conf -o d
    [[ $stderr == *"created $T/log/rinetd.log"*nobody* && $stderr != *warning* ]]
    [ "$(stat -c '%U %g %a %s' log/rinetd.log)" = "nobody $(id -g nobody) 640 0" ]
    # The relay can write it
    as_user nobody sh -c 'echo line >>log/rinetd.log'
    # It is never changed
    chmod 606 log/rinetd.log
    chown root:root log/rinetd.log
    before=$(state log/rinetd.log)
    rm d/rinetd
    run_gen 0 -u nobody -c conf -o d
    [[ $stderr != *"rinetd.log for"* ]]
    [ "$(state log/rinetd.log)" = "$before" ]
}

@test "no log file is made without -o, for -n, or for a user that does not exist" {
    require root
    mkdir d
    conf 'logfile '"$T"'/rinetd.log' '127.0.0.1 8001 203.0.113.1 80'
    gen -c conf >/dev/null 2>&1
    gen -c conf -n 2>/dev/null
    gen -c conf -n -o d 2>/dev/null
    gen -c conf -T ::1 >/dev/null 2>&1
    gen -c conf -o d -u no-such-user 2>/dev/null
    [ ! -e rinetd.log ]
}

@test "no log file is made by a run that changes nothing else" {
    require root
    mkdir d
    conf 'logfile '"$T"'/rinetd.log' '127.0.0.1 8001 203.0.113.1 80' 'bad'
    run_gen 1 -c conf -o d
    [ ! -e rinetd.log ]
    conf 'logfile '"$T"'/rinetd.log' '127.0.0.1 8001 203.0.113.1 80 [timeout=1]'
    run_gen 1 -c conf -o d --strict
    [ ! -e rinetd.log ]
}

@test "a link in the log file's place is not followed when it is made" {
    require root
    mkdir d
    ln -s "$T/elsewhere" rinetd.log
    conf 'logfile '"$T"'/rinetd.log' '127.0.0.1 8001 203.0.113.1 80'
    gen -c conf -o d 2>/dev/null
    [ ! -e elsewhere ]
    [ -L rinetd.log ]
}

# --- warnings about this host

# mend: carries out the command that the one warning in $stderr ends with.
mend() {
    echo "$stderr"
    [ "${#stderr_lines[@]}" = 1 ]
    [[ $stderr == *": warning: "*"; to m"*" it: "* ]]
    bash -c "${stderr##* it: }"
}

@test "a user that does not exist: the command that makes it is right" {
    require namespaces useradd userdel
    conf '127.0.0.1 8001 203.0.113.1 80'
    run_gen 0 -u rinetd-test -c conf
    mend
    run_gen 0 -u rinetd-test -c conf
    [ "$stderr" = "" ]
    [[ $(getent passwd rinetd-test) == *:/nonexistent:/usr/sbin/nologin ]]
    userdel rinetd-test
    run_gen 0 -u rinetd-test -c conf -f inetd
    [[ $stderr == *"the user rinetd-test does not exist"*inetd* ]]
}

@test "a log file that is missing, or that the user can't write: the commands mend it" {
    require root
    mkdir log
    # Nothing in the name may mean something to the shell
    for name in rinetd.log "a'b" 'a$(touch${IFS}oops)`touch${IFS}oops`;touch${IFS}oops&' \
        'a"b\c' '~' '-x'; do
        conf "logfile $T/log/$name" '127.0.0.1 8001 203.0.113.1 80'
        run_gen 0 -u nobody -c conf
        [[ $stderr == "conf:1:9: warning: "*"does not exist"* ]]
        mend
        run_gen 0 -u nobody -c conf
        [ "$stderr" = "" ]
        [ "$(stat -c '%U %a' "log/$name")" = "nobody 640" ]
        # Another's file, and one of the user's own that is closed to all
        for owner in root nobody; do
            chown "$owner" "log/$name"
            [ "$owner" = root ] || chmod 440 "log/$name"
            run_gen 0 -u nobody -c conf
            [[ $stderr == "conf:1:9: warning: the user nobody cannot write the log file"* ]]
            mend
            run_gen 0 -u nobody -c conf
            [ "$stderr" = "" ]
            as_user nobody sh -c 'echo line >>"$1"' - "log/$name"
        done
    done
    [ ! -e oops ] && [ ! -e log/oops ]
}

@test "a log file that the user can't reach: the commands mend it, folder by folder" {
    local folder="$T/it's \$(touch oops)"
    folder=${folder// /_}

    require root
    mkdir "$folder"
    touch "$folder/log"
    chown nobody "$folder/log"
    chmod 700 "$folder"
    conf "logfile $folder/log" '127.0.0.1 8001 203.0.113.1 80'
    run_gen 0 -u nobody -c conf
    [[ $stderr == "conf:1:9: warning: "*nobody*"closed to that user"* ]]
    mend
    run_gen 0 -u nobody -c conf
    [ "$stderr" = "" ]
    as_user nobody sh -c 'echo line >>"$1"' - "$folder/log"
    # Two folders and the file itself are missing
    conf "logfile $folder/one/two/log" '127.0.0.1 8001 203.0.113.1 80'
    for missing in "/one\"" "/two\"" "does not exist"; do
        run_gen 0 -u nobody -c conf
        [[ $stderr == "conf:1:9: warning: "*"$missing"* ]]
        mend
    done
    run_gen 0 -u nobody -c conf
    [ "$stderr" = "" ]
    [ ! -e oops ]
}

@test "a log file that is a folder" {
    mkdir folder
    conf "logfile $T/folder" '127.0.0.1 8001 203.0.113.1 80'
    run --separate-stderr gen -c conf
    [[ $stderr == "conf:1:9: "*folder* ]]
}

@test "a user may also be a number, or write by the group" {
    require root
    touch log
    chown 0:54321 log
    chmod 660 log
    conf "logfile $T/log" '127.0.0.1 8001 203.0.113.1 80'
    run_gen 0 -u 54321 -c conf
    [ "$stderr" = "" ]
    [ "$(attribute user - <<<"$output")" = 54321 ]
    run_gen 0 -u 54322 -c conf
    [[ $stderr == *"the user 54322 cannot write the log file"* ]]
}

@test "a relay that can't be executed" {
    mkdir folder
    for program in missing good folder; do
        run_gen 0 -c good --relay="$T/$program"
        [[ ${#stderr_lines[@]} = 1 && $stderr == "rinetd-gen: warning: "*"$T/$program"* ]]
        [[ $stderr == *xinetd*--relay* ]]
        run_gen 1 --strict -c good --relay="$T/$program"
    done
    run_gen 0 -c good -f inetd --relay="$T/missing"
    [[ $stderr == *"$T/missing"*inetd* ]]
}

@test "rinetd-wrap is looked for beside the relay, where a rule needs it" {
    make_program relay </dev/null
    conf '127.0.0.1 8001 203.0.113.1 80 [wrap=x]'
    run_gen 0 -c good --relay="$T/relay"
    [ "$stderr" = "" ]
    run_gen 0 -c conf --relay="$T/relay"
    [[ ${#stderr_lines[@]} = 1 && $stderr == *"warning: "*"$T/rinetd-wrap"* ]]
    run_gen 0 -c good --wrap --relay="$T/relay"
    [[ ${#stderr_lines[@]} = 1 && $stderr == *"warning: "*"$T/rinetd-wrap"* ]]
    make_program rinetd-wrap </dev/null
    run_gen 0 -c conf --relay="$T/relay"
    [ "$stderr" = "" ]
    [ "$(attribute server - <<<"$output")" = "$T/rinetd-wrap" ]
    [[ $(attribute server_args - <<<"$output") == "x $T/relay --listener=127.0.0.1:8001 "* ]]
    # A rule's own name goes before that of --wrap
    run_gen 0 -c conf --wrap --relay="$T/relay"
    [[ $(attribute server_args - <<<"$output") == "x $T/relay "* ]]
    run_gen 0 -c good --wrap --relay="$T/relay"
    [[ $(attribute server_args - <<<"$output") == "rinetd-relay $T/relay "* ]]
}

@test "over 900 services are a warning for xinetd" {
    awk 'BEGIN { for (i = 1; i <= 901; i++) print "127.0.0.1", 2000 + i, "203.0.113.1 80" }' >conf
    run_gen 0 -n -c conf
    [[ ${#stderr_lines[@]} = 1 && $stderr == "rinetd-gen: warning: 901 services "* ]]
    run_gen 0 -n -c conf -f inetd
    [ "$stderr" = "" ]
    sed -i 1d conf
    run_gen 0 -n -c conf
    [ "$stderr" = "" ]
}

# --- names

@test "names of targets are asked of the relay's own resolver" {
    own_etc hosts <<<'203.0.113.7 found.test source.test'
    own_etc resolv.conf <<<$'nameserver 127.0.0.1\noptions timeout:1 attempts:1'
    conf '127.0.0.1 8001 found.test 80' '127.0.0.1 8002 missing.test 80' \
        '127.0.0.1 8004 found.test 80 [src=source.test]'
    run_gen 0 -c conf --relay="$RELAY"
    [[ ${#stderr_lines[@]} = 1 && $stderr == "conf:2:16: warning: "*'"missing.test"'* ]]
    # What is found is for the relay to find again
    [[ $output != *203.0.113.7* ]]
}

@test "names that don't resolve now: each is told once, of target and source" {
    stub_resolver
    conf '127.0.0.1 8001 missing.b 80 [src=missing.a]' '127.0.0.1 8002 missing.b 80' \
        '127.0.0.1 8003 found.test 80 [src=missing.c]' '127.0.0.1 8004 MISSING.example 80' \
        '127.0.0.1 8005 unix:/missing.d' '127.0.0.1 8006 203.0.113.1 80 [src=203.0.113.2]'
    run_gen 0 -c conf --relay="$T/relay"
    [ "${#stderr_lines[@]}" = 3 ]
    [[ ${stderr_lines[0]} == "conf:1:16: warning: "*'"missing.b"'*'Name or service not known'* ]]
    [[ ${stderr_lines[1]} == "conf:1:"*"warning: "*'"missing.a"'* ]]
    [[ ${stderr_lines[2]} == "conf:3:"*"warning: "*'"missing.c"'* ]]
}

@test "a name that stands for the rule's own listener" {
    stub_resolver
    conf '127.0.0.1 8001 own.test 8001' '0.0.0.0 8002 own.test 8002' '127.0.0.1 8003 own.test 80' \
        '127.0.0.9 8004 own.test 8004'
    run_gen 0 -c conf --relay="$T/relay"
    [ "${#stderr_lines[@]}" = 2 ]
    [[ ${stderr_lines[0]} == "conf:1:16: warning: "*'"own.test" port 8001 come back'*circle* ]]
    [[ ${stderr_lines[1]} == "conf:2:14: warning: "*'"own.test" port 8002 come back'*circle* ]]
}

@test "a name that stands for the rule's own listener, in its protocol alone" {
    stub_resolver
    conf '127.0.0.1 8001/tcp own.test 8001/udp' '127.0.0.1 8002/udp own.test 8002/udp' \
        '127.0.0.1 8003/udp own.test 8003/tcp'
    run_gen 0 -c conf --relay="$T/relay"
    [ "${#stderr_lines[@]}" = 1 ]
    [[ ${stderr_lines[0]} == "conf:2:20: warning: "*'"own.test" port 8002 come back'*circle* ]]
}

@test "a rule of UDP that has no room in a line takes the wildcards of its port with it" {
    local i allowed=()

    for i in {1..3000}; do
        allowed+=("allow 203.0.$((i / 250)).$((i % 250))")
    done
    conf '0.0.0.0 8001/udp 203.0.113.1 80/udp' ':: 8001/udp 203.0.113.1 80/udp' \
        '0.0.0.0 8002/udp 203.0.113.1 80/udp' \
        '127.0.0.1 8001/udp 203.0.113.1 80/udp' "${allowed[@]}"
    run_gen 1 -c conf -f inetd
    [[ $output == *'0.0.0.0:8002 '* && $output != *8001* ]]
    [[ $stderr == *"conf:1:1: error: the listener 0.0.0.0 port 8001 is left out as the rule in"*"line 4, is"* ]]
    [[ $stderr == *"conf:2:1: error: inetd cannot keep"* ]]
}

@test "names that stand for each other's listeners, and one that leads into the circle" {
    stub_resolver
    conf '127.0.0.1 8001 own.test 8002' '127.0.0.1 8002 127.0.0.1 8003' \
        '127.0.0.1 8003 own.test 8001' '127.0.0.1 8004 own.test 8001' '127.0.0.1 8005 own.test 9'
    run_gen 0 -c conf --relay="$T/relay"
    [ "${#stderr_lines[@]}" = 2 ]
    [[ ${stderr_lines[0]} == "conf:1:16: warning: "*circle* ]]
    [[ ${stderr_lines[1]} == "conf:3:16: warning: "*circle* ]]
}

@test "a circle through localhost by IPv6 is an error" {
    conf '::1 8001 localhost 8002' '::1 8002 localhost 8001'
    run_gen 1 -c conf
    [ "$(services - <<<"$output")" = "" ]
    [[ $stderr == *"conf:1:10: error: "*circle*"conf:2:10: error: "*circle* ]]
}

@test "what is no rule leaves out what it may have been meant for, too" {
    local line

    for line in 'managed by the office of puppets' 'that goes on here' '// only the office:' \
        'dns-refresh 600 s' 'buffersize 1024'; do
        conf "$line" 'allow 10.1.2.3' '127.0.0.1 8001 203.0.113.1 80'
        run_gen 1 -c conf
        [ "$(services - <<<"$output")" = "" ] || { echo "before: $line" && return 1; }
        conf '127.0.0.1 8001 203.0.113.1 80' "$line" 'allow 10.1.2.3'
        run_gen 1 -c conf
        [ "$(services - <<<"$output")" = "" ] || { echo "after: $line" && return 1; }
    done
}

@test "a rule that an odd byte cuts short keeps its listener" {
    printf '127.0.0.1 8001 203.0.113.1 80\xc2\xa0\nallow 10.1.2.3\n127.0.0.1 8001 203.0.113.2 80\n' >conf
    run_gen 1 -c conf
    [ "$(services - <<<"$output")" = "" ]
}

@test "prose is not looked up" {
    seq 200 | sed 's/.*/words &x of & prose/' >conf
    run -1 --separate-stderr timeout 60 "$GEN" -n -u root -r /bin/true -c conf
}

@test "a log file that the relay would refuse" {
    conf 'logfile /' '127.0.0.1 8001 203.0.113.1 80'
    run_gen 1 -c conf
    [[ $stderr == "conf:1:9: error: "* && $output == *" --log=syslog "* ]]
}

@test "-T answers for an address as the relay sees it" {
    conf '127.0.0.1 8001 203.0.113.1 80' 'allow ::ffff:127.0.0.1' ':: 8002 203.0.113.1 80' \
        'deny fe80::1'
    run -0 --separate-stderr gen -c conf -T ::ffff:127.0.0.1
    [[ ${lines[0]} == *not-allowed* ]]
    run -0 --separate-stderr gen -c conf -T fe80::1%lo
    [[ ${lines[1]} == *": allowed: no deny line"* ]]
    run -2 --separate-stderr gen -c conf -T fe80::1
}

@test "a source address that never reaches its target is an error" {
    conf '127.0.0.1 8001 ::1 80 [src=127.0.0.1]' '127.0.0.1 8002 unix:/x [src=127.0.0.1]' \
        '127.0.0.1 8003 127.0.0.1 80 [src=127.0.0.1]'
    run_gen 1 -c conf
    [[ $stderr == *"conf:1:24: error: "*"conf:2:25: error: "* ]]
    [ "$(attribute port - <<<"$output")" = 8003 ]
}

@test "a user whom inetd would take for a user and a group" {
    conf '127.0.0.1 8001 203.0.113.1 80'
    run -2 --separate-stderr "$GEN" -c conf -f inetd -u joe.adm -r /bin/true
    run -2 --separate-stderr "$GEN" -c conf -f inetd -u 65534 -r /bin/true
}

@test "whatever a resolver answers, it is no more than a warning" {
    local answer

    conf '127.0.0.1 8001 a.test 80' '127.0.0.1 8002 b.test 80'
    for answer in 'exit 1' 'exit' 'kill -9 $$' 'echo' 'echo x; echo y' \
        'printf "a.test\tfailed\t\033[31m\001\n"' 'printf "a.test\tfound\t\n\n"' \
        'printf "a.test\tfound\tnonsense 1.2 ::: 127.0.0.1 unix:/x\n"' \
        'head -c 100000 /dev/zero | tr "\0" x' 'head -c 100000 /dev/zero'; do
        make_program relay <<<$'#!/bin/sh\n'"$answer"
        # One that hangs on it comes to its end after 20 s
        run --separate-stderr timeout 19 "$GEN" -u root -r "$T/relay" -c conf
        [ "$status" = 0 ]
        [[ ! ${stderr//$'\n'/} =~ [[:cntrl:]] && $stderr != *": error: "* ]]
        [ "$(services - <<<"$output" | wc -l)" = 2 ]
    done
}

@test "names of listeners are pinned to what they stand for now" {
    own_etc hosts <<'EOT'
127.0.0.1 localhost
127.0.0.5 four.test
2001:db8::5 six.test
EOT
    own_etc resolv.conf <<<$'nameserver 127.0.0.1\noptions timeout:1 attempts:1'
    conf 'four.test 8001 203.0.113.1 80' 'six.test 8002 203.0.113.1 80' \
        'missing.test 8003 203.0.113.1 80' 'localhost 8004 203.0.113.1 80' \
        '127.0.0.5 8001 203.0.113.1 80'
    run_gen 1 -c conf
    [ "${#stderr_lines[@]}" = 4 ]
    [[ ${stderr_lines[0]} == "conf:1:1: warning: "*four.test*127.0.0.5* ]]
    [[ ${stderr_lines[1]} == "conf:2:1: warning: "*six.test*2001:db8::5* ]]
    [[ ${stderr_lines[2]} == "conf:3:1: error: "*missing.test* ]]
    [[ ${stderr_lines[3]} == "conf:5:1: error: "*"already"*"line 1"* ]]
    [ "$(attribute bind - <<<"$output")" = $'127.0.0.5\n2001:db8::5\n127.0.0.1' ]
    # The log calls a listener what the configuration calls it
    [[ $(attribute server_args - <<<"$output") == *--listener=four.test:8001* ]]
    [ "$(services - <<<"$output" | head -n 1)" = rinetd-tcp-127.0.0.5-8001 ]
}

@test "lines in error wait for no resolver" {
    local i

    name_server silent
    for i in {1..6}; do
        echo "some$i.prose of this kind"
        echo "other$i.prose 8001 203.0.113.1 0"
    done >conf
    run_gen 1 -c conf
    is_running dns
    [ ! -e dns.asked ]
}

@test "names of ports are those of /etc/services" {
    own_etc services <<'EOT'
from-here 8001/tcp an-alias
to_there  8002/tcp
Capital   8003/tcp
only-udp  8004/udp
EOT
    conf '127.0.0.1 from-here 203.0.113.1 to_there' '127.0.0.2 an-alias/tcp 203.0.113.1 80' \
        '127.0.0.1 Capital 203.0.113.1 80' '127.0.0.1 capital 203.0.113.1 80' \
        '127.0.0.1 only-udp 203.0.113.1 80' '127.0.0.1 8005 203.0.113.1 gone'
    run_gen 1 -c conf
    [ "$(attribute port - <<<"$output")" = $'8001\n8001\n8003' ]
    [[ $(attribute server_args - <<<"$output") == "--listener=127.0.0.1:8001 203.0.113.1 8002"* ]]
    [ "${#stderr_lines[@]}" = 3 ]
    [[ ${stderr_lines[0]} == 'conf:4:11: error: found "capital", '* ]]
    [[ ${stderr_lines[1]} == 'conf:5:11: error: found "only-udp", '* ]]
    [[ ${stderr_lines[2]} == 'conf:6:28: error: found "gone", '* ]]
}

# --- what the output is a function of

@test "the same input gives the same bytes, wherever, whenever and by whomever" {
    local user

    user=$(user_for_relay)
    conf 'allow 10.*' ':: 8001 203.0.113.1 80' '127.0.0.1 8001 name.test 80' 'logfile syslog'
    gen -c conf >expected 2>/dev/null
    mkdir d
    touch -d 2001-01-01 conf
    (cd d && cp ../conf conf && TZ=Asia/Kolkata LC_ALL=C.UTF-8 HOME=/x LANG=de_DE.UTF-8 \
        gen -c conf 2>/dev/null) | cmp - expected
    as_user "$user" env -i "$GEN" -u root -r /bin/true -c conf 2>/dev/null | cmp - expected
    ! grep -E '[0-9]{2}:[0-9]{2}:[0-9]{2}|20[0-9]{2}-' expected || false
}

@test "comments, blank lines and the lines' numbers change nothing" {
    conf 'allow 10.*' 'deny 10.1.1.1' '127.0.0.1 8001 203.0.113.1 80 [max=3]' 'allow 10.1.*' \
        '127.0.0.1 8002 203.0.113.1 80' 'logfile syslog'
    gen -c conf >expected
    conf '# x' '' 'allow 10.*# x' $'\tdeny \t 10.1.1.1' '' 'logfile syslog # x' \
        '  127.0.0.1   8001/tcp 203.0.113.1  080[ max = 3 ] #' '' '' ' allow 10.1.*' '#' \
        '127.0.0.1 8002 203.0.113.1 80'
    run_gen 0 -c conf
    diff - expected <<<"$output"
}

@test "the name of a service is of protocol, address and port only" {
    conf '127.0.0.1 8001 203.0.113.1 80' '::1 8001 203.0.113.1 80' '0 8002 203.0.113.1 80' \
        ':: 8003 unix:/x' '2001:DB8:0:0:0:0:0:1 65535 203.0.113.1 80' \
        '::ffff:127.0.0.1 8004 203.0.113.1 80' 'fe80:1111:2222:3333:4444:5555:6666:7777 1 ::1 9'
    gen -c conf >out
    [ "$(services out)" = "rinetd-tcp-127.0.0.1-8001
rinetd-tcp-__1-8001
rinetd-tcp-0.0.0.0-8002
rinetd-tcp-__-8003
rinetd-tcp-2001_db8__1-65535
rinetd-tcp-127.0.0.1-8004
rinetd-tcp-fe80_1111_2222_3333_4444_5555_6666_7777-1" ]
    ! services out | grep '[^A-Za-z0-9._-]' || false
    [ "$(attribute id out)" = "$(services out)" ]
    [ "$(services out | sort | uniq -d)" = "" ]
    # Another order, target and access list
    conf 'allow 10.*' '::1 8001 203.0.113.9 99' '127.0.0.1 8001 unix:@x' 'deny 10.1.*'
    gen -c conf >out
    [ "$(services out)" = $'rinetd-tcp-__1-8001\nrinetd-tcp-127.0.0.1-8001' ]
}

@test "every limit is written, whatever a rule says" {
    local name

    conf '127.0.0.1 8001 203.0.113.1 80' '127.0.0.1 8002 203.0.113.1 80 [max=7,per-source=3]'
    gen -c conf >out
    [ "$(attribute instances out)" = $'UNLIMITED\n7' ]
    [ "$(attribute per_source out)" = $'UNLIMITED\n3' ]
    for name in cps max_load only_from no_access banner banner_success banner_fail \
        log_on_success log_on_failure log_type groups disable flags; do
        [ "$(grep -c "^	$name *=" out)" = 2 ] || { echo "no $name" && return 1; }
    done
    ! grep 'v6only *= *no' out || false
    gen -c good -f inetd >out
    grep -q 'nowait\.[0-9]\{5,\} ' out
}

@test "whatever xinetd's defaults say, nobody is turned away or spoken to" {
    local port

    require xinetd
    port=$(free_ports)
    make_program relay <<<$'#!/bin/sh\nread -r x; echo "served $x"'
    echo banner >banner
    cat >xinetd.conf <<EOT
defaults
{
    instances = 1
    per_source = 1
    cps = 1 3600
    max_load = 0.0001
    only_from = 203.0.113.1
    no_access = 127.0.0.1
    access_times = 00:00-00:01
    banner = $T/banner
    banner_success = $T/banner
    banner_fail = $T/banner
    log_type = FILE $T/log 1 1
    log_on_success = USERID PID HOST
    log_on_failure = USERID
}
includedir $T/d
EOT
    mkdir d
    conf "127.0.0.1 $port 203.0.113.1 80"
    "$GEN" -u "$(id -un)" -r "$T/relay" -c conf -o d 2>/dev/null
    start_xinetd xinetd.conf 1
    # One that stays, and then more in a second than the limits let in
    start held "$PEER" connect 127.0.0.1 "$port" wait-file:"$T/go" 'send:held\n' rest
    "$PEER" connect --times=60 --parallel=4 127.0.0.1 "$port" 'send:x\n' line eof >answers
    [ "$(sort answers | uniq -c | xargs)" = "60 served x" ]
    touch go
    finished held
    [ "$(output_of held)" = "served held" ]
    stop xinetd
}

# --- directives

@test "pidlogfile is read, and noted as without effect" {
    conf 'pidlogfile /run/rinetd.pid' '127.0.0.1 8001 203.0.113.1 80'
    run_gen 0 -c conf
    [[ ${#stderr_lines[@]} = 1 && $stderr == "conf:1:12: warning: pidlogfile has no effect"* ]]
    [[ $output != *rinetd.pid* ]]
}

@test "a log file that is relative, or the relay's standard output: an error, and syslog" {
    local name

    ln -s /dev/stdout link
    ln -s /dev/stderr link2
    for name in log ./log ../log /dev/stdout /dev/stderr /dev/fd/1 /proc/self/fd/2 "$T/link" \
        "$T/link2"; do
        conf "logfile $name" '127.0.0.1 8001 203.0.113.1 80'
        run_gen 1 -c conf
        [[ ${#stderr_lines[@]} = 1 && $stderr == "conf:1:9: error: found \"$name\", "*syslog* ]]
        [[ $(attribute server_args - <<<"$output") == *" --log=syslog "* ]]
    done
}

@test "a log file that leads to standard output by two links" {
    ln -s /dev/stdout link
    ln -s "$T/link" link2
    conf "logfile $T/link2" '127.0.0.1 8001 203.0.113.1 80'
    run_gen 1 -c conf
    [[ $stderr == "conf:1:9: error: "*syslog* ]]
}

@test "include: relative to the including file, sorted by name, nested" {
    mkdir -p a/b
    conf 'include a/*.conf' '127.0.0.1 8009 203.0.113.1 80'
    echo '127.0.0.1 8003 203.0.113.1 80' >a/2.conf
    printf '%s\n' '127.0.0.1 8001 203.0.113.1 80' 'include b/x' >a/10.conf
    echo '127.0.0.1 8002 203.0.113.1 80' >a/b/x
    echo '127.0.0.1 8000 203.0.113.1 80' >a/other
    for where in "$T" /; do
        run --separate-stderr sh -c 'cd "$1" && "$2" -u root -r /bin/true -c "$3"' - "$where" \
            "$GEN" "$T/conf"
        [[ $status = 0 && $stderr = "" ]]
        [ "$(attribute port - <<<"$output")" = $'8001\n8002\n8003\n8009' ]
    done
    # From standard input: from where the caller is
    run_gen 0 -c - <<<'include a/b/x'
    [ "$(attribute port - <<<"$output")" = 8002 ]
    run_gen 0 -c - <<<"include $T/a/b/x"
    [ "$(attribute port - <<<"$output")" = 8002 ]
}

@test "include: ten levels, and no eleventh" {
    local i

    echo '127.0.0.1 8001 203.0.113.1 80' >level-10
    for i in {0..9}; do echo "include level-$((i + 1))" >"level-$i"; done
    run_gen 0 -c level-0
    [ "$stderr" = "" ]
    [ "$(attribute port - <<<"$output")" = 8001 ]
    conf 'include level-0'
    run_gen 1 -c conf
    [[ ${#stderr_lines[@]} = 1 && $stderr == "level-9:1:9: error: "* ]]
    [ "$(services - <<<"$output")" = "" ]
}

@test "include: a circle ends, by whatever name the file comes back" {
    mkdir d
    ln -s ../conf d/link
    conf '127.0.0.1 8001 203.0.113.1 80' 'include d/link'
    run_gen 1 -c conf
    [[ ${#stderr_lines[@]} = 1 && $stderr == "conf:2:9: error: "*"itself"* ]]
    conf '127.0.0.1 8001 203.0.113.1 80' 'include d/next'
    echo 'include ../conf' >d/next
    run_gen 1 -c conf
    [[ ${#stderr_lines[@]} = 1 && $stderr == "d/next:1:9: error: "*"itself"* ]]
    ln conf d/hard
    echo 'include hard' >d/next
    run_gen 1 -c conf
    [[ ${#stderr_lines[@]} = 1 && $stderr == "d/next:1:9: error: "*"itself"* ]]
}

@test "include: no match is a warning, a missing file an error that leaves out its scope" {
    mkdir d
    conf '127.0.0.1 8001 203.0.113.1 80' 'include d/*.conf' '127.0.0.1 8002 203.0.113.1 80' \
        'include none' '127.0.0.1 8003 203.0.113.1 80'
    run_gen 1 -c conf
    [[ ${stderr_lines[0]} == 'conf:2:9: warning: '*'"d/*.conf"'* ]]
    [[ ${stderr_lines[1]} == 'conf:4:9: error: unable to read "none": No such file'* ]]
    [ "$(attribute port - <<<"$output")" = $'8001\n8003' ]
    conf 'include none' '127.0.0.1 8001 203.0.113.1 80'
    run_gen 1 -c conf
    [ "$(services - <<<"$output")" = "" ]
}

@test "include: a pattern whose folder is missing matches nothing" {
    conf '127.0.0.1 8001 203.0.113.1 80' 'include none/*.conf'
    run_gen 0 -c conf
    [[ ${#stderr_lines[@]} = 1 && $stderr == 'conf:2:9: warning: '*'"none/*.conf"'* ]]
}

@test "include: what the caller may not read" {
    require root
    mkdir d closed
    echo 'deny 10.*' >d/secret
    echo 'deny 10.*' >closed/a
    chmod 600 d/secret
    chmod 700 closed
    conf '127.0.0.1 8001 203.0.113.1 80' "include d/secret" '127.0.0.1 8002 203.0.113.1 80' \
        'include d/s*' '127.0.0.1 8003 203.0.113.1 80' 'include closed/*' \
        '127.0.0.1 8004 203.0.113.1 80'
    run -1 --separate-stderr as_user nobody "$GEN" -u root -r /bin/true -c conf
    [ "${#stderr_lines[@]}" = 3 ]
    [[ ${stderr_lines[0]} == 'conf:2:9: error: '*'"d/secret": Permission denied' ]]
    [[ ${stderr_lines[1]} == 'conf:4:9: error: '*'"d/secret": Permission denied' ]]
    [[ ${stderr_lines[2]} == 'conf:6:9: error: '*'"closed/*"'* ]]
    [ "$(attribute port - <<<"$output")" = 8004 ]
}

@test "include: a folder with an odd name is no pattern, and is shown without control bytes" {
    local name=$'[a]*?\\\x1b{b} c'

    mkdir "$name"
    echo 'include x' >"$name/conf"
    echo '127.0.0.1 8001 203.0.113.1 80' >"$name/x"
    run_gen 0 -c "$name/conf"
    [[ $stderr = "" && $(attribute port - <<<"$output") = 8001 ]]
    [[ ! ${output//[$'\n\t']/} =~ [[:cntrl:]] ]]
    echo 'bad' >"$name/x"
    run_gen 1 -c "$name/conf"
    [[ $stderr == *':1:1: error: '* && ! ${stderr//$'\n'/} =~ [[:cntrl:]] ]]
}

@test "include: a pipe does not stop us for ever" {
    mkfifo fifo
    conf '127.0.0.1 8001 203.0.113.1 80' 'include fifo'
    run -1 --separate-stderr timeout 60 "$GEN" -u root -r /bin/true -c conf
    [[ $stderr == "conf:2:9: error: "* ]]
}

# bats test_tags=memory
@test "include: a device without an end does not take all memory" {
    conf '127.0.0.1 8001 203.0.113.1 80' 'include /dev/zero'
    run -1 --separate-stderr bash -c 'ulimit -v 1000000
        exec timeout 60 "$1" -u root -r /bin/true -c conf' - "$GEN"
    [[ $stderr == "conf:2:9: error: "* ]]
}

@test "include: a file called - is that file, not standard input" {
    echo '127.0.0.1 8001 203.0.113.1 80' >./-
    conf 'include -'
    run_gen 0 -c conf <<<'127.0.0.1 8002 203.0.113.1 80'
    [ "$(attribute port - <<<"$output")" = 8001 ]
}

# --- UDP

@test "UDP rules are the same in both modes, and those of TCP are not" {
    local format

    conf '127.0.0.1 8001/udp 203.0.113.1 80/udp [max=3,per-source=2,linger=4]'
    for format in xinetd inetd systemd; do
        run_gen 0 -c conf -f "$format" -m nowait
        [ "$stderr" = "" ]
        diff <(echo "$output") <(gen -c conf -f "$format" -m wait)
        [[ $output == *--max=3*--per-source=2*--linger=4* ]]
    done
    conf '127.0.0.1 8001 203.0.113.1 80/udp'
    gen -c conf -m nowait >entries
    run ! diff entries <(gen -c conf -m wait)
}

@test "-T: tells rules of UDP from those of TCP on the same port" {
    conf '127.0.0.1 8001/udp 203.0.113.1 80/udp' 'allow 192.0.2.*' \
        '127.0.0.1 8001 203.0.113.1 80' 'deny 192.0.2.*'
    run_gen 0 -c conf -T 192.0.2.7
    [ "$output" = "$(printf '%s\n' \
        'conf:1: 127.0.0.1 8001/udp: allowed: conf:2: allow 192.0.2.*' \
        'conf:3: 127.0.0.1 8001: denied: conf:4: deny 192.0.2.*')" ]
}

@test "UDP rules with long access lists: in files, as for TCP" {
    printf '192.0.2.%d\n' {1..40} >list
    conf '127.0.0.1 8001/udp 203.0.113.1 80/udp' 'allow @list'
    mkdir d
    for format in xinetd inetd systemd; do
        gen -c conf -f "$format" -o "$T/d"
    done
    [ "$(grep -lE -- "--allow=@$T/d/rinetd\.[0-9a-f]+\.(xinetd|inetd|systemd)\.acl" d/* | wc -l)" = 3 ]
}

@test "a site's template for TCP makes nothing of a UDP rule" {
    mkdir templates
    sed 's/^{/{\n\tnice = 3/' "$BATS_TEST_DIRNAME/../templates/xinetd-service" \
        >templates/xinetd-service
    conf '127.0.0.1 8001/udp 203.0.113.1 80/udp' '127.0.0.1 8002 203.0.113.1 80'
    gen -c conf --templates templates >out
    [ "$(attribute socket_type out | tr '\n' ' ')" = 'dgram stream ' ]
    [ "$(grep -c 'nice = 3' out)" = 1 ]
}

# --- what is left out stays closed

@test "a rule that is left out gives its listener to no other rule" {
    local line

    for line in 'allow junk' 'junk' 'include missing'; do
        conf '127.0.0.1 8001 203.0.113.1 80' "$line" '127.0.0.1 8001 203.0.113.2 80'
        run_gen 1 -c conf
        [ "$(services - <<<"$output")" = "" ]
    done
    for line in '203.0.113.1 no-such-service' '203.0.113.1 80/sctp' '203.0.113.1 0' \
        '203.0.113.1 80 [src=/]' '203.0.113 80' 'unix:x' '203.0.113.1 80 tcp'; do
        conf "127.0.0.1 8001 $line" 'allow 10.1.2.3' '127.0.0.1 8001 203.0.113.2 80'
        run_gen 1 -c conf
        [ "$(services - <<<"$output")" = "" ] || { echo "$line" && return 1; }
    done
}

@test "a rule that is left out gives the clients of IPv4 to no :: beside it" {
    local line

    for line in '0.0.0.0 8001 203.0.113.1 80' '127.0.0.1 8001 203.0.113.1 80' \
        '0.0.0.0 8001 203.0.113.1 no-such-service'; do
        conf "$line" 'allow 10.1.2.3' 'allow junk' ':: 8001 203.0.113.2 80'
        run_gen 1 -c conf
        [ "$(attribute bind - <<<"$output")" = :: ]
        [ "$(attribute v6only - <<<"$output")" = yes ]
    done
}

@test "a rule that is left out gives its datagrams to no wildcard, whatever the slip in its listener" {
    local line

    own_etc services <<<$'domain 53/tcp\ndomain 53/udp'
    for line in '127.0.0.1 53/UDP' '127.0.0.1 53/udo' '127.0.0.1 domain/UDP' '127.0.0.1 domain/udp' \
        '127.0.0.256 53/udp' '127.0.0.256 domain/udp' '[::1 53/udp' 'localhost 53/udp/'; do
        conf '0.0.0.0 53/udp 203.0.113.1 53/udp' '127.0.0.1 8001 203.0.113.1 80' \
            "$line 203.0.113.2 53/UDP" 'allow 10.0.0.1'
        run_gen 1 -c conf
        [[ $(attribute protocol - <<<"$output") != *udp* ]] || { echo "$line" && return 1; }
        STATUS=1 explained 127.0.0.1 'conf:1: *left out*' 'conf:2: *' 'conf:3: *left out*'
    done
    conf '0.0.0.0 53/udp 203.0.113.1 53/udp' '127.0.0.1 domain/tcp 203.0.113.2 53/UDP'
    run_gen 1 -c conf
    [ "$(attribute protocol - <<<"$output")" = udp ]
}

# --- templates

@test "--templates: the site's own for one, the built-in ones for the rest" {
    mkdir own
    printf 'service @name@\n{\n\tport = @port@\n\tv6only = @v6only@\n\tmine = @@\n}' |
        sed '/mine/d' >own/xinetd-service
    conf ':: 8001 203.0.113.1 80' '0.0.0.0 8001 203.0.113.1 80'
    run_gen 0 -c conf --templates own
    [[ $stderr = "" && $output == "# Made by rinetd-gen from conf."* ]]
    [ "$(sed '/^#/d' <<<"$output")" = "service rinetd-tcp-__-8001
{
	port = 8001
	v6only = yes
}service rinetd-tcp-0.0.0.0-8001
{
	port = 8001
}" ]
    gen -c conf -f inetd >expected
    run_gen 0 -c conf -f inetd --templates own
    diff - expected <<<"$output"
    # Those that are installed are those that are built in
    gen -c conf | cmp - <(gen -c conf --templates "$BATS_TEST_DIRNAME/../templates")
}

@test "--templates: an unknown key is told with its place, and nothing is converted" {
    mkdir own
    printf 'service @name@\n{\n\tserver = @relay@\n}\n' >own/xinetd-service
    run_gen 1 -c good --templates own
    [[ ${#stderr_lines[@]} = 1 && $stderr == *"error: "*xinetd-service:3*'@relay@'* ]]
    [ "$(services - <<<"$output")" = "" ]
    mkdir d
    run_gen 1 -c good --templates own -o d
    [ "$(ls -A d)" = "" ]
    # In the other format that template is not used
    run_gen 0 -c good --templates own -f inetd
}

@test "--templates: a folder that is missing, empty or none" {
    mkdir empty
    for folder in missing empty; do
        run_gen 3 -c good --templates "$folder"
        [[ $output = "" && $stderr == "rinetd-gen: "*"$folder"*xinetd-service* ]]
    done
    run_gen 3 -c good --templates good
    [[ $output = "" && $stderr == "rinetd-gen: unable to read good/"*": Not a directory" ]]
    mkdir -p own/xinetd-service
    run_gen 3 -c good --templates own
    [[ $stderr == *"Is a directory" ]]
}

@test "--templates: a head without the mark: the second -o still knows its file" {
    mkdir own d
    echo '# ours' >own/xinetd-head
    run --separate-stderr gen -c good --templates own -o d
    # Either it is refused at once, or the next run may replace it
    if [ "$status" = 0 ]; then
        run_gen 0 -c odd --templates own -o d
        [[ $stderr == *"changed d/rinetd"* ]]
    fi
}

# --- the last ones, since they were started first

@test "-o: one at a time writes into a folder, and does not wait for ever" {
    local folder=$BATS_FILE_TMPDIR/locked

    require flock
    WAIT_S=120 wait_for test -e "$folder.status"
    [ "$(<"$folder.status")" = 3 ]
    [[ $(<"$folder.err") == *"another rinetd-gen is at work in locked"* ]]
    [ -z "$(ls -A "$folder")" ]
    wait_for unlocked "$folder"
    run_gen 0 -c "$BATS_FILE_TMPDIR/one" -o "$folder"
}

unlocked() {
    flock --nonblock "$1" true
}

@test "a resolver that hangs: a warning after 20 seconds" {
    local status seconds

    WAIT_S=120 wait_for test -e "$BATS_FILE_TMPDIR/done"
    read -r status seconds <"$BATS_FILE_TMPDIR/done"
    [ "$status" = 0 ]
    [ "$seconds" -ge 19 ]
    [ "$seconds" -le 100 ]
    # Of the names that were not answered, not of the one that was
    run -0 cat "$BATS_FILE_TMPDIR/err"
    [[ ${#lines[@]} = 1 && $output == 'conf:2:16: warning: '*'"b.test"'* ]]
    [ "$(services "$BATS_FILE_TMPDIR/out" | wc -l)" = 3 ]
}
