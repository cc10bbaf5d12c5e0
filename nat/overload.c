/* SPDX-License-Identifier: MIT
 * Port overloading: several mappings with one outside endpoint, told apart by the remote one. RFC
 * 4787 REQ-3 forbids it, RFC 7857 section 4 allows it to mappings that depend on the remote
 * endpoint; Linux does it always, because all it asks of a new flow is that no other one looks the
 * same from outside.
 *
 * It makes a mapping a matter of history. Measured on Linux 6.18: of two hosts with the same port
 * the second keeps it, too, until it meets a remote endpoint the first one talks to. Then it gets a
 * random one, and from then on the random one goes to every new remote endpoint, while the older
 * flows stay where they were: a flow goes by the newest flow of its inside endpoint that leaves the
 * place free, and only if there is none by the rules for ports (find_appropriate_src() and
 * get_unique_tuple() of its nf_nat_core.c). */
#include "nat/state.h"

#include "base/assert.h"

enum { CHAIN_MAX = 64 }; /* mappings of one inside endpoint that are looked at */

static bool is_on(const struct nat *nat) {
    return nat->config.overload != NAT_OVERLOAD_OFF;
}

/* ---- chains: by_inside and by_outside name the first mapping, that one the next ---------------
 */
enum chain { INSIDE, OUTSIDE };

static uint32_t *next_of(struct nat *nat, uint32_t mapping, enum chain chain) {
    struct nat_mapping *m = &nat->mappings[mapping];
    return chain == INSIDE ? &m->next_inside : &m->next_outside;
}

static struct table *chain_table(struct nat *nat, uint32_t mapping, enum chain chain,
                                 uint8_t key[NAT_KEY_INSIDE]) {
    const struct nat_mapping *m = &nat->mappings[mapping];
    if (chain == INSIDE)
        nat_key_flow(key, m->proto, &m->internal, &m->remote);
    else
        nat_key_outside(key, m->proto, &m->external);
    return chain == INSIDE ? &nat->by_inside : &nat->by_outside;
}

/* The first of its name becomes the head, another one the second. */
static void link_to(struct nat *nat, uint32_t mapping, enum chain chain) {
    uint8_t key[NAT_KEY_INSIDE];
    struct table *table = chain_table(nat, mapping, chain, key);
    uint32_t head = NAT_NONE;
    *next_of(nat, mapping, chain) = NAT_NONE;
    if (is_on(nat) && table_get(table, key, &head)) { /* otherwise names are unique */
        *next_of(nat, mapping, chain) = *next_of(nat, head, chain);
        *next_of(nat, head, chain) = mapping;
        return;
    }
    enum bk_err e = table_put(table, key, mapping);
    bk_assert(e == BK_OK); /* the tables hold as much as the pool */
}

static void unlink_from(struct nat *nat, uint32_t mapping, enum chain chain) {
    uint8_t key[NAT_KEY_INSIDE];
    struct table *table = chain_table(nat, mapping, chain, key);
    uint32_t at = NAT_NONE, next = *next_of(nat, mapping, chain);
    if (!is_on(nat)) {
        (void)table_remove(table, key);
        return;
    }
    bool found = table_get(table, key, &at);
    bk_assert(found);
    if (at == mapping && next == NAT_NONE) {
        (void)table_remove(table, key);
        return;
    }
    if (at == mapping) {
        enum bk_err e = table_put(table, key, next);
        bk_assert(e == BK_OK);
        return;
    }
    while (*next_of(nat, at, chain) != mapping) {
        at = *next_of(nat, at, chain);
        bk_assert(at != NAT_NONE);
    }
    *next_of(nat, at, chain) = next;
}

void nat_overload_enter(struct nat *nat, uint32_t mapping) {
    link_to(nat, mapping, INSIDE);
    link_to(nat, mapping, OUTSIDE);
}

void nat_overload_leave(struct nat *nat, uint32_t mapping) {
    unlink_from(nat, mapping, INSIDE);
    unlink_from(nat, mapping, OUTSIDE);
}

bool nat_overload_has(const struct nat *nat, uint32_t mapping) {
    const struct nat_mapping *m = &nat->mappings[mapping];
    uint8_t inside[NAT_KEY_INSIDE], outside[NAT_KEY_OUTSIDE];
    nat_key_flow(inside, m->proto, &m->internal, &m->remote);
    nat_key_outside(outside, m->proto, &m->external);
    uint32_t a = NAT_NONE, b = NAT_NONE;
    (void)table_get(&nat->by_inside, inside, &a);
    (void)table_get(&nat->by_outside, outside, &b);
    while (a != mapping && a != NAT_NONE)
        a = nat->mappings[a].next_inside;
    while (b != mapping && b != NAT_NONE)
        b = nat->mappings[b].next_outside;
    return a == mapping && b == mapping;
}

/* ---- sessions as the outside sees them ---------------------------------------------------------
 */
static uint32_t find_reply(const struct nat *nat, enum nat_proto proto,
                           const struct bk_addr *external, const struct bk_addr *remote) {
    uint8_t key[NAT_KEY_FLOW];
    nat_key_flow(key, proto, external, remote);
    uint32_t session = NAT_NONE;
    return table_get(&nat->by_reply, key, &session) ? session : NAT_NONE;
}

static void reply_key(const struct nat *nat, uint32_t session, uint8_t key[NAT_KEY_FLOW]) {
    const struct nat_session *s = &nat->sessions[session];
    const struct nat_mapping *m = &nat->mappings[s->mapping];
    nat_key_flow(key, m->proto, &m->external, &s->remote);
}

void nat_overload_enter_session(struct nat *nat, uint32_t session) {
    if (!is_on(nat))
        return;
    uint8_t key[NAT_KEY_FLOW];
    reply_key(nat, session, key);
    enum bk_err e = table_put(&nat->by_reply, key, session);
    bk_assert(e == BK_OK);
}

void nat_overload_leave_session(struct nat *nat, uint32_t session) {
    if (!is_on(nat))
        return;
    uint8_t key[NAT_KEY_FLOW];
    reply_key(nat, session, key);
    (void)table_remove(&nat->by_reply, key);
}

/* ---- choices -----------------------------------------------------------------------------------
 */
bool nat_overload_free(const struct nat *nat, const struct nat_flow *flow,
                       const struct bk_addr *external) {
    if (!is_on(nat))
        return nat_mapping_find_external(nat, flow->proto, external) == NAT_NONE;
    /* A hairpin from an outside endpoint to itself, shared by two hosts, would be its own answer.
     * Linux keeps the port even then. */
    uint32_t owner = nat_mapping_find_external(nat, flow->proto, external);
    if (owner != NAT_NONE && bk_addr_equal(external, &flow->dst) &&
        !bk_addr_equal(&nat->mappings[owner].internal, &flow->src))
        return false;
    return find_reply(nat, flow->proto, external, &flow->dst) == NAT_NONE;
}

/* The serial number of the newest session of the mapping that an inside packet made; 0: none. Those
 * of strangers do not count: they are not the inside endpoint's flows. */
static uint64_t newest(const struct nat *nat, const struct nat_mapping *m) {
    for (uint32_t i = m->first; i != NAT_NONE; i = nat->sessions[i].next) {
        if (nat->sessions[i].made_by == NAT_INSIDE)
            return nat->sessions[i].serial;
    }
    return 0;
}

uint32_t nat_overload_reuse(const struct nat *nat, uint32_t mapping, const struct nat_flow *flow) {
    if (!is_on(nat))
        return mapping;
    uint32_t best = NAT_NONE;
    uint64_t best_serial = 0;
    for (int i = 0; i < CHAIN_MAX && mapping != NAT_NONE; i++) {
        const struct nat_mapping *m = &nat->mappings[mapping];
        uint64_t serial = newest(nat, m);
        bool better = best == NAT_NONE || serial > best_serial;
        if (better && nat_overload_free(nat, flow, &m->external)) {
            best = mapping;
            best_serial = serial;
        }
        mapping = m->next_inside;
    }
    return best;
}

uint32_t nat_overload_find(const struct nat *nat, enum nat_proto proto,
                           const struct bk_addr *external, const struct bk_addr *remote) {
    uint32_t mapping = nat_mapping_find_external(nat, proto, external);
    if (!is_on(nat) || mapping == NAT_NONE)
        return mapping;
    uint32_t session = find_reply(nat, proto, external, remote);
    if (session != NAT_NONE)
        return nat->sessions[session].mapping;
    /* The box's own session with somebody else is nobody's business. */
    for (int i = 0; i < CHAIN_MAX && mapping != NAT_NONE && nat->mappings[mapping].local; i++)
        mapping = nat->mappings[mapping].next_outside;
    return mapping;
}

void nat_overload_lead(struct nat *nat, uint32_t mapping) {
    const struct nat_mapping *m = &nat->mappings[mapping];
    uint32_t head = is_on(nat) ? nat_mapping_find_external(nat, m->proto, &m->external) : mapping;
    if (head == mapping)
        return;
    unlink_from(nat, mapping, OUTSIDE);
    *next_of(nat, mapping, OUTSIDE) = head;
    uint8_t key[NAT_KEY_OUTSIDE];
    nat_key_outside(key, m->proto, &m->external);
    enum bk_err e = table_put(&nat->by_outside, key, mapping);
    bk_assert(e == BK_OK);
}
