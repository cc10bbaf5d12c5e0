/* SPDX-License-Identifier: MIT */
#include "peer/why.h"

static const struct {
    const char *word, *text;
} names[WHY_COUNT] = {
    [WHY_CHECKING] = {"checking", "still checking"},
    [WHY_ASKED_HERE] = {"relay-only-here", "this side was asked to stay on the relay"},
    [WHY_ASKED_THERE] = {"relay-only-there", "the peer was asked to stay on the relay"},
    [WHY_UDP_HERE] = {"udp-blocked-here", "UDP is blocked on this side"},
    [WHY_UDP_THERE] = {"udp-blocked-there", "UDP is blocked on the peer's side"},
    [WHY_UDP_BOTH] = {"udp-blocked-both", "UDP is blocked on both sides"},
    [WHY_MAPPING_BOTH] = {"symmetric-both",
                          "both NATs give each destination another port (symmetric)"},
    [WHY_MAPPING_HERE] = {"symmetric-here",
                          "the NAT on this side gives each destination another port (symmetric)"},
    [WHY_MAPPING_THERE] = {"symmetric-there",
                           "the peer's NAT gives each destination another port (symmetric)"},
    [WHY_NO_CANDIDATES] = {"no-common-address", "the two sides have no kind of address in common"},
    [WHY_WENT_SILENT] = {"went-silent", "the direct path went silent; checking again"},
    [WHY_NO_ANSWER] = {"no-answer", "no direct check was answered; a firewall drops them"},
};

static enum why why_udp(const struct why_facts *f) {
    if (f->udp_blocked_here && f->udp_blocked_there)
        return WHY_UDP_BOTH;
    return f->udp_blocked_here ? WHY_UDP_HERE : WHY_UDP_THERE;
}

/* Policies first, then what rules a direct path out, then what has been seen. A known obstacle is
 * named only when the checks are over: it may still turn out to be passable. */
enum why why_relayed(const struct why_facts *f) {
    if (f->relay_only_here)
        return WHY_ASKED_HERE;
    if (f->relay_only_there)
        return WHY_ASKED_THERE;
    if (f->was_direct)
        return WHY_WENT_SILENT;
    if (f->udp_blocked_here || f->udp_blocked_there)
        return why_udp(f);
    if (!f->checks_over)
        return WHY_CHECKING;
    if (!f->any_pair)
        return WHY_NO_CANDIDATES;
    if (f->mapping_varies_here && f->mapping_varies_there)
        return WHY_MAPPING_BOTH;
    if (f->mapping_varies_here)
        return WHY_MAPPING_HERE;
    if (f->mapping_varies_there)
        return WHY_MAPPING_THERE;
    return WHY_NO_ANSWER;
}

const char *why_text(enum why why) {
    return names[why].text;
}

const char *why_word(enum why why) {
    return names[why].word;
}
