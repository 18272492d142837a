#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Configurations that are none, that are hostile, or far too large: an error with line and column,
# never a crash, and nothing in the output but what the good rules say.

# shellcheck disable=SC1003,SC2016,SC2030,SC2031,SC2059,SC2094,SC2154 # programs for other shells,
# bytes by printf, what `run` sets

load helper

first='127.0.0.1 8001 203.0.113.1 80' # with "allow 10.1.*"
last='127.0.0.1 8002 203.0.113.2 80'  # with "allow 10.2.*"
first_entry='127.0.0.1 8001 --listener=127.0.0.1:8001 --global-allow=10.* --allow=10.1.* 203.0.113.1 80'
last_entry='127.0.0.1 8002 --listener=127.0.0.1:8002 --global-allow=10.* --allow=10.2.* 203.0.113.2 80'

# convert [OPTION...]: what is said goes to ./err, what is written to ./out, and its entries, one a
# line, to ./entries. Fails on anything but status 0 or 1, and on an odd byte in any of it.
convert() {
    local format=xinetd

    [[ " $* " != *" inetd "* ]] || format=inetd
    [[ " $* " != *" systemd "* ]] || format=systemd
    status=0
    timeout 200 "$GEN" --user=root --relay=/bin/true "$@" >out 2>err || status=$?
    if ((status > 1)); then
        echo "exit status $status" && head -n 5 err
        return 1
    fi
    messages_are_sane "$status" && "parse_$format" <out >entries
}

# What is said has a place, a severity, a text that is not too long, and no byte that a terminal
# could take for a command. With status 1 there is an error, with 0 none.
messages_are_sane() {
    awk -v status="$1" '
        !/^[^:]+:[0-9]+:[0-9]+: (error|warning): [ -~]+$/ && !/^rinetd-gen: warning: [ -~]+$/ {
            bad = "odd message: " $0; exit }
        length($0) > 700 { bad = "a message of " length($0) " bytes"; exit }
        /^[^:]+:[0-9]+:[0-9]+: error: / { errors++ }
        END {
            if (!bad && status != (errors > 0)) bad = "status " status ", errors: " errors + 0
            if (bad) print bad
            exit bad != ""
        }' err
}

# Reads what is for xinetd as strictly as can be, and prints "BIND PORT ARGUMENT..." of each service.
parse_xinetd() {
    awk '
        function odd() { print "odd line " NR ": " $0; failed = 1; exit 1 }
        BEGIN {
            count = split("type id disable flags socket_type protocol wait user groups bind " \
                "v6only port server server_args instances per_source cps max_load only_from " \
                "no_access banner banner_success banner_fail log_type log_on_success " \
                "log_on_failure", order)
            for (i = 1; i <= count; i++) place[order[i]] = i
        }
        /[^\t -~]/ && !/unix:|^#/ { odd() }
        !inside && (/^#/ || /^$/) { next }
        !inside && /^service rinetd-(tcp|udp)-[0-9a-f._]+-[0-9]+$/ { name = $2; inside = 1; next }
        inside == 1 && /^{$/ { inside = 2; at = 0; delete value; next }
        inside == 2 && /^}$/ {
            if (value["user"] != "root" || value["server"] != "/bin/true" || value["id"] != name)
                odd()
            kind = name ~ /^rinetd-udp/ ? "dgram udp yes" : "stream tcp no"
            if (value["socket_type"] " " value["protocol"] " " value["wait"] != kind) odd()
            print value["bind"], value["port"], value["server_args"]
            inside = 0
            next
        }
        inside == 2 && /^\t[a-z_0-9]+ +=/ {
            if (!($1 in place) || place[$1] <= at || $2 != "=") odd()
            at = place[$1]
            attribute = $1
            sub(/^\t[a-z_0-9]+ +=[ ]?/, "")
            value[attribute] = $0
            next
        }
        { odd() }
        END { if (inside && !failed) { print "no end"; exit 1 } }'
}

# The same for inetd.
parse_inetd() {
    awk '
        NR == 1 && $0 != "# BEGIN rinetd-gen" { print "no beginning"; exit 1 }
        { line = $0 }
        /^#/ { next }
        /^[0-9a-f.:[\]]+:[0-9]+ (stream tcp(4|6|46) nowait\.[0-9]+|dgram udp[46] wait) root / &&
            / root \/bin\/true \/bin\/true --/ {
            bind = $1; port = $1
            sub(/:[0-9]+$/, "", bind); sub(/.*:/, "", port); gsub(/[[\]]/, "", bind)
            sub(/^[^ ]* [^ ]* [^ ]* [^ ]* root [^ ]* [^ ]* /, "")
            print bind, port, $0
            next
        }
        { print "odd line " NR ": " $0; exit 1 }
        END { if (line != "# END rinetd-gen") { print "no end"; exit 1 } }'
}

# The same of systemd's units, both of each rule: each line is one of the template's, with nothing
# that systemd could take for more than it is.
parse_systemd() {
    local templates=$BATS_TEST_DIRNAME/../templates

    awk -v keys="$(sed -n 's/^\([A-Za-z0-9]*\)=.*/\1/p' "$templates"/systemd-* | tr '\n' ' ')" '
        function odd() { print "odd line " NR ": " $0; failed = 1; exit 1 }
        BEGIN {
            count = split(keys, key)
            for (i = 1; i <= count; i++) known[key[i]] = 1
        }
        /[^\t -~]/ && !/unix:|^#/ { odd() }
        /^#/ || /^$/ || /^\[(Unit|Socket|Service|Install)\]$/ { next }
        !match($0, /^[A-Za-z0-9]+=/) || /\\$/ { odd() }
        !known[substr($0, 1, RLENGTH - 1)] { odd() }
        /^Listen(Stream|Datagram)=/ && match($0, /:[0-9]+$/) {
            bind = substr($0, 1, RSTART - 1)
            sub(/^[^=]*=/, "", bind)
            gsub(/[][]/, "", bind)
            port = substr($0, RSTART + 1)
            next
        }
        /^Listen/ { odd() }
        /^ExecStart=/ {
            if (!/^ExecStart="\/bin\/true" ".*"$/) odd()
            words = substr($0, 24, length($0) - 24)
            gsub(/" "/, " ", words)
            # Whatever is special stands twice, or after a backslash
            plain = words
            gsub(/\\[\\"]|\$\$|%%/, "", plain)
            if (plain ~ /[\\"$%]/) odd()
            gsub(/\$\$/, "$", words)
            gsub(/%%/, "%", words)
            gsub(/\\\\/, "\\", words)
            gsub(/\\"/, "\"", words)
            print bind, port, words
        }
        END { exit failed }'
}

# around: two rules with access lines, and standard input, to line 4 and following, between them.
around() {
    printf 'allow 10.*\n%s\nallow 10.1.*\n' "$first"
    cat
    printf '\n%s\nallow 10.2.*\n' "$last"
}

# between: standard input, lines that are no good, stands between two rules. Nothing may come of
# it, but that a bad line for the log makes it syslog: the second rule is there, the first one as
# well or not at all, and nothing else.
between() {
    around >conf
    convert -c conf || return 1
    grep -q '^conf:[0-9]*:[0-9]*: error: ' err || { echo "no error" && return 1; }
    sed -i 's/ --log=syslog / /' entries
    diff <(printf '%s\n' "$last_entry") <(grep -vxF -- "$first_entry" entries)
}

# left_out: the last `between` left the first rule out, too.
left_out() {
    [ "$(<entries)" = "$last_entry" ]
}

# kept: and here it did not.
kept() {
    [ "$(<entries)" = "$first_entry"$'\n'"$last_entry" ]
}

# junk SEED BYTES: the same bytes for the same seed, wherever.
junk() {
    printf '%b' "$(awk -v x="$1" -v n="$2" 'BEGIN {
        for (; n > 0; n--) {
            x = x * 16807 % 2147483647
            printf "\\0%03o", int(x / 64) % 256
        }
    }')"
}

# words SEED LINES: lines of what a configuration is made of, in no good order.
words() {
    awk -v x="$1" -v n="$2" '
        function any(count) { x = x * 16807 % 2147483647; return int(x / 64) % count }
        BEGIN {
            count = split("127.0.0.1|0.0.0.0|::|::1|[::1]|8003|80|0|65536|80/tcp|80/udp|8003-8005|" \
                "allow|deny|logfile|pidlogfile|logcommon|include|/nonexistent/x|\"|\"/a b\"|[|]|" \
                "[timeout=1]|[max=2,|src=127.0.0.9]|=|,|#|@user@|{|}|\\|10.*|10.0.0.0/8|?|" \
                "unix:/x|unix:@|syslog|;|$(id)|%s%n|\1|\177|\r|\t|\v|\303\251|\302\240|\377",
                word, "|")
            for (; n > 0; n--) {
                for (i = any(8); i >= 0; i--)
                    printf "%s%s", word[any(count) + 1], any(9) ? " " : ""
                printf any(20) ? "\n" : "\r\n"
            }
        }'
}

# --- bytes that are no configuration

@test "an empty file, one of blanks, and one without a newline" {
    : >conf
    convert -c conf
    [[ $status = 0 && ! -s err && ! -s entries ]]
    printf ' \t\n\n\t' >conf
    convert -c conf
    [[ $status = 0 && ! -s err && ! -s entries ]]
    printf '%s' "$first" >conf
    convert -c conf
    [[ $status = 0 && $(<err) == conf:1:30:\ warning:\ * && $(wc -l <entries) = 1 ]]
}

@test "binary junk of many seeds is an error, and nothing comes of it" {
    local seed

    for seed in {1..30}; do
        junk "$seed" 1500 >junk
        convert -c junk
        [[ $status = 1 && ! -s entries ]]
        between <junk
    done
}

@test "the words of a configuration in no good order: no crash, and nothing odd is written" {
    local seed format

    require namespaces # should one of them come to be a name to look up
    for seed in {101..150}; do
        words "$seed" 60 >junk
        # An address to listen on that no word is, or an argument that no line asked for
        for format in xinetd systemd inetd; do
            convert -c junk --format "$format"
            ! grep -v '^\(127\.0\.0\.1\|0\.0\.0\.0\|::\|::1\) [0-9]* --listener=' entries || false
            ! grep -E -- '--(refused|resolve|help|version)' entries || false
        done
    done
}

@test "good rules with bytes of them changed: no crash, and nothing odd is written" {
    local file seed

    require namespaces
    for file in "$BATS_TEST_DIRNAME"/golden/{options,access,ipv6,unix,include,comments}.conf; do
        for seed in 1 2 3 4 5 6; do
            # One byte in twenty is replaced by any other
            od -An -v -to1 -w1 "$file" | awk -v x="$seed" '{
                x = x * 16807 % 2147483647
                if (int(x / 64) % 20 == 0) {
                    x = x * 16807 % 2147483647
                    printf "\\0%03o", int(x / 64) % 256
                } else {
                    printf "\\0%s", $1
                }
            }' >changed
            printf '%b' "$(<changed)" >conf
            convert -c conf
            convert -c conf --format inetd
        done
    done
}

@test "a program is no configuration" {
    local program

    for program in "$GEN" "$PEER" /bin/sh; do
        head -c 200000 "$program" >program
        convert -c program
        [[ $status = 1 && ! -s entries ]]
        between <program
    done
}

# --- bytes in the wrong place

@test "a NUL byte ends a line, is an error, and leaves out what it may have meant" {
    printf 'allow 10.*\0junk\n%s\n' "$last" >conf
    convert -c conf
    grep -q '^conf:1:11: error: found a NUL byte' err
    [ ! -s entries ]
    printf '\0' | between
    left_out
    grep -q '^conf:4:1: error: found a NUL byte' err
    printf 'deny 10.1.2.3\0' | between
    left_out
    printf 'deny 10.1.2.3/33\0' | between
    left_out
    printf '127.0.0.1 8003 203.0.113.1 80\0' | between
    printf '127.0.0.1 8003 203.0.113.1\0 80' | between
    # What follows is a line of its own
    printf '127.0.0.1 8003 203.0.113.1 80\0%s\n' "$last" >conf
    convert -c conf
    [[ $status = 1 && $(<entries) == "127.0.0.1 8002 "* && $(wc -l <entries) = 1 ]]
    printf '\0\0\0\n\0' | between
    left_out
    head -c 100000 /dev/zero | between
    left_out
    [ "$(wc -l <err)" -lt 10 ]
    head -c 100000 /dev/zero >conf
    convert -c conf
    [[ $status = 1 && ! -s entries ]]
    printf 'logfile /var/log/a\0b\n%s\nallow 10.2.*\n' "$last" >conf
    convert -c conf
    [[ $status = 1 && ! -s entries ]]
}

@test "a byte order mark is an error that leaves out what the first line may have said" {
    printf '\xEF\xBB\xBFallow 10.*\n%s\n' "$first" >conf
    convert -c conf
    [[ $(<err) == "conf:1:1: error: "*"byte order mark"* && $(wc -l <err) = 1 && ! -s entries ]]
    # The command that it names is right
    run -0 sed -n 's/.*remove it with \(sed -i .*\) FILE.*/\1 conf/p' err
    bash -c "$output"
    convert -c conf
    [ "$status" = 0 ]
    [ "$(cat entries)" = "${first_entry% --allow*} 203.0.113.1 80" ]
    printf '\xEF\xBB\xBF%s\nallow 10.1.*\n%s\n' "$first" "$last" >conf
    convert -c conf
    [[ $(<err) == "conf:1:1: error: "* && $(<entries) = "127.0.0.1 8002 "* ]]
    [ "$(wc -l <entries)" = 1 ]
}

@test "UTF-16 is an error that says so, with a mark and without" {
    local mark

    for mark in '\xFF\xFE' '\xFE\xFF'; do
        { printf '%b' "$mark" && printf '%s\n' "$first" | sed 's/./&\x00/g'; } >conf
        convert -c conf
        [[ $(<err) == "conf:1:1: error: "*UTF-16* && $(wc -l <err) = 1 && ! -s entries ]]
        # Included, it is a part of which nobody knows what it was to keep out
        mv conf part
        around <<<'include part' >conf
        convert -c conf
        [[ $(<err) == "part:1:1: error: "* && $(<entries) = "$last_entry" ]]
    done
    printf '%s\n' "$first" | sed 's/./&\x00/g' >conf
    convert -c conf
    [[ $status = 1 && ! -s entries ]]
}

@test "CRLF is as good as LF, a lone CR is an error" {
    around <<<'# x' | sed 's/$/\r/' >conf
    convert -c conf
    [[ $status = 0 && ! -s err ]]
    kept
    printf 'deny 10.1.2.3\r127.0.0.1 8003 203.0.113.1 80' | between
    left_out
    grep -q '^conf:4:14: error: found a CR' err
    printf '\r\r' | between
    printf '127.0.0.1 8003 203.0.113.1 80\r\r' | between
    printf 'logfile /var/log/x\rallow 10.9.*' | between
    left_out
    # An editor shows the second line as one of its own
    printf '# comment\r%s\rdeny 10.1.*\r' "$first" >conf
    convert -c conf
    [[ $(<err) == "conf:1:"*CR* && ! -s entries ]]
    printf '%s\rdeny 10.1.*\r' "$first" >conf
    convert -c conf
    [[ $status = 1 && $(<err) == "conf:1:"*CR* && ! -s entries ]]
}

@test "control bytes, typographic blanks and quotes are told by their value" {
    local byte

    for byte in '\x01' '\x0b' '\x0c' '\x1b' '\x7f' '\x80' '\xc2\xa0' '\xe2\x80\x9c' '\xff'; do
        printf "127.0.0.1 8003${byte}203.0.113.1 80" | between
        [[ $(<err) == "conf:4:15: error: found the byte 0x"* ]]
        printf "allow 10.1.${byte}1" | between
        left_out
        printf "allow${byte}10.1.1.1" | between
        left_out
        printf "deny 10.1.1.1${byte}" | between
        left_out
    done
}

# --- lines that are too long

# long BEFORE TEXT AFTER: one line with a MiB of TEXT in it.
long() {
    printf '%s' "$1"
    yes "$2" | tr -d '\n' | head -c 1048576
    printf '%s\n' "$3"
}

@test "a line of 1 MiB that is in error, with a message that is not as long" {
    local before text after

    while IFS='|' read -r before text after; do
        long "$before" "$text" "$after" | between || { echo "$before|$text|$after" && return 1; }
    done <<'EOT'
|1|
|: |
|"|
|1.|
|unix:|
allow |1|
allow |*|
allow |::|
allow | |10.1.1.1 x
deny 10.1.1.1|/|
127.0.0.1 |1| 203.0.113.1 80
|1| 8003 203.0.113.1 80
|[| 8003 203.0.113.1 80
127.0.0.1 8003 |a| 80
127.0.0.1 8003 |a.| 80
127.0.0.1 8003 unix:/|x|
127.0.0.1 8003 203.0.113.1 80 [|[|
127.0.0.1 8003 203.0.113.1 80 [timeout=|1|]
127.0.0.1 8003 203.0.113.1 80 [|x,|
127.0.0.1 8003 203.0.113.1 80 [|timeout=1,|
127.0.0.1 8003 203.0.113.1 80 | |x
include |x|
logfile | x|
logcommon | |x
EOT
}

@test "a line of 1 MiB that is good" {
    {
        long '# ' '#x "' ''
        long '' ' ' ''
        long 'allow 10.*' ' ' '# x'
        long '' ' ' "$first"
        long 'allow 10.1.*#' '\\' ''
        long '127.0.0.1' ' ' "${last#* }"
        long 'allow' ' ' '10.2.*'
    } >conf
    convert -c conf
    [[ $status = 0 && ! -s err ]]
    kept
}

@test "an include of 1 MiB of folders is an error, and no crash" {
    long 'include ' '*/' '' | between
    left_out
    long 'include "' '?*' '/x"' | between
    left_out
}

@test "a name of a log file that is longer than a path: an error, and the lines go to syslog" {
    local size

    for size in 4096 5000 1048576; do
        {
            awk -v n="$size" 'BEGIN { printf "logfile "; for (; n > 0; n--) printf "/"; print "" }'
            echo "$first"
        } >conf
        convert -c conf
        [[ $status = 1 && $(<err) == "conf:1:9: error: "* ]]
        [[ $(<entries) == *" --log=syslog "* ]]
    done
}

# --- attempts at saying something else

@test "no line of a configuration ends a line of ours" {
    local line

    while IFS= read -r line; do
        printf '%b' "$line" | between || { echo "$line" && return 1; }
    done <<'EOT'
127.0.0.1 8003 "203.0.113.1\nservice evil\n{\n}" 80
127.0.0.1 8003 203.0.113.1\\\nservice\\x20evil 80
127.0.0.1 8003 unix:/a\rservice evil
127.0.0.1 8003 unix:/a\nservice evil
127.0.0.1 8003 203.0.113.1 80 [src=127.0.0.1\n]
127.0.0.1 8003 203.0.113.1 80 [wrap=x\n}\nservice evil\n{]
127.0.0.1 8003 203.0.113.1 80 [wrap=x y]
127.0.0.1 8003 203.0.113.1 80 [wrap=/bin/sh]
127.0.0.1 8003 203.0.113.1 80 [src=--allow=*]
127.0.0.1 8003 --allow=* 80
127.0.0.1 8003 -h 80
127.0.0.1 8003 203.0.113.1 80 --allow=*
127.0.0.1 8003 203.0.113.1} 80
127.0.0.1} 8003 203.0.113.1 80
@user@ 8003 203.0.113.1 80
127.0.0.1 @port@ 203.0.113.1 80
127.0.0.1 8003 203.0.113.1 80#\nx
allow 10.1.*,0.0.0.0/0
allow 10.1.*\x00,*
allow *\x0b
deny 10.1.1.1 --allow=*
deny 10.1.1.1/33
logfile "/var/log/a\nservice evil"
logfile /var/log/a\x0bb
include "/etc/passwd
include /etc/passwd x
EOT
}

@test "a log file's name with anything but blanks and control bytes stays one argument" {
    local name

    for name in '}' '{' '#' '@user@' '@@' '\' '"' "'" '$(id)' '%s%n' '=' ',' '--allow=*' ';' \
        '[x]'; do
        printf 'logfile /x/%s\n%s\n' "$name" "$first" >conf
        convert -c conf
        [ "$(cut -d ' ' -f 4 entries)" = "--log=/x/$name" ]
        convert -c conf --format inetd
        [ "$(cut -d ' ' -f 4 entries)" = "--log=/x/$name" ]
    done
    for name in $'/x/\xc3\xa9' '"/x/a b"' '"/x/a --allow=*"' $'/x/\x1b[2J' $'"/x/a\tb"'; do
        printf 'logfile %s\n%s\nallow 10.1.*\n' "$name" "$first" >conf
        convert -c conf || continue # other bytes than ASCII may be written
        [ "$status" = 1 ]
        [[ $(<entries) == *" --allow=10.1.* --log=syslog 203.0.113.1 80" ]]
    done
}

@test "the name of the configuration, or of an included file, says nothing in the output" {
    local name

    printf 'allow 10.*\n%s\nallow 10.1.*\n' "$first" >good
    for name in $'a\nservice evil\n{\n}' $'a\n127.0.0.1:1 stream tcp nowait root sh sh' \
        $'\x1b[2J' '@user@' '@@' $'a\r\nb' $'\xff' '# END rinetd-gen'; do
        cp good "$name"
        for format in xinetd inetd; do
            convert -c "$name" --format "$format"
            [[ $(<entries) = "$first_entry" && ! -s err ]]
        done
        echo 'bad' >>"$name"
        timeout 200 "$GEN" -u root -r /bin/true -c "$name" >out 2>err && return 1
        [ "$(wc -l <err)" = 1 ]
        [[ ! $(tr -d '\n' <err) =~ [[:cntrl:]] ]]
        rm "$name"
        mkdir -p d
        rm -f d/*
        cp good "d/$name"
        echo 'include d/*' >conf
        convert -c conf
        [ "$(<entries)" = "$first_entry" ]
    done
    printf '%s\n' "$first" >"$(printf '%0250d' 0)"
    convert -c "$(printf '%0250d' 0)"
}

# What superservers make of the worst that can be said goes through their own parsers.
superserver_passes_on() {
    local format=$1 ports i

    mapfile -t ports < <(free_ports 8)
    cat >show <<<$'#!/bin/sh\nfor a; do printf "<%s>\\n" "$a"; done'
    chmod 755 show
    local targets=('unix:/a#b,c;d"e'\''f$g\h@i@' 'unix:/}#{$(id)`id`;|&' 'unix:/"x"' 'unix:@#x'
        'unix:/\' $'unix:/\xa0\x85\xff' 'unix:/=' 'unix:/%s%n%1$s')
    for i in "${!targets[@]}"; do
        printf '127.0.0.1 %s %s\n' "${ports[i]}" "${targets[i]}"
    done >conf
    echo 'logfile /x/@user@}#"\' >>conf
    "$GEN" -u "$(id -un)" -r "$T/show" -c conf -f "$format" >out 2>/dev/null
    "start_$format" out
    for i in "${!targets[@]}"; do
        "$PEER" connect 127.0.0.1 "${ports[i]}" rest >answer
        diff -a answer - <<EOT
<--listener=127.0.0.1:${ports[i]}>
<--log=/x/@user@}#"\>
<${targets[i]}>
EOT
    done
    stop "$format"
}

@test "xinetd gives the relay the very bytes of the configuration" {
    require xinetd
    superserver_passes_on xinetd
}

@test "openbsd-inetd gives the relay the very bytes of the configuration" {
    require inetd
    superserver_passes_on inetd
}

# length_of_rule: of the line in ./out with the relay's arguments.
length_of_rule() {
    awk '/ --listener=/ { print length($0) }' out
}

# fits FORMAT SIZE: the longest line that comes of one rule is to have SIZE bytes, by many patterns.
fits() {
    local format=$1

    printf '%s\n%s\n' "$first" 'allow 1' >conf
    convert -c conf --format "$format"
    awk -v left="$(($2 - $(length_of_rule)))" 'BEGIN {
        if (left % 2) print "allow 11"
        else print "allow 1"
        for (left -= left % 2; left > 0; left -= 2) print "allow 1" }' >patterns
    { echo "$first" && cat patterns; } >conf
    convert -c conf --format "$format"
}

@test "the longest line that a superserver reads is written, one more byte is an error" {
    local format limit

    while read -r format limit; do
        fits "$format" "$limit"
        [ "$status" = 0 ]
        [ "$(length_of_rule)" = "$limit" ]
        fits "$format" "$((limit + 1))"
        [[ $status = 1 && ! -s entries ]]
        grep "^conf:1:1: error: .* $format reads at most $limit" err
    done <<<$'xinetd 8191\ninetd 1023'
}

@test "an access list that is too long: the error tells its length" {
    {
        awk 'BEGIN { for (i = 0; i < 1000; i++) printf "allow 10.1.%d.%d\n", i / 250, i % 250 }'
        echo "$first"
    } >conf
    convert -c conf
    [[ $status = 1 && ! -s entries ]]
    grep -qE '^conf:1001:1: error: .*[^0-9]10[0-9]{3} bytes .* xinetd reads at most 8191' err
    convert -c conf --format inetd
    [[ $status = 1 && ! -s entries ]]
    grep -qE '^conf:1001:1: error: .*[^0-9]10[0-9]{3} bytes .* inetd reads at most 1023' err
}

# --- configurations that are too large

# timed FILE [OPTION...]: milliseconds of processor time, the median of ${RUNS:-3}; what is not
# done after 100 seconds takes for ever.
timed() {
    local TIMEFORMAT='%3U %3S' run runs=${RUNS:-3} spent

    for ((run = 0; run < runs; run++)); do
        spent=$({ time timeout 100 "$GEN" -u root -r "${STUB:-/bin/true}" -c "$@" \
            >/dev/null 2>&1; } 2>&1) || [ $? != 124 ] || spent='1000000 0'
        echo "$spent"
    done | awk '{ print int(($1 + $2) * 1000) }' | sort -n | sed -n "$(((runs + 1) / 2))p"
}

# grows_evenly COMMAND [OPTION...]: `COMMAND N` writes a configuration of N lines; for 100 000 each
# of them takes at most twice the time that it takes for 10 000, and none takes 2 KiB of memory...
grows_evenly() {
    local command=$1 few many attempt

    shift
    "$command" 10000 >few
    "$command" 100000 >many
    for attempt in 1 2 3; do
        few=$(timed few "$@")
        many=$(timed many "$@")
        # The start of a program takes a millisecond or two, whatever it does
        ((few > 5)) || few=5
        ((many > 20 * few)) || break
        echo "10 000: $few ms, 100 000: $many ms"
        # Only what is near the limit may have been another's doing
        ((attempt < 3 && many <= 40 * few)) || return 1
    done
    # ... but some 3 KiB with its output.
    status=0
    (ulimit -v 400000 && exec timeout 500 "$GEN" -u root -r "${STUB:-/bin/true}" -c many "$@") \
        >/dev/null 2>err || status=$?
    ((status <= 1))
}

# numbered COUNT FORMAT: lines of FORMAT with the last three parts of a loopback address.
numbered() {
    awk -v count="$1" -v format="$2\n" 'BEGIN {
        for (i = 0; i < count; i++)
            printf format, 1 + i / 62500, i / 250 % 250, i % 250 }'
}

distinct() {
    awk -v count="$1" 'BEGIN {
        for (i = 0; i < count; i++)
            printf "127.0.%d.1 %d 203.0.113.1 80\n", i / 60000, 1024 + i % 60000 }'
}

one_port() {
    numbered "$1" '127.%d.%d.%d 8001 203.0.113.1 80'
}

twins() {
    numbered "$1" '127.0.0.1 8001 203.0.113.1 80'
}

circle() {
    awk -v count="$1" '
        function address(i) {
            i %= count
            return sprintf("127.%d.%d.%d", 1 + i / 62500, i / 250 % 250, i % 250)
        }
        BEGIN { for (i = 0; i < count; i++) print address(i), 8001, address(i + 1), 8001 }'
}

below_wildcard() {
    echo "0.0.0.0 8001 203.0.113.1 80"
    numbered "$1" '127.%d.%d.%d 8001 203.0.113.1 80'
}

allow_lines() {
    numbered "$1" 'allow 10.%d.%d.%d'
    echo "$first"
}

rules_with_access() {
    numbered "$(($1 / 2))" $'127.%d.%d.%d 8001 203.0.113.1 80\nallow 10.*'
}

junk_lines() {
    echo "$first"
    numbered "$1" 'junk %d.%d.%d'
}

by_name() {
    awk -v count="$1" 'BEGIN {
        for (i = 0; i < count; i++)
            printf "127.0.%d.1 %d n%d.t 80\n", i / 60000, 1024 + i % 60000, i }'
}

# bats test_tags=memory
@test "100 000 rules take ten times what 10 000 take" {
    grows_evenly distinct
    [[ $(wc -l <err) = 1 && $(<err) == "rinetd-gen: warning: 100000 services "* ]]
}

# bats test_tags=memory
@test "100 000 rules on one port, too" {
    grows_evenly one_port
    [[ $(wc -l <err) = 1 && $(<err) == "rinetd-gen: warning: 100000 services "* ]]
}

# bats test_tags=memory
@test "100 000 rules with one listener, too, and each is told" {
    grows_evenly twins
    [ "$(grep -c '^many:[0-9]*:1: error: .*"many", line 1$' err)" = 99999 ]
}

# bats test_tags=memory
@test "a circle of 100 000 rules, too" {
    grows_evenly circle
    [ "$(grep -c '^many:[0-9]*:[0-9]*: error: .* circle$' err)" = 100000 ]
}

# bats test_tags=memory
@test "100 000 rules beside one for all addresses, too" {
    grows_evenly below_wildcard
    [ "$(grep -c '^many:[0-9]*:1: error: ' err)" = 100000 ]
}

# bats test_tags=memory
@test "100 000 global allow lines, too: too long for xinetd, an error that names the limit" {
    grows_evenly allow_lines
    [[ $(<err) == "many:100001:1: error: "*" xinetd reads at most 8191"* ]]
}

# bats test_tags=memory
@test "50 000 rules with access lines of their own, too" {
    grows_evenly rules_with_access
    grep -q '^rinetd-gen: warning: 50000 services ' err
}

# bats test_tags=memory
@test "100 000 lines in error, too" {
    grows_evenly junk_lines
    [ "$(grep -c '^many:[0-9]*:1: error: ' err)" = 100000 ]
}

# bats test_tags=memory
@test "100 000 targets by name, too" {
    printf '%s\n' '#!/bin/sh' 'exec sed "s/$/\tfound\t::9/"' >stub
    chmod 755 stub
    STUB=$T/stub grows_evenly by_name
    [[ $(wc -l <err) = 1 && $(<err) == "rinetd-gen: warning: 100000 services "* ]]
}

# bats test_tags=memory
@test "1 000 rules times 1 000 global allow lines are told in less than a second" {
    {
        numbered 1000 'allow 10.%d.%d.%d'
        numbered 1000 '127.%d.%d.%d 8001 203.0.113.1 80'
    } >conf
    [ "$(timed conf)" -lt 1000 ]
}

# bats test_tags=memory
@test "includes that fan out ten levels deep come to an end" {
    local level i

    for level in {0..9}; do
        for i in 0 1 2 3; do echo "include $((level + 1))-*" >"$level-$i"; done
    done
    for i in 0 1 2 3; do echo "127.0.0.1 800$i 203.0.113.1 80" >"10-$i"; done
    echo 'include 0-*' >conf
    [ "$(timed conf)" -lt 2000 ]
    convert -c conf
    [[ $status = 1 && ! -s entries ]]
    grep -q ' after 10000 files, expected fewer' err
}

# bats test_tags=memory
@test "9 000 files in a folder take at most 30 times what 900 take" {
    local few many

    mkdir few many
    awk 'BEGIN {
        for (i = 0; i < 9000; i++) {
            name = sprintf("many/%d", i)
            print "127.0.0.1", 1024 + i, "203.0.113.1 80" >name
            close(name)
        }
    }'
    cp many/8??? few/
    rm few/8[0-8]* && cp many/7[0-7]?? few/ 2>/dev/null
    echo 'include few/*' >few.conf
    echo 'include many/*' >many.conf
    few=$(timed few.conf)
    many=$(timed many.conf)
    echo "$(find few -type f | wc -l) files: $few ms, 9000: $many ms"
    ((few > 10)) || few=10
    [ "$many" -le "$((30 * few))" ]
}

# bats test_tags=memory
@test "too little memory is said, with status 3, and nothing is written" {
    distinct 100000 >many
    mkdir d
    for kib in 20000 40000 80000; do
        run -3 --separate-stderr bash -c 'ulimit -v "$1" && exec "$2" -u root -r /bin/true -c many' - \
            "$kib" "$GEN"
        [[ $output = "" && $stderr == "rinetd-gen: unable to "*": Cannot allocate memory" ]]
    done
    run -3 bash -c 'ulimit -v 40000 && exec "$1" -u root -r /bin/true -c many -o d' - "$GEN"
    [ "$(ls -A d)" = "" ]
}
