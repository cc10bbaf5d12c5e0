/* SPDX-License-Identifier: MIT
 * links: peer
 * Two endpoints with a session between them, and an attacker: the input is a script of packets from
 * anywhere (relay, network), mangled copies of real ones, losses, and steps of time. Nothing may
 * assert, leak or grow, whatever the script does. */
#include "peer/endpoint.h"
#include "base/assert.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

enum { STEPS_MAX = 300, DRAIN_MAX = 64 };

struct side {
    struct endpoint *ep;
    struct identity id;
    struct bk_addr addr;
};

struct duel {
    struct side side[2];
    struct bk_time now;
    const uint8_t *script;
    size_t left;
};

static uint8_t next(struct duel *d) {
    if (d->left == 0)
        return 0;
    d->left--;
    return *d->script++;
}

/* A copy, mangled as the script says: 3 in 4 pass untouched, some are lost, cut or changed. */
static uint8_t *mangle(struct duel *d, const uint8_t *data, size_t *len) {
    uint8_t what = next(d);
    if (*len == 0 || what >= 250)
        return NULL;
    uint8_t *copy = malloc(*len);
    memcpy(copy, data, *len);
    if (what >= 220)
        copy[next(d) % *len] ^= next(d);
    else if (what >= 200)
        *len = 1 + next(d) % *len;
    return copy;
}

static void carry(struct duel *d, int from) {
    struct side *a = &d->side[from], *b = &d->side[1 - from];
    struct endpoint_relay_packet packet;
    struct bk_datagram out;
    for (int i = 0; i < DRAIN_MAX && endpoint_next_relay(a->ep, d->now, &packet); i++) {
        size_t len = packet.len;
        uint8_t *copy = mangle(d, packet.data, &len);
        if (copy != NULL)
            endpoint_relay_recv(b->ep, a->id.relay_key, copy, len, d->now);
        free(copy);
    }
    for (int i = 0; i < DRAIN_MAX && endpoint_next_datagram(a->ep, d->now, &out); i++) {
        struct bk_datagram in = {.local = b->addr, .remote = a->addr, .segment = out.segment};
        in.len = out.len;
        uint8_t *copy = mangle(d, out.data, &in.len);
        in.data = copy;
        if (copy != NULL)
            endpoint_recv(b->ep, &in, d->now);
        free(copy);
    }
}

static void tell(struct side *s) {
    struct endpoint_event event;
    while (endpoint_next_event(s->ep, &event))
        if (event.type == ENDPOINT_SESSION && event.event.type == SESSION_ENDED)
            endpoint_release(s->ep, event.session);
}

static void attack(struct duel *d, struct side *s) {
    uint8_t raw[64];
    size_t len = next(d) % sizeof raw;
    for (size_t i = 0; i < len; i++)
        raw[i] = next(d);
    struct bk_datagram in = {.local = s->addr,
                             .remote = bk_addr(bk_ipv4(192, 0, 2, next(d)), 1),
                             .data = raw,
                             .len = len};
    if (next(d) % 2 == 0)
        endpoint_recv(s->ep, &in, d->now);
    else
        endpoint_relay_recv(s->ep, d->side[next(d) % 2].id.relay_key, raw, len, d->now);
}

static void step(struct duel *d) {
    uint8_t what = next(d);
    struct side *s = &d->side[what & 1];
    switch (what >> 5) {
    case 0:
        attack(d, s);
        break;
    case 1:
        endpoint_relay_up(s->ep, (what & 2) != 0, d->now);
        break;
    case 2:
        endpoint_peer_gone(s->ep, d->side[1 - (what & 1)].id.relay_key, (what & 4) != 0, d->now);
        break;
    case 3:
        endpoint_set_bases(s->ep, &s->addr, (what & 2) != 0, d->now);
        break;
    case 4:
        (void)endpoint_close_all(s->ep, 0, "", d->now);
        break;
    default:
        d->now = bk_after(d->now, (int64_t)(next(d) + 1) * 2000);
        break;
    }
    for (int i = 0; i < 2; i++) {
        if (bk_due(endpoint_deadline(d->side[i].ep), d->now))
            endpoint_advance(d->side[i].ep, d->now);
        carry(d, i);
        tell(&d->side[i]);
    }
}

static void open_side(struct duel *d, int i, const struct bk_rng *rng) {
    struct side *s = &d->side[i];
    struct endpoint_config config = endpoint_config_default;
    identity_make(&s->id, rng);
    config.identity = &s->id;
    config.rng = *rng;
    config.alloc = fuzz_alloc;
    config.sessions_max = 4;
    enum bk_err err = endpoint_new(&config, &s->ep);
    bk_assert(err == BK_OK);
    s->addr = bk_addr(bk_ipv4(203, 0, 113, (uint8_t)(i + 1)), 4000);
    endpoint_set_bases(s->ep, &s->addr, 1, d->now);
    endpoint_relay_up(s->ep, true, d->now);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct duel d = {.now = {1000000}, .script = data, .left = len};
    uint8_t secret[TICKET_SECRET_LEN] = {1};
    struct rng_seeded seeded;
    struct session *s;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    open_side(&d, 0, &rng);
    open_side(&d, 1, &rng);
    enum bk_err err = endpoint_add_secret(d.side[1].ep, secret);
    bk_assert(err == BK_OK);
    const struct session_offer offer = {
        .peer = d.side[1].id.key, .purpose = SIGNAL_PURPOSE_SESSION, .secret = secret};
    err = endpoint_connect(d.side[0].ep, &offer, d.now, &s);
    bk_assert(err == BK_OK);
    for (int i = 0; i < STEPS_MAX && d.left > 0; i++)
        step(&d);
    endpoint_free(d.side[0].ep);
    endpoint_free(d.side[1].ep);
    return 0;
}
