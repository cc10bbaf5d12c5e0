/* SPDX-License-Identifier: MIT */
#include "sim/actor_peer.h"

#include <string.h>

enum { RECONNECT_US = 200 * 1000, LINK = 1 /* the number of the only network there is */ };

/* --- the home relay --- */

static void drop_home(struct sim_peer *p) {
    if (p->has_stream)
        world_stream_close(p->world, p->stream);
    relay_client_free(p->client);
    p->client = NULL;
    p->has_stream = p->stream_open = false;
    p->connect_at = bk_after(world_now(p->world), RECONNECT_US);
    if (p->was_up)
        endpoint_relay_up(p->endpoint, false, world_now(p->world));
    p->was_up = false;
}

static void connect_home(struct sim_peer *p) {
    p->connect_at = BK_NEVER;
    if (world_stream_open(p->world, p->actor, p->config.home, &p->stream) == BK_OK)
        p->has_stream = true;
    else
        p->connect_at = bk_after(world_now(p->world), RECONNECT_US);
}

static void start_client(struct sim_peer *p) {
    struct relay_client_config config = relay_client_config_default;
    config.host = "home.example";
    memcpy(config.secret, p->identity.relay_secret, sizeof config.secret);
    p->stream_open = true;
    if (relay_client_new(&config, &p->rng, &p->alloc, world_now(p->world), &p->client) != BK_OK)
        drop_home(p);
}

static void on_relay_packet(struct sim_peer *p, const struct relay_client_event *event) {
    uint8_t held[PEER_KEY_LEN + SIGNAL_LEN_MAX];
    struct bk_time now = world_now(p->world);
    if (p->config.signal_hold_us == 0 || event->len > SIGNAL_LEN_MAX ||
        !signal_is_signal(event->data, event->len)) {
        endpoint_relay_recv(p->endpoint, event->key, event->data, event->len, now);
        return;
    }
    memcpy(held, event->key, PEER_KEY_LEN);
    memcpy(held + PEER_KEY_LEN, event->data, event->len);
    world_post(p->world, p->actor, p->config.signal_hold_us, held, PEER_KEY_LEN + event->len);
}

static void on_message(void *ctx, struct world *w, const uint8_t *data, size_t len) {
    struct sim_peer *p = ctx;
    endpoint_relay_recv(p->endpoint, data, data + PEER_KEY_LEN, len - PEER_KEY_LEN, world_now(w));
}

static void on_client_event(struct sim_peer *p, const struct relay_client_event *event) {
    struct bk_time now = world_now(p->world);
    switch (event->type) {
    case RELAY_CLIENT_CONNECTED:
        p->was_up = true;
        endpoint_relay_up(p->endpoint, true, now);
        if (p->config.on_home != NULL)
            p->config.on_home(p->config.ctx, p->world);
        break;
    case RELAY_CLIENT_PACKET:
        on_relay_packet(p, event);
        break;
    case RELAY_CLIENT_PEER_GONE:
        endpoint_peer_gone(p->endpoint, event->key, event->not_here, now);
        break;
    case RELAY_CLIENT_ROOM:
    case RELAY_CLIENT_PONG:
    case RELAY_CLIENT_HEALTH:
    case RELAY_CLIENT_RESTARTING:
    case RELAY_CLIENT_PRESENT:
    case RELAY_CLIENT_CLOSED:
        break;
    }
}

static void drain_client(struct sim_peer *p) {
    struct relay_client_event event;
    while (p->client != NULL && relay_client_next_event(p->client, &event)) {
        bool closed = event.type == RELAY_CLIENT_CLOSED;
        on_client_event(p, &event);
        if (closed)
            drop_home(p);
    }
}

static void write_client(struct sim_peer *p) {
    struct relay_piece piece;
    while (p->client != NULL && p->stream_open && relay_client_next_bytes(p->client, &piece)) {
        size_t taken = world_stream_write(p->world, p->stream, piece.data, piece.len);
        relay_client_sent(p->client, taken);
        if (taken < piece.len)
            return;
    }
}

static void on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                      const uint8_t *data, size_t len) {
    struct sim_peer *p = ctx;
    if (!p->has_stream || stream != p->stream)
        return;
    switch (event) {
    case WORLD_STREAM_OPEN:
        start_client(p);
        break;
    case WORLD_STREAM_BYTES:
        while (len > 0 && p->client != NULL) {
            size_t taken = relay_client_recv(p->client, data, len, world_now(w));
            data += taken;
            len -= taken;
            drain_client(p);
        }
        break;
    case WORLD_STREAM_END:
    case WORLD_STREAM_BROKEN:
        drop_home(p);
        break;
    case WORLD_STREAM_ACCEPTED:
    case WORLD_STREAM_WRITABLE:
        break;
    }
}

/* --- the round --- */

static size_t bases_of(const struct sim_peer *p) {
    size_t n = 0;
    while (n < 2 && p->config.bases[n].ip.family != BK_FAMILY_NONE)
        n++;
    return n;
}

static bool is_beacon_socket(const struct sim_peer *p, socket_id socket) {
    for (size_t i = 0; p->config.beacons && i < bases_of(p); i++)
        if (socket == p->hear[i] || socket == p->talk[i])
            return true;
    return false;
}

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    struct sim_peer *p = ctx;
    if (is_beacon_socket(p, socket))
        endpoint_beacon_recv(p->endpoint, LINK, in, world_now(w));
    else
        endpoint_recv(p->endpoint, in, world_now(w));
}

static void send_beacon(struct sim_peer *p, const struct beacon_packet *packet) {
    static const uint8_t all6[16] = {0xff, 0x02, [15] = 1};
    for (size_t i = 0; i < bases_of(p); i++) {
        bool v6 = p->config.bases[i].ip.family == BK_IPV6;
        struct bk_datagram out = {
            .remote = packet->to, .data = packet->data, .len = packet->len, .ttl = BEACON_HOPS};
        if (out.remote.ip.family == BK_FAMILY_NONE)
            out.remote = bk_addr(v6 ? bk_ipv6(all6) : bk_ipv4(255, 255, 255, 255), BEACON_PORT);
        p->beacons_sent++;
        if (out.remote.ip.family == p->config.bases[i].ip.family)
            world_udp_send(p->world, p->talk[i], &out);
    }
}

static void tell_events(struct sim_peer *p) {
    struct endpoint_event event;
    while (endpoint_next_event(p->endpoint, &event)) {
        p->config.on_event(p->config.ctx, p->world, &event);
        if (event.type == ENDPOINT_SESSION && event.event.type == SESSION_ENDED)
            endpoint_release(p->endpoint, event.session);
    }
}

/* --- sockets beside the two --- */

static void open_extra(struct sim_peer *p, uint16_t id, uint16_t wanted, struct bk_time now) {
    const struct bk_addr any = {.ip = {.family = BK_IPV4}};
    struct bk_addr at = any;
    at.port = wanted;
    struct sim_peer_extra *x = &p->extra[id];
    *x = (struct sim_peer_extra){.port = 0};
    if (world_udp_bind(p->world, p->actor, at, &x->socket) == BK_OK ||
        world_udp_bind(p->world, p->actor, any, &x->socket) == BK_OK)
        x->port = world_udp_local(p->world, x->socket).port;
    p->extra_top = p->extra_top > id ? p->extra_top : (size_t)id + 1;
    endpoint_opened(p->endpoint, id, x->port, now);
}

/* true: there was something to do. */
static bool serve_extra(struct sim_peer *p, struct bk_time now) {
    struct endpoint_socket action;
    bool any = false;
    while (endpoint_next_socket(p->endpoint, now, &action)) {
        struct sim_peer_extra *x = &p->extra[action.id];
        any = true;
        if (action.open)
            open_extra(p, action.id, action.port, now);
        else if (x->port != 0)
            world_udp_close(p->world, x->socket);
        if (!action.open)
            x->port = 0;
    }
    return any;
}

static socket_id socket_for(const struct sim_peer *p, const struct bk_datagram *out) {
    int second = out->remote.ip.family == p->config.bases[1].ip.family ? 1 : 0;
    for (size_t i = 0; i < p->extra_top; i++)
        if (p->extra[i].port != 0 && p->extra[i].port == out->local.port &&
            out->local.port != p->config.bases[second].port)
            return p->extra[i].socket;
    return p->socket[second];
}

static void send_all(struct sim_peer *p, struct bk_time now) {
    struct endpoint_relay_packet packet;
    struct bk_datagram out;
    while (p->client != NULL && relay_client_has_room(p->client, ENDPOINT_RELAY_MAX) &&
           endpoint_next_relay(p->endpoint, now, &packet)) {
        struct relay_piece piece = {packet.data, packet.len};
        if (relay_client_send(p->client, packet.to, &piece, 1) == BK_OK)
            p->relay_bytes += packet.len;
    }
    do {
        while (endpoint_next_datagram(p->endpoint, now, &out)) {
            p->direct_bytes += out.len;
            world_udp_send(p->world, socket_for(p, &out), &out);
        }
    } while (serve_extra(p, now));
    struct beacon_packet beacon;
    while (endpoint_next_beacon(p->endpoint, now, &beacon))
        send_beacon(p, &beacon);
    write_client(p);
}

static void on_turn(void *ctx, struct world *w, struct bk_time now) {
    struct sim_peer *p = ctx;
    tell_events(p);
    if (p->config.on_turn != NULL)
        p->config.on_turn(p->config.ctx, w);
    if (endpoint_take_home_doubt(p->endpoint) && p->client != NULL)
        relay_client_doubt(p->client, now);
    send_all(p, now);
    tell_events(p);
    drain_client(p);
}

static void on_timer(void *ctx, struct world *w, struct bk_time now) {
    struct sim_peer *p = ctx;
    (void)w;
    if (bk_due(p->connect_at, now))
        connect_home(p);
    if (p->client != NULL)
        relay_client_advance(p->client, now);
    drain_client(p);
    endpoint_advance(p->endpoint, now);
}

static struct bk_time deadline(void *ctx) {
    struct sim_peer *p = ctx;
    struct bk_time t = bk_earlier(endpoint_deadline(p->endpoint), p->connect_at);
    return p->client == NULL ? t : bk_earlier(t, relay_client_deadline(p->client));
}

/* --- life --- */

static enum bk_err bind_sockets(struct sim_peer *p) {
    enum bk_err err = BK_OK;
    for (size_t i = 0; i < bases_of(p); i++) {
        struct bk_addr any = {.ip = {.family = p->config.bases[i].ip.family},
                              .port = p->config.port};
        err = err != BK_OK ? err : world_udp_bind(p->world, p->actor, any, &p->socket[i]);
        if (err == BK_OK)
            p->config.bases[i].port = world_udp_local(p->world, p->socket[i]).port;
    }
    return err;
}

static enum bk_err bind_beacons(struct sim_peer *p) {
    struct beacon_link link = {.index = LINK, .count = bases_of(p)};
    enum bk_err err = BK_OK;
    for (size_t i = 0; i < link.count; i++) {
        struct bk_addr any = {.ip = {.family = p->config.bases[i].ip.family}, .port = BEACON_PORT};
        link.addrs[i] = p->config.bases[i];
        link.prefix_len[i] = any.ip.family == BK_IPV6 ? 64 : 24;
        if (err == BK_OK)
            err = world_udp_bind(p->world, p->actor, any, &p->hear[i]);
        any.port = 0;
        if (err == BK_OK)
            err = world_udp_bind(p->world, p->actor, any, &p->talk[i]);
    }
    endpoint_set_links(p->endpoint, &link, 1, world_now(p->world));
    return err;
}

static enum bk_err start(struct sim_peer *p) {
    struct endpoint_config config = endpoint_config_default;
    size_t stun_count = 0;
    struct bk_time now = world_now(p->world);
    config.identity = &p->identity;
    config.rng = p->rng;
    config.alloc = p->alloc;
    config.relay_only = p->config.relay_only;
    config.private_addresses = p->config.private_addresses;
    config.trace = p->config.trace;
    enum bk_err err = endpoint_new(&config, &p->endpoint);
    if (err == BK_OK)
        err = bind_sockets(p);
    if (err == BK_OK && p->config.beacons)
        err = bind_beacons(p);
    if (err != BK_OK)
        return err;
    while (stun_count < 4 && p->config.stun[stun_count].port != 0)
        stun_count++;
    endpoint_set_bases(p->endpoint, p->config.bases, bases_of(p), now);
    endpoint_set_stun(p->endpoint, p->config.stun, stun_count, now);
    return BK_OK;
}

enum bk_err sim_peer_init(struct sim_peer *p, struct world *w, node_id host,
                          const struct sim_peer_config *config, const struct bk_alloc *alloc) {
    const struct world_actor callbacks = {.ctx = p,
                                          .on_datagram = on_datagram,
                                          .on_message = on_message,
                                          .on_stream = on_stream,
                                          .on_timer = on_timer,
                                          .on_turn = on_turn,
                                          .deadline = deadline};
    *p = (struct sim_peer){.config = *config, .world = w, .alloc = *alloc};
    p->rng = world_rng(w, config->name);
    p->connect_at = world_now(w);
    identity_make(&p->identity, &p->rng);
    p->actor = world_add_actor(w, host, &callbacks);
    enum bk_err err = start(p);
    if (err != BK_OK)
        sim_peer_fini(p);
    else
        world_wake(w, p->actor);
    return err;
}

void sim_peer_fini(struct sim_peer *p) {
    relay_client_free(p->client);
    endpoint_free(p->endpoint);
    identity_fini(&p->identity);
    p->client = NULL;
    p->endpoint = NULL;
}

struct endpoint *sim_peer_endpoint(struct sim_peer *p) {
    return p->endpoint;
}

void sim_peer_set_nat(struct sim_peer *p, const struct bk_nat_traits *nat, uint8_t opener_ttl) {
    endpoint_set_nat(p->endpoint, nat, opener_ttl, world_now(p->world));
    sim_peer_touch(p);
}

void sim_peer_touch(struct sim_peer *p) {
    world_wake(p->world, p->actor);
}
