/* SPDX-License-Identifier: MIT */
#include "lab/link.h"

/* How long the rate limit takes for `bytes`, in microseconds. */
static int64_t rate_us(uint64_t bytes, uint64_t rate_bps) {
    return (int64_t)(bytes * 8 * 1000000 / rate_bps);
}

static uint64_t below(struct rng_seeded *random, uint64_t bound) {
    return rng_seeded_next(random) % bound; /* a bias of bound / 2^64 is no matter here */
}

enum link_verdict link_enter(struct fabric_link *link, struct transit *t, struct rng_seeded *random,
                             struct bk_time now) {
    const struct topology_link *c = &link->config;
    if (c->loss_ppm > 0 && below(random, 1000000) < c->loss_ppm)
        return LINK_LOST;
    struct bk_time start = now;
    if (c->rate_bps > 0) {
        start = bk_later(now, link->busy_until);
        if (bk_elapsed_us(now, start) > rate_us(c->queue_bytes, c->rate_bps))
            return LINK_FULL;
        start = bk_after(start, rate_us(t->len - FABRIC_VNET_LEN, c->rate_bps));
        link->busy_until = start;
    }
    int64_t wait = c->delay_us;
    if (c->jitter_us > 0)
        wait += (int64_t)below(random, (uint64_t)c->jitter_us + 1);
    t->due = bk_after(start, wait);
    if (link->first != NULL)
        t->due = bk_later(t->due, link->last_due); /* nobody overtakes */
    return link->first == NULL && !bk_before(now, t->due) ? LINK_PASS : LINK_WAIT;
}

void link_push(struct fabric_link *link, struct transit *t) {
    t->next = NULL;
    if (link->first == NULL)
        link->first = t;
    else
        link->last->next = t;
    link->last = t;
    link->last_due = t->due;
}

struct transit *link_pop(struct fabric_link *link, struct bk_time now) {
    struct transit *t = link->first;
    if (t == NULL || bk_before(now, t->due))
        return NULL;
    link->first = t->next;
    t->next = NULL;
    return t;
}

struct bk_time link_deadline(const struct fabric_link *link) {
    return link->first == NULL ? BK_NEVER : link->first->due;
}
