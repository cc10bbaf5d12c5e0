/* SPDX-License-Identifier: MIT
 * links: ice
 * One ICE agent under a script: the input's bytes choose packets (raw, signed checks, signed
 * answers to what the agent sent), steps of time and calls of the interface. After each step the
 * agent's invariants are checked. The peer's password is known to the script, so the input gets
 * past the signatures. */
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "ice/checker.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 8, STEPS_MAX = 400 };

struct kept { /* a request the agent sent, to be answered */
    uint8_t txid[STUN_TXID_LEN];
    struct bk_addr local, remote;
    uint8_t protocol;
    bool used, second; /* under the second credentials */
};

struct play {
    struct wire_reader in;
    struct bk_checker *ice;
    struct rng_seeded seed;
    struct bk_rng rng;
    struct bk_time now;
    struct ice_cred peer, second;  /* the peer's, of different streams */
    struct ice_cred agent, former; /* former: the agent's before a restart */
    struct kept kept[KEPT];
    unsigned next_kept;
    bool poor; /* the allocator has nothing now */
};

static void *poor_get(void *ctx, size_t size) {
    const struct play *p = ctx;
    return p->poor ? NULL : calloc(1, size);
}

static void poor_put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

/* A few addresses, so that they meet again: both families, link-local, loopback, wildcard. */
static struct bk_addr pick_addr(struct play *p, uint8_t site) {
    uint8_t n = wire_u8(&p->in);
    uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, site};
    v6[15] = n & 7;
    if ((n & 0x30) == 0x30) {
        v6[0] = 0xfe;
        v6[1] = 0x80;
    }
    struct bk_ip ip = (n & 0x10) != 0 ? bk_ipv6(v6) : bk_ipv4(10, site, 0, n & 7);
    if ((n & 0x30) == 0x30)
        ip.zone = n >> 6;
    if ((n & 0x37) == 0x27)
        ip = bk_ipv4(127, 0, 0, 1);
    if ((n & 0x37) == 0x26)
        ip = bk_ipv4(0, 0, 0, 0);
    return bk_addr(ip, (uint16_t)(5000 + (n >> 6)));
}

static struct bk_ice_candidate pick_candidate(struct play *p, uint8_t site) {
    uint8_t n = wire_u8(&p->in);
    struct bk_ice_candidate c = {.kind = (enum bk_ice_kind)(n & 3), .addr = pick_addr(p, site)};
    if ((n & 4) != 0)
        c.base = pick_addr(p, site);
    if ((n & 8) != 0)
        c.priority = wire_u32(&p->in);
    if ((n & 16) != 0)
        c.foundation[0] = (char)('a' + (n >> 6));
    if ((n & 32) != 0) {
        uint8_t where = wire_u8(&p->in);
        c.transport = (enum bk_ice_transport)(where & 3);
        c.stream = where >> 2 & 3;
        c.component = where >> 4 & 3;
        if (c.transport == BK_ICE_TCP_ACTIVE && (where & 64) != 0)
            c.addr.port = 0;
    }
    return c;
}

static void give(struct play *p, const struct bk_addr *local, const struct bk_addr *remote,
                 uint8_t protocol, const uint8_t *bytes, size_t len) {
    struct bk_datagram d = {
        .local = *local, .remote = *remote, .data = bytes, .len = len, .protocol = protocol};
    if (protocol == BK_TCP && (wire_u8(&p->in) & 1) != 0)
        d.local.port = 9; /* a connection of ours */
    enum bk_err err = bk_checker_recv(p->ice, &d, p->now);
    (void)err;
}

static void raw_packet(struct play *p) {
    struct bk_addr local = pick_addr(p, 1), remote = pick_addr(p, 2);
    size_t len = wire_u8(&p->in);
    len = len < wire_left(&p->in) ? len : wire_left(&p->in);
    const uint8_t *bytes = wire_bytes(&p->in, len);
    if (bytes != NULL)
        give(p, &local, &remote, BK_UDP, bytes, len);
}

static void signed_check(struct play *p) {
    uint8_t flags = wire_u8(&p->in), buf[ICE_MESSAGE_MAX];
    struct bk_addr local = pick_addr(p, 1), remote = pick_addr(p, 2);
    uint8_t txid[STUN_TXID_LEN] = {flags, (uint8_t)p->now.us};
    bool former = (flags & 1) != 0 && ice_cred_is_set(&p->former);
    struct ice_check_message m = {.txid = txid,
                                  .local = ice_cred_view(&p->peer),
                                  .remote = ice_cred_view(former ? &p->former : &p->agent),
                                  .priority = wire_u32(&p->in),
                                  .role = {(flags & 2) != 0, wire_u8(&p->in)},
                                  .use_candidate = (flags & 4) != 0,
                                  .nomination = (flags & 8) != 0 ? wire_u32(&p->in) : 0,
                                  .pad_to = (flags & 16) != 0 ? 600 : 0};
    if ((flags & 32) != 0)
        m.role.tie_breaker = UINT64_MAX;
    size_t len = 0;
    if (ice_build_check(&m, buf, sizeof buf, &len) == BK_OK)
        give(p, &local, &remote, (flags & 64) != 0 ? BK_TCP : BK_UDP, buf, len);
}

static void signed_answer(struct play *p) {
    static const uint16_t codes[] = {0, 0, 0, 0, 0, 487, 400, 420};
    uint8_t flags = wire_u8(&p->in), buf[ICE_MESSAGE_MAX];
    struct kept *k = &p->kept[flags % KEPT];
    if (!k->used)
        return;
    struct ice_answer_message m = {.txid = k->txid,
                                   .local = ice_cred_view(k->second ? &p->second : &p->peer),
                                   .code = codes[flags >> 3 & 7],
                                   .mapped = k->local};
    struct bk_addr local = k->local, remote = k->remote;
    if ((flags & 64) != 0)
        m.mapped = pick_addr(p, 1);
    if ((flags & 128) != 0)
        remote = pick_addr(p, 2);
    size_t len = 0;
    if (ice_build_answer(&m, buf, sizeof buf, &len) == BK_OK)
        give(p, &local, &remote, k->protocol, buf, len);
}

static void drain(struct play *p) {
    struct bk_datagram d;
    struct stun_msg msg;
    struct wire_span user;
    struct bk_checker_event event;
    while (bk_checker_next_datagram(p->ice, &d)) {
        if (stun_parse(&msg, d.data, d.len) != BK_OK)
            abort(); /* what we build, we can read */
        if (msg.cls != STUN_REQUEST)
            continue;
        struct kept *k = &p->kept[p->next_kept++ % KEPT];
        memcpy(k->txid, msg.txid, sizeof k->txid);
        k->local = d.local;
        k->remote = d.remote;
        k->protocol = d.protocol;
        k->second = stun_get_bytes(&msg, STUN_USERNAME, &user) == BK_OK &&
                    ice_cred_is_addressed(ice_cred_view(&p->second), user);
        k->used = true;
    }
    while (bk_checker_next_event(p->ice, &event))
        continue;
}

static void remember_cred(struct play *p, struct ice_cred *cred) {
    if (ice_cred_set(cred, bk_checker_ufrag(p->ice), bk_checker_pwd(p->ice)) != BK_OK)
        abort();
}

static void restart(struct play *p) {
    remember_cred(p, &p->former);
    enum bk_err err = bk_checker_restart(p->ice, NULL, NULL, p->now);
    if (err != BK_OK && !(p->poor && err == BK_ERR_FULL))
        abort();
    remember_cred(p, &p->agent);
}

static void pass_time(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    struct bk_time deadline = bk_checker_deadline(p->ice);
    if ((n & 1) != 0 && !bk_is_never(deadline))
        p->now = bk_later(p->now, deadline);
    else
        p->now = bk_after(p->now, (int64_t)1000 << (n >> 1 & 15));
    bk_checker_advance(p->ice, p->now);
    if (bk_due(bk_checker_deadline(p->ice), p->now)) /* the next turn must not be due already */
        abort();
}

static void ask(struct play *p) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    size_t count = 0;
    while (bk_checker_pair_at(p->ice, count, &info) == BK_OK)
        count++;
    if (count != bk_checker_pairs(p->ice))
        abort();
    bool selected = bk_checker_selected(p->ice, &info) == BK_OK;
    if (selected && bk_checker_best_valid(p->ice, &info) != BK_OK)
        abort();
}

static enum bk_err set_credentials_of(struct play *p, uint8_t n) {
    const struct ice_cred *cred = (n & 64) != 0 ? &p->second : &p->peer;
    return bk_checker_set_remote_credentials_of(p->ice, n >> 4 & 3, cred->ufrag, cred->pwd, p->now);
}

/* The rarer verbs. */
static void other_verb(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    struct bk_addr a = pick_addr(p, 1), b = pick_addr(p, 2);
    enum bk_err err = BK_OK;
    switch (n & 7) {
    case 0:
        bk_checker_settle(p->ice, p->now);
        break;
    case 1:
        p->poor = (n & 8) != 0;
        break;
    case 2:
        a.port = (n & 8) != 0 ? 9 : a.port;
        bk_checker_broken(p->ice, &a, &b, p->now);
        break;
    case 3:
        bk_checker_heard(p->ice, &a, &b, p->now);
        break;
    case 4:
        bk_checker_set_remote_lite(p->ice, (n & 8) != 0, p->now);
        break;
    case 5:
        bk_checker_set_renominate(p->ice, (n & 8) != 0, p->now);
        break;
    case 6:
        err = bk_checker_remove_base(p->ice, &a, (n & 8) != 0 ? BK_TCP : BK_UDP, p->now);
        break;
    case 7:
        (void)bk_checker_size(p->ice);
        if ((n & 8) != 0)
            err = set_credentials_of(p, n);
        break;
    }
    (void)err;
}

static void step(struct play *p) {
    struct bk_ice_candidate c;
    struct bk_addr a;
    enum bk_err err = BK_OK;
    switch (wire_u8(&p->in) & 15) {
    case 0:
        raw_packet(p);
        break;
    case 1:
        signed_check(p);
        break;
    case 2:
        if ((wire_u8(&p->in) & 3) == 0)
            other_verb(p);
        else
            signed_check(p);
        break;
    case 3:
    case 4:
    case 5:
        signed_answer(p);
        break;
    case 6:
    case 7:
        pass_time(p);
        break;
    case 8:
        c = pick_candidate(p, 1);
        err = bk_checker_add_local_candidate(p->ice, &c, p->now, NULL);
        break;
    case 9:
        c = pick_candidate(p, 2);
        err = bk_checker_add_remote_candidate(p->ice, &c, p->now);
        break;
    case 10:
        err = bk_checker_set_remote_credentials(p->ice, p->peer.ufrag, p->peer.pwd, p->now);
        break;
    case 11:
        (void)bk_checker_probe(p->ice, p->now);
        break;
    case 12:
        bk_checker_retry(p->ice, p->now);
        bk_checker_end_of_local_candidates(p->ice, p->now);
        bk_checker_end_of_remote_candidates(p->ice, p->now);
        break;
    case 13:
        err = bk_checker_test_mtu(p->ice, p->now);
        break;
    case 14:
        a = pick_addr(p, 1);
        err = bk_checker_remove_local(p->ice, &a, p->now);
        break;
    case 15:
        if ((wire_u8(&p->in) & 3) == 0)
            restart(p);
        else
            ask(p);
        break;
    }
    (void)err;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play p = {.in = wire_reader(data, size), .now = {1000000}};
    rng_seed(&p.seed, 1);
    p.rng = rng_from_seeded(&p.seed);
    struct bk_checker_config config = bk_checker_config_default;
    uint8_t how = wire_u8(&p.in);
    config.rng = &p.rng;
    config.controlling = (how & 1) != 0;
    config.eager = (how & 2) != 0;
    config.renominate = (how & 4) != 0;
    config.ta_us = (how & 8) != 0 ? 5000 : 50000;
    config.pairs_max = (how & 16) != 0 ? 4 : 24;
    config.remotes_max = (how & 32) != 0 ? 3 : 16;
    config.locals_max = (how & 64) != 0 ? 3 : 16;
    config.prflx_max = config.early_max = 3;
    config.events_max = 8;
    uint8_t more = wire_u8(&p.in);
    config.streams = (uint16_t)(1 + (more & 3));
    config.components = (uint16_t)(1 + (more >> 2 & 1));
    config.lite = (more & 8) != 0;
    config.doubt_us = (more & 16) != 0 ? 500000 : 0;
    config.silent_us = config.doubt_us * 2;
    config.patience_us = (more & 32) != 0 ? 5000000 : 0;
    const struct bk_alloc alloc = {poor_get, poor_put, &p};
    if (bk_checker_new(&config, &alloc, &p.ice) != BK_OK)
        abort();
    if (ice_cred_set(&p.peer, "peer", "peerpasswordpeerpassword") != BK_OK ||
        ice_cred_set(&p.second, "secondpeer", "secondpasswordsecondpassword") != BK_OK)
        abort();
    remember_cred(&p, &p.agent);
    for (int i = 0; i < STEPS_MAX && wire_left(&p.in) > 0; i++) {
        step(&p);
        bk_checker_check(p.ice);
        drain(&p);
        bk_checker_check(p.ice);
    }
    bk_checker_free(p.ice);
    return 0;
}
