#!/bin/sh
# SPDX-License-Identifier: MIT
# bodkin sim oracle: prints docs/oracle.md, knows presets and types, proves itself.
set -u
failed=0

check() {
    what=$1
    shift
    if "$@"; then
        echo "ok      $what"
    else
        echo "FAILED  $what"
        failed=1
    fi
}

is_document() {
    "$BODKIN" sim oracle --markdown | cmp - "$SOURCE_DIR/docs/oracle.md"
}

says() {
    wanted=$1
    shift
    "$BODKIN" sim oracle "$@" | head -n 1 | grep -qx "$wanted"
}

is_wrong_use() {
    "$BODKIN" sim oracle "$@" >/dev/null 2>&1
    [ $? -eq 2 ]
}

proves() {
    "$BODKIN" sim oracle --prove --seeds 10 | tail -n 1 | grep -qx '0 cells disagree'
}

check "docs/oracle.md is what the program prints" is_document
check "two home routers punch" says "hole punching" home home
check "a home router against a symmetric NAT" says "birthday paradox on one side" home symmetric
check "types by name" says "port prediction on both sides" APD-PC-APD APD-PC-APD
check "a name that is none is wrong use" is_wrong_use home nowhere
check "one NAT alone is wrong use" is_wrong_use home
check "few tries of everything agree" proves
exit $failed
