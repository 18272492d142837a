#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# What systemd itself thinks of units: every golden one without a word, and how exposed a service
# is.

load helper
load systemd

# split FILE FOLDER: what rinetd-gen prints becomes the files that it names.
split() {
    awk -v folder="$2" '
        /^# rinetd-.*\.(socket|service)$/ { close(file); file = folder "/" $2; next }
        { print >file }' "$1"
}

@test "systemd-analyze verify: not a word about any golden unit" {
    local golden name count=0

    start_systemd
    install_inside
    for golden in "$BATS_TEST_DIRNAME"/golden/*.systemd; do
        name=$(basename "$golden" .systemd)
        mkdir "$name"
        split "$golden" "$name"
        [ -n "$(ls -A "$name")" ] || continue
        inside systemd-analyze verify --man=no "$name"/* >said 2>&1 ||
            echo "status $?" >>said
        sed "s/^/$name: /" said >>all
        ((count += 1))
    done
    ((count > 30))
    diff /dev/null all
}

@test "systemd-analyze security: a plain rule is at 1.5 at most" {
    local mode

    start_systemd
    for mode in wait nowait; do
        printf '%s\n' '0.0.0.0 80 10.0.0.5 80' |
            inside "$GEN" -c - -f systemd -m "$mode" -o "$T" 2>said
    done
    inside systemd-analyze security --offline=true --threshold=15 --no-pager "$T"/*.service >said ||
        { cat said && return 1; }
}
