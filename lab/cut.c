/* SPDX-License-Identifier: MIT */
#include "lab/cut.h"

static unsigned protocol_bit(const struct transit *t) {
    if (!t->parsed || t->packet.header.flow.proto == NAT_ICMP)
        return TOPOLOGY_OTHER;
    return t->packet.header.flow.proto == NAT_UDP ? TOPOLOGY_UDP : TOPOLOGY_TCP;
}

bool cut_passed(const struct transit *t, int node) {
    for (size_t i = 0; i < t->path_len; i++)
        if (t->path[i] == node)
            return true;
    return node == TOPOLOGY_NOWHERE;
}

bool cut_drops(const struct fabric *f, const struct transit *t) {
    for (size_t i = 0; i < f->cut_count; i++) {
        const struct fabric_cut *cut = &f->cuts[i];
        if (cut->flaps && !topology_flap_is_down(&cut->flap, cut->since.us, f->now.us))
            continue;
        if ((cut->protocols & protocol_bit(t)) != 0 && cut_passed(t, cut->node) &&
            cut_passed(t, cut->other))
            return true;
    }
    return false;
}

enum bk_err cut_add(struct fabric *f, const struct topology_change *c) {
    struct fabric_cut cut = {.node = c->node,
                             .other = c->other,
                             .protocols = c->protocols,
                             .flaps = c->kind == TOPOLOGY_FLAP,
                             .flap = *c,
                             .since = f->now};
    if (f->cut_count == FABRIC_CUTS_MAX)
        return BK_ERR_FULL;
    f->cuts[f->cut_count++] = cut;
    return BK_OK;
}

void cut_restore(struct fabric *f, const struct topology_change *c) {
    size_t kept = 0;
    for (size_t i = 0; i < f->cut_count; i++) {
        struct fabric_cut cut = f->cuts[i];
        bool same = (cut.node == c->node && cut.other == c->other) ||
                    (cut.node == c->other && cut.other == c->node);
        if (same || c->node == TOPOLOGY_NOWHERE)
            cut.protocols &= ~c->protocols;
        if (cut.protocols != 0)
            f->cuts[kept++] = cut;
    }
    f->cut_count = kept;
}
