/* SPDX-License-Identifier: MIT */
#include "sim/duo.h"

#include "base/assert.h"
#include "base/rng.h"

#include <string.h>

enum { HOME_PORT = 443, HELLO = 'P', CHUNK = 16384 };

const struct duo_config duo_config_default = {
    .seed = 1, .nat_a = "home", .nat_b = "home", .link = {.delay_us = 20000}};

/* The byte at position `i` of the stream: cheap, and different everywhere nearby. */
static uint8_t pattern(uint64_t i) {
    return (uint8_t)((i * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

/* --- streams --- */

static void send_some(struct duo_side *s, struct quic *quic) {
    uint8_t chunk[CHUNK];
    while (s->sent < s->to_send) {
        size_t room = quic_stream_room(quic, s->stream);
        size_t n = room < CHUNK ? room : CHUNK;
        if (n > s->to_send - s->sent)
            n = (size_t)(s->to_send - s->sent);
        if (n == 0)
            return;
        for (size_t i = 0; i < n; i++)
            chunk[i] = pattern(s->sent + i);
        s->sent += quic_stream_write(quic, s->stream, chunk, n);
    }
    if (!s->finished && quic_stream_finish(quic, s->stream) == BK_OK)
        s->finished = true;
}

static void note_progress(struct duo_side *s, struct bk_time now) {
    if (bk_is_never(s->first_byte))
        s->first_byte = now;
    if (!bk_is_never(s->last_progress)) {
        int64_t gap = bk_elapsed_us(s->last_progress, now);
        if (gap > s->longest_gap_us)
            s->longest_gap_us = gap;
    }
    s->last_progress = now;
}

static void receive_some(struct duo_side *s, struct quic *quic, struct bk_time now) {
    const uint8_t *data;
    size_t len;
    while (s->has_stream && quic_stream_peek(quic, s->stream, &data, &len)) {
        if (len == 0) {
            s->received_end = true;
            return;
        }
        note_progress(s, now);
        size_t skip = 0;
        if (!s->listener && !s->hello_done) {
            s->hello_done = true;
            s->corrupt = s->corrupt || data[0] != HELLO;
            skip = 1;
        }
        for (size_t i = skip; i < len; i++)
            s->corrupt = s->corrupt || data[i] != pattern(s->received + i - skip);
        s->received += len - skip;
        quic_stream_consume(quic, s->stream, len);
    }
}

static void say_hello(struct duo_side *s, struct quic *quic) {
    static const uint8_t hello = HELLO;
    if (!s->has_stream && quic_stream_open(quic, &s->stream) != BK_OK)
        return;
    s->has_stream = true;
    s->hello_done = quic_stream_write(quic, s->stream, &hello, 1) == 1;
}

static void on_turn(void *ctx, struct world *w) {
    struct duo_side *s = ctx;
    if (s->session == NULL || s->ended)
        return;
    struct quic *quic = session_quic(s->session);
    if (s->listener && !s->hello_done)
        say_hello(s, quic);
    receive_some(s, quic, world_now(w));
    if (s->has_stream && s->hello_done)
        send_some(s, quic);
}

/* --- events --- */

static void on_path(struct duo_side *s, struct bk_time now) {
    struct session_path path;
    session_path(s->session, &path);
    s->path_changes++;
    if (path.direct) {
        s->direct = now;
    } else {
        s->relayed = now;
        s->why = path.why;
    }
}

static void on_session_event(struct duo_side *s, const struct session_event *e,
                             struct bk_time now) {
    switch (e->type) {
    case SESSION_SECURED:
        s->secured = now;
        break;
    case SESSION_EXCHANGED:
        s->exchanged = now;
        break;
    case SESSION_PATH:
        on_path(s, now);
        break;
    case SESSION_QUIC:
        if (e->quic.type == QUIC_STREAM_OPENED && !s->has_stream) {
            s->has_stream = true;
            s->stream = e->quic.stream;
        }
        if (e->quic.type == QUIC_STREAM_CLOSED) /* the end came without bytes */
            s->received_end = true;
        break;
    case SESSION_ENDED:
        s->ended = true;
        s->end = e->end;
        s->session = NULL;
        break;
    }
}

static void on_event(void *ctx, struct world *w, const struct endpoint_event *event) {
    struct duo_side *s = ctx;
    struct bk_time now = world_now(w);
    switch (event->type) {
    case ENDPOINT_INCOMING:
        s->session = event->session;
        s->started = now;
        break;
    case ENDPOINT_SESSION:
        if (event->session == s->session)
            on_session_event(s, &event->event, now);
        break;
    case ENDPOINT_REFUSED:
        break;
    }
}

static void connect_when_ready(struct duo *d) {
    struct duo_side *a = &d->a;
    struct bk_time now = world_now(d->world);
    if (bk_is_never(a->home) || bk_is_never(d->b.home) || a->session != NULL || a->ended)
        return;
    uint8_t secret[TICKET_SECRET_LEN];
    memcpy(secret, d->secret, sizeof secret);
    secret[0] ^= d->config.wrong_secret;
    const struct session_offer offer = {
        .peer = d->b.peer.identity.key, .purpose = SIGNAL_PURPOSE_SESSION, .secret = secret};
    enum bk_err err = endpoint_connect(sim_peer_endpoint(&a->peer), &offer, now, &a->session);
    bk_assert(err == BK_OK);
    a->started = now;
    sim_peer_touch(&a->peer);
}

static void on_home(void *ctx, struct world *w) {
    struct duo_side *s = ctx;
    if (!bk_is_never(s->home))
        return;
    s->home = world_now(w);
}

/* --- topology --- */

static struct bk_ip host_ip6(const struct duo *d, unsigned who) {
    uint8_t net = (uint8_t)(d->config.one_nat && !d->config.subnets ? 1 : who);
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0, net, [15] = (uint8_t)(who + 1)};
    return bk_ipv6(v6);
}

static struct bk_ip host_ip(const struct duo *d, unsigned who) {
    if (d->config.ipv6)
        return host_ip6(d, who);
    if (d->config.clat && who == 1)
        return bk_ipv4(192, 0, 0, 2);
    return bk_ipv4(192, 168, (uint8_t)(d->config.subnets ? who : 1),
                   (uint8_t)(d->config.one_nat ? who + 1 : 2));
}

/* The box of one side as a configuration. */
static struct nat_config box_of(const struct duo *d, unsigned who) {
    const struct nat_config *given = who == 1 ? d->config.box_a : d->config.box_b;
    struct nat_config config;
    if (given != NULL && !d->config.ipv6)
        return *given;
    const char *preset = who == 1 ? d->config.nat_a : d->config.nat_b;
    enum bk_err err = nat_preset(d->config.ipv6 ? "firewall" : preset, &config);
    bk_assert(err == BK_OK);
    return config;
}

static void add_side(struct duo *d, unsigned who, const char *nat, node_id *box, node_id *host) {
    static const char *const boxes[] = {"", "nat-a", "nat-b"}, *const hosts[] = {"", "alice",
                                                                                 "bob"};
    struct nat_config config;
    if (nat == NULL) {
        struct bk_ip ip = d->config.ipv6 ? host_ip(d, who) : bk_ipv4(192, 0, 2, (uint8_t)who);
        *host = world_add_host(d->world, hosts[who], WORLD_CORE, ip, &d->config.link);
        return;
    }
    if (who == 2 && d->config.one_nat) {
        *box = d->box_a;
    } else {
        config = box_of(d, who);
        config.external[0] = bk_ipv4(203, 0, 113, (uint8_t)who);
        config.external_count = d->config.ipv6 ? 0 : 1;
        *box = world_add_nat(d->world, boxes[who], WORLD_CORE, &config, &d->config.link);
    }
    *host = world_add_host(d->world, hosts[who], *box, host_ip(d, who), NULL);
    if (d->config.ipv6_too)
        world_add_address(d->world, *host, host_ip6(d, who));
}

static struct bk_ip server_ip6(void) {
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 0xff, 0xff, [15] = 1};
    return bk_ipv6(v6);
}

static struct bk_ip server_ip(const struct duo *d) {
    return d->config.ipv6 ? server_ip6() : bk_ipv4(198, 51, 100, 1);
}

static void tell_nat(struct duo *d, struct duo_side *s, unsigned who) {
    enum { THROUGH_ONE_BOX = 2 };
    struct nat_config box = box_of(d, d->config.one_nat ? 1 : who);
    struct bk_nat_traits traits;
    box.external[0] = bk_ipv4(203, 0, 113, (uint8_t)(d->config.one_nat ? 1 : who));
    box.external_count = 1;
    nat_traits_of(&box, &traits);
    traits.port_mapping = traits.ipv6 = BK_NO; /* there is none here */
    sim_peer_set_nat(&s->peer, &traits, THROUGH_ONE_BOX);
}

static enum bk_err add_peer(struct duo *d, struct duo_side *s, node_id host, unsigned who,
                            const char *name, bool public_host) {
    struct bk_ip server = server_ip(d);
    struct sim_peer_config config = {
        .home = bk_addr(server, HOME_PORT),
        .stun = {bk_addr(server, STUN_PORT), bk_addr(server, STUN_PORT + 1)},
        .name = name,
        .relay_only = who == 1 && d->config.relay_only,
        .beacons = d->config.beacons,
        .private_addresses = d->config.private_addresses,
        .trace = d->config.trace[who - 1],
        .signal_hold_us = who == 1 ? d->config.signal_hold_us : 0,
        .on_event = on_event,
        .on_home = on_home,
        .on_turn = on_turn,
        .ctx = s,
    };
    config.bases[0].ip =
        public_host && !d->config.ipv6 ? bk_ipv4(192, 0, 2, (uint8_t)who) : host_ip(d, who);
    if (d->config.ipv6_too) {
        config.bases[1].ip = host_ip6(d, who);
        config.stun[2] = bk_addr(server_ip6(), STUN_PORT);
        config.stun[3] = bk_addr(server_ip6(), STUN_PORT + 1);
    }
    s->duo = d;
    s->listener = who == 2;
    s->to_send = who == 1 ? d->config.bytes : d->config.bytes_back;
    s->home = s->started = s->secured = s->exchanged = s->first_byte = BK_NEVER;
    s->direct = s->relayed = s->last_progress = BK_NEVER;
    enum bk_err err = sim_peer_init(&s->peer, d->world, host, &config, &d->alloc);
    if (err == BK_OK && d->config.surveyed && !public_host)
        tell_nat(d, s, who);
    return err;
}

static enum bk_err add_server(struct duo *d) {
    static const uint16_t ports[] = {STUN_PORT, STUN_PORT + 1};
    d->server = world_add_host(d->world, "server", WORLD_CORE, server_ip(d), NULL);
    if (d->config.ipv6_too)
        world_add_address(d->world, d->server, server_ip6());
    enum bk_err err = sim_stun_init(&d->stun, d->world, d->server, ports, 2);
    if (err == BK_OK)
        err = sim_relay_init(&d->relay, d->world, d->server, HOME_PORT, &d->alloc);
    return err;
}

enum bk_err duo_init(struct duo *d, const struct duo_config *config, const struct bk_alloc *alloc) {
    struct world_config world = world_config_default;
    memset(d, 0, sizeof *d);
    d->config = *config;
    d->alloc = *alloc;
    world.seed = config->seed;
    world.foreign_keys = true; /* TLS draws its own */
    enum bk_err err = world_new(&world, alloc, &d->world);
    if (err != BK_OK)
        return err;
    err = add_server(d);
    if (err != BK_OK)
        return err;
    add_side(d, 1, config->nat_a, &d->box_a, &d->host_a);
    add_side(d, 2, config->nat_b, &d->box_b, &d->host_b);
    err = add_peer(d, &d->a, d->host_a, 1, "alice", config->nat_a == NULL);
    if (err == BK_OK)
        err = add_peer(d, &d->b, d->host_b, 2, "bob", config->nat_b == NULL);
    if (err != BK_OK)
        return err;
    struct bk_rng rng = world_rng(d->world, "secret");
    rng_fill(&rng, d->secret, sizeof d->secret);
    return endpoint_add_secret(sim_peer_endpoint(&d->b.peer), d->secret);
}

void duo_fini(struct duo *d) {
    sim_peer_fini(&d->a.peer);
    sim_peer_fini(&d->b.peer);
    sim_relay_fini(&d->relay);
    world_free(d->world);
}

/* --- running --- */

bool duo_side_is_direct(const struct duo_side *side) {
    struct session_path path;
    if (side->session == NULL)
        return false;
    session_path(side->session, &path);
    return path.direct;
}

static bool both_direct(void *ctx) {
    struct duo *d = ctx;
    connect_when_ready(d);
    return duo_side_is_direct(&d->a) && duo_side_is_direct(&d->b);
}

static bool both_relayed(void *ctx) {
    struct duo *d = ctx;
    connect_when_ready(d);
    return d->a.session != NULL && d->b.session != NULL && !duo_side_is_direct(&d->a) &&
           !duo_side_is_direct(&d->b);
}

static bool all_done(void *ctx) {
    struct duo *d = ctx;
    connect_when_ready(d);
    return d->a.received_end && d->b.received_end;
}

static bool both_ended(void *ctx) {
    struct duo *d = ctx;
    connect_when_ready(d);
    return d->a.ended && (d->b.ended || d->b.session == NULL);
}

bool duo_run_until_direct(struct duo *d, int64_t us) {
    return world_run_until(d->world, both_direct, d, us);
}

bool duo_run_until_relayed(struct duo *d, int64_t us) {
    return world_run_until(d->world, both_relayed, d, us);
}

bool duo_run_until_done(struct duo *d, int64_t us) {
    return world_run_until(d->world, all_done, d, us);
}

bool duo_run_until_ended(struct duo *d, int64_t us) {
    return world_run_until(d->world, both_ended, d, us);
}
