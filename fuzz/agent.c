/* SPDX-License-Identifier: MIT
 * links: agent
 * One whole ICE agent under a script: the input's bytes choose packets (raw, a peer's signed
 * checks, answers of the peer, of STUN and of TURN servers), bytes of connections, texts of SDP,
 * steps of time and every call of the interface, bk_ice_free() in the middle of fetching included.
 * Memory runs out at times. After each step the agent's invariants are checked; relay-only agents
 * must never send to anybody but servers. */
#include "agent/agent.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "ice/cred.h"
#include "ice/message.h"
#include "stun/auth.h"
#include "wire/stun.h"

enum { KEPT = 8, STEPS_MAX = 300, CONNS = 8 };

struct kept { /* a request the agent sent, to be answered */
    struct bk_addr local, remote;
    uint32_t conn; /* 0: a datagram */
    size_t len;
    uint8_t bytes[600];
};

struct play {
    struct wire_reader in;
    struct bk_ice_config config;
    struct bk_ice *ice;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    struct ice_cred peer, agent;
    struct stun_realm realm;
    struct kept kept[KEPT];
    unsigned next_kept;
    uint32_t conns[CONNS]; /* ids seen */
    unsigned next_conn;
    uint32_t last_lookup;
    bool poor;
};

static void *poor_get(void *ctx, size_t size) {
    const struct play *p = ctx;
    return p->poor ? NULL : calloc(1, size);
}

static void poor_put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static struct bk_addr pick_addr(struct play *p, uint8_t site) {
    uint8_t n = wire_u8(&p->in);
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, site};
    v6[15] = n & 7;
    struct bk_ip ip = (n & 0x10) != 0 ? bk_ipv6(v6) : bk_ipv4(10, site, 0, n & 7);
    if ((n & 0x37) == 0x27)
        ip = bk_ipv4(127, 0, 0, 1);
    if ((n & 0x37) == 0x26)
        ip = bk_ipv4(198, 51, 100, site);
    return bk_addr(ip, (uint16_t)(5000 + (n >> 6)));
}

static bool is_server(const struct bk_addr *a) {
    return a->ip.family == BK_IPV4 && a->ip.bytes[0] == 192;
}

static void give(struct play *p, const struct bk_addr *local, const struct bk_addr *remote,
                 uint32_t conn, const uint8_t *bytes, size_t len) {
    struct bk_ice_data data;
    enum bk_err err;
    uint8_t *copy = fuzz_copy(bytes, len);
    if (conn != 0) {
        err = bk_ice_stream_recv(p->ice, conn, copy, len, p->now);
        while ((wire_u8(&p->in) & 7) != 7 && bk_ice_next_data(p->ice, &data))
            fuzz_check(data.data != NULL);
    } else {
        struct bk_datagram d = {.local = *local,
                                .remote = *remote,
                                .data = copy,
                                .len = len,
                                .protocol = wire_u8(&p->in) == 255};
        err = bk_ice_recv(p->ice, &d, p->now, &data);
        fuzz_check(err == BK_OK || data.data == NULL);
    }
    if ((p->now.us & 3) != 0 || conn == 0) /* the views end here */
        while (conn != 0 && bk_ice_next_data(p->ice, &data))
            continue;
    (void)err;
    while (conn != 0 && bk_ice_next_data(p->ice, &data))
        continue;
    free(copy);
}

static const uint8_t *pick_bytes(struct play *p, size_t *len) {
    size_t n = wire_u8(&p->in);
    *len = n < wire_left(&p->in) ? n : wire_left(&p->in);
    return wire_bytes(&p->in, *len);
}

static void raw(struct play *p, bool stream) {
    struct bk_addr local = pick_addr(p, 1), remote = pick_addr(p, 2);
    size_t len;
    uint32_t conn = stream ? p->conns[wire_u8(&p->in) % CONNS] : 0;
    const uint8_t *bytes = pick_bytes(p, &len);
    if (bytes != NULL && (!stream || conn != 0))
        give(p, &local, &remote, conn, bytes, len);
}

/* Behind the length that frames it, on a connection. */
static void give_framed(struct play *p, const struct kept *k, const uint8_t *bytes, size_t len,
                        bool framed) {
    uint8_t buf[1600];
    if (k->conn == 0 || !framed) {
        give(p, &k->local, &k->remote, k->conn, bytes, len);
        return;
    }
    buf[0] = (uint8_t)(len >> 8);
    buf[1] = (uint8_t)len;
    memcpy(buf + 2, bytes, len);
    give(p, &k->local, &k->remote, k->conn, buf, len + 2);
}

static void signed_check(struct play *p) {
    uint8_t flags = wire_u8(&p->in), buf[ICE_MESSAGE_MAX];
    struct kept to = {.local = pick_addr(p, 1), .remote = pick_addr(p, 2)};
    uint8_t txid[STUN_TXID_LEN] = {flags, (uint8_t)p->now.us};
    if ((flags & 64) != 0)
        to.conn = p->conns[flags % CONNS];
    if (ice_cred_set(&p->agent, bk_ice_ufrag(p->ice), bk_ice_pwd(p->ice)) != BK_OK)
        abort();
    struct ice_check_message m = {.txid = txid,
                                  .local = ice_cred_view(&p->peer),
                                  .remote = ice_cred_view(&p->agent),
                                  .priority = wire_u32(&p->in),
                                  .role = {(flags & 2) != 0, wire_u8(&p->in)},
                                  .use_candidate = (flags & 4) != 0,
                                  .nomination = (flags & 8) != 0 ? wire_u32(&p->in) : 0};
    size_t len = 0;
    if (ice_build_check(&m, buf, sizeof buf, &len) == BK_OK)
        give_framed(p, &to, buf, len, true);
}

static void answer_binding(struct play *p, const struct kept *k, const struct stun_msg *m,
                           uint8_t how) {
    uint8_t buf[ICE_MESSAGE_MAX];
    struct bk_addr mapped = (how & 64) != 0 ? pick_addr(p, 1) : k->local;
    size_t len = 0;
    if (is_server(&k->remote)) {
        struct bk_addr other = {.ip = k->remote.ip, .port = 3479};
        struct stun_builder b =
            stun_start_reply(buf, sizeof buf, (how & 8) != 0 ? STUN_ERROR : STUN_SUCCESS, m);
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &mapped);
        if ((how & 8) != 0) {
            stun_put_error(&b, 300, "");
            stun_put_addr(&b, STUN_ALTERNATE_SERVER, &other);
        }
        if (stun_finish(&b, &len) == BK_OK)
            give_framed(p, k, buf, len, false);
        return;
    }
    struct ice_answer_message a = {.txid = m->txid,
                                   .local = ice_cred_view(&p->peer),
                                   .code = (how & 0x38) == 0x38 ? 487 : 0,
                                   .mapped = mapped};
    if (ice_build_answer(&a, buf, sizeof buf, &len) == BK_OK)
        give_framed(p, k, buf, len, true);
}

static void put_turn_success(struct play *p, const struct kept *k, struct stun_builder *b) {
    struct bk_addr relayed = bk_addr(bk_ipv4(192, 0, 2, 10), (uint16_t)(50000 + p->next_kept));
    struct bk_addr mapped = bk_addr(bk_ipv4(198, 51, 100, 1), k->local.port);
    stun_put_addr(b, TURN_XOR_RELAYED_ADDRESS, &relayed);
    stun_put_addr(b, STUN_XOR_MAPPED_ADDRESS, &mapped);
    stun_put_u32(b, TURN_LIFETIME, 600);
}

static void answer_turn(struct play *p, const struct kept *k, const struct stun_msg *m,
                        uint8_t how) {
    static const uint16_t codes[] = {0, 0, 0, 437, 438, 300, 403, 508};
    uint8_t buf[1000];
    struct stun_claim claim;
    struct stun_key key;
    struct bk_addr other = {.ip = k->remote.ip, .port = 3479};
    uint16_t code = stun_realm_claim(&p->realm, m, &k->local, p->now, &claim);
    if (code == 0 && stun_key_long("user", "example.org", "secret", claim.algorithm, &key) == BK_OK)
        code = stun_claim_verify(&claim, m, &key);
    bool authentic = code == 0;
    code = authentic ? codes[how >> 3 & 7] : code;
    struct stun_builder b =
        stun_start_reply(buf, sizeof buf, code == 0 ? STUN_SUCCESS : STUN_ERROR, m);
    if (code == 0)
        put_turn_success(p, k, &b);
    else
        stun_put_error(&b, code, "");
    if (code == 300)
        stun_put_addr(&b, STUN_ALTERNATE_SERVER, &other);
    if (code == 401 || code == 438)
        stun_realm_challenge(&p->realm, &b, &k->local, p->now);
    if (authentic)
        stun_claim_sign(&claim, &b, &key);
    size_t len = 0;
    if (stun_finish(&b, &len) == BK_OK)
        give_framed(p, k, buf, len, false);
}

static void answer(struct play *p) {
    uint8_t how = wire_u8(&p->in);
    struct kept k = p->kept[how % KEPT];
    struct stun_msg m;
    size_t skip = k.conn != 0 && k.len > 2 && !stun_is_message(k.bytes, k.len) ? 2 : 0;
    if (k.len == 0 || stun_parse(&m, k.bytes + skip, k.len - skip) != BK_OK ||
        m.cls != STUN_REQUEST)
        return;
    if (m.method == STUN_BINDING)
        answer_binding(p, &k, &m, how);
    else
        answer_turn(p, &k, &m, how);
}

/* What a relay brings: a Data indication around raw bytes or a signed check. */
static void data_indication(struct play *p) {
    uint8_t buf[1000];
    size_t len;
    struct kept k = p->kept[wire_u8(&p->in) % KEPT];
    struct bk_addr peer = pick_addr(p, 2);
    const uint8_t *bytes = pick_bytes(p, &len);
    static const uint8_t txid[STUN_TXID_LEN] = {1};
    struct stun_builder b = stun_start(buf, sizeof buf, STUN_INDICATION, TURN_DATA, txid);
    stun_put_addr(&b, TURN_XOR_PEER_ADDRESS, &peer);
    if (bytes != NULL)
        stun_put_bytes(&b, TURN_DATA_ATTR, bytes, len);
    if (is_server(&k.remote) && stun_finish(&b, &len) == BK_OK)
        give_framed(p, &k, buf, len, false);
}

/* ---- Draining ----------------------------------------------------------------------------- */

static void keep(struct play *p, const struct bk_addr *local, const struct bk_addr *remote,
                 uint32_t conn, const uint8_t *bytes, size_t len) {
    struct kept *k = &p->kept[p->next_kept % KEPT];
    if (len > sizeof k->bytes)
        return;
    p->next_kept++;
    *k = (struct kept){.local = *local, .remote = *remote, .conn = conn, .len = len};
    memcpy(k->bytes, bytes, len);
}

static void keep_conn(struct play *p, uint32_t id) {
    p->conns[p->next_conn++ % CONNS] = id;
}

static void drain_requests(struct play *p) {
    struct bk_ice_request r;
    const uint8_t *bytes;
    size_t len;
    uint32_t id;
    while (bk_ice_next_request(p->ice, &r)) {
        fuzz_check(r.id != 0);
        if (r.kind == BK_ICE_DIAL)
            keep_conn(p, r.id);
        if (r.kind == BK_ICE_RESOLVE)
            p->last_lookup = r.id;
        fuzz_check(r.kind != BK_ICE_DIAL || p->config.policy != BK_ICE_RELAYED_ONLY ||
                   is_server(&r.remote));
    }
    while (bk_ice_next_stream_data(p->ice, &id, &bytes, &len)) {
        struct bk_addr server = bk_addr(bk_ipv4(192, 0, 2, 10), 3478), none = {.port = 0};
        fuzz_check(id != 0 && len > 0);
        keep(p, &none, stun_is_message(bytes, len) ? &server : &none, id, bytes, len);
    }
}

/* false: not everything was fetched, as a careless program does. */
static bool drain(struct play *p) {
    struct bk_datagram d;
    struct bk_ice_event e;
    uint8_t limit = wire_u8(&p->in);
    unsigned n = (limit & 0xe0) == 0xe0 ? limit & 7 : 100000;
    while (n > 0 && bk_ice_next_datagram(p->ice, &d)) {
        n--;
        fuzz_check(d.len > 0 && d.protocol == BK_UDP);
        fuzz_check(p->config.policy != BK_ICE_RELAYED_ONLY || is_server(&d.remote));
        keep(p, &d.local, &d.remote, 0, d.data, d.len);
    }
    drain_requests(p);
    while (n > 0 && bk_ice_next_event(p->ice, &e)) {
        n--;
        fuzz_check(e.text != NULL && strlen(e.text) < SDP_LINE_MAX);
    }
    return n > 0;
}

/* ---- Calls -------------------------------------------------------------------------------- */

static void base_call(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    struct bk_ice_base b = {.size = sizeof b,
                            .addr = pick_addr(p, 1),
                            .protocol = (enum bk_protocol)(n & 1),
                            .stream = n >> 1 & 1,
                            .component = n >> 2 & 1,
                            .vpn = (n & 8) != 0};
    enum bk_err err = (n & 0x30) == 0x30 ? bk_ice_remove_base(p->ice, &b.addr, b.protocol, p->now)
                                         : bk_ice_add_base(p->ice, &b, p->now);
    (void)err;
}

static void conn_call(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    uint32_t id = p->conns[n % CONNS];
    struct bk_addr a = pick_addr(p, 1), b = pick_addr(p, 2);
    enum bk_err err = BK_OK;
    switch (n >> 4 & 3) {
    case 0:
    case 1:
        err = bk_ice_dialled(p->ice, id, (n & 8) != 0 ? BK_ERR_REFUSED : BK_OK, &a, p->now);
        break;
    case 2:
        if (bk_ice_accepted(p->ice, &a, &b, p->now, &id) == BK_OK)
            keep_conn(p, id);
        break;
    case 3:
        bk_ice_hung_up(p->ice, id, p->now);
        break;
    }
    (void)err;
}

static void remote_call(struct play *p) {
    static const char head[] = "a=ice-ufrag:peer\na=ice-pwd:peerpasswordpeerpassword\n"
                               "a=ice-options:trickle renomination\n";
    char text[sizeof head + 300];
    uint8_t n = wire_u8(&p->in);
    size_t len, at = (n & 3) == 3 ? 0 : sizeof head - 1;
    const uint8_t *bytes = pick_bytes(p, &len);
    memcpy(text, head, at);
    if (bytes != NULL)
        memcpy(text + at, bytes, len);
    at += bytes == NULL ? 0 : len;
    if ((n & 4) != 0 && at > 12)
        text[12] = 'q'; /* another user: the peer restarts */
    enum bk_err err = BK_OK;
    if ((n & 0x70) == 0x70) {
        text[at] = '\0';
        err = bk_ice_add_remote_candidate(p->ice, n & 1, text, p->now);
    } else {
        err = bk_ice_set_remote(p->ice, text, at, p->now);
    }
    (void)err;
}

static void candidate_call(struct play *p) {
    char text[SDP_LINE_MAX];
    struct sdp_candidate c;
    uint8_t n = wire_u8(&p->in);
    memset(&c, 0, sizeof c);
    c.at.kind = (enum bk_ice_kind)(n & 3);
    c.at.transport = (enum bk_ice_transport)(n >> 2 & 3);
    c.at.component = 1 + (n >> 4 & 1);
    c.at.priority = 1 + n;
    c.at.addr = pick_addr(p, 2);
    c.at.foundation[0] = 'f';
    if ((n & 0xe0) == 0xe0)
        memcpy(c.name, "a.local", 8);
    (void)sdp_write_candidate(&c, false, text);
    enum bk_err err = bk_ice_add_remote_candidate(p->ice, n >> 5 & 1, text, p->now);
    (void)err;
}

static void ask(struct play *p) {
    char text[3000];
    size_t len = 0;
    struct bk_ice_pair_info info = {.size = sizeof info};
    struct bk_datagram d;
    uint8_t n = wire_u8(&p->in);
    enum bk_err err = bk_ice_describe(p->ice, text, n * 10u, &len);
    fuzz_check((err == BK_OK) == (len < n * 10u));
    (void)bk_ice_explain(p->ice, text, 1u + n);
    fuzz_check(strlen(text) <= n);
    fuzz_check(bk_ice_size(p->ice) > 0);
    for (size_t i = 0; bk_ice_pair_at(p->ice, i, &info) == BK_OK; i++)
        continue;
    bool has = bk_ice_path(p->ice, n & 1, 1, &info) == BK_OK;
    err = bk_ice_send(p->ice, n & 1, 1, "\x80 data", 6, &d);
    fuzz_check(has || err == BK_ERR_STATE);
    if (err == BK_OK && d.len > 0)
        fuzz_check(p->config.policy != BK_ICE_RELAYED_ONLY || is_server(&d.remote));
}

static void pass_time(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    struct bk_time deadline = bk_ice_deadline(p->ice);
    if ((n & 1) != 0 && !bk_is_never(deadline))
        p->now = bk_later(p->now, deadline);
    else
        p->now = bk_after(p->now, (int64_t)1000 << (n >> 1 & 15));
    bk_ice_advance(p->ice, p->now);
    fuzz_check(!bk_due(bk_ice_deadline(p->ice), p->now)); /* or the loop would spin */
}

static void resolved(struct play *p) {
    struct bk_ip ips[3] = {bk_ipv4(192, 0, 2, 11), bk_ipv4(192, 0, 2, 10)};
    uint8_t n = wire_u8(&p->in);
    ips[2] = pick_addr(p, 2).ip;
    if (p->config.policy == BK_ICE_RELAYED_ONLY)
        ips[2] = ips[0]; /* servers stay recognizable */
    bk_ice_resolved(p->ice, p->last_lookup, ips + (n & 1), (n >> 1) % 3, p->now);
}

static void rare_call(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    enum bk_err err = BK_OK;
    switch (n & 7) {
    case 0:
        if ((n & 0xf0) == 0xf0)
            bk_ice_close(p->ice, p->now);
        break;
    case 1:
        p->poor = (n & 8) != 0;
        break;
    case 2:
    case 3:
        err = bk_ice_restart(p->ice, p->now);
        break;
    case 4:
        bk_ice_network_changed(p->ice, p->now);
        break;
    default:
        bk_ice_gather(p->ice, p->now);
        break;
    }
    (void)err;
}

static void step(struct play *p) {
    static void (*const plain[])(struct play *) = {
        signed_check, signed_check,   answer, answer,   answer,    answer, pass_time, pass_time,
        base_call,    candidate_call, ask,    resolved, rare_call, NULL,   NULL,      NULL};
    uint8_t n = wire_u8(&p->in);
    if (plain[n & 15] != NULL)
        plain[n & 15](p);
    else if ((n & 15) == 13)
        conn_call(p);
    else if ((n & 15) == 14)
        remote_call(p);
    else if ((n & 0x30) == 0)
        data_indication(p);
    else
        raw(p, (n & 0x10) != 0);
}

static void configure(struct play *p) {
    static const char *const uris[] = {"stun:192.0.2.9",
                                       "turn:192.0.2.10",
                                       "turn:192.0.2.10?transport=tcp",
                                       "turns:192.0.2.10",
                                       "turns:192.0.2.10?transport=udp",
                                       "turn:turn.example",
                                       "stuns:192.0.2.9",
                                       "stun:192.0.2.11?transport=tcp"};
    struct bk_ice_config *c = &p->config;
    uint8_t how = wire_u8(&p->in), servers = wire_u8(&p->in), more = wire_u8(&p->in);
    *c = bk_ice_config_default;
    c->rng = &p->rng;
    c->role = (how & 1) != 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
    c->tcp = true;
    c->lite = (how & 0x0e) == 0x0e;
    c->mdns = (how & 0x30) == 0x30;
    c->policy = (enum bk_ice_policy)((how >> 6) % 3);
    c->streams = (uint16_t)(1 + (more & 1));
    c->components = (uint16_t)(1 + (more >> 1 & 1));
    c->locals_max = (more & 4) != 0 ? 3 : 16;
    c->remotes_max = (more & 8) != 0 ? 3 : 16;
    c->pairs_max = (more & 16) != 0 ? 4 : 24;
    c->relay_ipv6 = (more & 32) != 0;
    c->patience_us = (more & 64) != 0 ? 1000000 : 0;
    for (size_t i = 0; i < 8; i++) {
        if ((servers >> i & 1) == 0)
            continue;
        c->servers[c->server_count].user = "user";
        c->servers[c->server_count].password = "secret";
        c->servers[c->server_count++].uri = uris[i];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t secret[32] = {1};
    static struct play p;
    p = (struct play){.in = wire_reader(data, size), .now = {1000000}};
    rng_seed(&p.seed, 1);
    p.rng = rng_from_seeded(&p.seed);
    configure(&p);
    const struct bk_alloc alloc = {poor_get, poor_put, &p};
    fuzz_check(stun_realm_init(&p.realm, "example.org", secret, 3600 * BK_US_PER_S, false) ==
               BK_OK);
    fuzz_check(bk_ice_new(&p.config, &alloc, &p.ice) == BK_OK);
    fuzz_check(ice_cred_set(&p.peer, "peer", "peerpasswordpeerpassword") == BK_OK);
    for (int i = 0; i < STEPS_MAX && wire_left(&p.in) > 0; i++) {
        step(&p);
        agent_check(p.ice);
        if (!drain(&p) && wire_left(&p.in) < 2)
            break; /* freed with everything still in it */
        agent_check(p.ice);
    }
    bk_ice_free(p.ice);
    return 0;
}
