#!/bin/sh
# SPDX-License-Identifier: MIT
# TURN clients of others against `bodkin serve`, and their part of docs/interop.md. BODKIN is the
# program. 77: nothing can be run here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
. "$top/tests/interop/peers.sh"
exec python3 "$here/matrix.py" --write "$top/docs/interop.md"
