/* SPDX-License-Identifier: MIT
 * From traits to what decides: who knows whose port, and whom its filter lets
 * in. */
#include "punch/oracle_pair.h"

/* RFC 4787 section 4.2.1 warns of the well-known ports: nobody hands them out.
 */
enum { PORT_MIN = 1024, PORT_MAX = 65535, BLOCK_MAX = 16384 };

/* The clauses: an EIM port is what STUN showed (RFC 4787 REQ-1). A preserving
 * NAT gives a fresh socket its own port, whoever it sends to first. A counting
 * NAT gives the next one. */
static enum oracle_port port_of(const struct bk_nat_traits *t) {
    if (t->mapping == BK_NAT_EI)
        return ORACLE_PORT_KNOWN;
    switch (t->ports) {
    case BK_NAT_PORTS_PRESERVE:
    case BK_NAT_PORTS_SEQUENTIAL:
    case BK_NAT_PORTS_TIME:
        return ORACLE_PORT_PREDICTED;
    case BK_NAT_PORTS_RANDOM:
    case BK_NAT_PORTS_UNKNOWN:
        break;
    }
    return ORACLE_PORT_GUESSED;
}

static uint32_t space_of(const struct bk_nat_traits *t) {
    uint32_t min = t->port_max != 0 ? t->port_min : PORT_MIN;
    uint32_t max = t->port_max != 0 ? t->port_max : PORT_MAX;
    return t->port_count != 0 ? t->port_count : max - min + 1;
}

static void view_init(struct oracle_view *v, const struct bk_nat_traits *t,
                      const struct bk_oracle_budget *budget) {
    *v = (struct oracle_view){
        .port = port_of(t),
        .one_port = t->mapping != BK_NAT_APD,
        .filtering = t->filtering,
        .udp = t->udp_blocked != BK_YES && t->udp_limited != BK_YES,
        .scattered = t->paired == BK_NO && t->mapping != BK_NAT_EI,
        .inbound_first = t->inbound_first == BK_YES,
        .keeps = t->ports == BK_NAT_PORTS_PRESERVE,
        .fresh_only = t->ports == BK_NAT_PORTS_PRESERVE && t->step == 0,
        .trial = t->ports == BK_NAT_PORTS_TIME ? ORACLE_CLOCK_TRIAL : 1,
        .space = space_of(t),
        .mappings = t->mappings_max != 0 ? t->mappings_max : UINT32_MAX,
    };
    v->block = v->space <= BLOCK_MAX;
    if (t->ports == BK_NAT_PORTS_SEQUENTIAL)
        v->rate = t->foreign_per_s > 0 ? t->foreign_per_s : budget->foreign_per_s;
}

void oracle_pair_init(struct oracle_pair *pair, const struct bk_nat_traits *a,
                      const struct bk_nat_traits *b, const struct bk_oracle_budget *budget) {
    bool known = a->external.family != BK_FAMILY_NONE && a->translated != BK_NO;
    *pair = (struct oracle_pair){
        .traits = {a, b},
        .budget = budget,
        .same = known && b->translated != BK_NO && bk_ip_equal(&a->external, &b->external),
    };
    view_init(&pair->view[0], a, budget);
    view_init(&pair->view[1], b, budget);
}
