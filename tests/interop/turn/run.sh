#!/bin/sh
# SPDX-License-Identifier: MIT
# TURN clients of others against `bodkin serve`, and their part of docs/interop.md. BODKIN is the
# program. 77: nothing can be run here.
set -u
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../../.." && pwd)
export BODKIN="${BODKIN:-$top/build/release/bodkin}"
export PEERS="$top/build/interop"
export NODE_PATH="$PEERS/node_modules"
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$PEERS"
"$here/../ice/build.sh" "$PEERS" || echo "interop: without libnice" >&2
if [ ! -d "$NODE_PATH/playwright-core" ] && command -v npm >/dev/null; then
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm install --silent --no-audit --no-fund \
        --prefix "$PEERS" playwright-core >"$PEERS/npm.log" 2>&1 ||
        echo "interop: no playwright-core from npm, so no Chromium" >&2
fi
exec python3 "$here/matrix.py" --write "$top/docs/interop.md"
