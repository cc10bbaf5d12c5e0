#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes sure that the Debian packages of the named groups are there: scripts/deps.sh GROUP...
# As root it installs what is missing; otherwise it names everything in one line and exits with 3.
# With everything in place it asks dpkg once and is done. BODKIN_DEPS=skip leaves it all to you.
#
# One word per need:
#   package          this package
#   a|b              either; the first one this release offers is installed
#   command=package  satisfied by any command of that name in PATH, else the package
#   %clang%          the major version of the clang package, in a package name
set -eu

group() {
    case $1 in
    build) echo "cmake=cmake make=make cc=gcc pkg-config=pkg-config|pkgconf libc6-dev
        libgnutls28-dev libngtcp2-dev libngtcp2-crypto-gnutls-dev nettle-dev libsodium-dev
        libuv1-dev libminiupnpc-dev libhttp-parser-dev libcjson-dev libinih-dev libqrencode-dev libsqlite3-dev" ;;
    gcc) echo "gcc=gcc" ;;
    test) echo "libcmocka-dev python3=python3 openssl=openssl iproute2 nftables c++=g++
        python3-cffi" ;;
    peers) echo "turnutils_natdiscovery=coturn libnice-dev avahi-daemon avahi-utils
        tinyproxy=tinyproxy-bin microsocks=microsocks
        dbus-daemon=dbus-daemon miniupnpd-nftables" ;; # programs of others that tests/system can use
    demo) echo "ip=iproute2 sha256sum=coreutils" ;;
    clang) echo "clang=clang libclang-rt-%clang%-dev" ;;
    fastpath) echo "clang=clang libbpf-dev" ;; # optional: TURN in the kernel
    fuzz) echo "clang=clang libclang-rt-%clang%-dev
        llvm-symbolizer=llvm" ;;
    lint) echo "clang=clang clang-format=clang-format clang-tidy=clang-tidy cppcheck=cppcheck
        git=git mandoc=mandoc python3=python3" ;;
    interop) echo "turnutils_stunclient=coturn go=golang-go python3=python3
        ca-certificates libnice-dev python3-aioice python3-aiortc tcpdump=tcpdump
        chromium=chromium node=nodejs npm=npm gstreamer1.0-nice gstreamer1.0-plugins-bad
        gstreamer1.0-plugins-good gir1.2-gst-plugins-bad-1.0 python3-gi" ;;
    bench) echo "iperf3=iperf3 turnserver=coturn libnice-dev python3-aioice iproute2
        ethtool=ethtool" ;;
    portability) echo "i686-linux-gnu-gcc=gcc-i686-linux-gnu libc6-dev-i386-cross qemu-i386=qemu-user
        s390x-linux-gnu-gcc=gcc-s390x-linux-gnu libc6-dev-s390x-cross" ;;
    *) echo "scripts/deps.sh: no group '$1' (build gcc test peers demo clang fastpath fuzz lint interop bench portability)" >&2
       exit 2 ;;
    esac
}

# The version of the clang that is installed, or that would be.
clang_major() {
    v=$(dpkg-query -W -f '${Version}' clang 2>/dev/null) || v=
    [ -n "$v" ] || v=$(apt-cache policy clang 2>/dev/null | awk '/Candidate:/ {print $2}')
    echo "$v" | sed 's/^[0-9]*://; s/[^0-9].*//'
}

needs_of() {
    needs=
    for g in "$@"; do
        words=$(group "$g") || exit 2
        needs="$needs $words"
    done
    case $needs in
    *%clang%*) needs=$(echo "$needs" | sed "s/%clang%/$(clang_major)/g") ;;
    esac
    printf '%s\n' $needs | sort -u
}

# Of the needs on stdin, those that nothing here meets. One dpkg-query for all of them.
missing() {
    installed=" $(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null |
        sed -n 's/^installed //p' | tr '\n' ' ')"
    while read -r need; do
        case $need in
        *=*)
            command -v "${need%%=*}" >/dev/null 2>&1 && continue
            need=${need#*=}
            ;;
        esac
        met=no
        for p in $(echo "$need" | tr '|' ' '); do
            case $installed in *" $p "*) met=yes ;; esac
        done
        [ $met = yes ] || echo "$need"
    done
}

# The first of "a|b" that apt can install; the first one at all when it knows none of them.
choose() {
    for p in $(echo "$1" | tr '|' ' '); do
        if apt-cache policy "$p" 2>/dev/null | grep -q 'Candidate: [^(]'; then
            echo "$p"
            return
        fi
    done
    echo "${1%%|*}"
}

choose_all() {
    for need in "$@"; do
        choose "$need"
    done | sort -u | tr '\n' ' ' | sed 's/ $//'
}

[ $# -gt 0 ] || set -- build test
[ "${BODKIN_DEPS:-}" != skip ] || exit 0
list=$(needs_of "$@") || exit 2
if ! command -v dpkg-query >/dev/null 2>&1; then
    for need in $list; do
        case $need in
        *=*) command -v "${need%%=*}" >/dev/null 2>&1 || absent="${absent:-} ${need%%=*}" ;;
        esac
    done
    [ -z "${absent:-}" ] || { echo "bodkin needs these commands:$absent" >&2; exit 3; }
    exit 0 # not Debian: pkg-config names any library that CMake does not find
fi
want=$(echo "$list" | missing)
[ -n "$want" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "bodkin needs packages that are not installed; as root: apt-get install" \
        "--no-install-recommends $(choose_all $want)" >&2
    exit 3
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
fail() {
    tail -n 20 "$log" >&2
    echo "bodkin: $1 failed (status 3); missing: $(choose_all $want)" >&2
    exit 3
}
apt="apt-get -q -y -o DPkg::Lock::Timeout=300"
$apt update </dev/null >"$log" 2>&1 || fail "apt-get update"
want=$(needs_of "$@" | missing) # now the release's own names are known
names=$(choose_all $want)
echo "installing: $names"
$apt --no-install-recommends install $names </dev/null >"$log" 2>&1 || fail "apt-get install"
