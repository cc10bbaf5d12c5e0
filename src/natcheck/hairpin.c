/* SPDX-License-Identifier: MIT
 * Hairpinning, RFC 4787 section 6 and RFC 5780 section 4.5: two of our sockets send to each other's
 * outside addresses. Both do, in turns: each packet opens the sender's filter for the other's, so
 * that a box that hairpins and filters shows it, too.
 *
 * The two are the first of ports.c that got a mapping: a box that chooses ports by a hash gives
 * none to a socket whose port is taken. */
#include "natcheck/state.h"

enum { GAP_MS = 40 };

static int find_mapped(const struct bk_natcheck *nc, int from) {
    int i = from;
    while (i < PORT_SAMPLES && !probe_answered(nc, nc->ports.probe[i]))
        i++;
    return i;
}

static void start(struct bk_natcheck *nc, const int sample[2]) {
    nc->hairpin.started = true;
    for (int i = 0; i < HAIRPINS; i++) {
        int from = sample[i % 2], to = sample[1 - i % 2];
        const struct pace once = {.sends = 1, .last_us = nc->rtt_us + 150 * BK_US_PER_MS};
        const struct ask ask = {.test = BK_NAT_TEST_HAIRPIN,
                                .socket = nc->ports.socket[from],
                                .elsewhere = true,
                                .hears = nc->ports.socket[to],
                                .remote = nc->probes[nc->ports.probe[to]].seen,
                                .attrs = attr_bit(BK_NAT_HAIRPIN),
                                .delay_us = (int64_t)i * GAP_MS * BK_US_PER_MS,
                                .pace = once};
        nc->hairpin.probe[i] = probe_ask(nc, &ask);
    }
}

/* With a mapping per remote, the one that the server saw admits nobody but the server, unless the
 * filter admits all: then nothing can be seen, and nothing could be used. */
static bool is_hidden(const struct bk_natcheck *nc) {
    const struct bk_nat_finding *filtering = &nc->record.findings[BK_NAT_FILTERING];
    bool open = filtering->status == BK_NAT_KNOWN && filtering->value == BK_NAT_EI;
    return nc->side[V4].dep != BK_NAT_EI && !open;
}

static void tell(struct bk_natcheck *nc, enum bk_nat_hairpin value, uint16_t permille) {
    nc->record.traits.hairpin = value;
    finding_known(nc, BK_NAT_HAIRPIN, value, permille);
    for (int i = 0; i < HAIRPINS; i++)
        probe_cancel(nc, nc->hairpin.probe[i]);
}

static enum bk_nat_hairpin kind_of(const struct bk_natcheck *nc, const struct bk_ip *source) {
    for (size_t i = 0; i < nc->record.external_count; i++) {
        if (bk_ip_equal(&nc->record.externals[i], source))
            return BK_NAT_HAIRPIN_EXTERNAL;
    }
    return BK_NAT_HAIRPIN_INTERNAL;
}

static void judge(struct bk_natcheck *nc) {
    bool all_sent = true;
    for (int i = 0; i < HAIRPINS; i++) {
        uint32_t probe = nc->hairpin.probe[i];
        if (probe_answered(nc, probe)) {
            tell(nc, kind_of(nc, &nc->probes[probe].from.ip), 990);
            return;
        }
        if (!probe_ended(nc, probe))
            return;
        all_sent = all_sent && probe != NONE && nc->probes[probe].sends > 0;
    }
    if (!all_sent)
        finding_unclear(nc, BK_NAT_HAIRPIN, BK_NAT_HAIRPIN_NONE, BK_NAT_REASON_BUDGET);
    else if (is_hidden(nc))
        finding_unclear(nc, BK_NAT_HAIRPIN, BK_NAT_HAIRPIN_NONE, BK_NAT_REASON_HIDDEN);
    else
        tell(nc, BK_NAT_HAIRPIN_NONE, 990);
}

void hairpin_step(struct bk_natcheck *nc) {
    const struct side *s = &nc->side[V4];
    if (!finding_is_pending(nc, BK_NAT_HAIRPIN) || !s->mapping_done || !s->filtering_done)
        return;
    if (!s->translated) {
        finding_unclear(nc, BK_NAT_HAIRPIN, 0, BK_NAT_REASON_NOT_APPLICABLE);
        return;
    }
    if (!nc->hairpin.started) {
        int sample[2];
        sample[0] = find_mapped(nc, 0);
        sample[1] = find_mapped(nc, sample[0] + 1);
        if (sample[1] < PORT_SAMPLES)
            start(nc, sample);
        else if (nc->ports.sampled)
            finding_unclear(nc, BK_NAT_HAIRPIN, 0, BK_NAT_REASON_NO_ANSWER);
    }
    if (nc->hairpin.started)
        judge(nc);
}
