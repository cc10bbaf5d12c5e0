/* SPDX-License-Identifier: MIT */
#include "ice/checklist.h"

#include "base/assert.h"

#include <string.h>

enum {
    CLASSES = BK_ICE_KINDS * BK_ICE_KINDS * 2, /* local kind x remote kind x family */
    FOUNDATION_BITS = 1024                     /* of the sieve in thawable() */
};

void ice_checklist_init(struct ice_checklist *list, struct ice_pair *pairs, uint16_t *queue,
                        uint16_t cap) {
    struct ice_checklist fresh = {.pairs = pairs, .cap = cap, .queue = queue};
    *list = fresh;
}

/* ---- Room --------------------------------------------------------------------------------- */

static uint8_t class_of(const struct ice_cand *local, const struct ice_cand *remote) {
    unsigned v6 = remote->addr.ip.family == BK_IPV6;
    return (uint8_t)(((unsigned)local->kind * BK_ICE_KINDS + (unsigned)remote->kind) * 2 + v6);
}

static unsigned fullest_class(const uint16_t counts[CLASSES], unsigned own) {
    unsigned fullest = own;
    for (unsigned i = 0; i < CLASSES; i++) {
        if (counts[i] > counts[fullest])
            fullest = i;
    }
    return fullest;
}

uint16_t ice_checklist_victim(const struct ice_checklist *list, const struct ice_cands *locals,
                              const struct ice_cands *remotes, uint16_t local, uint16_t remote,
                              uint64_t priority) {
    uint16_t counts[CLASSES] = {0};
    for (uint16_t i = 0; i < list->top; i++) {
        if (list->pairs[i].id != 0 && list->pairs[i].state != BK_ICE_PAIR_SUCCEEDED)
            counts[list->pairs[i].kinds]++;
    }
    unsigned own = class_of(&locals->slots[local], &remotes->slots[remote]);
    unsigned from = fullest_class(counts, own);
    uint16_t victim = ICE_NONE;
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->id == 0 || p->state == BK_ICE_PAIR_SUCCEEDED || p->kinds != from)
            continue;
        if (victim == ICE_NONE || p->priority < list->pairs[victim].priority)
            victim = i;
    }
    /* One of our own kind must be worth less; one of another kind must leave a pair behind. */
    if (victim != ICE_NONE && from == own && list->pairs[victim].priority >= priority)
        return ICE_NONE;
    return from != own && counts[from] < 2 ? ICE_NONE : victim;
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

/* RFC 8838 section 12 and RFC 8445 section 6.1.2.6: Waiting if it is the first of its foundation or
 * one of them has succeeded, else Frozen. */
static bool may_start(const struct ice_checklist *list, const struct ice_pair *pair) {
    bool first = true;
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->id == 0 || p == pair || p->old || p->foundation != pair->foundation)
            continue;
        if (p->state == BK_ICE_PAIR_SUCCEEDED)
            return true;
        first = false;
    }
    return first;
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
                         .heard_at = BK_NEVER};
    p.to.ip.zone = l->base.ip.zone; /* the peer's zone index means nothing here */
    list->pairs[at] = p;
    if (may_start(list, &list->pairs[at]))
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

uint16_t ice_checklist_find(const struct ice_checklist *list, const struct bk_addr *base,
                            const struct bk_addr *to, bool old) {
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->id != 0 && p->old == old && ice_addr_same(&p->base, base) &&
            ice_addr_same(&p->to, to))
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
    bk_assert(list->queue_len < list->cap);
    list->queue[(list->queue_head + list->queue_len) % list->cap] = index;
    list->queue_len++;
    p->queued = true;
}

void ice_checklist_untrigger(struct ice_checklist *list, uint16_t index) {
    if (!list->pairs[index].queued)
        return;
    uint16_t kept = 0;
    for (uint16_t i = 0; i < list->queue_len; i++) {
        uint16_t at = list->queue[(list->queue_head + i) % list->cap];
        if (at != index)
            list->queue[(list->queue_head + kept++) % list->cap] = at;
    }
    list->queue_len = kept;
    list->pairs[index].queued = false;
}

uint16_t ice_checklist_triggered(const struct ice_checklist *list) {
    return list->queue_len == 0 ? ICE_NONE : list->queue[list->queue_head];
}

/* ---- Which pair is next ------------------------------------------------------------------- */

uint16_t ice_checklist_ordinary(const struct ice_checklist *list) {
    uint16_t begun[CLASSES] = {0};
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->id != 0 && p->state != BK_ICE_PAIR_FROZEN && p->state != BK_ICE_PAIR_WAITING)
            begun[p->kinds]++;
    }
    uint16_t best = ICE_NONE;
    for (uint16_t i = 0; i < list->top; i++) {
        const struct ice_pair *p = &list->pairs[i];
        if (p->id == 0 || p->state != BK_ICE_PAIR_WAITING || p->queued)
            continue;
        const struct ice_pair *b = &list->pairs[best == ICE_NONE ? i : best];
        if (best == ICE_NONE || begun[p->kinds] < begun[b->kinds] ||
            (begun[p->kinds] == begun[b->kinds] && p->priority > b->priority))
            best = i;
    }
    return best;
}

static bool holds_back(const struct ice_pair *p) {
    return p->state == BK_ICE_PAIR_WAITING || (p->state == BK_ICE_PAIR_IN_PROGRESS && !p->overdue);
}

uint16_t ice_checklist_thawable(const struct ice_checklist *list) {
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
        if (p->id == 0 || p->state != BK_ICE_PAIR_FROZEN || (busy[bit / 8] >> bit % 8 & 1) != 0)
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
