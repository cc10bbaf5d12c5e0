/* SPDX-License-Identifier: MIT */
#include "sim/actor_turn.h"

#include "base/rng.h"

#include <string.h>

/* ---- relay ports ---- */

static struct sim_turn_relay *find_relay(struct sim_turn *s, const struct bk_addr *addr) {
    for (size_t i = 0; i < SIM_TURN_RELAYS; i++) {
        if (s->relays[i].open && bk_addr_equal(&s->relays[i].addr, addr))
            return &s->relays[i];
    }
    return NULL;
}

static void close_relay(struct sim_turn *s, struct sim_turn_relay *r) {
    world_udp_close(s->world, r->id);
    r->open = false;
}

static bool open_relay(struct sim_turn *s, const struct bk_addr *addr) {
    for (size_t i = 0; i < SIM_TURN_RELAYS; i++) {
        struct sim_turn_relay *r = &s->relays[i];
        if (r->open)
            continue;
        if (world_udp_bind(s->world, s->actor, *addr, &r->id) != BK_OK)
            return false;
        r->open = true;
        r->addr = *addr;
        return true;
    }
    return false;
}

static void act(struct sim_turn *s) {
    struct turn_action action;
    while (turn_service_next_action(s->service, &action)) {
        struct sim_turn_relay *r = find_relay(s, &action.addr);
        if (action.kind == TURN_CLOSE && r != NULL)
            close_relay(s, r);
        else if (action.kind == TURN_OPEN && !open_relay(s, &action.addr))
            turn_service_cannot_open(s->service, &action.addr, BK_ERR_EXISTS, world_now(s->world));
    }
}

/* ---- datagrams and messages ---- */

static struct sim_turn_stream *find_stream(struct sim_turn *s, stream_id id) {
    for (size_t i = 0; i < SIM_TURN_STREAMS; i++) {
        if (s->streams[i].used && s->streams[i].id == id)
            return &s->streams[i];
    }
    return NULL;
}

static void send_to(struct sim_turn *s, const struct bk_datagram *out) {
    struct sim_turn_relay *r = find_relay(s, &out->local);
    if (out->protocol == BK_UDP) {
        socket_id from = r != NULL ? r->id : s->client[out->local.ip.family == BK_IPV6];
        world_udp_send(s->world, from, out);
        return;
    }
    for (size_t i = 0; i < SIM_TURN_STREAMS; i++) {
        const struct sim_turn_stream *c = &s->streams[i];
        struct bk_addr remote = c->used ? world_stream_remote(s->world, c->id) : out->local;
        if (c->used && bk_addr_equal(&remote, &out->remote))
            (void)world_stream_write(s->world, c->id, out->data, out->len);
    }
}

static void answer_binding(struct sim_turn *s, const struct bk_datagram *in) {
    struct bk_datagram out;
    uint8_t buf[STUN_SERVICE_REPLY_MAX];
    if (!stun_service_answered(stun_service_answer(&s->stun, in, world_now(s->world), buf, &out)))
        return;
    out.protocol = in->protocol;
    send_to(s, &out);
}

static void take(struct sim_turn *s, const struct bk_datagram *in) {
    struct bk_datagram out;
    if (s->service == NULL)
        return;
    enum bk_err e = turn_service_recv(s->service, in, world_now(s->world));
    act(s);
    if (turn_service_next_datagram(s->service, &out))
        send_to(s, &out);
    if (e == BK_ERR_NOT_OURS && find_relay(s, &in->local) == NULL)
        answer_binding(s, in);
}

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    (void)w;
    (void)socket;
    take(ctx, in);
}

/* ---- streams ---- */

static void drop(struct sim_turn *s, struct sim_turn_stream *c) {
    c->used = false;
    world_stream_close(s->world, c->id);
}

static void accept_stream(struct sim_turn *s, stream_id id) {
    for (size_t i = 0; s->service != NULL && i < SIM_TURN_STREAMS; i++) {
        struct sim_turn_stream *c = &s->streams[i];
        if (c->used)
            continue;
        c->used = true;
        c->id = id;
        turn_stream_init(&c->frames, c->buf, sizeof c->buf);
        return;
    }
    world_stream_close(s->world, id);
}

static void take_bytes(struct sim_turn *s, struct sim_turn_stream *c, const uint8_t *data,
                       size_t len) {
    struct bk_datagram in = {.local = world_stream_local(s->world, c->id),
                             .remote = world_stream_remote(s->world, c->id),
                             .protocol = BK_TCP};
    enum bk_err e;
    turn_stream_push(&c->frames, data, len);
    while ((e = turn_stream_next(&c->frames, &in.data, &in.len)) == BK_OK)
        take(s, &in);
    if (e != BK_ERR_SHORT)
        drop(s, c);
}

static void on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                      const uint8_t *data, size_t len) {
    struct sim_turn *s = ctx;
    struct sim_turn_stream *c = find_stream(s, stream);
    (void)w;
    if (event == WORLD_STREAM_ACCEPTED)
        accept_stream(s, stream);
    else if (c != NULL && event == WORLD_STREAM_BYTES)
        take_bytes(s, c, data, len);
    else if (c != NULL && (event == WORLD_STREAM_END || event == WORLD_STREAM_BROKEN))
        drop(s, c);
}

/* ---- time and life ---- */

static void on_timer(void *ctx, struct world *w, struct bk_time now) {
    struct sim_turn *s = ctx;
    (void)w;
    if (s->service == NULL)
        return;
    turn_service_advance(s->service, now);
    act(s);
}

static struct bk_time deadline(void *ctx) {
    const struct sim_turn *s = ctx;
    return s->service == NULL ? BK_NEVER : turn_service_deadline(s->service);
}

void sim_turn_stop(struct sim_turn *s) {
    turn_service_free(s->service);
    s->service = NULL;
    for (size_t i = 0; i < SIM_TURN_RELAYS; i++) {
        if (s->relays[i].open)
            close_relay(s, &s->relays[i]);
    }
    for (size_t i = 0; i < SIM_TURN_STREAMS; i++) {
        if (s->streams[i].used)
            drop(s, &s->streams[i]);
    }
}

enum bk_err sim_turn_start(struct sim_turn *s) {
    rng_fill(&s->rng, s->config.secret, sizeof s->config.secret);
    enum bk_err e =
        turn_service_new(&s->config, &s->alloc, &s->rng, world_now(s->world), &s->service);
    if (e == BK_OK)
        world_wake(s->world, s->actor);
    return e;
}

/* The addresses of this world are those of documentation (RFC 5737), which no server relays to. */
static void configure(struct sim_turn *s, node_id host, int64_t nonce_us) {
    static struct turn_range allowed[] = {{.bits = 24}, {.bits = 24}, {.bits = 32}};
    static const uint8_t documentation[16] = {0x20, 0x01, 0x0d, 0xb8}; /* RFC 3849 */
    struct bk_ip ip;
    allowed[0].ip = bk_ipv4(203, 0, 113, 0);
    allowed[1].ip = bk_ipv4(198, 51, 100, 0);
    allowed[2].ip = bk_ipv6(documentation);
    s->user = (struct turn_one_user){"u", "p", "example"};
    s->config = turn_service_config_default;
    s->config.realm = s->user.realm;
    s->config.users = turn_users_one(&s->user);
    s->config.nonce_us = nonce_us > 0 ? nonce_us : s->config.nonce_us;
    s->config.allocations_max = SIM_TURN_RELAYS;
    s->config.filter = (struct turn_filter){.allow = allowed, .allow_count = 3};
    for (size_t i = 0; world_address(s->world, host, i, &ip); i++) {
        struct bk_ip *relay = &s->config.relay[ip.family == BK_IPV6];
        if (relay->family == BK_FAMILY_NONE)
            *relay = ip;
    }
}

enum bk_err sim_turn_init(struct sim_turn *s, struct world *w, node_id host, uint16_t port,
                          int64_t nonce_us, const struct bk_alloc *alloc) {
    static const uint8_t families[] = {BK_IPV4, BK_IPV6};
    memset(s, 0, sizeof *s);
    s->world = w;
    s->alloc = *alloc;
    s->rng = world_rng(w, "turn");
    const struct world_actor calls = {.ctx = s,
                                      .on_datagram = on_datagram,
                                      .on_stream = on_stream,
                                      .on_timer = on_timer,
                                      .deadline = deadline};
    s->actor = world_add_actor(w, host, &calls);
    configure(s, host, nonce_us);
    for (size_t i = 0; i < 2; i++) {
        struct bk_addr any = {.ip.family = families[i], .port = port};
        enum bk_err e = world_udp_bind(w, s->actor, any, &s->client[i]);
        if (e != BK_OK)
            return e;
    }
    enum bk_err e = world_stream_listen(w, s->actor, port);
    return e == BK_OK ? sim_turn_start(s) : e;
}

void sim_turn_fini(struct sim_turn *s) {
    turn_service_free(s->service);
    s->service = NULL;
}
