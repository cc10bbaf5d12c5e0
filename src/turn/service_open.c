/* SPDX-License-Identifier: MIT
 * Relay ports that cannot be opened, for another program has them: another one is drawn before the
 * answer leaves. Such a port rests before it is drawn again. */
#include "turn/service_int.h"

#include "base/wipe.h"

enum { TRIES = 32 }; /* half the range may be taken, and nobody notices */

#define REST_US (60 * BK_US_PER_S)

/* ---- Resting ports ------------------------------------------------------------------------ */

static void wake_first(struct turn_service *s) {
    const struct turn_resting *r = &s->resting[s->resting_at];
    turn_ports_give_back(&s->ports[r->family], r->port);
    s->resting_at = (s->resting_at + 1) % TURN_RESTING;
    s->resting_count--;
}

void turn_wake_ports(struct turn_service *s) {
    while (s->resting_count > 0 && bk_due(s->resting[s->resting_at].until, s->now))
        wake_first(s);
}

static void let_rest(struct turn_service *s, size_t family, uint16_t port) {
    if (s->resting_count == TURN_RESTING)
        wake_first(s);
    s->resting[(s->resting_at + s->resting_count) % TURN_RESTING] =
        (struct turn_resting){bk_after(s->now, REST_US), port, (uint8_t)family};
    s->resting_count++;
}

/* ---- The answer that waits ---------------------------------------------------------------- */

void turn_keep_pending(struct turn_service *s, const struct turn_ask *ask,
                       const struct turn_wish *w, uint32_t alloc) {
    struct turn_pending *p = &s->pending;
    p->place = alloc + 1;
    p->tries = 1;
    p->in = *ask->in;
    p->ask = *ask;
    p->ask.in = &p->in;
    p->wish = *w;
}

void turn_forget_pending(struct turn_service *s) {
    if (s->pending.place != 0)
        wipe(&s->pending, sizeof s->pending);
}

/* ---- Another port ------------------------------------------------------------------------- */

static void lose_port(struct turn_service *s, uint32_t alloc, size_t family, bool rest) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint16_t port = a->port[family];
    bool own = turn_ports_worker(&s->ports[family], port) == s->config.worker;
    if (a->share[family] != 0)
        (void)turn_share_leave(s, a, family);
    turn_ports_set_owner(&s->ports[family], port, TURN_NOBODY);
    s->ledger.set_open(s->ledger.ctx, (uint8_t)family, port, false);
    a->port[family] = 0;
    if (a->token != 0)
        turn_unreserve(s, a->token);
    a->token = 0;
    if (own && rest)
        let_rest(s, family, port);
    else
        turn_port_is_closed(s, family, port);
}

static void refuse(struct turn_service *s, uint32_t alloc, enum turn_rule rule) {
    struct turn_ask ask = s->pending.ask;
    turn_service_end(s, alloc);
    s->counts[TURN_COUNT_ALLOCATED]--; /* nobody has heard of it */
    turn_refuse(s, &ask, rule, TURN_CODE_INSUFFICIENT_CAPACITY);
    turn_answer_error(s, &ask, TURN_CODE_INSUFFICIENT_CAPACITY);
    wipe(&ask.user, sizeof ask.user);
    turn_forget_pending(s);
}

/* Without memory or descriptors no port can be opened; one that is open may be shared. */
static uint16_t replace(struct turn_service *s, uint32_t alloc, size_t family, bool exhausted) {
    struct turn_pending *p = &s->pending;
    if (p->wish.token != 0 || p->tries++ == TRIES)
        return TURN_CODE_INSUFFICIENT_CAPACITY;
    return turn_take_another(s, alloc, family, &p->wish, exhausted);
}

void turn_service_cannot_open(struct turn_service *service, const struct bk_addr *addr,
                              enum bk_err err, struct bk_time now) {
    uint32_t i = turn_relay_owner(service, addr);
    size_t family = turn_family_index(addr->ip.family);
    bool exhausted = err == BK_ERR_NO_MEMORY;
    service->now = bk_later(service->now, now);
    if (i == TURN_NONE)
        return;
    struct turn_alloc *a = turn_service_alloc(service, i);
    lose_port(service, i, family, !exhausted);
    if (service->pending.place != i + 1) {
        turn_service_end(service, i);
        service->has_out = false;
        return;
    }
    uint16_t code = replace(service, i, family, exhausted);
    if (code != 0 && a->port[1 - family] == 0) {
        refuse(service, i, exhausted ? TURN_RULE_DESCRIPTORS : TURN_RULE_PORTS);
        return;
    }
    if (code != 0)
        a->trouble = code; /* section 7.2, point 9: partly met */
    turn_answer_allocated(service, &service->pending.ask, i);
}
