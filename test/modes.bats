#!/usr/bin/env bats
# SPDX-License-Identifier: ISC
#
# Who accepts: what the generator says of each mode on this host, and what the superservers make of
# a service that accepts by itself.

# shellcheck disable=SC2154 # what `run` sets

load helper
load forwarding

setup() {
    common_setup
    printf '127.0.0.1 8001 203.0.113.1 80\n' >plain
}

gen() {
    "$GEN" --user=root --relay=/bin/true -c plain "$@"
}

run_gen() {
    run -0 --separate-stderr gen "$@"
}

# accept_all: ./relay, which says hello to whom it accepts on the socket that it gets.
accept_all() {
    require perl
    cat >relay <<'EOT'
#!/usr/bin/perl
while (accept(my $client, STDIN)) {
    syswrite $client, "hello";
    close $client;
}
EOT
    chmod 755 relay
}

# services CONF LINE...: a rule in wait mode after a section with these defaults.
services() {
    local file=$1

    shift
    echo "127.0.0.1 $(free_ports) 127.0.0.1 9" >rinetd.conf
    {
        printf '%s\n' defaults '{' "$@" '}'
        "$GEN" -c rinetd.conf -u "$(user_for_relay)" -r "$T/relay" -m wait 2>/dev/null
    } >"$file"
}

greeted() {
    local port

    port=$(cut -d' ' -f2 rinetd.conf)
    [ "$("$PEER" connect 127.0.0.1 "$port" rest)" = hello ]
}

@test "xinetd, wait: defaults that would turn clients away, slow them down or speak to them" {
    accept_all
    services xinetd.conf $'\tinstances = 1' $'\tper_source = 1' $'\tcps = 1 30' $'\tmax_load = 0.001' \
        $'\tbanner = /etc/passwd' $'\tbanner_success = /etc/passwd' $'\tbanner_fail = /etc/passwd' \
        $'\tno_access = 127.0.0.0/8' $'\tlog_type = SYSLOG local1' $'\tv6only = yes' \
        $'\tlog_on_success = PID HOST DURATION EXIT' $'\tlog_on_failure = HOST ATTEMPT' $'\tumask = 077'
    start_xinetd xinetd.conf
    for _ in 1 2 3; do
        greeted
    done
}

@test "xinetd, wait: an only_from of the defaults closes the port, which is why there is a warning" {
    accept_all
    services xinetd.conf $'\tonly_from = 127.0.0.1'
    start_xinetd xinetd.conf
    run greeted
    [ "$status" != 0 ]
    wait_for grep -q 'Deactivating service' xinetd.log
}

@test "openbsd-inetd, wait: the same socket again and again" {
    accept_all
    echo "127.0.0.1 $(free_ports) 127.0.0.1 9" >rinetd.conf
    "$GEN" -c rinetd.conf -u "$(user_for_relay)" -r "$T/relay" -m wait -f inetd 2>/dev/null >inetd.conf
    start_inetd inetd.conf
    greeted
    greeted
}

@test "xinetd, wait: access lists in the defaults of xinetd.conf are a warning" {
    local line

    run_gen -m wait
    [ "$stderr" = "" ]
    for line in $'\tonly_from = 10.0.0.0/8' 'only_from += 10.0.0.1' $' only_from\t=' 'only_from -= 1'; do
        printf '%s\n' '# only_from = 1' 'defaults' '{' "$line" '}' | own_etc xinetd.conf
        run_gen -m wait
        [[ ${#stderr_lines[@]} = 1 && $stderr == *"warning: the defaults of /etc/xinetd.conf have only_from,"* ]]
        # Where it does no harm
        run_gen
        [ "$stderr" = "" ]
        run_gen -m wait -f systemd
        [ "$stderr" = "" ]
    done
    printf '%s\n' defaults $'{\n\tno_access = 10.0.0.1\n}' | own_etc xinetd.conf
    run_gen -m wait
    [[ ${#stderr_lines[@]} = 1 && $stderr == *" have no_access,"* ]]
    # Comments, other sections, other words
    printf '%s\n' defaults '{' '# only_from = 1' ' # no_access = 1' 'only_from_me = 1' 'bind = only_from' '}' \
        'service x' '{' 'only_from = 127.0.0.1' 'no_access = 1' '}' | own_etc xinetd.conf
    run_gen -m wait
    [ "$stderr" = "" ]
    # Of UDP, whose services take them back
    printf '%s\n' defaults $'{\n\tonly_from = 10.0.0.1\n}' | own_etc xinetd.conf
    cp plain streams.conf
    echo '127.0.0.1 8001/udp 127.0.0.1 80/udp' >plain
    run_gen -m wait
    [ "$stderr" = "" ]
    cp streams.conf plain
    own_etc xinetd.conf </dev/null
    run_gen -m wait
    [ "$stderr" = "" ]
}

@test "systemd: a user, a program or a log that is not there" {
    run_gen -f systemd -u rinetd-test
    [[ $stderr == *"the user rinetd-test does not exist, and systemd starts no service"*"useradd "*" rinetd-test" ]]
    run_gen -f systemd -u 3999999999
    [[ $stderr == *"the user 3999999999 does not exist, and systemd starts no service"*"the name of one" ]]
    run_gen -u 3999999999
    [ "$stderr" = "" ]
    run_gen -f systemd -r /no/relay
    [[ $stderr == *"unable to execute \"/no/relay\""*"systemd starts no service without"* ]]
    require root
    mkdir log
    touch log/rinetd.log
    printf 'logfile %s\n' "$T/log/rinetd.log" >>plain
    run_gen -f systemd -u nobody
    [[ $stderr == *"the user nobody cannot write the log file"*": chown nobody $T/log/rinetd.log" ]]
    # Root has no capabilities there
    chown nobody log/rinetd.log
    run_gen -f systemd
    [[ $stderr == *"the user root cannot write the log file"* ]]
    run_gen
    [ "$stderr" = "" ]
}

@test "systemd: standard streams are the journal, also by a link" {
    local log

    ln -s /dev/stderr link
    for log in /dev/stdout /proc/self/fd/2 "$T/link"; do
        printf '127.0.0.1 8001 203.0.113.1 80\nlogfile %s\n' "$log" >plain
        run_gen -f systemd
        [[ $stderr == "" && $output == *'"--log=journal"'* && $output != *ReadWritePaths* ]]
    done
}
