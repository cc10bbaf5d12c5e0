#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/lint.sh [CHECK...]: format tidy cppcheck spdx readme length manual rfc; all of them without
# names. Findings are errors; a suppression is one line in the source with its reason.
. "$(dirname "$0")/lib.sh"

code_folders="include src nat topology sim lab server cli tests fuzz bench examples"
c_files() {
    find $code_folders -name '*.[ch]' | sort
}

lint_format() {
    c_files | xargs clang-format --dry-run -Werror
}

# The analyzer takes seconds per file, so it reads the product and the harnesses, not the tests. One
# file a process: with several, clang-tidy 14 reports va_lists of the first in the second.
lint_tidy() {
    dir=build/tidy
    CC=clang configure dev "$dir" -DBODKIN_FUZZ=OFF || return 1
    # A header that is made, where this machine can make it.
    cmake --build "$dir" --target help | grep -q bodkin-fastpath-bpf &&
        { cmake --build "$dir" --target bodkin-fastpath-bpf >/dev/null || return 1; }
    sed -n 's/^ *"file": "\(.*\)".*/\1/p' "$dir/compile_commands.json" | sort -u |
        grep -v -e "/$dir/" -e "^$top/tests/" >"$dir/files"
    xargs -P "$cores" -n 1 clang-tidy --quiet -p "$dir" <"$dir/files" >"$dir/tidy.log" 2>&1 ||
        { grep -v 'warnings generated\.$' "$dir/tidy.log"; return 1; }
    echo "clang-tidy: $(wc -l <"$dir/files") files"
}

lint_cppcheck() {
    mkdir -p build/cppcheck
    cppcheck --quiet -j "$cores" --std=c11 --enable=warning,performance,portability \
        --inline-suppr --error-exitcode=1 --cppcheck-build-dir=build/cppcheck \
        --suppress=normalCheckLevelMaxBranches --suppress=unknownMacro \
        -Iinclude -Isrc -I. src nat topology sim lab server cli
}

lint_spdx() {
    for file in $(find $code_folders scripts .ci -name '*.[ch]' -o -name '*.sh' -o -name '*.py' \
        -o -name '*.go' -o -path .ci/run | sort); do
        head -n 3 "$file" | grep -q 'SPDX-License-Identifier: MIT' ||
            echo "$file: no SPDX line at its top"
    done | fail_if_any
}

# Every folder that holds code says what it is for.
lint_readme() {
    for dir in $(find $code_folders scripts cmake -type f \( -name '*.[ch]' -o -name '*.sh' \
        -o -name '*.py' -o -name '*.go' -o -name '*.cmake' \) | sed 's,/[^/]*$,,' | sort -u); do
        case $dir in
        tests/?* | include/bodkin | scripts/ci | fuzz/?*) continue ;; # described one level up
        esac
        [ -f "$dir/README.md" ] || echo "$dir: no README.md"
    done | fail_if_any
}

lint_length() {
    c_files | xargs wc -l | awk '$2 != "total" && $1 > 1000 {print $2 ": " $1 " lines"}' |
        fail_if_any
}

lint_manual() {
    for page in docs/man/*.1; do
        mandoc -T lint -W warning "$page"
    done | fail_if_any
}

# Every citation is in the tables, and every MUST has one or a reason.
lint_rfc() {
    scripts/rfc-table.sh --check
}

fail_if_any() {
    awk '{print} END {exit NR > 0}'
}

scripts/deps.sh build test lint
[ $# -gt 0 ] || set -- spdx readme length manual rfc format cppcheck tidy
for name in "$@"; do
    check "lint $name" "lint_$name"
done
tally "$passed" "$failed"
