/* SPDX-License-Identifier: MIT
 * Allocate and Refresh, RFC 8656 sections 7.2 and 8.2. */
#include "turn/service_int.h"

#include "base/assert.h"
#include "base/rng.h"

#include <string.h>

enum {
    UDP_PROTOCOL = 17,
    WIRE_IPV4 = 1,
    WIRE_IPV6 = 2,
    /* ADDITIONAL-ADDRESS-FAMILY in draft-ietf-tram-turn-ssoda, and in coturn to this day (4.6.1) */
    DRAFT_ADDITIONAL_FAMILY = 0x8032
};

#define RESERVED_US (30 * BK_US_PER_S) /* section 7.2: at least */

/* What an Allocate asks for. */
struct wish {
    bool want[TURN_FAMILIES];
    bool both; /* one of them is enough */
    enum turn_parity parity;
    uint64_t token; /* of a reservation; 0: none */
};

/* RFC 8656 section 7.2: the default at least, the maximum at most. */
static uint32_t lifetime_for(const struct turn_service *s, const struct stun_msg *m) {
    uint32_t asked;
    if (stun_get_u32(m, TURN_LIFETIME, &asked) != BK_OK || asked < s->config.lifetime_s)
        return s->config.lifetime_s;
    return asked < s->config.lifetime_max_s ? asked : s->config.lifetime_max_s;
}

static bool has_family(const struct turn_service *s, size_t family) {
    return s->config.relay[family].family != BK_FAMILY_NONE;
}

/* Sections 7.2 points 5 to 9. 0: fine. */
static uint16_t read_families(const struct turn_service *s, const struct stun_msg *m,
                              struct wish *w) {
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

static uint16_t read_wish(const struct turn_service *s, const struct stun_msg *m, struct wish *w) {
    uint32_t transport;
    struct wire_span even;
    memset(w, 0, sizeof *w);
    if (stun_get_u32(m, TURN_REQUESTED_TRANSPORT, &transport) != BK_OK)
        return STUN_CODE_BAD_REQUEST; /* point 3 */
    if (transport >> 24 != UDP_PROTOCOL)
        return TURN_CODE_TRANSPORT_UNSUPPORTED;
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

static struct turn_reservation *find_reservation(struct turn_service *s, uint64_t token) {
    for (size_t i = 0; i < TURN_RESERVATIONS; i++) {
        struct turn_reservation *r = &s->reservations[i];
        if (r->token == token && (token == 0 || !bk_due(r->expires, s->now)))
            return r;
    }
    return NULL;
}

/* Holds the port after `port` for somebody who will bring the token. 0: no room. */
static uint64_t reserve(struct turn_service *s, size_t family, uint16_t port) {
    struct turn_reservation *r = find_reservation(s, 0);
    if (r == NULL || !turn_ports_take_this(&s->ports[family], port))
        return 0;
    r->token = rng_u64(&s->rng) | 1;
    r->port = port;
    r->family = (uint8_t)family;
    r->expires = bk_after(s->now, RESERVED_US);
    return r->token;
}

/* One relay port, or an error code. */
static uint16_t take_port(struct turn_service *s, struct turn_alloc *a, size_t family,
                          enum turn_parity parity) {
    uint16_t port;
    if (!has_family(s, family))
        return TURN_CODE_FAMILY_UNSUPPORTED;
    if (!turn_ports_take(&s->ports[family], parity, &s->rng, &port))
        return TURN_CODE_INSUFFICIENT_CAPACITY;
    if (parity == TURN_EVEN_PAIR) {
        a->token = reserve(s, family, (uint16_t)(port + 1));
        if (a->token == 0) {
            turn_ports_give_back(&s->ports[family], port);
            return TURN_CODE_INSUFFICIENT_CAPACITY;
        }
    }
    a->port[family] = port;
    return 0;
}

static uint16_t take_reserved(struct turn_service *s, struct turn_alloc *a, uint64_t token) {
    struct turn_reservation *r = find_reservation(s, token);
    if (r == NULL)
        return TURN_CODE_INSUFFICIENT_CAPACITY;
    a->port[r->family] = r->port;
    memset(r, 0, sizeof *r);
    return 0;
}

static uint16_t take_ports(struct turn_service *s, struct turn_alloc *a, const struct wish *w) {
    uint16_t codes[TURN_FAMILIES] = {0};
    if (w->token != 0)
        return take_reserved(s, a, w->token);
    for (size_t family = 0; family < TURN_FAMILIES; family++)
        if (w->want[family])
            codes[family] = take_port(s, a, family, w->parity);
    if (!w->both)
        return codes[0] != 0 ? codes[0] : codes[1];
    if (codes[0] != 0 && codes[1] != 0)
        return TURN_CODE_INSUFFICIENT_CAPACITY;
    a->trouble = codes[0] != 0 ? codes[0] : codes[1]; /* point 9: partly met */
    return 0;
}

/* RFC 8656 section 18.12: the family, reserved bits, and a code as in ERROR-CODE. */
static void put_address_error(struct stun_builder *b, const struct turn_alloc *a) {
    const uint8_t bytes[4] = {a->port[0] == 0 ? WIRE_IPV4 : WIRE_IPV6, 0,
                              (uint8_t)(a->trouble / 100), (uint8_t)(a->trouble % 100)};
    stun_put_bytes(b, TURN_ADDRESS_ERROR_CODE, bytes, sizeof bytes);
}

static void answer_allocated(struct turn_service *s, struct turn_ask *ask, uint32_t i) {
    const struct turn_alloc *a = &s->allocs.list[i];
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
    if (a->trouble != 0)
        put_address_error(&ask->b, a);
    turn_answer_send(s, ask);
}

static void set_lifetime(struct turn_service *s, uint32_t i, uint32_t lifetime_s) {
    struct turn_alloc *a = &s->allocs.list[i];
    a->lifetime_s = lifetime_s;
    a->expires = bk_after(s->now, lifetime_s * BK_US_PER_S);
    heap_set(&s->timers, i, a->expires);
}

static void create(struct turn_service *s, struct turn_ask *ask, const struct wish *w) {
    uint32_t i = turn_allocs_add(&s->allocs, ask->in, ask->user.id);
    bk_assert(i != TURN_NONE); /* there was room */
    struct turn_alloc *a = &s->allocs.list[i];
    uint16_t code = take_ports(s, a, w);
    if (code != 0) {
        turn_allocs_remove(&s->allocs, i);
        turn_answer_error(s, ask, code);
        return;
    }
    for (size_t family = 0; family < TURN_FAMILIES; family++) {
        if (a->port[family] == 0)
            continue;
        turn_ports_set_owner(&s->ports[family], a->port[family], i);
        turn_service_push(s, TURN_OPEN, family, a->port[family]);
    }
    memcpy(a->txid, ask->m.txid, STUN_TXID_LEN);
    set_lifetime(s, i, lifetime_for(s, &ask->m));
    s->counts[TURN_COUNT_ALLOCATED]++;
    answer_allocated(s, ask, i);
}

void turn_do_allocate(struct turn_service *s, struct turn_ask *ask) {
    struct wish w;
    uint16_t code = 0;
    if (ask->alloc != TURN_NONE) {
        const struct turn_alloc *a = &s->allocs.list[ask->alloc];
        bool again = memcmp(a->txid, ask->m.txid, STUN_TXID_LEN) == 0 && a->user == ask->user.id;
        if (again) /* section 5: a retransmission gets essentially the same answer */
            answer_allocated(s, ask, ask->alloc);
        else
            turn_answer_error(s, ask, TURN_CODE_ALLOCATION_MISMATCH); /* point 2 */
        return;
    }
    code = read_wish(s, &ask->m, &w);
    if (code == 0 && turn_allocs_of_user(&s->allocs, ask->user.id) >= s->config.per_user_max)
        code = TURN_CODE_QUOTA_REACHED; /* point 10: by user, not by address */
    if (code == 0 && (s->allocs.count == s->allocs.max || !turn_service_has_room(s)))
        code = TURN_CODE_INSUFFICIENT_CAPACITY;
    if (code != 0)
        turn_answer_error(s, ask, code);
    else
        create(s, ask, &w);
}

/* Of two relayed addresses, ends one. */
static void end_family(struct turn_service *s, struct turn_alloc *a, size_t family) {
    turn_ports_set_owner(&s->ports[family], a->port[family], TURN_NOBODY);
    turn_service_push(s, TURN_CLOSE, family, a->port[family]);
    a->port[family] = 0;
}

void turn_do_refresh(struct turn_service *s, struct turn_ask *ask) {
    struct turn_alloc *a = &s->allocs.list[ask->alloc];
    uint32_t asked = 1, family = 0;
    bool one = stun_get_u32(&ask->m, TURN_REQUESTED_ADDRESS_FAMILY, &family) == BK_OK;
    size_t index = family >> 24 == WIRE_IPV6 ? 1 : 0;
    if (one && (a->port[index] == 0 || (family >> 24 != WIRE_IPV4 && index == 0))) {
        turn_answer_error(s, ask, TURN_CODE_PEER_FAMILY_MISMATCH);
        return;
    }
    bool end = stun_get_u32(&ask->m, TURN_LIFETIME, &asked) == BK_OK && asked == 0;
    uint32_t lifetime_s = end ? 0 : lifetime_for(s, &ask->m);
    if (end && one && a->port[1 - index] != 0)
        end_family(s, a, index);
    else if (end)
        turn_service_end(s, ask->alloc);
    else
        set_lifetime(s, ask->alloc, lifetime_s);
    s->counts[TURN_COUNT_REFRESHED]++;
    turn_answer_start(s, ask);
    stun_put_u32(&ask->b, TURN_LIFETIME, lifetime_s);
    turn_answer_send(s, ask);
}
