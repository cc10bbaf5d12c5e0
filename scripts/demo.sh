#!/bin/sh
# SPDX-License-Identifier: MIT
# Two machines behind NATs find each other, three times, in the lab. Each run sends a file and
# compares its hash; the table at the end is made of what the programs themselves reported.
# MB=128 is the file's size. Everything stays in build/demo/.
. "$(dirname "$0")/lib.sh"

scripts/deps.sh build demo
mkdir -p build
echo "building (build/release)"
scripts/build.sh >build/demo-build.log 2>&1 || { tail -n 30 build/demo-build.log >&2; exit 1; }
PATH=$top/build/release:$PATH
dir=$top/build/demo
rm -rf "$dir"
mkdir -p "$dir"
head -c "$((${MB:-128} * 1000000))" /dev/urandom >"$dir/file"
hash=$(sha256sum <"$dir/file")

# pair NAME SED: scripts/demo.lab, changed by SED, once from start to end.
failed=0
pair() {
    name=$1
    run=$dir/$(echo "$name" | tr 'A-Z ' 'a-z-')
    mkdir "$run"
    ln "$dir/file" "$run/file"
    sed "$2" scripts/demo.lab >"$run/demo.lab"
    echo
    echo "== $name"
    status=0
    (cd "$run" && bodkin lab run demo.lab) >"$run/log" 2>&1 || status=$?
    sed 's/^/   /' "$run/log"
    verdict="same hash"
    [ "$status" -eq 0 ] || verdict="FAILED: status $status"
    [ "$(sha256sum "$run/received" 2>&1 | sed 's/ .*/  -/')" = "$hash" ] || verdict="FAILED: the file differs"
    [ "$verdict" = "same hash" ] || failed=1
    awk -v pair="$name" -v verdict="$verdict" -f scripts/demo-table.awk "$run/log" >>"$dir/table"
}

# bob_router PRESET: what to change for another box in front of bob.
bob_router() {
    printf '%s\n' "/^\\[nat bob-router]/,/^\\[host/ s/^preset = .*/preset = $1/"
}

pair "both port-restricted" ''
pair "one symmetric" "$(bob_router symmetric)"
pair "one without UDP" "$(bob_router udp-blocked)"

echo
awk -F '\t' '
    BEGIN { head = "pair\tfirst byte\tdirect after\tpath\tthroughput\twhy relayed\tfile"
            n = split(head, h, FS); row[0] = head; for (i = 1; i <= n; i++) w[i] = length(h[i]) }
    { row[NR] = $0; for (i = 1; i <= n; i++) if (length($i) > w[i]) w[i] = length($i) }
    END { for (r = 0; r <= NR; r++) { split(row[r], c, FS); line = ""
            for (i = 1; i <= n; i++) line = line sprintf("%-" w[i] + 2 "s", c[i])
            sub(/ +$/, "", line); print line } }' "$dir/table"
[ "$failed" -eq 0 ]
