#!/bin/sh
# SPDX-License-Identifier: MIT
# The core on other machines: builds it and its unit tests for 32 bits (i386) and for big-endian
# (s390x) with Debian's cross compilers, all warnings errors, and runs them under qemu's user mode.
# scripts/portability.sh [ARCH...]. The libraries come as packages of that architecture, unpacked
# below build/portability/: the machine's own packages stay as they are.
. "$(dirname "$0")/lib.sh"

modules="base wire crypto stun ice turn sdp agent punch natcheck portmap"
packages="libnettle8 nettle-dev libhogweed6 libgmp10 libgmp-dev libcmocka0 libcmocka-dev"
warnings=$(sed -n '/^set(BODKIN_WARNINGS/,/)/p' cmake/BodkinFlags.cmake |
    tr ' ' '\n' | grep '^ *-W' | tr -d ')')

# What ARCH needs: compiler prefix, emulator, folder of Debian's libraries, more flags. On i386 the
# oracle's digits want the arithmetic of SSE: x87 has other roundings.
describe() {
    case $1 in
    i386) tool=i686-linux-gnu emulator=qemu-i386 triplet=i386-linux-gnu flags="-msse2 -mfpmath=sse" ;;
    s390x) tool=s390x-linux-gnu emulator=qemu-s390x triplet=s390x-linux-gnu flags= ;;
    armhf) tool=arm-linux-gnueabihf emulator=qemu-arm triplet=arm-linux-gnueabihf flags= ;;
    *) echo "scripts/portability.sh: i386, s390x or armhf, not $1" >&2; exit 2 ;;
    esac
}

# Downloads and unpacks the libraries, with lists and caches of apt's own kind but not the system's.
sysroot() {
    [ ! -e "$root/done" ] || return 0
    mkdir -p "$root/apt/lists/partial" "$root/apt/archives/partial"
    : >"$root/apt/status"
    apt="apt-get -q -o APT::Architecture=$1 -o APT::Architectures=$1 -o Dir::State=$root/apt
        -o Dir::State::lists=$root/apt/lists -o Dir::State::status=$root/apt/status
        -o Dir::Cache=$root/apt -o Debug::NoLocking=1"
    $apt update >"$root/apt.log" 2>&1 || true # a mirror may be half in sync; what counts comes now
    (cd "$root/apt" && $apt download $packages >>../apt.log 2>&1) || return 1
    for deb in "$root"/apt/*.deb; do
        dpkg -x "$deb" "$root" || return 1
    done
    : >"$root/done"
}

compile() {
    objects=$dir/objects
    rm -rf "$objects"
    for module in $modules; do
        mkdir -p "$objects/$module"
        for source in src/"$module"/*.c; do
            echo "$source $objects/$module/$(basename "$source" .c).o"
        done
    done | xargs -P "$cores" -n 2 sh -c "$cc -c \"\$0\" -o \"\$1\"" >"$dir/compile.log" 2>&1 || {
        grep -E 'error|warning' "$dir/compile.log" | head -n 20
        return 1
    }
}

link_test() {
    $cc "-DTEST_DATA=\"$top/tests/vectors\"" "$1" -o "$2" $(find "$dir/objects" -name '*.o') -L"$root/usr/lib/$triplet" \
        -Wl,-rpath,"$root/usr/lib/$triplet" -lnettle -lhogweed -lcmocka -lm
}

run_test() {
    link_test "$2" "$dir/tests/$1" >"$dir/tests/$1.log" 2>&1 &&
        timeout 600 "$emulator" -L "/usr/$tool" "$dir/tests/$1" >"$dir/tests/$1.log" 2>&1 && return
    tail -n 5 "$dir/tests/$1.log"
    return 1
}

[ $# -gt 0 ] || set -- i386 s390x
scripts/deps.sh portability
for arch in "$@"; do
    describe "$arch"
    dir=$top/build/portability/$arch
    root=$dir/root
    mkdir -p "$dir/tests"
    cc="$tool-gcc -std=c17 -O1 -g $flags $(echo $warnings) -Werror -ffp-contract=off
        -Iinclude -Isrc -I. -isystem $root/usr/include -isystem $root/usr/include/$triplet"
    cc=$(echo $cc)
    sysroot "$arch" || { check "$arch: libraries ($root/apt.log)" false; continue; }
    compile || { check "$arch: the core compiles" false; continue; }
    check "$arch: the core compiles" true
    for module in $modules; do
        for test in tests/unit/"$module"/test_*.c; do
            name=$(basename "$test" .c)
            check "$arch: unit/$module/${name#test_}" run_test "$module-${name#test_}" "$test"
        done
    done
done
tally "$passed" "$failed"
