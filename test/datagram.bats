#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# The other tests believe what datagram and `peer hand --datagram` say.

load helper
load datagrams

# asks [--OPTION...]: of the target itself.
asks() {
    run "$DATAGRAM" ask "$@" 127.0.0.1 "$(port_of target)"
}

@test "datagram: without a verb or with a bad word it explains itself" {
    run -2 "$DATAGRAM"
    [[ $output == usage:* ]]
    run -2 "$DATAGRAM" talk
    run -2 "$DATAGRAM" ask 127.0.0.1
    run -2 "$DATAGRAM" ask --sizes=65508 127.0.0.1 9
    run -2 "$DATAGRAM" ask --clients=0 127.0.0.1 9
    run -2 "$DATAGRAM" ask --clients=1x 127.0.0.1 9
    run -2 "$DATAGRAM" ask --from='[::1' 127.0.0.1 9
    run -2 "$DATAGRAM" listen 127.0.0.1 0 shout
}

@test "datagram: an echo, of all sizes, of many clients, in a window" {
    answer target 127.0.0.1 0
    asks --deadline=60 --clients=20 --sizes=0,1,508,1472,8192,65507 --retry=500
    [ "$status" = 0 ]
    # What is sent again by one that waited too long has one reply more.
    [[ $output =~ ^120\ sent,\ (1[2-9]|[2-9][0-9])[0-9]\ got,\ [0-9]+\ again$ ]]
    [ "$(output_of target | cut -d ' ' -f 1,3 | sort | uniq | wc -l)" = 6 ]
    asks --window=50 --sizes=4,5,6 --rounds=50 --in-order
    [ "$output" = '150 sent, 150 got, 0 again' ]
}

@test "datagram: IPv6, and IPv4 at an IPv6 socket" {
    answer target :: 0
    "$DATAGRAM" ask --sizes=0,7 ::1 "$(port_of target)"
    "$DATAGRAM" ask --sizes=0,7 --from=::1 ::1 "$(port_of target)"
    asks --from=127.0.0.3
    [ "$status" = 0 ]
    grep -q '^::1 [0-9]* 0$' target.out
    grep -q '^::ffff:127.0.0.3 [0-9]* 32$' target.out
}

@test "datagram: several replies, larger ones, and late ones" {
    listen_datagrams target --replies=3 --reply-size=4000 --delay=5 127.0.0.1 0 echo
    asks --replies=3 --reply-size=4000 --sizes=0,1,70 --in-order
    [ "$output" = '3 sent, 9 got, 0 again' ]
    asks --replies=3 --reply-size=4001
    [ "$status" = 1 ]
    asks --replies=2 --rounds=2 --reply-size=4000
    [ "$status" = 1 ]
    asks --replies=4 --reply-size=4000 --deadline=0.5
    [ "$status" = 1 ]
    stop target
    listen_datagrams target --replies=2 127.0.0.1 0 echo
    asks --replies=2 --sizes=1,70
    [ "$status" = 0 ]
    asks --replies=1 --sizes=70 --rounds=2
    [ "$status" = 1 ]
    [[ $output == *'got 70 bytes that are not what was expected'* ]]
}

@test "datagram: what is lost fails by the deadline, and a repetition is counted" {
    local deadline

    listen_datagrams target 127.0.0.1 0 mute
    asks --clients=2 --deadline=0.3
    [ "$status" = 1 ]
    [[ $output == *'2 of 2 clients miss replies at the deadline'* ]]
    for deadline in 0.5 5; do # who is slow may have more time for it
        asks --retry=50 --deadline="$deadline"
        [ "$status" = 1 ]
        [[ $output == *' 0 again'* ]] || break
    done
    run ! grep -q ' 0 again' <<<"$output"
    asks --replies=0 --rounds=3
    [ "$output" = '3 sent, 0 got, 0 again' ]
    asks --expect-none=50
    [ "$status" = 0 ]
}

@test "datagram: an unexpected reply, and one from elsewhere, fail" {
    answer target 127.0.0.1 0
    asks --expect-none=10000
    [ "$status" = 1 ]
    [[ $output == *'expected nothing, got 32 bytes'* ]]
    asks --expect-from=127.0.0.2
    [ "$status" = 1 ]
    [[ $output == *"from 127.0.0.1 $(port_of target), expected them from 127.0.0.2"* ]]
}

@test "datagram: bytes are recorded, texts said, and an end after so many" {
    listen_datagrams target --count=3 --record="$T/bytes" 127.0.0.1 0 echo
    run -0 "$DATAGRAM" say 127.0.0.1 "$(port_of target)" one '' three
    [ "$output" = $'one\n\nthree' ]
    finished target
    [ "$(cat bytes)" = onethree ]
    listen_datagrams target --count=3 --deadline=0.2 127.0.0.1 0 echo
    if finished target; then return 1; fi
    grep -q "0 of 3 datagrams came by the deadline" target.err
}

@test "datagram: a flood ends with its time, or a signal" {
    answer target 127.0.0.1 0
    run -0 "$DATAGRAM" flood --for=50 --clients=3 127.0.0.1 "$(port_of target)"
    [[ $output =~ ^[1-9][0-9]*\ sent,\ [0-9]+\ got$ ]]
    start flood "$DATAGRAM" flood 127.0.0.1 "$(port_of target)"
    stop flood
}

has_said() {
    [ "$(wc -l <"$T/said")" = "$1" ]
}

@test "peer hand --datagram: a socket that is bound, anew when there is more to read" {
    # shellcheck disable=SC2016
    hand_datagrams 127.0.0.1 0 perl -e 'recv STDIN, my $text, 9, 0; print STDERR "$$ $text\n"'
    "$DATAGRAM" say --replies=0 127.0.0.1 "$(port_of relay)" one two three
    wait_for has_said 3
    [ "$(cut -d ' ' -f 1 said | sort -u | wc -l)" = 3 ]
}
