/* SPDX-License-Identifier: MIT
 * links: turn
 * The input is a script for a TURN service: raw datagrams at its address and at relay ports,
 * requests built and signed as clients would (allocate, permit, bind, refresh, connect, move, with
 * attributes of the script's choice), data both ways, time steps. Whatever comes: nothing leaves
 * for an address that the filter refuses or that was not permitted, nothing unproved is answered
 * with more than 2.6 times its length, answers go where the question came from, ports are opened
 * and closed in step with the allocations, and all ends when its time is over. So do flows and peer
 * connections, which nobody hears of after their end. What is handed to a new process may be
 * damaged. */
#include "stun_input.h"

#include "base/rng.h"
#include "turn/service.h"
#include "wire/channel.h"

enum { CLIENTS = 6, STEPS_MAX = 400, PORTS = 16, CONNS = 32, FLOWS = 64, FOREIGN = 8 };

/* A peer connection that the service speaks of. */
struct conn {
    uint32_t number; /* 0: none */
    bool up;
};

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
    struct conn conns[CONNS];
    bool flows[FLOWS];
    struct bk_addr relay; /* one that listens, perhaps */
    uint8_t ticket[64];
    size_t ticket_len;
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

static struct conn *find_conn(struct script *s, uint32_t number) {
    for (size_t i = 0; i < CONNS; i++)
        if (s->conns[i].number == number)
            return &s->conns[i];
    return NULL;
}

static void add_conn(struct script *s, uint32_t number, bool up) {
    fuzz_check(number != 0 && find_conn(s, number) == NULL);
    struct conn *c = find_conn(s, 0);
    fuzz_check(c != NULL);
    *c = (struct conn){number, up};
}

static void take_port(struct script *s, const struct turn_action *action) {
    fuzz_check(is_relay(s, &action->addr));
    bool *open = &s->open[family_of(&action->addr)][action->addr.port - s->config.port_min];
    fuzz_check(*open == (action->kind == TURN_CLOSE));
    if (action->kind == TURN_OPEN && action->addr.port % FOREIGN == 5) { /* another program's */
        enum bk_err err = action->addr.port % (2 * FOREIGN) == 5 ? BK_ERR_EXISTS : BK_ERR_NO_MEMORY;
        turn_service_cannot_open(s->service, &action->addr, err, s->now);
        return;
    }
    *open = !*open;
    s->opened += *open ? 1u : 0u;
    s->opened -= *open ? 0u : 1u;
    if (action->protocol == BK_TCP)
        s->relay = action->addr;
}

static void take_flow(struct script *s, const struct turn_action *action) {
    const struct turn_flow *f = &action->flow;
    fuzz_check(f->id < FLOWS && s->config.flows);
    if (action->kind == TURN_FLOW_END) {
        fuzz_check(s->flows[f->id]);
        s->flows[f->id] = false;
        return;
    }
    s->flows[f->id] = true;
    fuzz_check(is_relay(s, &f->relay) && turn_filter_allows(&s->config.filter, &f->peer.ip));
}

static void take_action(struct script *s, const struct turn_action *action) {
    struct conn *c = action->connection == 0 ? NULL : find_conn(s, action->connection);
    switch (action->kind) {
    case TURN_OPEN:
    case TURN_CLOSE:
        take_port(s, action);
        break;
    case TURN_CONNECT:
        fuzz_check(is_relay(s, &action->addr) && s->config.tcp);
        add_conn(s, action->connection, false);
        break;
    case TURN_JOIN:
        fuzz_check(c != NULL && c->up);
        break;
    case TURN_CUT:
        if (c != NULL)
            c->number = 0;
        break;
    case TURN_FLOW:
    case TURN_FLOW_END:
        take_flow(s, action);
        break;
    case TURN_PASS:
        fuzz_check(action->worker == 1);
        break;
    }
}

static void take_actions(struct script *s) {
    struct turn_action action;
    struct turn_refusal refusal;
    struct turn_service_info info;
    while (turn_service_next_action(s->service, &action))
        take_action(s, &action);
    while (turn_service_next_refusal(s->service, &refusal))
        fuzz_check(refusal.rule < TURN_RULES && turn_rule_name(refusal.rule) != NULL);
    turn_service_info(s->service, &info);
    fuzz_check(s->opened <= 2 * info.allocations);
    fuzz_check(s->config.shared || info.allocations <= s->opened);
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
    if (!proved && in->protocol == BK_UDP)
        fuzz_check((out->len + 28) * 10 <= (in->len + 28) * 26);
}

static void note_answer(struct script *s, unsigned client, const struct stun_msg *m) {
    struct wire_span ticket;
    if (stun_get_bytes(m, TURN_MOBILITY_TICKET, &ticket) == BK_OK) {
        fuzz_check(ticket.len <= sizeof s->ticket);
        memcpy(s->ticket, ticket.data, ticket.len);
        s->ticket_len = ticket.len;
    }
    (void)stun_login_check(&s->login[client], m);
}

/* Odd clients come over streams. */
static uint8_t protocol_of(const struct script *s, const struct bk_addr *from) {
    return s->config.tcp && from->port == 4000 && from->ip.bytes[3] % 2 == 1 ? BK_TCP : BK_UDP;
}

static bool feed(struct script *s, const struct bk_addr *from, const struct bk_addr *to,
                 const uint8_t *bytes, size_t len, unsigned client) {
    uint8_t *copy = fuzz_copy(bytes, len);
    const struct bk_datagram in = {
        .local = *to, .remote = *from, .data = copy, .len = len, .protocol = protocol_of(s, from)};
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
        note_answer(s, client, &m);
    free(copy);
    return answered;
}

static void put_token(struct script *s, struct stun_builder *b, size_t len) {
    if (len > wire_left(&s->r))
        len = wire_left(&s->r);
    stun_put_bytes(b, STUN_ACCESS_TOKEN, wire_bytes(&s->r, len), len);
}

static void put_attribute(struct script *s, struct stun_builder *b) {
    unsigned what = wire_u8(&s->r), value = wire_u8(&s->r);
    struct bk_addr peer = peer_of(value, (what & 0x80) != 0);
    const uint8_t byte = (uint8_t)value;
    switch (what % 13) {
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
    case 8:
        stun_put_u32(b, TURN_CONNECTION_ID,
                     value >= CONNS ? value << 24 | value : s->conns[value].number);
        break;
    case 10:
        put_token(s, b, value);
        break;
    case 9:
        stun_put_bytes(b, TURN_MOBILITY_TICKET, s->ticket, value == 0 ? 0 : s->ticket_len);
        break;
    default:
        stun_put_addr(b, TURN_XOR_PEER_ADDRESS, &peer);
    }
}

static void request(struct script *s) {
    static const uint16_t methods[] = {
        TURN_ALLOCATE, TURN_ALLOCATE, TURN_CREATE_PERMISSION, TURN_CHANNEL_BIND,
        TURN_REFRESH,  TURN_SEND,     TURN_METHOD_CONNECT,    TURN_CONNECTION_BIND};
    uint8_t out[1024], txid[STUN_TXID_LEN];
    unsigned who = wire_u8(&s->r), how = wire_u8(&s->r);
    unsigned n = who % CLIENTS;
    struct bk_addr from = client_of(n);
    uint16_t method = methods[how % 8];
    size_t len;
    rng_fill(&s->rng, txid, sizeof txid);
    struct stun_builder b = stun_start(
        out, sizeof out, method == TURN_SEND ? STUN_INDICATION : STUN_REQUEST, method, txid);
    if (method == TURN_ALLOCATE)
        stun_put_u32(&b, TURN_REQUESTED_TRANSPORT, ((who & 0x40) != 0 ? 6u : 17u) << 24);
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

/* A peer's stream comes, is up or not, or goes. */
static void stream(struct script *s) {
    unsigned which = wire_u8(&s->r), how = wire_u8(&s->r);
    struct conn *c = &s->conns[which % CONNS];
    struct bk_addr peer = peer_of(how, (how & 0x80) != 0);
    struct bk_datagram out;
    uint32_t number;
    const struct bk_datagram client = {
        .local = server, .remote = client_of(which), .protocol = BK_TCP};
    if (how % 4 == 0 && find_conn(s, 0) != NULL) {
        if (turn_service_accepted(s->service, &s->relay, &peer, s->now, &number) == BK_OK)
            add_conn(s, number, true);
    } else if (how % 4 == 1 && c->number != 0 && !c->up) {
        c->up = how % 3 != 0;
        number = c->number;
        if (!c->up)
            c->number = 0;
        turn_service_connected(s->service, number, c->up ? BK_OK : BK_ERR_TIMEOUT, s->now);
    } else if (how % 4 == 2 && c->number != 0) {
        turn_service_disconnected(s->service, c->number, s->now);
        c->number = 0;
    } else if (how % 16 == 3) {
        turn_service_left(s->service, &client, s->now);
    }
    if (turn_service_next_datagram(s->service, &out))
        fuzz_check(bk_addr_equal(&out.local, &server));
    take_actions(s);
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

/* What another process of ours would be told, or something like it. */
static void take_over(struct script *s, uint8_t *bytes, size_t len, unsigned how) {
    struct turn_imported made;
    struct turn_action action;
    if ((how & 1) != 0 && len > 0)
        bytes[wire_u16(&s->r) % len] ^= (uint8_t)(1u << how / 2 % 8);
    uint8_t *copy = fuzz_copy(bytes, (how & 0x80) != 0 ? len / 2 : len);
    enum bk_err err =
        turn_service_import(s->service, copy, (how & 0x80) != 0 ? len / 2 : len, s->now, &made);
    free(copy);
    for (size_t i = 0; err == BK_OK && i < 2; i++) {
        if (made.relay[i].ip.family == BK_FAMILY_NONE)
            continue;
        bool *open = &s->open[i][made.relay[i].port - s->config.port_min];
        fuzz_check(is_relay(s, &made.relay[i]) && (!*open || s->config.shared));
        s->opened += *open ? 0u : 1u;
        *open = true;
    }
    if (err == BK_OK)
        take_actions(s);
    while (err != BK_OK && turn_service_next_action(s->service, &action))
        fuzz_check(action.kind == TURN_CLOSE || action.kind == TURN_FLOW_END ||
                   action.kind == TURN_FLOW);
}

static void hand_over(struct script *s) {
    static uint8_t bytes[CLIENTS][4096];
    struct turn_exported what[CLIENTS];
    size_t count = 0;
    uint32_t cursor = 0;
    unsigned how = wire_u8(&s->r);
    while (count < CLIENTS &&
           turn_service_export(s->service, &cursor, bytes[count], sizeof *bytes, &what[count]))
        count++;
    fuzz_check(turn_service_export_max(s->service) <= sizeof *bytes);
    turn_service_free(s->service);
    fuzz_check(turn_service_new(&s->config, &fuzz_alloc, &s->rng, s->now, &s->service) == BK_OK);
    memset(s->open, 0, sizeof s->open);
    memset(s->conns, 0, sizeof s->conns);
    memset(s->flows, 0, sizeof s->flows);
    s->opened = 0;
    for (size_t i = 0; i < count; i++)
        take_over(s, bytes[i], what[i].len, how);
}

static void stream_or_raw(struct script *s) {
    unsigned what = wire_u8(&s->r) % 8;
    if (what == 0)
        hand_over(s);
    else if (what < 3)
        raw(s);
    else
        stream(s);
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

static void set_up(struct script *s, unsigned kind, unsigned more) {
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
    s->config.shared = (more & 1) != 0;
    if (s->config.shared)
        s->config.port_max = 50001;
    s->config.allocations_max = 4;
    s->config.permissions_max = 5;
    s->config.channels_max = 3;
    s->config.permissions_all = 12;
    s->config.channels_all = 6;
    s->config.connections_all = CONNS / 2;
    s->config.tcp = (kind & 4) != 0;
    s->config.mobility = (kind & 8) != 0;
    s->config.flows = (kind & 16) != 0;
    s->config.workers = (kind & 32) != 0 ? 2 : 1;
    static const struct turn_token_key maker = {"u", {0}, 16};
    if ((kind & 128) != 0)
        s->config.tokens = (struct turn_tokens){"s", &maker, 1, 0};
    s->config.bytes_per_s = (kind & 64) != 0 ? 100 : 0;
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
    unsigned kind = wire_u8(&s.r);
    set_up(&s, kind, wire_u8(&s.r));
    for (int i = 0; i < STEPS_MAX && wire_left(&s.r) > 0; i++) {
        unsigned what = wire_u8(&s.r) % 8;
        if (what < 4)
            request(&s);
        else if (what < 6)
            data(&s);
        else if (what == 6)
            stream_or_raw(&s);
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
