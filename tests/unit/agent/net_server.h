/* SPDX-License-Identifier: MIT
 * The servers of net.h: STUN answers Binding requests, TURN has allocations, permissions and
 * channels, over datagrams and connections. */
#ifndef TESTS_UNIT_AGENT_NET_SERVER_H
#define TESTS_UNIT_AGENT_NET_SERVER_H

#include "net_world.h"

/* RFC 8489 section 2: Binding, answered at once. */
static inline void net_serve(struct net *n, const struct net_packet *p) {
    struct stun_msg m;
    uint8_t buf[128];
    size_t len;
    if (n->server_dead || stun_parse(&m, p->data, p->len) != BK_OK || m.cls != STUN_REQUEST)
        return;
    struct stun_builder b = stun_start_reply(buf, sizeof buf, STUN_SUCCESS, &m);
    stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &p->from);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    net_post(n, &p->to, &p->from, buf, len);
}

/* Where a request came from, and how to answer. */
struct net_client {
    bool in_conn;
    size_t conn;
    struct bk_addr from, at;
};

static inline void net_turn_reply(struct net *n, const struct net_client *c, const uint8_t *data,
                                  size_t len) {
    if (c->in_conn)
        net_conn_post(n, NET_BYTES, c->conn, 0, data, len);
    else
        net_post(n, &c->at, &c->from, data, len);
}

static inline struct net_allocation *net_allocation_of(struct net *n, const struct net_client *c) {
    for (size_t i = 0; i < NET_ALLOCATIONS; i++) {
        struct net_allocation *a = &n->allocations[i];
        if (a->used && a->in_conn == c->in_conn &&
            (c->in_conn ? a->conn == c->conn
                        : bk_addr_equal(&a->client, &c->from) && bk_addr_equal(&a->server, &c->at)))
            return a;
    }
    return NULL;
}

static inline bool net_permitted(const struct net_allocation *a, const struct bk_ip *ip) {
    for (size_t i = 0; i < a->permitted_count; i++)
        if (bk_ip_equal(&a->permitted[i], ip))
            return true;
    return false;
}

static inline struct bk_addr net_relayed(struct net *n, const struct net_allocation *a) {
    return bk_addr(n->turn.ip, (uint16_t)(50000 + (a - n->allocations)));
}

static inline uint16_t net_turn_do(struct net *n, const struct net_client *c,
                                   const struct stun_msg *m, struct stun_builder *b) {
    struct net_allocation *a = net_allocation_of(n, c);
    struct bk_addr peer;
    uint32_t v;
    if (m->method == TURN_ALLOCATE) {
        n->allocates++;
        for (size_t i = 0; a == NULL && i < NET_ALLOCATIONS; i++)
            if (!n->allocations[i].used)
                a = &n->allocations[i];
        assert_non_null(a);
        *a = (struct net_allocation){.used = true,
                                     .in_conn = c->in_conn,
                                     .conn = c->conn,
                                     .client = c->from,
                                     .server = c->at};
        peer = net_relayed(n, a);
        stun_put_addr(b, TURN_XOR_RELAYED_ADDRESS, &peer);
        stun_put_addr(b, STUN_XOR_MAPPED_ADDRESS, &c->from);
        stun_put_u32(b, TURN_LIFETIME, 600);
        return 0;
    }
    if (a == NULL)
        return 437;
    if (m->method == TURN_REFRESH) {
        bool end = stun_get_u32(m, TURN_LIFETIME, &v) == BK_OK && v == 0;
        stun_put_u32(b, TURN_LIFETIME, end ? 0 : 600);
        a->used = !end;
        return 0;
    }
    if (stun_get_addr(m, TURN_XOR_PEER_ADDRESS, &peer) != BK_OK)
        return 400;
    if (!net_permitted(a, &peer.ip)) {
        assert_true(a->permitted_count < 16);
        a->permitted[a->permitted_count++] = peer.ip;
    }
    if (m->method == TURN_CHANNEL_BIND) {
        assert_int_equal(stun_get_u32(m, TURN_CHANNEL_NUMBER, &v), BK_OK);
        assert_in_range((v >> 16) - 0x4000, 0, 7);
        a->channels[(v >> 16) - 0x4000] = peer;
    }
    return 0;
}

static inline void net_turn_request(struct net *n, const struct net_client *c,
                                    const struct stun_msg *m) {
    uint8_t buf[600];
    size_t len;
    struct stun_claim claim;
    struct stun_key key;
    uint16_t code = stun_realm_claim(&n->realm, m, &c->from, n->now, &claim);
    if (code == 0) {
        assert_int_equal(
            stun_key_long("user", "example.org", "secret-of-turn", claim.algorithm, &key), BK_OK);
        code = stun_claim_verify(&claim, m, &key);
    }
    bool authentic = code == 0;
    if (authentic && n->redirect.port != 0 && m->method == TURN_ALLOCATE &&
        !bk_addr_equal(&n->redirect, &c->at))
        code = 300;
    struct stun_builder b = stun_start_reply(buf, sizeof buf, STUN_SUCCESS, m);
    if (code == 0)
        code = net_turn_do(n, c, m, &b);
    if (code != 0) {
        b = stun_start_reply(buf, sizeof buf, STUN_ERROR, m);
        stun_put_error(&b, code, "no");
        if (code == 300)
            stun_put_addr(&b, STUN_ALTERNATE_SERVER, &n->redirect);
        if (!authentic)
            stun_realm_challenge(&n->realm, &b, &c->from, n->now);
    }
    if (authentic)
        stun_claim_sign(&claim, &b, &key);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    net_turn_reply(n, c, buf, len);
}

static inline void net_turn_forward(struct net *n, const struct net_client *c,
                                    const struct bk_addr *peer, const uint8_t *data, size_t len) {
    struct net_allocation *a = net_allocation_of(n, c);
    if (a == NULL)
        return;
    if (!net_permitted(a, &peer->ip)) {
        n->unpermitted++;
        return;
    }
    struct bk_addr from = net_relayed(n, a);
    a->sent++;
    net_post(n, &from, peer, data, len);
}

static inline void net_turn_in(struct net *n, const struct net_client *c, const uint8_t *data,
                               size_t len) {
    struct stun_msg m;
    struct channel_data ch;
    struct bk_addr peer;
    struct wire_span span;
    if (channel_read(data, len, &ch)) {
        struct net_allocation *a = net_allocation_of(n, c);
        if (a != NULL)
            net_turn_forward(n, c, &a->channels[ch.number - 0x4000], ch.data, ch.len);
        return;
    }
    if (stun_parse(&m, data, len) != BK_OK)
        return;
    if (m.cls == STUN_REQUEST && m.method == STUN_BINDING) {
        uint8_t buf[128];
        struct stun_builder b = stun_start_reply(buf, sizeof buf, STUN_SUCCESS, &m);
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &c->from);
        assert_int_equal(stun_finish(&b, &len), BK_OK);
        net_turn_reply(n, c, buf, len);
    } else if (m.cls == STUN_REQUEST) {
        net_turn_request(n, c, &m);
    } else if (m.cls == STUN_INDICATION && m.method == TURN_SEND &&
               stun_get_addr(&m, TURN_XOR_PEER_ADDRESS, &peer) == BK_OK &&
               stun_get_bytes(&m, TURN_DATA_ATTR, &span) == BK_OK) {
        net_turn_forward(n, c, &peer, span.data, span.len);
    }
}

/* What came to a relayed address. */
static inline void net_turn_out(struct net *n, const struct net_packet *p) {
    size_t at = (size_t)(p->to.port - 50000);
    uint8_t buf[2100];
    size_t len = 0;
    if (at >= NET_ALLOCATIONS || !n->allocations[at].used ||
        !net_permitted(&n->allocations[at], &p->from.ip))
        return;
    struct net_allocation *a = &n->allocations[at];
    struct net_client c = {
        .in_conn = a->in_conn, .conn = a->conn, .from = a->client, .at = a->server};
    a->received++;
    for (unsigned i = 0; i < 8; i++) {
        if (!bk_addr_equal(&a->channels[i], &p->from))
            continue;
        channel_write_header(buf, (uint16_t)(0x4000 + i), p->len);
        memcpy(buf + 4, p->data, p->len);
        len = 4 + p->len;
        while (c.in_conn && len % 4 != 0)
            buf[len++] = 0;
    }
    if (len == 0) {
        static const uint8_t txid[12] = {7};
        struct stun_builder b = stun_start(buf, sizeof buf, STUN_INDICATION, TURN_DATA, txid);
        stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, &p->from);
        stun_put_bytes(&b, TURN_DATA_ATTR, p->data, p->len);
        assert_int_equal(stun_finish(&b, &len), BK_OK);
    }
    net_turn_reply(n, &c, buf, len);
}

/* Everything to 192.0.2.10. */
static inline void net_turn_take(struct net *n, const struct net_packet *p) {
    if (n->turn_dead)
        return;
    if (p->to.port >= 50000) {
        net_turn_out(n, p);
        return;
    }
    struct net_client c = {.from = p->from, .at = p->to};
    if (!n->turn_udp_dead)
        net_turn_in(n, &c, p->data, p->len);
}

#endif
