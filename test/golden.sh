#!/usr/bin/env bash
# SPDX-License-Identifier: ISC
#
# golden.sh [--update]: converts each golden/NAME.conf, with the options in NAME.args, into every
# format, and compares standard output with NAME.xinetd, NAME.systemd and NAME.inetd, exit status and
# standard error with NAME.err. Prints TAP. --update writes these files anew: review the difference.
# A case is made in the other mode of each format by --mode in NAME.args.
#
# The result must be the same on every machine: addresses are those of the documentation or of
# loopback, ports are numbers, the user is root, and the relay is the stub below. Where that lies
# must not matter either, and a sandbox is made so that programs can be seen: it has a name that
# leads there from anywhere.
set -u -o pipefail
export LC_ALL=C

cd "$(dirname "${BASH_SOURCE[0]}")/golden" || exit 1
gen=${BUILD:-../../build}/rinetd-gen
formats=(xinetd systemd inetd)
installed=/usr/local/libexec # what the folder of the stub is called in the expected files

work=$(mktemp -d) || exit 1
exec 9<"$work" || exit 1
programs=/proc/self/fd/9
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP

# Answers as `rinetd-relay --resolve` does.
make_programs() {
    cat >"$work/rinetd-relay" <<'EOT'
#!/bin/sh
while read -r name; do
    case $name in
    *.missing.example) printf '%s\tfailed\tName or service not known\n' "$name" ;;
    *.loop.example) printf '%s\tfound\t203.0.113.7 127.0.0.1\n' "$name" ;;
    localhost) printf '%s\tfound\t127.0.0.1\n' "$name" ;;
    *) printf '%s\tfound\t203.0.113.80\n' "$name" ;;
    esac
done
EOT
    cp "$work/rinetd-relay" "$work/rinetd-wrap"
    chmod 755 "$work/rinetd-relay" "$work/rinetd-wrap"
}

# convert NAME FORMAT: output into NAME.FORMAT below $work, exit status and messages into
# FORMAT.err.
convert() {
    local arguments=() status=0

    [ ! -f "$1.args" ] || read -r -a arguments <"$1.args"
    "$gen" --config="$1.conf" --format="$2" --user=root --relay="$programs/rinetd-relay" \
        "${arguments[@]}" >"$work/out" 2>"$work/said" </dev/null || status=$?
    sed "s|$programs|$installed|g" "$work/out" >"$work/$1.$2"
    {
        echo "exit status $status"
        sed "s|$programs|$installed|g" "$work/said"
    } >"$work/$2.err"
}

# convert_all NAME: all that is expected of NAME, below $work. What several formats say alike stands
# once.
convert_all() {
    local format first

    for format in "${formats[@]}"; do
        convert "$1" "$format"
    done
    first=${formats[0]}
    if cmp -s "$work/$first.err" "$work/systemd.err" &&
        cmp -s "$work/$first.err" "$work/inetd.err"; then
        cp "$work/$first.err" "$work/$1.err"
    else
        for format in "${formats[@]}"; do
            sed "1s/^/$format: /" "$work/$format.err"
        done >"$work/$1.err"
    fi
}

# The differences of one case as TAP's remarks; none: it is as expected.
differences() {
    local suffix

    for suffix in "${formats[@]}" err; do
        diff -u -L "expected $1.$suffix" "$1.$suffix" -L "found" "$work/$1.$suffix" 2>&1
    done | sed 's/^/# /'
}

update() {
    local name

    for name; do
        convert_all "$name"
        cp "$work/$name".{xinetd,systemd,inetd,err} .
    done
}

check() {
    local name number=0 failed=0 result

    echo "1..$(($# + 1))"
    for name; do
        convert_all "$name"
        result=$(differences "$name")
        ((++number))
        if [ -z "$result" ]; then
            echo "ok $number golden: $name"
        else
            echo "not ok $number golden: $name"
            echo "$result"
            failed=1
        fi
    done
    check_strays $((number + 1)) || failed=1
    return "$failed"
}

# An expected file without its configuration is of a case that nobody runs.
check_strays() {
    local file strays=()

    for file in *.args *.xinetd *.systemd *.inetd *.err; do
        [ -e "${file%.*}.conf" ] || strays+=("$file")
    done
    if [ "${#strays[@]}" = 0 ]; then
        echo "ok $1 golden: every file has its configuration"
    else
        echo "not ok $1 golden: every file has its configuration"
        echo "# ${strays[*]}"
        return 1
    fi
}

names=(*.conf)
names=("${names[@]%.conf}")
make_programs
case ${1-} in
--update) update "${names[@]}" ;;
'') check "${names[@]}" ;;
*) echo "golden.sh: found \"$1\", expected --update" >&2 && exit 2 ;;
esac
