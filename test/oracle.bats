#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The real rinetd 0.73 beside ours under a real xinetd: the same configuration, the same clients,
# and the same answer and the same log lines, times and ports aside. The configurations are in
# oracle.table, single lines for the grammar in oracle.lines. What differs on purpose is listed
# here, and nowhere else; what else differs is a failure, and so is a difference that is none.

load helper
load forwarding

# What a decided difference KEY makes of rinetd's record, "ANSWER | LINE | LINE", to have ours: a
# script for sed. `words` is for every record, the others for those that the table marks with !KEY.
decided() {
    case $1 in
    words)
        # Its texts are off by one, and the last of them is outside of its list
        script 's/\<denied\>/not-allowed/; s/(null)/denied/'
        ;;
    unreached)
        # It says "opened" before it knows; ours says so once the target is reached, and else why
        # not, alone and without bytes that went nowhere
        script 's/ | [^|]*opened[^|]*| / | /' \
            's/\t[03]\t0\tdone-local-closed/\t0\t0\tlocal-connect-failed -/' \
            's|/done-local-closed\( HTTP.* - - - \)[03]|/local-connect-failed -\10|'
        ;;
    mapped)
        # An IPv4 client on :: has its own address, as everywhere
        script 's/::ffff:127/127/g'
        ;;
    mapped-allow)
        # So an allow of that address lets it in
        let_in not-allowed
        ;;
    mapped-deny)
        # And a deny of that address is no longer evaded by way of ::
        keep_out denied
        ;;
    question-mark)
        # Its matcher reads past the end of the address, and finds what lay there
        keep_out not-allowed
        ;;
    first-line)
        # Without global lines it leaves out the first of the first list, in 0.73 only
        let_in not-allowed
        ;;
    first-line-deny)
        keep_out denied
        ;;
    first-line-next)
        # And reads one line on, into the list of the next rule
        keep_out not-allowed
        ;;
    half-close)
        # A client that has said all still gets its answer
        script 's/^closed/hello/; s/\t3\t0\tdone/\t3\t6\tdone/'
        ;;
    foreign-source)
        # It takes any other address instead; who asks for one has a reason, such as a firewall
        script 's/^hello/closed/; s/opened | .*/local-bind-failed -/'
        ;;
    *) return 1 ;;
    esac
}

script() {
    printf '%s\n' "$@"
}

let_in() {
    script "s/^closed | \(.*\)$1\$/hello | \1opened | \1done-remote-closed/" \
        's/\t0\t0\tdone/\t3\t6\tdone/'
}

keep_out() {
    script "s/^hello | \([^|]*\)opened | .*/closed | \1$1/"
}

# Lines that one of the two takes alone: +KEY ours, -KEY rinetd, each with its reason.
declare -gA line_decided=(
    [+brackets]="[::1] is ::1, with a warning; rinetd looks for a host of that name"
    [+cidr]="allow and deny take networks"
    [+dual]=":: beside 0.0.0.0 on one port works"
    [+include]="include; that a pattern has no file is a warning"
    [+late-address]="an address that is not up now is the superserver's to open"
    [+late-name]="a target is looked up for each connection; a name without an address is a warning"
    [+name]="whatever DNS knows as a host name: labels that begin with a digit, a dot at the end"
    [+option]="what a rule can be told beside src and timeout"
    [+spelling]="every spelling of an IPv6 address, not only rinetd's"
    [+unix]="a unix socket as target"
    [-blank-name]="xinetd and inetd cannot pass on a file name with a blank"
    [-keyword]="a rule that listens on a host called allow or include is a slip of the pen"
    [-loop]="a target that is its own listener would start a process for each process"
    [-newline]="the last line counts, even if it does not end; so its errors do, too"
    [-nul]="a NUL byte is junk, not the end of a line"
    [-port]="a port is from 1 to 65535; rinetd takes it modulo 65536"
    [-quotes]="quotes around a file name are none of it; rinetd's file has them in its name"
    [-relative]="a relay has no folder that a relative name could start from"
    [-source]="a source address of another family is none; rinetd connects without it"
    [-stdout]="a relay's standard output is the client"
    [-timeout]="a timeout that is larger than can be counted"
)

setup() {
    common_setup
    require xinetd rinetd
}

# The configurations of the table, one a folder: case.N/{name,conf,clients}, clients as "LISTENER
# CLIENT[+HOW][!KEY...]" lines.
read_table() {
    local line folder='' cases=0 which client clients

    while IFS= read -r line; do
        case $line in
        '#'*) [ -z "$folder" ] || echo "$line" >>"$folder/conf" ;;
        '* '*)
            folder=$T/case.$((++cases))
            mkdir "$folder"
            echo "${line#\* }" >"$folder/name"
            ;;
        '>'*)
            which=${line#>} which=${which%% *} clients=${line#* }
            for client in $clients; do
                echo "${which:-1} $client" >>"$folder/clients"
            done
            ;;
        *)
            [ ! -d "$folder" ] || [ -f "$folder/clients" ] || printf '%b\n' "$line" >>"$folder/conf"
            ;;
        esac
    done <"$1"
    CASES=$cases
}

# fill_in CASE SIDE PORT PORT PORT: the configuration of one side, with its ports and log.
fill_in() {
    local folder=$T/case.$1 side=$2

    shift 2
    writable_log "$folder/$side.log"
    echo "$*" >"$folder/$side.ports"
    {
        grep -q '^logfile @log' "$folder/conf" || echo 'logfile @log'
        cat "$folder/conf"
    } | sed "s|@log|$folder/$side.log|; s/@1/$1/g; s/@2/$2/g; s/@3/$3/g; s/@hello/$HELLO/g
        s/@bye/$BYE/g; s/@late/$LATE/g; s/@six/$SIX/g; s/@down/$DOWN/g" >"$folder/$side.conf"
}

# address_of CASE LISTENER CLIENT: where that client connects to.
address_of() {
    local bind

    bind=$(awk -v mark="^@$2(/|\$)" '{ sub(/^0+@/, "@", $2) } $2 ~ mark { print $1 }' \
        "$T/case.$1/conf")
    case $bind in
    0 | 0.0.0.0 | :: | localhost) case $3 in *:*) echo ::1 ;; *) echo 127.0.0.1 ;; esac ;;
    *) echo "$bind" ;;
    esac
}

# ask HOW FROM ADDR PORT: prints what came, or "closed" for an end without a byte.
ask() {
    local how=(line close) text

    case $1 in
    rest) how=(rest) ;;
    fin) how=(fin rest) ;;
    esac
    if text=$("$PEER" connect --from="$2" "$3" "$4" 'send:hi\n' "${how[@]}" 2>&1); then
        echo "${text:-closed}"
    else
        case $text in
        *'the end came after 0 bytes' | *'unable to read after 0 bytes: Connection reset by peer')
            echo closed
            ;;
        *) echo "$text" ;;
        esac
    fi
}

# ask_all SIDE: the answers, one a line as in clients, to case.N/SIDE.answers.
ask_all() {
    local side=$1 i which client how ports

    for ((i = 1; i <= CASES; i++)); do
        read -ra ports <"$T/case.$i/$side.ports"
        while read -r which client; do
            client=${client%%!*} how=
            [[ $client != *+* ]] || how=${client#*+}
            client=${client%+*}
            ask "$how" "$client" "$(address_of "$i" "$which" "$client")" "${ports[which - 1]}"
        done <"$T/case.$i/clients" >"$T/case.$i/$side.answers"
    done
}

# records SIDE CASE: for each client one line, "ANSWER | LINE | LINE", times and ports masked.
records() {
    local folder=$T/case.$2

    paste -d ' ' "$folder/clients" "$folder/$1.answers" | awk -v ports="$(<"$folder/$1.ports")" '
        BEGIN { split(ports, port, " ") }
        NR == FNR { # LISTENER CLIENT[+HOW][!KEY...] ANSWER
            split($2, client, /[+!]/)
            answer[NR] = substr($0, length($1 $2) + 3)
            of[client[1], $1] = of["::ffff:" client[1], $1] = NR
            next
        }
        {
            sub(/[0-9][0-9]\/[A-Z][a-z][a-z]\/[0-9]+:[0-9][0-9]:[0-9][0-9]:[0-9][0-9]/, "TIME")
            for (i in port)
                if (sub("[\t/]" port[i] "[\t/]", "[" i "]"))
                    listener = i
            who = $1
            if ($0 ~ /^TIME/)
                who = $2
            n = of[who, listener]
            lines[n] = lines[n] " | " $0
        }
        END {
            for (i = 1; i in answer; i++)
                print answer[i] lines[i]
            if (lines[""] != "")
                print "of nobody: " lines[""]
        }' - "$folder/$1.log"
}

# expected CASE: what ours must have, made of what rinetd has.
expected() {
    local i=0 record keys key

    mapfile -t marks < <(awk '{ sub(/^[^!]*/, "", $2); print $2 }' "$T/case.$1/clients")
    records rinetd "$1" | sed -f <(decided words) | while IFS= read -r record; do
        keys=${marks[i++]-}
        for key in ${keys//!/ }; do
            decided "$key" >"$T/script" || echo "unknown key $key"
            sed -f "$T/script" <<<"$record" >"$T/record"
            [ "$(<"$T/record")" != "$record" ] || echo "without effect: $key"
            record=$(<"$T/record")
        done
        printf '%s\n' "$record"
    done
}

# Are all cases the same? Those that are not are in $different, and asked again the next time.
none_differs() {
    local i still=()

    for i in "${different[@]}"; do
        expected "$i" >"$T/case.$i/expected"
        records ours "$i" >"$T/case.$i/ours"
        cmp -s "$T/case.$i/expected" "$T/case.$i/ours" || still+=("$i")
    done
    different=("${still[@]}")
    [ "${#different[@]}" = 0 ]
}

@test "rinetd 0.73 and ours: the same clients are let in, and the log has the same lines" {
    local i ports different

    listen hello 127.0.0.1 0 line 'send:hello\n' discard
    listen bye 127.0.0.1 0 line 'send:bye\n' fin discard
    listen late 127.0.0.1 0 line eof 'send:hello\n'
    listen six ::1 0 line 'send:hello\n' discard
    HELLO=$(port_of hello) BYE=$(port_of bye) LATE=$(port_of late) SIX=$(port_of six)
    read_table "$BATS_TEST_DIRNAME/oracle.table"
    echo "$CASES configurations"
    [ "$CASES" -ge 40 ]
    mapfile -t ports < <(free_ports $((CASES * 6 + 1)))
    DOWN=${ports[CASES * 6]}
    for ((i = 1; i <= CASES; i++)); do
        fill_in "$i" rinetd "${ports[@]:(i - 1) * 6:3}"
        fill_in "$i" ours "${ports[@]:(i - 1) * 6 + 3:3}"
        "$GEN" -c "case.$i/ours.conf" -r "$RELAY" -u "$(user_for_relay)" 2>"case.$i/said" \
            >>xinetd.conf || { cat "case.$i/name" "case.$i/said" && return 1; }
    done
    start_xinetd xinetd.conf
    # shellcheck disable=SC2016
    start rinetd sh -c 'for conf; do rinetd -f -c "$conf" & done; wait' - "$T"/case.*/rinetd.conf
    mapfile -t ports < <(awk '$2 ~ /^0*[0-9]+(\/tcp)?$/ && NF > 3 { print $2 + 0 }' \
        case.*/rinetd.conf)
    wait_listening rinetd "${ports[@]}"
    ask_all rinetd &
    ask_all ours
    wait "$!"
    settled
    mapfile -t different < <(seq "$CASES")
    wait_for none_differs || true
    for i in "${different[@]}"; do
        echo "$(<"case.$i/name"): expected from what rinetd has done (<), and ours (>):"
        diff "case.$i/expected" "case.$i/ours" || true
    done
    [ "${#different[@]}" = 0 ]
}

# section NAME: its lines of the table.
section() {
    awk -v wanted="* $1" '/^\* / { on = $0 == wanted; next } on && !/^#/ && NF' \
        "$BATS_TEST_DIRNAME/oracle.lines"
}

# run_originals FILE...: rinetd on each; its exit status, if it does not stay, to FILE.status.
run_originals() {
    # shellcheck disable=SC2016
    start rinetd sh -c 'for conf; do
            { rinetd -f -c "$conf" 2>"$conf.stderr"; echo "$?" >"$conf.status"; } &
        done; wait' - "$@"
}

# Has rinetd made up its mind? It opens listeners in the order of the file: the last rule tells.
has_decided() {
    [ -s "$1.status" ] || listening "$(<"$1.port")"
}

# verdict_of FILE: who takes it.
verdict_of() {
    local original=no ours=no

    wait_for has_decided "$1" >&2 || return 1
    [ -s "$1.status" ] || original=yes
    "$GEN" -n -c "$1" -r "$RELAY" -u "$(user_for_relay)" 2>"$1.said" && ours=yes
    case $original,$ours in
    yes,yes) echo both ;;
    no,no) echo none ;;
    no,yes) echo + ;;
    yes,no) echo - ;;
    esac
}

# same_lines SECTION: each line is taken by those that the table says.
same_lines() {
    local expected line ports verdict count bad=0 i lines

    mapfile -t lines < <(section "$1")
    count=${#lines[@]}
    echo "$count lines"
    [ "$count" -ge 20 ]
    mapfile -t ports < <(free_ports $((count * 2)))
    for ((i = 0; i < count; i++)); do
        line=${lines[i]#*$'\t'} line=${line//@1/${ports[i * 2]}} line=${line//@dir/$T}
        [[ $line == *@rule* ]] || line+='\n@rule\n'
        echo "${ports[i * 2 + 1]}" >"line.$i.port"
        printf '%b' "${line//@rule/127.0.0.1 ${ports[i * 2 + 1]} 127.0.0.1 9}" >"line.$i"
    done
    run_originals line.*[0-9]
    for ((i = 0; i < count; i++)); do
        expected=${lines[i]%%$'\t'*}
        verdict=$(verdict_of "line.$i")
        case $expected in
        [-+]*) [ -n "${line_decided[$expected]-}" ] || verdict='an unknown difference' ;;
        esac
        case $expected in [-+]*) expected=${expected:0:1} ;; esac
        if [ "$verdict" != "$expected" ]; then
            echo "${lines[i]}: is $verdict:" "$(head -n 1 "line.$i.stderr")" \
                "$(head -n 1 "line.$i.said")"
            ((++bad))
        fi
    done
    [ "$bad" = 0 ]
}

@test "rinetd 0.73 and ours: the same lines are good" {
    same_lines lines
}

@test "rinetd 0.73 and ours: the same names are good" {
    require namespaces
    own_etc resolv.conf <<<'options timeout:1 attempts:1'
    own_etc hosts <<'EOT'
127.0.0.1 localhost one.test two.test my_host 123.one.test 1x.one.test a-b.test 3com a.3com
127.0.0.1 xn--bcher-kva.test 10.0.0.1.one.test 0abc.test abc.test a-.test -a.test
127.0.0.1 allow include logfile
EOT
    same_lines names
}
