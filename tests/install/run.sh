#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds a small program against bodkin the way a stranger would.
#   run.sh tree BUILD_DIR    installs what BUILD_DIR has built (any configuration)
#   run.sh static | shared   builds the libraries so, installs them, then the same
#   run.sh subdirectory      add_subdirectory, nothing installed
# Everything happens in a temporary folder; SOURCE_DIR is the tree, CC the compiler.
set -eu
source_dir=$(cd "${SOURCE_DIR:-$(dirname "$0")/../..}" && pwd)
program=$source_dir/tests/install/program
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MAKELEVEL MFLAGS DESTDIR
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
cc=${CC:-cc}
flags=

die() {
    echo "install test: $*" >&2
    exit 1
}

quietly() {
    "$@" >"$work/log" 2>&1 || {
        tail -n 40 "$work/log" >&2
        die "failed: $*"
    }
}

# The program must make a packet for the server it was told, and refuse what is no address.
try_program() {
    said=$("$1" 192.0.2.1:3478) || die "$1 failed: $said"
    case $said in
    [1-9]*" bytes to 192.0.2.1:3478") ;;
    *) die "$1 said '$said'" ;;
    esac
    if "$1" nonsense >/dev/null; then die "$1 accepted nonsense"; fi
}

install_libraries() {
    case $1 in
    tree)
        build=$2
        cc=$(sed -n 's/^CMAKE_C_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
        sanitize=$(sed -n 's/^BODKIN_SANITIZE:[A-Z]*=//p' "$build/CMakeCache.txt")
        [ -z "$sanitize" ] || flags="-fsanitize=$sanitize"
        ;;
    *)
        build=$work/build
        shared=OFF
        [ "$1" != shared ] || shared=ON
        quietly cmake -S "$source_dir" -B "$build" -DBODKIN_TESTS=OFF -DBODKIN_PROGRAM=OFF \
            -DCMAKE_BUILD_TYPE=Debug -DBUILD_SHARED_LIBS=$shared -DCMAKE_C_COMPILER="$cc"
        quietly cmake --build "$build" -j "$cores"
        ;;
    esac
    quietly cmake --install "$build" --prefix "$work/first"
    mv "$work/first" "$work/prefix" # an installed tree can be moved
}

# Every public header stands alone, in C99 and, where there is a compiler for it, in C++17.
try_headers() {
    n=0
    for header in "$work"/prefix/include/bodkin/*.h; do
        echo "#include <bodkin/${header##*/}>" >"$work/one.c"
        echo "int bodkin_one;" >>"$work/one.c"
        quietly "$cc" -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$work/prefix/include" \
            -fsyntax-only "$work/one.c"
        for cxx in g++ clang++; do
            command -v $cxx >/dev/null 2>&1 || continue
            quietly $cxx -x c++ -std=c++17 -Wall -Wextra -Wpedantic -Werror \
                -I"$work/prefix/include" -fsyntax-only "$work/one.c"
        done
        n=$((n + 1))
    done
    [ $n -gt 0 ] || die "no header was installed"
}

try_pkg_config() {
    pc=$(dirname "$(find "$work/prefix" -name bodkin.pc)")
    for library in bodkin bodkin-core; do
        options=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs $library) ||
            die "pkg-config knows no $library"
        # shellcheck disable=SC2086 -- the options are words
        quietly "$cc" $flags "$program/main.c" -o "$work/pc-$library" $options
        LD_LIBRARY_PATH=$(dirname "$pc") try_program "$work/pc-$library"
        archive=$(find "$work/prefix" -name "lib$library.a")
        [ -n "$archive" ] || continue
        others=$(nm -g --defined-only "$archive" | awk 'NF == 3 && $3 !~ /^(bk)?_/ {print $3}')
        [ -z "$others" ] || die "$archive defines" $others
        # With every object of it: what it needs must all be named, and nothing of it clash.
        # shellcheck disable=SC2086 -- the options are words
        quietly "$cc" $flags "$program/main.c" -o "$work/pc-whole" \
            -Wl,--whole-archive "$archive" -Wl,--no-whole-archive $options
        try_program "$work/pc-whole"
    done
}

# ICE from C++17, against the core library as a C++ program links it.
try_cxx() {
    cxx=g++
    case $cc in *clang*) cxx=clang++ ;; esac
    command -v $cxx >/dev/null 2>&1 || return 0
    pc=$(dirname "$(find "$work/prefix" -name bodkin.pc)")
    options=$(PKG_CONFIG_PATH=$pc pkg-config --cflags --libs bodkin-core)
    # shellcheck disable=SC2086 -- the options are words
    quietly $cxx -std=c++17 -Wall -Wextra -Wpedantic -Werror $flags "$program/ice.cpp" \
        -o "$work/ice-cxx" $options
    said=$(LD_LIBRARY_PATH=$(dirname "$pc") "$work/ice-cxx") || die "ice.cpp: $said"
    [ "$said" = "hello from C++" ] || die "ice.cpp said '$said'"
}

try_cmake() {
    quietly cmake -S "$program" -B "$work/stranger" -DCMAKE_C_COMPILER="$cc" \
        -DCMAKE_C_FLAGS="$flags" "$@"
    quietly cmake --build "$work/stranger" -j "$cores"
    try_program "$work/stranger/with-bodkin"
    try_program "$work/stranger/with-bodkin-core"
}

# What goes with a whole tree: the program starts, and its manual page is where man looks.
try_program_and_manual() {
    [ -x "$work/prefix/bin/bodkin" ] || return 0
    "$work/prefix/bin/bodkin" --help >/dev/null || die "the installed program does not start"
    [ -f "$work/prefix/share/man/man1/bodkin.1" ] || die "no manual page"
}

kind=${1:?tree, static, shared or subdirectory}
if [ "$kind" = subdirectory ]; then
    try_cmake -DBODKIN_SOURCE="$source_dir"
else
    install_libraries "$@"
    try_headers
    try_pkg_config
    try_cxx
    try_cmake -DCMAKE_PREFIX_PATH="$work/prefix"
    try_program_and_manual
fi
echo "install test: $kind is fine"
