# SPDX-License-Identifier: MIT
# Sourced by run.sh of what drives other people's agents: builds the peers, fetches the browser's
# driver. Sets BODKIN, PEERS and NODE_PATH; `top` is the project. What cannot be had is said.
export BODKIN="${BODKIN:-$top/build/release/bodkin}"
export PEERS="$top/build/interop"
export NODE_PATH="$PEERS/node_modules"
export PYTHONDONTWRITEBYTECODE=1
mkdir -p "$PEERS"
"$top/tests/interop/ice/build.sh" "$PEERS" || echo "interop: without libnice" >&2
if [ ! -d "$NODE_PATH/playwright-core" ] && command -v npm >/dev/null; then
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm install --silent --no-audit --no-fund \
        --prefix "$PEERS" playwright-core >"$PEERS/npm.log" 2>&1 ||
        echo "interop: no playwright-core from npm, so no Chromium" >&2
fi
