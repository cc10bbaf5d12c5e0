/* SPDX-License-Identifier: MIT
 * Relay ports: taken for an allocation, reserved for a later one (EVEN-PORT, RFC 8656 section 7.2),
 * given back. A port that was reserved here and redeemed at another worker comes home by the
 * ledger, which is asked once a second as long as one is away. */
#include "turn/service_int.h"

#include "base/rng.h"

#define RESERVED_US (30 * BK_US_PER_S) /* section 7.2: at least */
#define LOOK_US BK_US_PER_S

static bool has_family(const struct turn_service *s, size_t family) {
    return s->config.relay[family].family != BK_FAMILY_NONE;
}

static void give_back(struct turn_service *s, size_t family, uint16_t port) {
    const struct turn_ledger *l = &s->ledger;
    uint16_t worker = turn_ports_worker(&s->ports[family], port);
    const struct turn_reserved home = {
        .expires = s->now, .port = port, .family = (uint8_t)family, .worker = worker};
    if (worker == s->config.worker)
        turn_ports_give_back(&s->ports[family], port);
    else
        (void)l->reserve(l->ctx, &home, s->now);
}

/* Holds the port after `port` for somebody who will bring the token. 0: no room. */
static uint64_t reserve(struct turn_service *s, size_t family, uint16_t port) {
    const struct turn_ledger *l = &s->ledger;
    const struct turn_reserved r = {.token = rng_u64(&s->rng) | 1,
                                    .expires = bk_after(s->now, RESERVED_US),
                                    .port = port,
                                    .family = (uint8_t)family,
                                    .worker = s->config.worker};
    if (!turn_ports_take_this(&s->ports[family], port))
        return 0;
    if (!l->reserve(l->ctx, &r, s->now)) {
        turn_ports_give_back(&s->ports[family], port);
        return 0;
    }
    s->look_home = s->lent == 0 ? r.expires : bk_earlier(s->look_home, r.expires);
    s->lent++;
    return r.token;
}

void turn_look_home(struct turn_service *s) {
    const struct turn_ledger *l = &s->ledger;
    struct turn_reserved r;
    if (s->lent == 0 || !bk_due(s->look_home, s->now))
        return;
    while (l->overdue(l->ctx, s->config.worker, s->now, &r)) {
        turn_ports_give_back(&s->ports[r.family], r.port);
        s->lent--;
    }
    s->look_home = bk_after(s->now, LOOK_US);
}

static bool may_be_shared(const struct turn_service *s, const struct turn_wish *w) {
    return s->config.shared && w->parity == TURN_ANY_PORT && w->relayed == BK_UDP;
}

/* One relay port, or an error code. */
static uint16_t take_port(struct turn_service *s, uint32_t alloc, size_t family,
                          const struct turn_wish *w) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    enum turn_parity parity = w->parity;
    bool may_share = may_be_shared(s, w);
    uint16_t port;
    if (!has_family(s, family))
        return TURN_CODE_FAMILY_UNSUPPORTED;
    turn_wake_ports(s);
    if (!turn_ports_take(&s->ports[family], parity, &s->rng, &port))
        return may_share && turn_share_join(s, alloc, family, turn_share_choose(s, family))
                   ? 0
                   : TURN_CODE_INSUFFICIENT_CAPACITY;
    if (parity == TURN_EVEN_PAIR) {
        a->token = reserve(s, family, (uint16_t)(port + 1));
        if (a->token == 0) {
            turn_ports_give_back(&s->ports[family], port);
            return TURN_CODE_INSUFFICIENT_CAPACITY;
        }
    }
    a->port[family] = port;
    if (may_share)
        (void)turn_share_start(s, alloc, family); /* or it stays its own */
    return 0;
}

static uint16_t take_reserved(struct turn_service *s, struct turn_alloc *a, uint64_t token) {
    const struct turn_ledger *l = &s->ledger;
    struct turn_reserved r;
    if (!l->redeem(l->ctx, token, s->now, &r))
        return TURN_CODE_INSUFFICIENT_CAPACITY;
    if (r.worker == s->config.worker)
        s->lent--;
    a->port[r.family] = r.port;
    return 0;
}

static uint16_t take(struct turn_service *s, uint32_t alloc, const struct turn_wish *w) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint16_t codes[TURN_FAMILIES] = {0};
    if (w->token != 0)
        return take_reserved(s, a, w->token);
    for (size_t family = 0; family < TURN_FAMILIES; family++)
        if (w->want[family])
            codes[family] = take_port(s, alloc, family, w);
    if (!w->both)
        return codes[0] != 0 ? codes[0] : codes[1];
    if (codes[0] != 0 && codes[1] != 0)
        return TURN_CODE_INSUFFICIENT_CAPACITY;
    a->trouble = codes[0] != 0 ? codes[0] : codes[1]; /* section 7.2, point 9: partly met */
    return 0;
}

/* Is the port open for it alone, so far? */
static bool is_first(const struct turn_service *s, uint32_t alloc, size_t family) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    return a->share[family] == 0 ||
           ((const struct turn_share *)pool_at(&s->shares, a->share[family] - 1))->count == 1;
}

static void have_opened(struct turn_service *s, uint32_t alloc, size_t family, uint8_t relayed) {
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    const struct turn_due due = {
        .kind = TURN_OPEN, .family = (uint8_t)family, .protocol = relayed, .port = a->port[family]};
    if (a->port[family] == 0 || !is_first(s, alloc, family))
        return;
    if (a->share[family] == 0)
        turn_ports_set_owner(&s->ports[family], a->port[family], alloc);
    s->ledger.set_open(s->ledger.ctx, (uint8_t)family, a->port[family], true);
    turn_service_push(s, &due);
}

uint16_t turn_take_another(struct turn_service *s, uint32_t alloc, size_t family,
                           const struct turn_wish *w, bool shared) {
    if (shared)
        return may_be_shared(s, w) &&
                       turn_share_join(s, alloc, family, turn_share_choose(s, family))
                   ? 0
                   : TURN_CODE_INSUFFICIENT_CAPACITY;
    uint16_t code = take_port(s, alloc, family, w);
    if (code == 0)
        have_opened(s, alloc, family, w->relayed);
    return code;
}

void turn_unreserve(struct turn_service *s, uint64_t token) {
    const struct turn_ledger *l = &s->ledger;
    struct turn_reserved r;
    if (!l->redeem(l->ctx, token, s->now, &r))
        return;
    s->lent--;
    turn_ports_give_back(&s->ports[r.family], r.port);
}

uint16_t turn_take_ports(struct turn_service *s, uint32_t alloc, const struct turn_wish *w) {
    struct turn_alloc *a = turn_service_alloc(s, alloc);
    uint16_t code = take(s, alloc, w);
    for (size_t family = 0; code == 0 && family < TURN_FAMILIES; family++)
        have_opened(s, alloc, family, w->relayed);
    a->relayed = w->relayed;
    return code;
}

bool turn_take_over_port(struct turn_service *s, uint32_t alloc, size_t family, uint16_t port) {
    if (!has_family(s, family))
        return false;
    if (s->config.shared && turn_share_join(s, alloc, family, port))
        return true;
    if (!turn_ports_take_this(&s->ports[family], port))
        return false;
    turn_service_alloc(s, alloc)->port[family] = port;
    if (!s->config.shared || !turn_share_start(s, alloc, family))
        turn_ports_set_owner(&s->ports[family], port, alloc);
    s->ledger.set_open(s->ledger.ctx, (uint8_t)family, port, true);
    return true;
}

void turn_close_port(struct turn_service *s, struct turn_alloc *a, size_t family) {
    const struct turn_due due = {.kind = TURN_CLOSE,
                                 .family = (uint8_t)family,
                                 .protocol = a->relayed,
                                 .port = a->port[family]};
    a->port[family] = 0;
    a->socket[family] = NULL;
    if (a->share[family] != 0 && !turn_share_leave(s, a, family))
        return; /* the others go on */
    turn_ports_set_owner(&s->ports[family], due.port, TURN_NOBODY);
    s->ledger.set_open(s->ledger.ctx, (uint8_t)family, due.port, false);
    turn_service_push(s, &due);
}

void turn_port_is_closed(struct turn_service *s, size_t family, uint16_t port) {
    give_back(s, family, port);
}

bool turn_relay_is_open(const struct turn_service *s, const struct bk_addr *relay) {
    size_t family = turn_family_index(relay->ip.family);
    return turn_ports_has(&s->ports[family], relay->port) &&
           s->ledger.is_open(s->ledger.ctx, (uint8_t)family, relay->port);
}

struct bk_addr turn_service_public(const struct turn_service *s, size_t family, uint16_t port) {
    const struct bk_ip *ip = &s->config.public[family];
    return bk_addr(ip->family == BK_FAMILY_NONE ? s->config.relay[family] : *ip, port);
}
