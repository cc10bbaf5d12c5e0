#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs one topology file in the lab: scripts/lab.sh FILE; without one, lists those in the tree.
. "$(dirname "$0")/lib.sh"

if [ $# -eq 0 ]; then
    echo "make lab F=FILE, where FILE is your own (docs/topology.md says how) or one of:"
    find lab examples -name '*.lab' | sort | sed 's/^/  /'
    exit 0
fi
scripts/build.sh >/dev/null
PATH=$top/build/release:$PATH exec build/release/bodkin lab run "$@"
