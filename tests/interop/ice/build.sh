#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds peer_nice into the folder DIR: build.sh DIR. 77: no libnice to build it with.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
pkg-config --exists nice 2>/dev/null || { echo "no libnice (libnice-dev)"; exit 77; }
mkdir -p "$1"
if [ ! -x "$1/peer_nice" ] || [ "$here/peer_nice.c" -nt "$1/peer_nice" ]; then
    "${CC:-cc}" -std=gnu17 -O2 -g -Wall -Wextra $(pkg-config --cflags nice) "$here/peer_nice.c" \
        -o "$1/peer_nice.$$" $(pkg-config --libs nice)
    mv "$1/peer_nice.$$" "$1/peer_nice" # two builds at once do not meet
fi
