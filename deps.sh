#!/bin/sh
# SPDX-License-Identifier: ISC
#
# deps.sh run|test|bench: installs what is missing for building and the demo, for all tests, or for
# the benchmark, on Debian and its kin. Daemons are not installed, which would start them, but
# unpacked into test/daemons, unless they are installed anyway.
set -eu

cd "$(dirname "$0")"
daemons=test/daemons
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# What is needed, as COMMAND:PACKAGE, or :PACKAGE if it has none
run_needs='gcc:gcc make:make musl-gcc:musl-tools :libc6-dev :libwrap0-dev'
test_needs="$run_needs bats:bats clang:clang clang-format:clang-format llvm-symbolizer:llvm
    :libclang-rt-dev shellcheck:shellcheck mandoc:mandoc ps:procps ip:iproute2 unshare:util-linux
    setpriv:util-linux nsenter:util-linux prlimit:util-linux logger:bsdutils
    perl:perl-base systemctl:systemd systemd-socket-activate:systemd dig:bind9-dnsutils"
bench_needs="$run_needs ip:iproute2 unshare:util-linux setpriv:util-linux prlimit:util-linux
    perl:perl-base systemd-socket-activate:systemd"
# logrotate is no daemon, but its package wants cron; that of dnsmasq itself would start it
run_daemons='xinetd:xinetd'
test_daemons="$run_daemons rinetd:rinetd inetd:openbsd-inetd inetutils-inetd:inetutils-inetd
    logrotate:logrotate dnsmasq:dnsmasq-base"
# nginx keeps what relays streams in a module
bench_daemons="$run_daemons rinetd:rinetd redir:redir socat:socat haproxy:haproxy nginx:nginx
    ../lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream"

die() {
    echo "deps.sh: $*" >&2
    exit 1
}

usage() {
    echo 'usage: deps.sh run|test|bench' >&2
    exit 2
}

has_command() {
    command -v "$1" >/dev/null 2>&1
}

has_package() {
    dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null | grep -qx installed
}

missing_packages() {
    for need; do
        command=${need%%:*} package=${need#*:}
        if [ -n "$command" ]; then
            has_command "$command" || echo "$package"
        else
            has_package "$package" || echo "$package"
        fi
    done
}

# The name inetd alone does not tell whose it is.
has_daemon() {
    has_package "$2" || [ -e "$daemons/usr/sbin/$1" ] || [ -e "$daemons/usr/bin/$1" ] ||
        { [ "$1" != inetd ] && has_command "$1"; }
}

missing_daemons() {
    for need; do
        has_daemon "${need%%:*}" "${need#*:}" || echo "${need#*:}"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        has_command sudo || die "root or sudo is needed for: $*"
        sudo DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

update() {
    echo "deps.sh: reading the package lists"
    as_root apt-get -qq update || echo "deps.sh: going on with the lists that are there"
}

install() {
    [ $# != 0 ] || return 0
    echo "deps.sh: installing $*"
    # dpkg speaks of each package; that matters only if it fails
    log=$(mktemp)
    as_root apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 install "$@" \
        </dev/null >"$log" 2>&1 || {
        cat "$log" >&2
        rm "$log"
        die "unable to install $*"
    }
    rm "$log"
}

# Of a daemon's dependencies only those that start nothing: libraries, and netbase, which has
# /etc/services and /etc/protocols.
libraries_of() {
    dpkg-deb -f "$1" Depends | tr ',' '\n' | sed 's/^ *//; s/[ :(|].*//' |
        grep -E '^(lib|netbase$)'
}

unpack() {
    [ $# != 0 ] || return 0
    echo "deps.sh: unpacking $* into $daemons"
    rm -rf "$daemons/part"
    mkdir -p "$daemons/part"
    # apt gives up root for a download, and may then be unable to write here
    (cd "$daemons/part" && apt-get -qq -o APT::Sandbox::User=root download "$@") ||
        die "unable to download $*"
    for archive in "$daemons"/part/*.deb; do
        libraries="${libraries-} $(libraries_of "$archive" | tr '\n' ' ')"
        dpkg-deb -x "$archive" "$daemons/part/tree"
    done
    # shellcheck disable=SC2046,SC2086
    install $(missing_packages $(printf ':%s ' $libraries))
    check_libraries
    cp -a "$daemons/part/tree/." "$daemons/"
    rm -r "$daemons/part"
}

check_libraries() {
    for program in "$daemons"/part/tree/usr/sbin/* "$daemons"/part/tree/usr/bin/*; do
        if ldd "$program" 2>/dev/null | grep 'not found' >&2; then
            die "$program lacks a library"
        fi
    done
}

main() {
    # shellcheck disable=SC2046,SC2086
    set -- $(missing_packages $1 | sort -u) -- $(missing_daemons $2)
    [ "$*" != -- ] || return 0
    has_command apt-get || die "no apt-get here; install these by other means: $*"
    update
    packages=
    while [ "$1" != -- ]; do
        packages="$packages $1"
        shift
    done
    shift
    # shellcheck disable=SC2086
    install $packages
    unpack "$@"
}

case ${1-} in
run) main "$run_needs" "$run_daemons" ;;
test) main "$test_needs" "$test_daemons" ;;
bench) main "$bench_needs" "$bench_daemons" ;;
*) usage ;;
esac
