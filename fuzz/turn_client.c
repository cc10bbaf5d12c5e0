/* SPDX-License-Identifier: MIT
 * links: turn
 * The input is a script of datagrams (or bytes of a stream), time steps and calls for a TURN
 * client. Some answers are made right by hand, signed with the key, so that the script gets past
 * the challenge. Whatever comes: no crash, nothing is sent but to the server, every message is well
 * formed and none too long, data come only from peers that were permitted, a deadline that is due
 * is not due again once it was served. */
#include "stun_input.h"

#include "base/rng.h"
#include "stun/auth.h"
#include "wire/channel.h"

#include <bodkin/turn.h>

enum { PEERS = 6, STEPS_MAX = 400, COPIES = 8 };

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

static void drain(struct script *s) {
    struct bk_datagram d;
    struct bk_turn_event e;
    struct bk_turn_data data;
    while (bk_turn_next_data(s->turn, &data))
        check_data(s, &data);
    while (bk_turn_next_datagram(s->turn, &d)) {
        size_t at = s->requests++ % COPIES;
        check_out(s, &d);
        fuzz_check(d.len <= sizeof s->request[0]);
        memcpy(s->request[at], d.data, d.len);
        s->request_len[at] = d.len;
    }
    for (int n = 0; bk_turn_next_event(s->turn, &e); n++)
        fuzz_check(n < 100);
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

/* An answer to one of the last requests, as a server would sign it. */
static void answer(struct script *s) {
    uint8_t out[1024], *copy;
    struct stun_msg m;
    struct stun_claim claim;
    struct stun_key key;
    unsigned which = wire_u8(&s->r), what = wire_u8(&s->r);
    size_t at = which % COPIES, len;
    struct bk_addr relayed = bk_addr(bk_ipv4(192, 0, 2, 1), 50000);
    static const uint16_t codes[] = {300, 400, 401, 403, 420, 437, 438, 441, 486, 500, 508};
    if (stun_parse(&m, s->request[at], s->request_len[at]) != BK_OK || m.cls != STUN_REQUEST)
        return;
    uint16_t code = stun_realm_claim(&s->realm, &m, &s->config.local, s->now, &claim);
    bool signed_by_us = code == 0 && stun_key_long("u", "r", "p", claim.algorithm, &key) == BK_OK;
    if (!signed_by_us)
        code = 401;
    else if (what % 4 == 3)
        code = codes[what / 4 % 11];
    struct stun_builder b =
        stun_start_reply(out, sizeof out, code == 0 ? STUN_SUCCESS : STUN_ERROR, &m);
    if (code != 0)
        stun_put_error(&b, code, NULL);
    if (code == 401 || code == 438)
        stun_realm_challenge(&s->realm, &b, &s->config.local, s->now);
    if (code == 300)
        stun_put_addr(&b, STUN_ALTERNATE_SERVER, &relayed);
    if (code == 0 && m.method == TURN_ALLOCATE) {
        stun_put_addr(&b, TURN_XOR_RELAYED_ADDRESS, &relayed);
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &relayed);
    }
    if (code == 0 && m.method <= TURN_REFRESH)
        stun_put_u32(&b, TURN_LIFETIME, 1u + what * 16u);
    if (signed_by_us && code != 401)
        stun_claim_sign(&claim, &b, &key);
    fuzz_check(stun_finish(&b, &len) == BK_OK);
    copy = fuzz_copy(out, len);
    feed(s, copy, len);
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
    fuzz_check(stun_realm_init(&s.realm, "r", secret, 3600 * BK_US_PER_S, (kind & 16) != 0) ==
               BK_OK);
    fuzz_check(bk_turn_new(&s.config, &fuzz_alloc, &s.rng, s.now, &s.turn) == BK_OK);
    drain(&s);
    for (int i = 0; i < STEPS_MAX && wire_left(&s.r) > 0; i++) {
        switch (wire_u8(&s.r) % 4) {
        case 0:
            answer(&s);
            break;
        case 1:
            raw(&s);
            break;
        case 2:
            call(&s);
            break;
        default:
            step(&s);
        }
    }
    bk_turn_free(s.turn);
    return 0;
}
