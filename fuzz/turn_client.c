/* SPDX-License-Identifier: MIT
 * links: turn
 * The input is a script of datagrams (or bytes of a stream), time steps and calls for a TURN
 * client. Some answers are made right by hand, signed with the key, so that the script gets past
 * the challenge. Whatever comes: no crash, nothing is sent but to the server, every message is well
 * formed and none too long, data come only from peers that were permitted, a deadline that is due
 * is not due again once it was served. It moves, is redirected, gets other tokens and joins
 * connections to peers as well. */
#include "stun_input.h"

#include "base/rng.h"
#include "stun/auth.h"
#include "wire/channel.h"

#include <bodkin/turn.h>

enum { PEERS = 6, STEPS_MAX = 400, COPIES = 8, JOINS = 4 };

struct script {
    struct wire_reader r;
    struct bk_turn_config config;
    struct bk_turn *turn;
    struct stun_realm realm;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    uint8_t request[COPIES][2048]; /* the last requests */
    size_t request_len[COPIES], requests;
    bool permitted[PEERS]; /* ever asked for, by IP */
    struct bk_addr alternate;
    uint32_t joins[JOINS]; /* connections told of */
    unsigned joins_told;
};

static struct bk_addr peer_of(unsigned n) {
    return bk_addr(bk_ipv4(198, 51, 100, (uint8_t)(n % PEERS)), (uint16_t)(1 + n / PEERS % 3));
}

static void check_out(struct script *s, const struct bk_datagram *d) {
    struct stun_msg m;
    struct channel_data c;
    fuzz_check(bk_addr_equal(&d->remote, &s->config.server));
    fuzz_check(d->len <= 4096);
    if (channel_is_data(d->data, d->len))
        fuzz_check(channel_read(d->data, d->len, &c));
    else
        fuzz_check(stun_parse(&m, d->data, d->len) == BK_OK);
    if (s->config.stream)
        fuzz_check(d->len % 4 == 0);
}

static void check_data(struct script *s, const struct bk_turn_data *data) {
    if (data->data == NULL)
        return;
    fuzz_check(data->peer.ip.family == BK_IPV4 && data->peer.ip.bytes[3] < PEERS);
    fuzz_check(s->permitted[data->peer.ip.bytes[3]]);
}

static void keep(struct script *s, const struct bk_datagram *d) {
    size_t at = s->requests++ % COPIES;
    check_out(s, d);
    fuzz_check(d->len <= sizeof s->request[0]);
    memcpy(s->request[at], d->data, d->len);
    s->request_len[at] = d->len;
}

static void drain(struct script *s) {
    struct bk_datagram d;
    struct bk_turn_event e;
    struct bk_turn_data data;
    while (bk_turn_next_data(s->turn, &data))
        check_data(s, &data);
    while (bk_turn_next_datagram(s->turn, &d)) {
        keep(s, &d);
    }
    for (int n = 0; bk_turn_next_event(s->turn, &e); n++) {
        fuzz_check(n < 100);
        if (e.kind == BK_TURN_REDIRECT)
            s->alternate = e.alternate;
        if (e.kind == BK_TURN_CONNECTION)
            s->joins[s->joins_told++ % JOINS] = e.connection;
    }
}

static void feed(struct script *s, const uint8_t *bytes, size_t len) {
    struct bk_turn_data data;
    const struct bk_datagram in = {
        .local = s->config.local, .remote = s->config.server, .data = bytes, .len = len};
    if (s->config.stream) {
        (void)!bk_turn_stream_recv(s->turn, bytes, len, s->now);
    } else if (bk_turn_recv(s->turn, &in, s->now, &data) == BK_OK) {
        check_data(s, &data);
    }
    drain(s);
}

static void put_success(struct stun_builder *b, const struct stun_msg *m,
                        const struct bk_addr *relayed, unsigned what) {
    static const uint8_t ticket[256] = {1};
    if (m->method == TURN_ALLOCATE) {
        stun_put_addr(b, TURN_XOR_RELAYED_ADDRESS, relayed);
        stun_put_addr(b, STUN_XOR_MAPPED_ADDRESS, relayed);
        stun_put_u64(b, TURN_RESERVATION_TOKEN, what);
    }
    if (m->method <= TURN_REFRESH) {
        stun_put_u32(b, TURN_LIFETIME, 1u + what * 16u);
        stun_put_bytes(b, TURN_MOBILITY_TICKET, ticket, what);
    }
    if (m->method == TURN_METHOD_CONNECT)
        stun_put_u32(b, TURN_CONNECTION_ID, what % 8);
}

/* An answer to one of the last requests, as a server would sign it. */
static void answer(struct script *s) {
    uint8_t out[1024], *copy;
    struct stun_msg m;
    struct stun_claim claim;
    struct stun_key key;
    unsigned which = wire_u8(&s->r), what = wire_u8(&s->r);
    size_t at = which % COPIES, len;
    struct bk_addr relayed = bk_addr(bk_ipv4(192, 0, 2, 1), 50000);
    static const uint16_t codes[] = {300, 400, 401, 403, 405, 420, 437,
                                     438, 441, 446, 447, 486, 500, 508};
    if (stun_parse(&m, s->request[at], s->request_len[at]) != BK_OK || m.cls != STUN_REQUEST)
        return;
    uint16_t code = stun_realm_claim(&s->realm, &m, &s->config.local, s->now, &claim);
    bool signed_by_us = code == 0 && stun_key_long("u", "r", "p", claim.algorithm, &key) == BK_OK;
    if (!signed_by_us)
        code = 401;
    else if (what % 4 == 3)
        code = codes[what / 4 % (sizeof codes / sizeof *codes)];
    struct stun_builder b =
        stun_start_reply(out, sizeof out, code == 0 ? STUN_SUCCESS : STUN_ERROR, &m);
    if (code != 0)
        stun_put_error(&b, code, NULL);
    if (code == 401 || code == 438)
        stun_realm_challenge(&s->realm, &b, &s->config.local, s->now);
    if (code == 300) {
        relayed.port = (uint16_t)(3478 + what / 64);
        stun_put_addr(&b, STUN_ALTERNATE_SERVER, &relayed);
        stun_put_bytes(&b, STUN_ALTERNATE_DOMAIN, "x.example", 9);
    }
    if (code == 0)
        put_success(&b, &m, &relayed, what);
    if (signed_by_us && code != 401)
        stun_claim_sign(&claim, &b, &key);
    fuzz_check(stun_finish(&b, &len) == BK_OK);
    copy = fuzz_copy(out, len);
    size_t taken = len;
    if (m.method == TURN_CONNECTION_BIND) {
        if (bk_turn_bind_recv(s->turn, s->joins[which / COPIES % JOINS], copy, len, s->now,
                              &taken) == BK_OK)
            fuzz_check(taken <= len);
        drain(s);
    } else {
        feed(s, copy, len);
    }
    free(copy);
}

static void raw(struct script *s) {
    unsigned how = wire_u8(&s->r);
    size_t len = wire_u16(&s->r) % 1024;
    if (len > wire_left(&s->r))
        len = wire_left(&s->r);
    uint8_t *copy = fuzz_copy(wire_bytes(&s->r, len), len);
    fuzz_repair(copy, len, how);
    feed(s, copy, len);
    free(copy);
}

static void call(struct script *s) {
    unsigned what = wire_u8(&s->r);
    struct bk_addr peer = peer_of(what / 4);
    uint8_t room[BK_TURN_HEADROOM + 200 + BK_TURN_TAILROOM] = {0};
    struct bk_datagram d;
    switch (what % 4) {
    case 0:
    case 1:
        if (bk_turn_permit(s->turn, &peer, what % 4 == 1, s->now) == BK_OK)
            s->permitted[peer.ip.bytes[3]] = true;
        break;
    case 2:
        (void)!bk_turn_forget(s->turn, &peer);
        break;
    default:
        if (bk_turn_send(s->turn, &peer, room, what / 2, &d) == BK_OK)
            check_out(s, &d);
        if (bk_turn_send_in_place(s->turn, &peer, room + BK_TURN_HEADROOM, what / 2, &d) == BK_OK) {
            check_out(s, &d);
            fuzz_check(d.data >= room && d.data + d.len <= room + sizeof room);
        }
    }
    if (what == 255)
        bk_turn_close(s->turn, s->now);
    drain(s);
}

static void attempt(struct script *s, unsigned what) {
    uint8_t out[64];
    const uint8_t txid[STUN_TXID_LEN] = {0};
    struct bk_addr peer = peer_of(what);
    size_t len;
    struct stun_builder b =
        stun_start(out, sizeof out, STUN_INDICATION, TURN_CONNECTION_ATTEMPT, txid);
    stun_put_u32(&b, TURN_CONNECTION_ID, what % 8);
    stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, &peer);
    fuzz_check(stun_finish(&b, &len) == BK_OK);
    feed(s, out, len);
}

static void elsewhere(struct script *s, unsigned what) {
    static const uint8_t token[300] = {2};
    if (what % 4 == 0) {
        s->config.local.port++;
        bk_turn_move(s->turn, &s->config.local, s->now);
    } else if (what % 4 == 1) {
        if (bk_turn_follow(s->turn, &s->config.local, s->now) == BK_OK)
            s->config.server = s->alternate;
    } else if (what % 4 == 2) {
        const struct bk_turn_token t = {"u", token, token, what + 1, 16 + what % 17};
        (void)!bk_turn_set_token(s->turn, &t, s->now);
    } else {
        attempt(s, what / 4);
    }
    drain(s);
}

static void join(struct script *s, unsigned what) {
    struct bk_addr peer = peer_of(what / 8);
    uint32_t number = s->joins[what / 8 % JOINS];
    struct bk_datagram d;
    size_t taken = 0;
    if (what % 8 == 0)
        (void)!bk_turn_connect(s->turn, &peer, s->now);
    else if (what % 8 < 4)
        (void)!bk_turn_bind(s->turn, number, s->now);
    else if (what % 8 == 4)
        bk_turn_unbind(s->turn, number);
    else if (what % 8 == 5) {
        uint8_t byte = wire_u8(&s->r);
        if (bk_turn_bind_recv(s->turn, number, &byte, 1, s->now, &taken) == BK_OK)
            fuzz_check(taken <= 1);
    }
    while (bk_turn_next_bind(s->turn, number, &d))
        keep(s, &d);
    drain(s);
}

static void step(struct script *s) {
    unsigned how = wire_u8(&s->r);
    struct bk_time at = bk_turn_deadline(s->turn);
    if ((how & 1) != 0 && !bk_is_never(at))
        s->now = bk_later(s->now, at);
    else
        s->now = bk_after(s->now, (int64_t)how * how * how * BK_US_PER_MS);
    bk_turn_advance(s->turn, s->now);
    drain(s);
    fuzz_check(!bk_due(bk_turn_deadline(s->turn), s->now));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t secret[32] = {7};
    static struct script s;
    memset(&s, 0, sizeof s);
    s.r = wire_reader(data, size);
    rng_seed(&s.seed, 1);
    s.rng = rng_from_seeded(&s.seed);
    unsigned kind = wire_u8(&s.r);
    s.config = bk_turn_config_default;
    s.config.local = bk_addr(bk_ipv4(10, 0, 0, 1), 1);
    s.config.server = bk_addr(bk_ipv4(192, 0, 2, 1), 3478);
    s.config.user = "u";
    s.config.password = "p";
    s.config.stream = (kind & 1) != 0;
    s.config.again = (kind & 2) != 0;
    s.config.dont_fragment = (kind & 4) != 0;
    s.config.peers_max = (kind & 8) != 0 ? 4 : 40;
    s.config.mobility = (kind & 32) != 0;
    s.config.tcp = (kind & 64) != 0 && s.config.stream && !s.config.dont_fragment;
    s.config.links_max = 2;
    s.config.secure = (kind & 128) != 0;
    s.config.reserve = s.config.secure && !s.config.tcp;
    fuzz_check(stun_realm_init(&s.realm, "r", secret, 3600 * BK_US_PER_S, (kind & 16) != 0) ==
               BK_OK);
    fuzz_check(bk_turn_new(&s.config, &fuzz_alloc, &s.rng, s.now, &s.turn) == BK_OK);
    drain(&s);
    for (int i = 0; i < STEPS_MAX && wire_left(&s.r) > 0; i++) {
        unsigned what = wire_u8(&s.r);
        switch (what % 6) {
        case 0:
            answer(&s);
            break;
        case 1:
            raw(&s);
            break;
        case 2:
            call(&s);
            break;
        case 3:
            elsewhere(&s, wire_u8(&s.r));
            break;
        case 4:
            join(&s, wire_u8(&s.r));
            break;
        default:
            step(&s);
        }
    }
    bk_turn_free(s.turn);
    return 0;
}
