/* SPDX-License-Identifier: MIT
 * Does a packet from outside that came too early spoil the mapping? A Linux box that accepts
 * packets to itself remembers the stranger's packet as a connection of its own; when the inside
 * then sends to the stranger, the tuple is taken, and the flow gets another port or none at all.
 *
 * The filter test has done the first half: the server's other address has sent to the mapping of
 * its first socket, uninvited, and was not let in. Now that socket sends there. */
#include "natcheck/state.h"

static bool decide_without(struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    enum bk_nat_dep filtering = (enum bk_nat_dep)nc->record.findings[BK_NAT_FILTERING].value;
    bool known = nc->record.findings[BK_NAT_FILTERING].status == BK_NAT_KNOWN;
    if (known && filtering == BK_NAT_EI) {
        nc->record.traits.inbound_first = BK_NO; /* it was let in: it has a mapping to use */
        finding_known(nc, BK_NAT_INBOUND_FIRST, BK_NO, 950);
        return true;
    }
    enum bk_nat_reason why = BK_NAT_REASON_NONE;
    if (!known || s->change_both == NONE)
        why = BK_NAT_REASON_NO_SUPPORT;
    else if (s->dep != BK_NAT_EI)
        why = BK_NAT_REASON_HIDDEN; /* the stranger would have to guess the mapping first */
    else if (!probe_answered(nc, s->plain))
        why = BK_NAT_REASON_NO_ANSWER;
    if (why != BK_NAT_REASON_NONE)
        finding_unclear(nc, BK_NAT_INBOUND_FIRST, 0, why);
    return why != BK_NAT_REASON_NONE;
}

static void start(struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    const struct ask ask = {.test = BK_NAT_TEST_BINDING,
                            .socket = s->f1,
                            .remote = s->server[1][1],
                            .attrs = attr_bit(BK_NAT_INBOUND_FIRST),
                            .pace = pace_soon(nc, 3)};
    nc->inbound.started = true;
    nc->inbound.probe = probe_ask(nc, &ask);
}

/* Did the same endpoint answer another socket, so that silence is our box's doing? */
static bool endpoint_works(const struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    for (size_t i = 0; i < s->mappings; i++) {
        if (probe_answered(nc, s->mapping[i]) &&
            bk_addr_equal(&nc->probes[s->mapping[i]].ask.remote, &s->server[1][1]))
            return true;
    }
    return false;
}

void inbound_first_step(struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    if (!finding_is_pending(nc, BK_NAT_INBOUND_FIRST) || !s->mapping_done || !s->filtering_done ||
        !probe_ended(nc, s->plain))
        return;
    if (!nc->inbound.started) {
        if (decide_without(nc))
            return;
        start(nc);
    }
    if (!probe_ended(nc, nc->inbound.probe))
        return;
    bool answered = probe_answered(nc, nc->inbound.probe);
    if (!answered && (!endpoint_works(nc) || nc->inbound.probe == NONE ||
                      nc->probes[nc->inbound.probe].why != BK_NAT_REASON_NO_ANSWER)) {
        finding_unclear(nc, BK_NAT_INBOUND_FIRST, 0, BK_NAT_REASON_NO_ANSWER);
        return;
    }
    bool kept =
        answered && bk_addr_equal(&nc->probes[nc->inbound.probe].seen, &nc->probes[s->plain].seen);
    nc->record.traits.inbound_first = kept ? BK_NO : BK_YES;
    finding_known(nc, BK_NAT_INBOUND_FIRST, kept ? BK_NO : BK_YES, answered ? 980 : 930);
}
