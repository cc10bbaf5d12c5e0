#!/bin/sh
# SPDX-License-Identifier: MIT
# Turns the sources' citations ("RFC 8445 section 7.2.5.3.3") into docs/rfc.md: which section is
# obeyed where; and, by conformance.py, docs/conformance.md. scripts/rfc-table.sh writes both files;
# --check says whether they are up to date.
. "$(dirname "$0")/lib.sh"

table() {
    cat <<'HEAD'
# Where the standards are obeyed

Made by `scripts/rfc-table.sh` from citations of the form `RFC NNNN section X`; not edited by hand.
Of the standards around ICE, every MUST with the line that obeys it: [conformance.md](conformance.md).

| RFC | section | files |
|---|---|---|
HEAD
    # Comment continuations are joined first, so a citation may wrap.
    for file in $(find include src nat topology sim lab server cli -name '*.[ch]' | sort); do
        tr '\n' ' ' <"$file" | sed 's, \* , ,g; s/  */ /g' |
            grep -oE 'RFC [0-9]{3,5},? sections? [0-9A-Z][0-9.A-Za-z]*((,| and| or) [0-9][0-9.]*)*' |
            sed 's/,* sections* /|/; s/^RFC //; s/ and /,/g; s/ or /,/g; s/ //g' |
            awk -F '|' -v file="$file" '
                { n = split($2, s, ","); for (i = 1; i <= n; i++) { sub(/\.$/, "", s[i]);
                  if (s[i] != "") print $1 "|" s[i] "|" file } }' || true
    done | sort -u | sort -t '|' -k1,1n -k2,2V -k3,3 |
        awk -F '|' '
            { key = $1 "|" $2 }
            key != last { if (last != "") print line " |"; line = "| " $1 " | " $2 " | `" $3 "`"; last = key; next }
            { line = line ", `" $3 "`" }
            END { if (last != "") print line " |" }'
}

if [ "${1:-}" = --check ]; then
    table | cmp -s - docs/rfc.md || { echo "docs/rfc.md is old: run scripts/rfc-table.sh" >&2; exit 1; }
    scripts/conformance.py --check
else
    table >docs/rfc.md.new
    mv docs/rfc.md.new docs/rfc.md
    scripts/conformance.py
fi
