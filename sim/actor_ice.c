/* SPDX-License-Identifier: MIT */
#include "sim/actor_ice.h"

#include "base/assert.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

struct sim_ice_config sim_ice_config(struct bk_addr stun, bool controlling) {
    struct sim_ice_config c = {.stun = stun, .signal_us = 40 * BK_US_PER_MS};
    c.ice = bk_checker_config_default;
    c.ice.controlling = controlling;
    return c;
}

/* What agents tell each other: what SDP lines would say. */
enum { MESSAGE_START, MESSAGE_CREDENTIALS, MESSAGE_CANDIDATE, MESSAGE_END };

static void put_text(struct wire_writer *m, const char *text) {
    size_t len = strlen(text);
    wire_put_u16(m, (uint16_t)len);
    wire_put_bytes(m, text, len);
}

static void get_text(struct wire_reader *m, char *out, size_t cap) {
    size_t len = wire_u16(m);
    const uint8_t *text = wire_bytes(m, len);
    bk_assert(text != NULL && len < cap);
    memcpy(out, text, len);
    out[len] = '\0';
}

static void post(struct sim_ice *s, const struct wire_writer *m) {
    bk_assert(!m->failed);
    world_post(s->world, s->other->actor, s->config.signal_us, m->data, m->len);
}

static void signal_credentials(struct sim_ice *s) {
    uint8_t buf[1024];
    struct wire_writer m = wire_writer(buf, sizeof buf);
    wire_put_u8(&m, MESSAGE_CREDENTIALS);
    put_text(&m, bk_checker_ufrag(s->ice));
    put_text(&m, bk_checker_pwd(s->ice));
    post(s, &m);
}

static void signal_candidate(struct sim_ice *s, const struct bk_ice_candidate *c) {
    uint8_t buf[256];
    struct wire_writer m = wire_writer(buf, sizeof buf);
    wire_put_u8(&m, MESSAGE_CANDIDATE);
    wire_put_u8(&m, (uint8_t)c->kind);
    wire_put_u8(&m, c->addr.ip.family);
    wire_put_bytes(&m, c->addr.ip.bytes, sizeof c->addr.ip.bytes);
    wire_put_u16(&m, c->addr.port);
    wire_put_u32(&m, c->priority);
    put_text(&m, c->foundation);
    post(s, &m);
}

static void signal_end(struct sim_ice *s) {
    uint8_t kind = MESSAGE_END;
    world_post(s->world, s->other->actor, s->config.signal_us, &kind, 1);
}

static void add_local(struct sim_ice *s, const struct bk_ice_candidate *c, struct bk_time now) {
    struct bk_ice_candidate shown;
    if (bk_checker_add_local_candidate(s->ice, c, now, &shown) == BK_OK)
        signal_candidate(s, &shown);
}

static void start_stun(struct sim_ice *s, size_t i, struct bk_time now) {
    struct bk_addr local = world_udp_local(s->world, s->socket[i]);
    if (s->config.stun.ip.family != local.ip.family)
        return;
    struct stun_client_config config = stun_client_config_default;
    config.local = local;
    config.server = s->config.stun;
    config.txn.rto_us = 100 * BK_US_PER_MS;
    config.every_us = 15 * BK_US_PER_S;
    enum bk_err e = stun_client_init(&s->stun[i], &config, &s->rng, now);
    bk_assert(e == BK_OK);
    s->asks[i] = true;
    s->waiting++;
}

static void start(struct sim_ice *s, struct bk_time now) {
    s->started = true;
    s->started_at = now;
    signal_credentials(s);
    for (size_t i = 0; i < s->sockets; i++) {
        struct bk_ice_candidate c = {.kind = BK_ICE_HOST};
        c.addr = c.base = world_udp_local(s->world, s->socket[i]);
        add_local(s, &c, now);
        start_stun(s, i, now);
    }
    if (s->waiting == 0) {
        bk_checker_end_of_local_candidates(s->ice, now);
        signal_end(s);
    }
}

static void take_credentials(struct sim_ice *s, struct wire_reader *m, struct bk_time now) {
    char ufrag[BK_ICE_CRED_MAX + 1], pwd[BK_ICE_CRED_MAX + 1];
    get_text(m, ufrag, sizeof ufrag);
    get_text(m, pwd, sizeof pwd);
    enum bk_err e = bk_checker_set_remote_credentials(s->ice, ufrag, pwd, now);
    bk_assert(e == BK_OK);
}

static void take_candidate(struct sim_ice *s, struct wire_reader *m, struct bk_time now) {
    struct bk_ice_candidate c = {.kind = (enum bk_ice_kind)wire_u8(m)};
    c.addr.ip.family = wire_u8(m);
    const uint8_t *bytes = wire_bytes(m, sizeof c.addr.ip.bytes);
    bk_assert(bytes != NULL);
    memcpy(c.addr.ip.bytes, bytes, sizeof c.addr.ip.bytes);
    c.addr.port = wire_u16(m);
    c.priority = wire_u32(m);
    get_text(m, c.foundation, sizeof c.foundation);
    s->signalled_at = now;
    enum bk_err e = bk_checker_add_remote_candidate(s->ice, &c, now);
    bk_assert(e == BK_OK || e == BK_ERR_EXISTS);
}

static void on_message(void *ctx, struct world *w, const uint8_t *data, size_t len) {
    struct sim_ice *s = ctx;
    struct wire_reader m = wire_reader(data, len);
    switch (wire_u8(&m)) {
    case MESSAGE_START:
        start(s, world_now(w));
        return;
    case MESSAGE_CREDENTIALS:
        take_credentials(s, &m, world_now(w));
        return;
    case MESSAGE_CANDIDATE:
        take_candidate(s, &m, world_now(w));
        return;
    case MESSAGE_END:
        bk_checker_end_of_remote_candidates(s->ice, world_now(w));
        return;
    default: /* a number, not an enum: our own messages only */
        bk_assert(false);
    }
}

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    struct sim_ice *s = ctx;
    for (size_t i = 0; i < s->sockets; i++) {
        bool asks = s->asks[i] && s->socket[i] == socket;
        if (asks && stun_client_recv(&s->stun[i], in, world_now(w)) == BK_OK)
            return;
    }
    enum bk_err e = bk_checker_recv(s->ice, in, world_now(w));
    s->refused += e != BK_OK && e != BK_ERR_NOT_OURS ? 1 : 0;
}

static void on_timer(void *ctx, struct world *w, struct bk_time now) {
    (void)w;
    struct sim_ice *s = ctx;
    for (size_t i = 0; i < s->sockets; i++) {
        if (s->asks[i])
            stun_client_advance(&s->stun[i], now);
    }
    bk_checker_advance(s->ice, now);
}

static socket_id socket_of(const struct sim_ice *s, const struct bk_addr *local) {
    for (size_t i = 0; i < s->sockets; i++) {
        struct bk_addr own = world_udp_local(s->world, s->socket[i]);
        if (bk_addr_equal(&own, local))
            return s->socket[i];
    }
    bk_assert(false); /* the agent sends from its bases only */
    return 0;
}

/* The first answer, good or bad, ends the wait for this socket. */
static void read_stun(struct sim_ice *s, size_t i, struct bk_time now) {
    struct stun_client_event ev;
    while (s->asks[i] && stun_client_next_event(&s->stun[i], &ev)) {
        if (ev.kind == STUN_CLIENT_MAPPED && ev.changed) {
            struct bk_ice_candidate c = {
                .kind = BK_ICE_SRFLX, .addr = ev.mapped, .base = ev.local, .server = ev.server};
            add_local(s, &c, now);
        }
        if (s->waiting == 0 || --s->waiting > 0)
            continue;
        bk_checker_end_of_local_candidates(s->ice, now);
        signal_end(s);
    }
}

static void read_ice(struct sim_ice *s, struct bk_time now) {
    struct bk_checker_event ev;
    while (bk_checker_next_event(s->ice, &ev)) {
        s->deaths += ev.kind == BK_CHECKER_PAIR_DIED ? 1 : 0;
        s->prflx += ev.kind == BK_CHECKER_REMOTE_PRFLX ? 1 : 0;
        if (ev.kind == BK_CHECKER_PAIR_VALID)
            s->valid_at = bk_earlier(s->valid_at, now);
        if (ev.kind == BK_CHECKER_SELECTED && ev.pair != 0) {
            s->selections++;
            s->selected_at = bk_earlier(s->selected_at, now);
        }
    }
}

static void on_turn(void *ctx, struct world *w, struct bk_time now) {
    struct sim_ice *s = ctx;
    struct bk_datagram out;
    for (size_t i = 0; i < s->sockets; i++) {
        while (s->asks[i] && stun_client_next_datagram(&s->stun[i], &out))
            world_udp_send(w, s->socket[i], &out);
        read_stun(s, i, now);
    }
    while (bk_checker_next_datagram(s->ice, &out))
        world_udp_send(w, socket_of(s, &out.local), &out);
    read_ice(s, now);
}

static struct bk_time deadline(void *ctx) {
    const struct sim_ice *s = ctx;
    struct bk_time when = bk_checker_deadline(s->ice);
    for (size_t i = 0; i < s->sockets; i++) {
        if (s->asks[i])
            when = bk_earlier(when, stun_client_deadline(&s->stun[i]));
    }
    return when;
}

static void bind_sockets(struct sim_ice *s, struct world *w, node_id host) {
    struct bk_ip ip;
    for (size_t i = 0; i < SIM_ICE_SOCKETS && world_address(w, host, i, &ip); i++) {
        struct bk_addr local = bk_addr(ip, s->config.port);
        enum bk_err e = world_udp_bind(w, s->actor, local, &s->socket[i]);
        bk_assert(e == BK_OK);
        s->sockets++;
    }
}

void sim_ice_init(struct sim_ice *s, struct world *w, node_id host,
                  const struct sim_ice_config *config, const struct bk_alloc *alloc) {
    memset(s, 0, sizeof *s);
    s->config = *config;
    s->world = w;
    s->started_at = s->signalled_at = s->valid_at = s->selected_at = BK_NEVER;
    struct world_actor calls = {.ctx = s,
                                .on_datagram = on_datagram,
                                .on_message = on_message,
                                .on_timer = on_timer,
                                .on_turn = on_turn,
                                .deadline = deadline};
    s->actor = world_add_actor(w, host, &calls);
    s->rng = world_rng(w, world_name(w, host));
    bind_sockets(s, w, host);
    s->config.ice.rng = &s->rng;
    enum bk_err e = bk_checker_new(&s->config.ice, alloc, &s->ice);
    bk_assert(e == BK_OK);
}

void sim_ice_fini(struct sim_ice *s) {
    bk_checker_free(s->ice);
    memset(s, 0, sizeof *s);
}

void sim_ice_join(struct sim_ice *a, struct sim_ice *b) {
    const uint8_t kind = MESSAGE_START;
    a->other = b;
    b->other = a;
    world_post(a->world, a->actor, a->config.start_us, &kind, 1);
    world_post(b->world, b->actor, b->config.start_us, &kind, 1);
}

bool sim_ice_is_connected(const struct sim_ice *s) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    return bk_checker_selected(s->ice, &info) == BK_OK;
}
