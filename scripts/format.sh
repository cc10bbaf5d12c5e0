#!/bin/sh
# SPDX-License-Identifier: MIT
# clang-format on every C file of ours, in place: scripts/format.sh [--check].
. "$(dirname "$0")/lib.sh"

scripts/deps.sh lint
mode=-i
[ "${1:-}" != --check ] || mode="--dry-run -Werror"
find include src nat topology sim lab server cli tests fuzz bench examples -name '*.[ch]' -print0 |
    xargs -0 clang-format $mode
[ "$mode" != -i ] || scripts/rfc-table.sh # it names lines
