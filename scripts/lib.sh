# SPDX-License-Identifier: MIT
# Sourced by the other scripts: where things are, how many cores there are, how results are counted.
set -eu
cd "$(dirname "$0")"
while [ ! -f CMakePresets.json ]; do
    [ "$PWD" != / ] || { echo "not inside bodkin's source tree" >&2; exit 2; }
    cd ..
done
top=$PWD
unset MAKEFLAGS MAKELEVEL MFLAGS # CMake's own make is not a child of ours
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# configure PRESET DIR [cmake argument...]; quiet unless it fails.
configure() {
    preset=$1
    dir=$2
    shift 2
    mkdir -p "$dir"
    cmake --preset "$preset" -B "$dir" "$@" >"$dir/configure.log" 2>&1 || {
        cat "$dir/configure.log" >&2
        echo "cmake could not configure $dir" >&2
        return 1
    }
}

# build DIR [cmake --build argument...]
build() {
    dir=$1
    shift
    cmake --build "$dir" -j "$cores" "$@"
}

# The line every stage ends with. tally PASSED FAILED [SKIPPED]; its status says whether all is well.
tally() {
    printf '%d passed, %d failed' "$1" "$2"
    [ "${3:-0}" -eq 0 ] || printf ', %d skipped' "$3"
    echo
    [ "$2" -eq 0 ] && [ "$1" -gt 0 ]
}

# results: counts what check() saw, for scripts that check one thing after the other.
passed=0
failed=0
check() {
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok      $what"
    else
        failed=$((failed + 1))
        echo "FAILED  $what"
    fi
}
