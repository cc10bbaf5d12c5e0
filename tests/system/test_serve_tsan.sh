#!/bin/sh
# SPDX-License-Identifier: MIT
# The server under ThreadSanitizer: only where the program was built with it
# (cmake -DBODKIN_SANITIZE=thread); elsewhere it is skipped.
set -eu
if ! grep -q __tsan_init "$BODKIN"; then
    echo "SKIPPED: $BODKIN is not built with ThreadSanitizer"
    exit 77
fi
cd "$(dirname "$0")"
TSAN_OPTIONS="exitcode=66 history_size=4" SECONDS_OF_LOAD=8 exec python3 test_serve_concurrent.py
