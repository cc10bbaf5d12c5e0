# SPDX-License-Identifier: MIT
# One row of the demo's table, from the --json events of `bodkin connect` in the lab's log:
#   {"event":"first-byte","after_ms":..}
#   {"event":"path","kind":"relayed|direct","after_ms":..,"why":".."}
#   {"event":"done","bytes":..,"seconds":..}
# Only the lines of the host `alice` count. `pair` and `verdict` come from the caller.

# The value of "name" in the object on this line; "" when it is not there.
function field(name,    at, rest) {
    at = index($0, "\"" name "\":")
    if (at == 0)
        return ""
    rest = substr($0, at + length(name) + 3)
    sub(/^ */, "", rest)
    if (substr(rest, 1, 1) == "\"") {
        rest = substr(rest, 2)
        return substr(rest, 1, index(rest, "\"") - 1)
    }
    sub(/[,}].*/, "", rest)
    return rest
}

function ms(value) {
    return value == "" ? "-" : sprintf("%.0f ms", value)
}

!/^alice/ { next }
field("event") == "first-byte" && first == "" { first = field("after_ms") }
field("event") == "path" {
    path = field("kind")
    why = path == "relayed" ? field("why") : ""
    if (path == "direct" && direct == "")
        direct = field("after_ms")
}
field("event") == "done" { bytes = field("bytes"); seconds = field("seconds") }

END {
    rate = seconds > 0 ? sprintf("%.0f Mbit/s", bytes * 8 / seconds / 1000000) : "-"
    printf "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", pair, ms(first), ms(direct), path == "" ? "-" : path, \
        rate, why == "" ? "-" : why, verdict
}
