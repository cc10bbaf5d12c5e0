#!/bin/sh
# SPDX-License-Identifier: MIT
# The direct path of a running transfer is cut silently, comes back, and is cut again: the stream never
# errors, the hashes are equal, and the path events tell. A short bench/failover.sh; with BODKIN_SOAK
# the long one. Tests share the machine, and sanitizers slow it down, so the pause after a cut may be
# longer than the half second that `make bench` holds it to.
cd "${SOURCE_DIR:-$(dirname "$0")/../..}" || exit 1
if [ -n "${BODKIN_SOAK:-}" ]; then
    MB=1000 RATE=25
else
    MB=220 RATE=10
fi
export MB RATE
LIMIT=1500 exec sh bench/failover.sh
