/* SPDX-License-Identifier: MIT */
#include "ice/checklist.h"

#include "base/assert.h"

#include <string.h>

enum {
    CLASSES = BK_ICE_KINDS * BK_ICE_KINDS * 4, /* local kind x remote kind x family x TCP */
    EXACT_COMPS = 16,                          /* up to here every group has its own count */
    GROUPS = CLASSES * EXACT_COMPS,
    FOUNDATION_BITS = 1024 /* of the sieve in thawable() */
};

void ice_checklist_init(struct ice_checklist *list, struct ice_pair *pairs, uint16_t cap) {
    struct ice_checklist fresh = {.pairs = pairs, .cap = cap};
    *list = fresh;
}

/* ---- Room --------------------------------------------------------------------------------- */

static uint8_t class_of(const struct ice_cand *local, const struct ice_cand *remote) {
    unsigned v6 = remote->addr.ip.family == BK_IPV6, tcp = ice_cand_is_tcp(remote);
    unsigned kinds = (unsigned)local->kind * BK_ICE_KINDS + (unsigned)remote->kind;
    return (uint8_t)(kinds * 4 + tcp * 2 + v6);
}

static unsigned group_of(unsigned kinds, uint16_t comp) {
    return kinds + CLASSES * (comp % EXACT_COMPS);
}

static unsigned fullest_group(const uint16_t counts[GROUPS], unsigned own) {
    unsigned fullest = own;
    for (unsigned i = 0; i < GROUPS; i++) {
        if (counts[i] > counts[fullest])
            fullest = i;
    }
    return fullest;
}

static bool may_go(const struct ice_pair *p) {
    return p->id != 0 && p->state != BK_ICE_PAIR_SUCCEEDED;
}

/* Where groups of several components share a count: is `p` alone in its own? */
static bool is_last_of_group(const struct ice_checklist *list, const struct ice_pair *p) {
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *q = &list->pairs[i];
        if (q != p && q->id != 0 && q->comp == p->comp && q->kinds == p->kinds)
            return false;
    }
    return true;
}

uint16_t ice_checklist_victim(const struct ice_checklist *list, const struct ice_cands *locals,
                              const struct ice_cands *remotes, uint16_t local, uint16_t remote,
                              uint64_t priority) {
    uint16_t counts[GROUPS] = {0};
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (may_go(p))
            counts[group_of(p->kinds, p->comp)]++;
    }
    const struct ice_cand *l = &locals->slots[local];
    uint8_t kinds = class_of(l, &remotes->slots[remote]);
    unsigned from = fullest_group(counts, group_of(kinds, l->comp));
    bool from_own = from == group_of(kinds, l->comp);
    uint16_t victim = ICE_NONE;
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        bool own = p->kinds == kinds && p->comp == l->comp;
        if (!may_go(p) || group_of(p->kinds, p->comp) != from ||
            (victim != ICE_NONE && p->priority >= list->pairs[victim].priority) ||
            (!own && is_last_of_group(list, p)))
            continue;
        victim = i;
    }
    /* One of our own kind must be worth less. */
    if (victim != ICE_NONE && from_own && list->pairs[victim].priority >= priority)
        return ICE_NONE;
    return victim;
}

/* ---- Adding, removing, finding ------------------------------------------------------------ */

static uint64_t fnv1a(uint64_t hash, const char *text) {
    for (; *text != '\0'; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
    return hash;
}

/* Pairs are of one foundation when both candidates are, RFC 8445 section 6.1.2.6. Kept as a hash: a
 * collision would only delay a check. */
static uint64_t foundation_of(const struct ice_cand *local, const struct ice_cand *remote) {
    uint64_t hash = fnv1a(UINT64_C(0xcbf29ce484222325), local->foundation);
    return fnv1a((hash ^ 0xff) * UINT64_C(0x100000001b3), remote->foundation);
}

/* Has some server answered this candidate's base? What is server-reflexive or relayed shows it. */
static bool base_is_proven(const struct ice_cands *locals, const struct ice_cand *local) {
    if (local->kind == BK_ICE_RELAYED)
        return true;
    for (uint16_t i = 0; i < locals->top; i++) {
        const struct ice_cand *c = &locals->slots[i];
        if (c->used && c->kind == BK_ICE_SRFLX && ice_cand_is_tcp(c) == ice_cand_is_tcp(local) &&
            ice_addr_same(&c->base, &local->base))
            return true;
    }
    return false;
}

void ice_checklist_prove(struct ice_checklist *list, const struct bk_addr *base, bool tcp) {
    for (uint16_t i = 0; i < list->top; i++) {
        struct ice_pair *p = &list->pairs[i];
        p->proven |= p->id != 0 && p->tcp == tcp && ice_addr_same(&p->base, base);
    }
}

static uint16_t take_slot(struct ice_checklist *list) {
    for (uint16_t i = 0; i < list->cap; i++) {
        if (list->pairs[i].id != 0)
            continue;
        if (i >= list->top)
            list->top = (uint16_t)(i + 1);
        list->count++;
        return i;
    }
    return ICE_NONE;
}

/* Before a check of it has left, a pair may still have to give way, RFC 8445 section 6.1.2.6: the
 * lowest component first, then the highest priority. */
static bool goes_first(const struct ice_pair *a, const struct ice_pair *b, uint16_t component_a,
                       uint16_t component_b) {
    return component_a != component_b ? component_a < component_b : a->priority > b->priority;
}

/* RFC 8838 section 12 and RFC 8445 section 6.1.2.6: Waiting if it is the first of its foundation or
 * one of them has succeeded, else Frozen. */
static bool may_start(struct ice_checklist *list, const struct ice_cands *locals,
                      const struct ice_pair *pair) {
    bool first = true;
    struct ice_pair *waiting = NULL;
    for (uint16_t i = 0; i < list->top; i++) {
        struct ice_pair *p = &list->pairs[i];
        if (p->id == 0 || p == pair || p->old || p->foundation != pair->foundation)
            continue;
        if (p->state == BK_ICE_PAIR_SUCCEEDED)
            return true;
        first = false;
        if (p->state == BK_ICE_PAIR_WAITING && !p->queued && p->retries == 0)
            waiting = p;
        else if (p->state != BK_ICE_PAIR_FROZEN)
            return false; /* its turn has begun */
    }
    if (first || waiting == NULL)
        return first;
    if (!goes_first(pair, waiting, locals->slots[pair->local].component,
                    locals->slots[waiting->local].component))
        return false;
    waiting->state = BK_ICE_PAIR_FROZEN; /* as if this one had been there first: not a move */
    return true;
}

/* A check leaves from its candidate's base, so pairs are of bases: RFC 8445 section 6.1.2.4, RFC
 * 8838 sections 10 and 11. */
uint16_t ice_checklist_add(struct ice_checklist *list, const struct ice_cands *locals,
                           const struct ice_cands *remotes, uint16_t local, uint16_t remote,
                           bool controlling) {
    const struct ice_cand *l = &locals->slots[local], *r = &remotes->slots[remote];
    uint16_t at = take_slot(list);
    if (at == ICE_NONE)
        return at;
    struct ice_pair p = {.id = ++list->last_id,
                         .local = local,
                         .remote = remote,
                         .mapped = local,
                         .comp = l->comp,
                         .stream = l->stream,
                         .tcp = ice_cand_is_tcp(l),
                         .proven = base_is_proven(locals, l),
                         .state = BK_ICE_PAIR_FROZEN,
                         .kinds = class_of(l, r),
                         .foundation = foundation_of(l, r),
                         .priority = ice_pair_priority_of(l, r, controlling),
                         .base = l->base,
                         .to = r->addr,
                         .rtt_us = -1,
                         .started = BK_NEVER,
                         .triggered_at = BK_NEVER,
                         .nominated_at = BK_NEVER,
                         .valid_since = BK_NEVER,
                         .next_check = BK_NEVER,
                         .consent_until = BK_NEVER,
                         .retry_at = BK_NEVER,
                         .answered_at = BK_NEVER,
                         .heard_at = BK_NEVER,
                         .data_at = BK_NEVER};
    p.to.ip.zone = l->base.ip.zone; /* the peer's zone index means nothing here */
    list->pairs[at] = p;
    if (may_start(list, locals, &list->pairs[at]))
        list->pairs[at].state = BK_ICE_PAIR_WAITING; /* its first state, not a move */
    return at;
}

void ice_checklist_remove(struct ice_checklist *list, uint16_t index) {
    bk_assert(list->pairs[index].id != 0);
    ice_checklist_untrigger(list, index);
    memset(&list->pairs[index], 0, sizeof list->pairs[index]);
    list->count--;
    while (list->top > 0 && list->pairs[list->top - 1].id == 0)
        list->top--;
}

uint16_t ice_checklist_find(const struct ice_checklist *list, const struct ice_path *path,
                            bool old) {
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->id != 0 && p->old == old && p->tcp == path->tcp && ice_addr_same(&p->to, path->to) &&
            ice_addr_same(&p->base, path->base))
            return i;
    }
    return ICE_NONE;
}

uint16_t ice_checklist_find_id(const struct ice_checklist *list, uint32_t id) {
    for (uint16_t i = 0; id != 0 && i < list->top; i++) {
        if (list->pairs[i].id == id)
            return i;
    }
    return ICE_NONE;
}

/* ---- The triggered-check queue, RFC 8445 section 6.1.4.1 ----------------------------------- */

void ice_checklist_trigger(struct ice_checklist *list, uint16_t index) {
    struct ice_pair *p = &list->pairs[index];
    if (p->queued)
        return;
    p->queued = true;
    p->queued_at = list->queue_next++;
    list->queue_len++;
}

void ice_checklist_untrigger(struct ice_checklist *list, uint16_t index) {
    if (!list->pairs[index].queued)
        return;
    list->pairs[index].queued = false;
    list->queue_len--;
}

uint16_t ice_checklist_triggered(const struct ice_checklist *list) {
    uint16_t first = ICE_NONE;
    for (uint16_t i = 0; list->queue_len != 0 && i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        /* the difference as a signed number, so that the counter may wrap */
        if (p->queued &&
            (first == ICE_NONE || (int32_t)(p->queued_at - list->pairs[first].queued_at) < 0))
            first = i;
    }
    return first;
}

/* ---- Which pair is next ------------------------------------------------------------------- */

static bool has_begun(const struct ice_pair *p, uint16_t stream) {
    return p->id != 0 && p->stream == stream && p->state != BK_ICE_PAIR_FROZEN &&
           p->state != BK_ICE_PAIR_WAITING;
}

/* How many pairs of each kind have been checked: of all, and of those with proven bases. */
struct begun {
    uint16_t all[CLASSES], proven[CLASSES];
};

static uint16_t begun_like(const struct ice_pair *p, const struct begun *begun) {
    return p->proven ? begun->proven[p->kinds] : begun->all[p->kinds];
}

static bool goes_before(const struct ice_pair *a, const struct ice_pair *b,
                        const struct begun *begun) {
    if (begun_like(a, begun) != begun_like(b, begun))
        return begun_like(a, begun) < begun_like(b, begun);
    if (a->proven != b->proven)
        return a->proven;
    return a->priority > b->priority;
}

uint16_t ice_checklist_ordinary(const struct ice_checklist *list, uint16_t stream) {
    struct begun begun = {.all = {0}};
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (!has_begun(p, stream))
            continue;
        begun.all[p->kinds]++;
        begun.proven[p->kinds] = (uint16_t)(begun.proven[p->kinds] + p->proven);
    }
    uint16_t best = ICE_NONE;
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->id == 0 || p->stream != stream || p->state != BK_ICE_PAIR_WAITING || p->queued)
            continue;
        if (best == ICE_NONE || goes_before(p, &list->pairs[best], &begun))
            best = i;
    }
    return best;
}

bool ice_checklist_is_first(const struct ice_checklist *list, uint16_t index) {
    const struct ice_pair *pair = &list->pairs[index];
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->kinds == pair->kinds && p->proven >= pair->proven && has_begun(p, p->stream))
            return false;
    }
    return true;
}

static bool holds_back(const struct ice_pair *p) {
    return (p->state == BK_ICE_PAIR_WAITING && !p->mute) ||
           (p->state == BK_ICE_PAIR_IN_PROGRESS && !p->overdue);
}

uint16_t ice_checklist_thawable(const struct ice_checklist *list, uint16_t stream) {
    uint8_t busy[FOUNDATION_BITS / 8] = {0};
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        unsigned bit = p->foundation % FOUNDATION_BITS;
        if (p->id != 0 && !p->old && holds_back(p))
            busy[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
    uint16_t best = ICE_NONE;
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        unsigned bit = p->foundation % FOUNDATION_BITS;
        if (p->id == 0 || p->stream != stream || p->state != BK_ICE_PAIR_FROZEN ||
            (busy[bit / 8] >> bit % 8 & 1) != 0)
            continue;
        if (best == ICE_NONE || p->priority > list->pairs[best].priority)
            best = i;
    }
    return best;
}

void ice_checklist_thaw_like(struct ice_checklist *list, uint64_t foundation,
                             const struct bk_trace *trace, struct bk_time now) {
    for (uint16_t i = 0; i < list->top; i++) {
        struct ice_pair *p = &list->pairs[i];
        if (p->id != 0 && p->state == BK_ICE_PAIR_FROZEN && p->foundation == foundation)
            ice_pair_move(p, BK_ICE_PAIR_WAITING, trace, now);
    }
}

void ice_checklist_rerank(struct ice_checklist *list, const struct ice_cands *locals,
                          const struct ice_cands *remotes, bool controlling) {
    for (uint16_t i = 0; i < list->top; i++) {
        struct ice_pair *p = &list->pairs[i];
        if (p->id == 0)
            continue;
        const struct ice_cand *l = &locals->slots[p->local], *r = &remotes->slots[p->remote];
        p->priority = ice_pair_priority_of(l, r, controlling);
        p->foundation = foundation_of(l, r);
        p->kinds = class_of(l, r);
    }
}

size_t ice_checklist_count_state(const struct ice_checklist *list, enum bk_ice_pair_state state) {
    size_t n = 0;
    for (uint16_t i = 0; i < list->top; i++)
        n += list->pairs[i].id != 0 && !list->pairs[i].old && list->pairs[i].state == state;
    return n;
}

void ice_checklist_check(const struct ice_checklist *list) {
    size_t used = 0, queued = 0;
    for (uint16_t i = 0; i < list->cap; i++) {
        const struct ice_pair *p = &list->pairs[i];
        bk_assert(p->id == 0 || i < list->top);
        ice_pair_check(p);
        used += p->id != 0;
        queued += p->id != 0 && p->queued;
        bk_assert(p->id != 0 || !p->queued);
        bk_assert(p->id == 0 || !p->queued || p->state == BK_ICE_PAIR_WAITING);
    }
    bk_assert(used == list->count);
    bk_assert(queued == list->queue_len);
}
