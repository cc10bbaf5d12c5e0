/* SPDX-License-Identifier: MIT
 * links: turn
 * The input is a script for a TURN service: raw datagrams at its address and at relay ports,
 * requests built and signed as clients would (allocate, permit, bind, refresh, with attributes of
 * the script's choice), data both ways, time steps. Whatever comes: nothing leaves for an address
 * that the filter refuses or that was not permitted, nothing unproved is answered with more than
 * 2.6 times its length, answers go where the question came from, ports are opened and closed in
 * step with the allocations, and all ends when its time is over. */
#include "stun_input.h"

#include "base/rng.h"
#include "turn/service.h"
#include "wire/channel.h"

enum { CLIENTS = 6, STEPS_MAX = 400, PORTS = 16 };

struct script {
    struct wire_reader r;
    struct turn_service_config config;
    struct turn_service *service;
    struct turn_one_user user;
    struct stun_login login[CLIENTS];
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    bool open[2][PORTS];
    unsigned opened;
};

static const struct bk_addr server = {{.family = BK_IPV4, .bytes = {8, 8, 8, 8}}, 3478};

/* Good ones, bad ones, and the server itself. */
static struct bk_addr peer_of(unsigned n, bool v6) {
    static const uint8_t v4s[][4] = {{9, 9, 9, 9},         {1, 1, 1, 1},        {10, 0, 0, 1},
                                     {169, 254, 169, 254}, {127, 0, 0, 1},      {8, 8, 8, 8},
                                     {203, 0, 113, 1},     {255, 255, 255, 255}};
    static const uint8_t prefixes[][12] = {
        {0x26},          {[10] = 0xff, [11] = 0xff}, {0, 0x64, 0xff, 0x9b}, {0}, {0xfe, 0x80},
        {0x20, 0x02, 10}};
    const uint8_t *v4 = v4s[n % 8];
    uint16_t port = (uint16_t)((n & 0x40) != 0 ? 3478 : 50000 + n / 8 % 8);
    struct bk_ip ip = bk_ipv4(v4[0], v4[1], v4[2], v4[3]);
    if (v6) {
        uint8_t bytes[16];
        memcpy(bytes, prefixes[n / 8 % 6], 12);
        memcpy(bytes + 12, v4, 4);
        ip = bk_ipv6(bytes);
    }
    return bk_addr(ip, port);
}

static struct bk_addr client_of(unsigned n) {
    return bk_addr(bk_ipv4(100, 64, 0, (uint8_t)(n % CLIENTS)), 4000);
}

static size_t family_of(const struct bk_addr *addr) {
    return addr->ip.family == BK_IPV6 ? 1 : 0;
}

static bool is_relay(const struct script *s, const struct bk_addr *addr) {
    return bk_ip_equal(&addr->ip, &s->config.relay[family_of(addr)]) &&
           addr->port >= s->config.port_min && addr->port <= s->config.port_max;
}

static void take_actions(struct script *s) {
    struct turn_action action;
    while (turn_service_next_action(s->service, &action)) {
        fuzz_check(is_relay(s, &action.addr));
        bool *open = &s->open[family_of(&action.addr)][action.addr.port - s->config.port_min];
        fuzz_check(*open == (action.kind == TURN_CLOSE));
        *open = !*open;
        s->opened += *open ? 1u : 0u;
        s->opened -= *open ? 0u : 1u;
    }
    struct turn_service_info info;
    turn_service_info(s->service, &info);
    fuzz_check(info.allocations <= s->opened && s->opened <= 2 * info.allocations);
}

static void check_to_peer(const struct script *s, const struct bk_datagram *out) {
    fuzz_check(s->open[family_of(&out->local)][out->local.port - s->config.port_min]);
    if (is_relay(s, &out->remote)) /* another client of ours: only while it is there */
        fuzz_check(s->open[family_of(&out->remote)][out->remote.port - s->config.port_min]);
    else
        fuzz_check(turn_filter_allows(&s->config.filter, &out->remote.ip) &&
                   !bk_ip_equal(&out->remote.ip, &server.ip));
}

static void check_answer(const struct bk_datagram *in, const struct bk_datagram *out) {
    struct stun_msg q, a;
    fuzz_check(stun_parse(&q, in->data, in->len) == BK_OK);
    fuzz_check(stun_parse(&a, out->data, out->len) == BK_OK);
    fuzz_check(q.cls == STUN_REQUEST && a.method == q.method);
    fuzz_check(memcmp(q.txid, a.txid, STUN_TXID_LEN) == 0);
    fuzz_check(bk_addr_equal(&in->remote, &out->remote) && bk_addr_equal(&in->local, &out->local));
    fuzz_check(a.cls == STUN_SUCCESS || a.cls == STUN_ERROR);
    bool proved = a.integrity_at != 0 || a.integrity_sha256_at != 0;
    fuzz_check(a.cls == STUN_ERROR || proved);
    if (!proved)
        fuzz_check((out->len + 28) * 10 <= (in->len + 28) * 26);
}

static bool feed(struct script *s, const struct bk_addr *from, const struct bk_addr *to,
                 const uint8_t *bytes, size_t len, unsigned client) {
    uint8_t *copy = fuzz_copy(bytes, len);
    const struct bk_datagram in = {.local = *to, .remote = *from, .data = copy, .len = len};
    struct bk_datagram out;
    struct stun_msg m;
    bool from_peer = is_relay(s, to) && s->open[family_of(to)][to->port - s->config.port_min];
    enum bk_err err = turn_service_recv(s->service, &in, s->now);
    take_actions(s);
    bool answered = turn_service_next_datagram(s->service, &out);
    fuzz_check(!answered || err == BK_OK);
    if (answered && from_peer)
        fuzz_check(bk_addr_equal(&out.local, &server));
    else if (answered && is_relay(s, &out.local))
        check_to_peer(s, &out);
    else if (answered)
        check_answer(&in, &out);
    if (answered && client < CLIENTS && stun_parse(&m, out.data, out.len) == BK_OK)
        (void)stun_login_check(&s->login[client], &m);
    free(copy);
    return answered;
}

static void put_attribute(struct script *s, struct stun_builder *b) {
    unsigned what = wire_u8(&s->r), value = wire_u8(&s->r);
    struct bk_addr peer = peer_of(value, (what & 0x80) != 0);
    const uint8_t byte = (uint8_t)value;
    switch (what % 10) {
    case 0:
        stun_put_u32(b, TURN_LIFETIME, value * 20u);
        break;
    case 1:
        stun_put_u32(b, TURN_REQUESTED_ADDRESS_FAMILY, value << 24);
        break;
    case 2:
        stun_put_u32(b, TURN_ADDITIONAL_ADDRESS_FAMILY, 2u << 24);
        break;
    case 3:
        stun_put_bytes(b, TURN_EVEN_PORT, &byte, 1);
        break;
    case 4:
        stun_put_u64(b, TURN_RESERVATION_TOKEN, value);
        break;
    case 5:
        stun_put_port(b, TURN_CHANNEL_NUMBER, (uint16_t)(0x4000 + value % 4));
        break;
    case 6:
        stun_put_bytes(b, TURN_DATA_ATTR, "data", value % 5);
        break;
    case 7:
        stun_put_u32(b, TURN_REQUESTED_TRANSPORT, (value == 0 ? 6u : 17u) << 24);
        break;
    default:
        stun_put_addr(b, TURN_XOR_PEER_ADDRESS, &peer);
    }
}

static void request(struct script *s) {
    static const uint16_t methods[] = {TURN_ALLOCATE,     TURN_ALLOCATE, TURN_CREATE_PERMISSION,
                                       TURN_CHANNEL_BIND, TURN_REFRESH,  TURN_SEND};
    uint8_t out[1024], txid[STUN_TXID_LEN];
    unsigned who = wire_u8(&s->r), how = wire_u8(&s->r);
    unsigned n = who % CLIENTS;
    struct bk_addr from = client_of(n);
    uint16_t method = methods[how % 6];
    size_t len;
    rng_fill(&s->rng, txid, sizeof txid);
    struct stun_builder b = stun_start(
        out, sizeof out, method == TURN_SEND ? STUN_INDICATION : STUN_REQUEST, method, txid);
    if (method == TURN_ALLOCATE)
        stun_put_u32(&b, TURN_REQUESTED_TRANSPORT, 17u << 24);
    for (unsigned i = 0; i < how / 8 % 4; i++)
        put_attribute(s, &b);
    if (method != TURN_SEND)
        stun_login_put(&s->login[n], &b);
    fuzz_check(stun_finish(&b, &len) == BK_OK);
    (void)feed(s, &from, &server, out, len, n);
    if ((how & 0x80) != 0)
        (void)feed(s, &from, &server, out, len, n); /* retransmitted */
}

static void data(struct script *s) {
    uint8_t out[64] = {0};
    unsigned who = wire_u8(&s->r), what = wire_u8(&s->r);
    struct bk_addr from = client_of(who);
    struct bk_addr peer = peer_of(what, (who & 0x80) != 0), relay;
    if ((who & 0x40) != 0) {
        channel_write_header(out, (uint16_t)(0x4000 + what % 4), what / 4);
        (void)feed(s, &from, &server, out, sizeof out, CLIENTS);
        return;
    }
    relay = bk_addr(s->config.relay[family_of(&peer)], (uint16_t)(50000 + who % PORTS));
    if ((who & 0x20) != 0) {
        struct bk_datagram d;
        const struct turn_icmp error = {relay, peer, (uint8_t)what, 0, what};
        if (turn_service_icmp(s->service, &error, s->now) == BK_OK)
            fuzz_check(turn_service_next_datagram(s->service, &d) &&
                       bk_addr_equal(&d.local, &server));
        return;
    }
    (void)feed(s, &peer, &relay, out, what % sizeof out, CLIENTS);
}

static void raw(struct script *s) {
    unsigned how = wire_u8(&s->r);
    struct bk_addr from = client_of(how / 4);
    size_t len = wire_u8(&s->r) * 2u;
    if (len > wire_left(&s->r))
        len = wire_left(&s->r);
    uint8_t *copy = fuzz_copy(wire_bytes(&s->r, len), len);
    fuzz_repair(copy, len, how);
    (void)feed(s, &from, &server, copy, len, CLIENTS);
    free(copy);
}

static void step(struct script *s) {
    unsigned how = wire_u8(&s->r);
    struct bk_time at = turn_service_deadline(s->service);
    if ((how & 1) != 0 && !bk_is_never(at))
        s->now = bk_later(s->now, at);
    else
        s->now = bk_after(s->now, (int64_t)how * how * how * BK_US_PER_MS);
    turn_service_advance(s->service, s->now);
    take_actions(s);
    fuzz_check(!bk_due(turn_service_deadline(s->service), s->now));
}

static void set_up(struct script *s, unsigned kind) {
    static const uint8_t six[16] = {0x26, 0x20, [15] = 1};
    s->config = turn_service_config_default;
    s->user = (struct turn_one_user){"u", "p", "bodkin"};
    s->config.users = turn_users_one(&s->user);
    s->config.anonymous = (kind & 1) != 0;
    s->config.relay[0] = server.ip;
    if ((kind & 2) != 0)
        s->config.relay[1] = bk_ipv6(six);
    s->config.port_min = 50000;
    s->config.port_max = 50000 + PORTS - 1;
    s->config.allocations_max = 4;
    s->config.permissions_max = 5;
    s->config.channels_max = 3;
    s->config.permissions_all = 12;
    s->config.channels_all = 6;
    for (size_t i = 0; i < CLIENTS; i++)
        fuzz_check(stun_login_init(&s->login[i], "u", "p") == BK_OK);
    fuzz_check(turn_service_new(&s->config, &fuzz_alloc, &s->rng, s->now, &s->service) == BK_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static struct script s;
    struct turn_service_info info;
    memset(&s, 0, sizeof s);
    s.r = wire_reader(bytes, size);
    rng_seed(&s.seed, 1);
    s.rng = rng_from_seeded(&s.seed);
    set_up(&s, wire_u8(&s.r));
    for (int i = 0; i < STEPS_MAX && wire_left(&s.r) > 0; i++) {
        unsigned what = wire_u8(&s.r) % 8;
        if (what < 4)
            request(&s);
        else if (what < 6)
            data(&s);
        else if (what == 6)
            raw(&s);
        else
            step(&s);
    }
    s.now = bk_after(s.now, 7200 * BK_US_PER_S);
    turn_service_advance(s.service, s.now);
    take_actions(&s);
    turn_service_info(s.service, &info);
    fuzz_check(info.allocations == 0 && info.permissions == 0 && info.channels == 0);
    fuzz_check(s.opened == 0 && bk_is_never(turn_service_deadline(s.service)));
    turn_service_free(s.service);
    return 0;
}
