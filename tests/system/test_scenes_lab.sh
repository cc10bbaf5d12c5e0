#!/bin/sh
# SPDX-License-Identifier: MIT
# The scenes of the simulator come true in the lab, too, with real programs and in real time.
set -u
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT

failed=0
for scene in nat-reboot silent-cut clash-hosts overlapping-ranges dual-stack; do
    file=$SOURCE_DIR/sim/scenarios/$scene.scene
    # A busy machine may be late: what must happen within a second or two has ten times that here.
    sed 's/within \([23]\)s/within \10s/; s/within 1s/within 10s/; s/within 1500ms/within 15s/' \
        "$file" >"$dir/$scene.scene"
    timeout 100 "$BODKIN" lab run "$dir/$scene.scene" >"$dir/out" 2>&1
    status=$?
    if [ $status -eq 77 ]; then
        tail -n 1 "$dir/out"
        exit 77
    fi
    [ $status -eq 0 ] && continue
    echo "$scene: status $status"
    grep -v '| tick$' "$dir/out" | tail -n 20
    failed=1
done
exit $failed
