/* SPDX-License-Identifier: MIT
 * Allocate and Refresh, RFC 8656 sections 7.2 and 8.2. */
#include "turn/service_int.h"

#include "base/rng.h"

#include <string.h>

enum {
    TCP_PROTOCOL = 6,
    UDP_PROTOCOL = 17,
    WIRE_IPV4 = 1,
    WIRE_IPV6 = 2,
    /* ADDITIONAL-ADDRESS-FAMILY in draft-ietf-tram-turn-ssoda, and in coturn to this day (4.6.1) */
    DRAFT_ADDITIONAL_FAMILY = 0x8032
};

/* RFC 8656 section 7.2: the default at least, the maximum at most; but no longer than the
 * credentials are good for (RFC 7635 section 4.1.2: MUST). */
static uint32_t lifetime_for(const struct turn_service *s, const struct turn_ask *ask) {
    uint32_t asked;
    if (stun_get_u32(&ask->m, TURN_LIFETIME, &asked) != BK_OK || asked < s->config.lifetime_s)
        asked = s->config.lifetime_s;
    if (asked > s->config.lifetime_max_s)
        asked = s->config.lifetime_max_s;
    if (ask->user.lifetime_s > 0 && ask->user.lifetime_s < asked)
        asked = (uint32_t)ask->user.lifetime_s;
    return asked;
}

static bool has_family(const struct turn_service *s, size_t family) {
    return s->config.relay[family].family != BK_FAMILY_NONE;
}

/* Sections 7.2 points 5 to 9. 0: fine. */
static uint16_t read_families(const struct turn_service *s, const struct stun_msg *m,
                              struct turn_wish *w) {
    uint32_t family = (uint32_t)WIRE_IPV4 << 24, additional;
    bool has_requested = stun_get_u32(m, TURN_REQUESTED_ADDRESS_FAMILY, &family) == BK_OK;
    w->both = stun_get_u32(m, TURN_ADDITIONAL_ADDRESS_FAMILY, &additional) == BK_OK ||
              stun_get_u32(m, DRAFT_ADDITIONAL_FAMILY, &additional) == BK_OK;
    if (w->both && (has_requested || additional >> 24 != WIRE_IPV6))
        return STUN_CODE_BAD_REQUEST;
    if (w->both && w->parity == TURN_EVEN_PAIR)
        return STUN_CODE_BAD_REQUEST;
    w->want[0] = w->both || family >> 24 == WIRE_IPV4;
    w->want[1] = w->both || family >> 24 == WIRE_IPV6;
    if ((w->want[0] && has_family(s, 0)) || (w->want[1] && has_family(s, 1)))
        return 0;
    return TURN_CODE_FAMILY_UNSUPPORTED; /* MUST, point 7 */
}

/* RFC 6062 section 5.1: MUST come over a stream, and without what is for datagrams only. */
static bool may_be_tcp(const struct turn_ask *ask) {
    return ask->in->protocol == BK_TCP && !stun_has(&ask->m, TURN_EVEN_PORT) &&
           !stun_has(&ask->m, TURN_RESERVATION_TOKEN) && !stun_has(&ask->m, TURN_DONT_FRAGMENT);
}

static uint16_t read_wish(const struct turn_service *s, const struct turn_ask *ask,
                          struct turn_wish *w) {
    const struct stun_msg *m = &ask->m;
    uint32_t transport;
    struct wire_span even;
    memset(w, 0, sizeof *w);
    if (stun_get_u32(m, TURN_REQUESTED_TRANSPORT, &transport) != BK_OK)
        return STUN_CODE_BAD_REQUEST; /* point 3 */
    w->relayed = transport >> 24 == TCP_PROTOCOL ? BK_TCP : BK_UDP;
    if (transport >> 24 != UDP_PROTOCOL && (w->relayed != BK_TCP || !s->config.tcp))
        return TURN_CODE_TRANSPORT_UNSUPPORTED;
    if (w->relayed == BK_TCP && !may_be_tcp(ask))
        return STUN_CODE_BAD_REQUEST;
    uint16_t code = turn_read_mobility(s, m, &w->mobile);
    if (code != 0)
        return code;
    bool has_even = stun_get_bytes(m, TURN_EVEN_PORT, &even) == BK_OK;
    if (has_even)
        w->parity = (even.data[0] & 0x80) != 0 ? TURN_EVEN_PAIR : TURN_EVEN;
    if (stun_get_u64(m, TURN_RESERVATION_TOKEN, &w->token) != BK_OK)
        return read_families(s, m, w);
    if (has_even || stun_has(m, TURN_REQUESTED_ADDRESS_FAMILY) ||
        stun_has(m, TURN_ADDITIONAL_ADDRESS_FAMILY))
        return STUN_CODE_BAD_REQUEST; /* point 5 */
    return w->token == 0 ? TURN_CODE_INSUFFICIENT_CAPACITY : 0;
}

/* RFC 8656 section 18.12: the family, reserved bits, and a code as in ERROR-CODE. */
static void put_address_error(struct stun_builder *b, const struct turn_alloc *a) {
    const uint8_t bytes[4] = {a->port[0] == 0 ? WIRE_IPV4 : WIRE_IPV6, 0,
                              (uint8_t)(a->trouble / 100), (uint8_t)(a->trouble % 100)};
    stun_put_bytes(b, TURN_ADDRESS_ERROR_CODE, bytes, sizeof bytes);
}

void turn_answer_allocated(struct turn_service *s, struct turn_ask *ask, uint32_t i) {
    const struct turn_alloc *a = turn_service_alloc(s, i);
    turn_answer_start(s, ask);
    for (size_t family = 0; family < TURN_FAMILIES; family++) {
        const struct bk_addr relayed = turn_service_public(s, family, a->port[family]);
        if (a->port[family] != 0)
            stun_put_addr(&ask->b, TURN_XOR_RELAYED_ADDRESS, &relayed);
    }
    stun_put_u32(&ask->b, TURN_LIFETIME, a->lifetime_s);
    if (a->token != 0)
        stun_put_u64(&ask->b, TURN_RESERVATION_TOKEN, a->token);
    stun_put_addr(&ask->b, STUN_XOR_MAPPED_ADDRESS, &a->client);
    turn_put_ticket(s, ask, i);
    if (a->trouble != 0)
        put_address_error(&ask->b, a);
    turn_answer_send(s, ask);
}

static void set_lifetime(struct turn_service *s, uint32_t i, uint32_t lifetime_s) {
    turn_service_alloc(s, i)->lifetime_s = lifetime_s;
    waits_set(&s->allocs.waits, i, bk_after(s->now, lifetime_s * BK_US_PER_S), s->now);
    turn_flows_again(s, i, NULL);
}

static void refuse(struct turn_service *s, struct turn_ask *ask, enum turn_rule rule,
                   uint16_t code) {
    turn_refuse(s, ask, rule, code);
    turn_answer_error(s, ask, code);
}

static void create(struct turn_service *s, struct turn_ask *ask, const struct turn_wish *w) {
    uint32_t i = turn_allocs_add(&s->allocs, ask->in, ask->user.id);
    if (i == TURN_NONE) {
        refuse(s, ask, TURN_RULE_ALLOCATIONS, TURN_CODE_INSUFFICIENT_CAPACITY);
        return;
    }
    struct turn_alloc *a = turn_service_alloc(s, i);
    uint16_t code = turn_quota_enter(s, ask, a);
    if (code != 0) {
        turn_allocs_remove(&s->allocs, i);
        turn_answer_error(s, ask, code);
        return;
    }
    code = turn_take_ports(s, i, w);
    if (code != 0) {
        turn_quota_leave(s, a);
        turn_allocs_remove(&s->allocs, i);
        refuse(s, ask, TURN_RULE_PORTS, code);
        return;
    }
    a->via = s->via;
    a->ticket = w->mobile ? rng_u64(&s->rng) | 1 : 0;
    memcpy(a->txid, ask->m.txid, STUN_TXID_LEN);
    turn_keep_token(s, ask, i);
    turn_bucket_start(&a->bucket, s->config.bytes_per_s, s->now);
    set_lifetime(s, i, lifetime_for(s, ask));
    s->counts[TURN_COUNT_ALLOCATED]++;
    turn_keep_pending(s, ask, w, i);
    turn_answer_allocated(s, ask, i);
}

/* RFC 8489 section 10: another server of the family that was asked on (section 14.15: MUST), or
 * none. */
static void answer_draining(struct turn_service *s, struct turn_ask *ask) {
    bool known = s->alternate.ip.family != BK_FAMILY_NONE &&
                 s->alternate.ip.family == ask->in->remote.ip.family;
    if (!known) {
        refuse(s, ask, TURN_RULE_DRAINING, TURN_CODE_INSUFFICIENT_CAPACITY);
        return;
    }
    turn_refuse(s, ask, TURN_RULE_DRAINING, STUN_CODE_TRY_ALTERNATE);
    turn_answer_error_start(s, ask, STUN_CODE_TRY_ALTERNATE);
    stun_put_addr(&ask->b, STUN_ALTERNATE_SERVER, &s->alternate);
    if (s->alternate_domain[0] != '\0')
        stun_put_bytes(&ask->b, STUN_ALTERNATE_DOMAIN, s->alternate_domain,
                       strlen(s->alternate_domain));
    turn_answer_send(s, ask);
}

void turn_do_allocate(struct turn_service *s, struct turn_ask *ask) {
    struct turn_wish w;
    uint16_t code = 0;
    if (ask->alloc != TURN_NONE) {
        const struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
        bool again = memcmp(a->txid, ask->m.txid, STUN_TXID_LEN) == 0 && a->user == ask->user.id;
        if (again) /* section 5: a retransmission gets essentially the same answer */
            turn_answer_allocated(s, ask, ask->alloc);
        else
            turn_answer_error(s, ask, TURN_CODE_ALLOCATION_MISMATCH); /* point 2 */
        return;
    }
    if (s->draining) {
        answer_draining(s, ask);
        return;
    }
    code = read_wish(s, ask, &w);
    if (code != 0)
        turn_answer_error(s, ask, code);
    else if (!turn_service_has_room(s, TURN_RELAY_PORTS_MAX))
        refuse(s, ask, TURN_RULE_ROOM, TURN_CODE_INSUFFICIENT_CAPACITY);
    else
        create(s, ask, &w);
}

void turn_do_refresh(struct turn_service *s, struct turn_ask *ask) {
    struct turn_alloc *a = turn_service_alloc(s, ask->alloc);
    uint32_t asked = 1, family = 0;
    bool one = stun_get_u32(&ask->m, TURN_REQUESTED_ADDRESS_FAMILY, &family) == BK_OK;
    size_t index = family >> 24 == WIRE_IPV6 ? 1 : 0;
    if (one && (a->port[index] == 0 || (family >> 24 != WIRE_IPV4 && index == 0))) {
        turn_answer_error(s, ask, TURN_CODE_PEER_FAMILY_MISMATCH);
        return;
    }
    bool end = stun_get_u32(&ask->m, TURN_LIFETIME, &asked) == BK_OK && asked == 0;
    uint32_t lifetime_s = end ? 0 : lifetime_for(s, ask);
    if (end && one && a->port[1 - index] != 0) {
        turn_service_end_family(s, ask->alloc, index);
    } else if (end) {
        turn_service_end(s, ask->alloc);
    } else {
        turn_keep_token(s, ask, ask->alloc);
        set_lifetime(s, ask->alloc, lifetime_s);
    }
    s->counts[TURN_COUNT_REFRESHED]++;
    turn_answer_start(s, ask);
    stun_put_u32(&ask->b, TURN_LIFETIME, lifetime_s);
    if (lifetime_s > 0)
        turn_put_ticket(s, ask, ask->alloc); /* RFC 8016 section 3.2.2: a new one each time */
    turn_answer_send(s, ask);
}
