/* SPDX-License-Identifier: MIT */
#include "portmap/state.h"

#include "base/rng.h"

enum { NATPMP_SENDS = 9 /* RFC 6886 section 3.1 */ };
#define PCP_IRT_US (3 * BK_US_PER_S)    /* RFC 6887 section 8.1.1 */
#define PCP_MRT_US (1024 * BK_US_PER_S) /* the same */
#define NATPMP_FIRST_US (250 * BK_US_PER_MS)

/* RFC 6887 section 8.1.1: "(1 + RAND) *", RAND between -0.1 and +0.1. */
static int64_t around(struct bk_portmap *pm, int64_t us) {
    return us + us / 1000 * ((int64_t)rng_below(&pm->rng, 201) - 100);
}

void repeat_start(struct bk_portmap *pm, struct repeat *r, enum bk_portmap_way way) {
    *r = (struct repeat){.on = true, .want_send = true, .first = pm->now, .due = BK_NEVER};
    if (way == BK_PORTMAP_UPNP)
        return; /* a job, whose end is told */
    r->wait_us = way == BK_PORTMAP_PCP ? around(pm, PCP_IRT_US) : NATPMP_FIRST_US;
}

void repeat_stop(struct repeat *r) {
    r->on = r->want_send = false;
    r->due = BK_NEVER;
}

bool repeat_advance(struct bk_portmap *pm, struct repeat *r, enum bk_portmap_way way) {
    if (!r->on || !bk_due(r->due, pm->now))
        return true;
    if (way == BK_PORTMAP_NATPMP && r->sends >= NATPMP_SENDS)
        return false;
    int64_t next = 2 * r->wait_us;
    if (way == BK_PORTMAP_PCP)
        next = around(pm, next < PCP_MRT_US ? next : PCP_MRT_US);
    r->wait_us = next;
    r->want_send = true;
    r->due = BK_NEVER; /* counted from the sending */
    return true;
}

bool repeat_take_send(struct bk_portmap *pm, struct repeat *r) {
    if (!r->on || !r->want_send)
        return false;
    r->want_send = false;
    if (r->sends < UINT8_MAX)
        r->sends++;
    r->due = r->wait_us > 0 ? bk_after(pm->now, r->wait_us) : BK_NEVER;
    return true;
}
