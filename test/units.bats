#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What systemd itself thinks of the units, by its own parser, which needs no system that runs it.
# What becomes of which line of a configuration is in golden/.

# shellcheck disable=SC2154 # what `run` sets

load helper

setup() {
    common_setup
    require systemd-analyze
    printf '127.0.0.1 8001 203.0.113.1 80\n' >plain
}

gen() {
    "$GEN" --format=systemd --user=root --relay=/bin/true "$@"
}

# units FILE FOLDER: the units that standard output has one after the other, as files.
units() {
    rm -rf "$2"
    mkdir "$2"
    awk -v folder="$2" '
        /^# rinetd-(tcp|udp)-[^ ]*\.(socket|service)$/ { file = folder "/" $2; next }
        { print >file }' "$1"
}

# verified FOLDER: nothing is said of any unit in it, and there are some.
verified() {
    # Manual pages are installed elsewhere, or not yet
    run -0 systemd-analyze verify --man=no "$1"/rinetd-*
    [ "$output" = "" ]
}

exposure() {
    systemd-analyze security --offline=true --threshold=15 "$1"
}

@test "every golden unit: systemd finds nothing to say" {
    local file count=0

    for file in "$BATS_TEST_DIRNAME"/golden/*.systemd; do
        sed 's,"/usr/local/libexec/rinetd-[a-z]*","/bin/true",' "$file" >golden
        grep -q '^# rinetd-' golden || continue
        units golden golden.d
        verified golden.d
        ((++count))
    done
    ((count > 40))
}

@test "systemd would have said it" {
    mkdir templates
    sed 's/^UMask=.*/UMaks=0077/' "$BATS_TEST_DIRNAME/../templates/systemd-service" \
        >templates/systemd-service
    gen -c plain --templates templates >out
    units out bad
    run -0 systemd-analyze verify --man=no bad/*
    [[ $output == *"Unknown key"*UMaks* ]]
}

@test "the sandbox of a plain rule: an exposure of 1.5 at most, in both modes" {
    gen -c plain -u nobody -o . 2>/dev/null
    exposure ./*.service
    gen -c plain -u nobody -m nowait -o . 2>/dev/null
    exposure ./*@.service
    printf '127.0.0.1 8001/udp 203.0.113.1 80/udp\n' >datagrams
    gen -c datagrams -u nobody -o . 2>/dev/null
    exposure ./rinetd-udp-*.service
    # It does say when there is less
    sed -i '/^Protect/d' ./rinetd-udp-*.service
    run -1 exposure ./rinetd-udp-*.service
}

@test "standard output has the files that -o writes, each after its name" {
    local mode

    printf '127.0.0.1 8001 203.0.113.1 80\n:: 8002 203.0.113.1 80\n' >conf
    for mode in wait nowait; do
        mkdir "$mode"
        gen -c conf -m "$mode" -o "$mode" 2>said
        gen -c conf -m "$mode" >out
        units out "$mode.out"
        # A blank line ends each but the last
        sed -i '${/^$/d;}' "$mode.out"/*
        diff -r "$mode" "$mode.out"
        [ "$(grep -c ': created ' said)" = 4 ]
    done
    [ "$(cd wait && echo ./*)" = "./rinetd-tcp-127.0.0.1-8001.service \
./rinetd-tcp-127.0.0.1-8001.socket ./rinetd-tcp-__-8002.service ./rinetd-tcp-__-8002.socket" ]
    [ "$(cd nowait && echo ./*.service)" = "./rinetd-tcp-127.0.0.1-8001@.service \
./rinetd-tcp-__-8002@.service" ]
    # The default, and the other mode in its place
    gen -c conf | diff - <(gen -c conf -m wait)
    gen -c conf -m nowait -o wait 2>said
    diff -r wait nowait
    [ "$(grep -c ': removed ' said)" = 2 ]
}

@test "a configuration without rules: no units, and those of the last are gone" {
    : >empty
    gen -c plain -o . 2>/dev/null
    gen -c empty -o . 2>said
    [ "$(grep -c ': removed ' said)" = 2 ]
    [ "$(gen -c empty)" = "" ]
}

@test "a list longer than the kernel takes in one argument: several, and none is lost" {
    awk 'BEGIN {
        print "127.0.0.1 8001 203.0.113.1 80"
        for (i = 0; i < 30000; i++)
            printf "allow 10.%d.%d.%d\n", i / 65536, i / 256 % 256, i % 256
    }' >conf
    # With -o it would become a file.
    gen -c conf >all 2>/dev/null
    units all d
    verified d
    grep -o '"--allow=[^"]*"' d/*.service >arguments
    [ "$(wc -l <arguments)" = 3 ]
    [ "$(awk 'length > 131071 + 2' arguments)" = "" ]
    sed 's/"--allow=//; s/"//' arguments | tr , '\n' |
        diff - <(sed -n 's/^allow //p' conf)
}

@test "a name that systemd could not say is refused, and no unit is written" {
    local value

    for value in '/x/a"b' "/x/a'b" '/x/a\b' '/x/../b' $'/x/\xff'; do
        run -1 --separate-stderr "$GEN" -f systemd -u root -c plain --relay="$value"
        [[ $output == "" && $stderr == *"error: systemd starts no program whose name has "* ]]
    done
}

@test "SourcePath is an absolute configuration, and nothing else" {
    gen -c plain >out
    [ "$(grep -c SourcePath= out)" = 0 ]
    gen -c - <plain >out
    [ "$(grep -c SourcePath= out)" = 0 ]
    mkdir 'a b%'
    cp plain "a b%/plain\\"
    gen -c "$T/a b%/plain\\" -o . 2>/dev/null
    [ "$(grep -cxF "SourcePath=$T/a b%%/plain\\ " ./*.service)" = 1 ]
    verified .
}

@test "programs in a home, /tmp or /dev: their units can see them" {
    gen -c plain >out
    grep -qx PrivateTmp=yes out && grep -qx ProtectHome=yes out
    "$GEN" -f systemd -u root -r /tmp/x/rinetd-relay -c plain >out 2>/dev/null
    run -1 grep PrivateTmp out
    "$GEN" -f systemd -u root -r /home/x/rinetd-relay -c plain >out 2>/dev/null
    grep -qx ProtectHome=read-only out
}
