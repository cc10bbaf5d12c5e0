#!/bin/sh
# SPDX-License-Identifier: MIT
# The matrix of ICE peers, and docs/interop.md. Peers that cannot be had are named in the table.
# BODKIN is the program. 77: nothing can be run here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
. "$top/tests/interop/peers.sh"
exec python3 "$here/matrix.py" --log "$PEERS/log" --write "$top/docs/interop.md"
