/* SPDX-License-Identifier: MIT
 * links: natcheck
 * A classifier under a script: the input's bytes choose which sockets open, what answers come (from
 * whom, seen as what, with which attributes), raw packets, and steps of time. Whatever happens, the
 * budget holds, every datagram is well formed, and the run ends. */
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "wire/stun.h"

#include <bodkin/natcheck.h>

enum { KEPT = 32, STEPS_MAX = 400, END_MAX = 4000 };

struct kept { /* a request, to be answered */
    uint8_t txid[STUN_TXID_LEN];
    struct bk_addr remote;
    uint32_t socket;
};

struct play {
    struct wire_reader in;
    struct bk_natcheck *check;
    const struct bk_natcheck_config *config;
    struct bk_time now;
    struct kept kept[KEPT];
    uint32_t kept_count, sent, last_socket;
    bool open[BK_NATCHECK_SOCKETS_MAX], tcp[BK_NATCHECK_SOCKETS_MAX];
};

static struct bk_addr pick_addr(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 1};
    uint16_t port = (uint16_t)(3478 + (n >> 6));
    if ((n & 32) != 0)
        return bk_addr(bk_ipv6(v6), port);
    if ((n & 16) != 0)
        return bk_addr(bk_ipv4(192, 168, 1, n & 3), wire_u16(&p->in));
    return bk_addr(bk_ipv4(203, 0, 113, n & 3), wire_u16(&p->in));
}

static void do_action(struct play *p, const struct bk_natcheck_action *a) {
    struct bk_addr local = a->local;
    fuzz_check(a->socket < BK_NATCHECK_SOCKETS_MAX);
    bool opens = a->kind == BK_NATCHECK_OPEN || a->kind == BK_NATCHECK_DIAL;
    p->last_socket = a->socket;
    if (!opens) {
        p->open[a->socket] = false;
        return;
    }
    fuzz_check(!p->open[a->socket]);
    uint8_t how = wire_u8(&p->in);
    if (local.port == 0)
        local.port = (uint16_t)(40000 + a->socket);
    p->tcp[a->socket] = a->kind == BK_NATCHECK_DIAL;
    p->open[a->socket] = (how & 7) != 7;
    bk_natcheck_opened(p->check, a->socket, p->open[a->socket] ? BK_OK : BK_ERR_EXISTS,
                       (how & 8) != 0 && !p->open[a->socket] ? NULL : &local, p->now);
}

static void keep(struct play *p, uint32_t socket, const struct bk_datagram *out) {
    struct stun_msg m;
    fuzz_check(out->len > 0 && out->len <= BK_NATCHECK_DATAGRAM_MAX);
    if (!stun_is_message(out->data, out->len))
        return;
    fuzz_check(stun_parse(&m, out->data, out->len) == BK_OK && m.cls == STUN_REQUEST);
    struct kept *k = &p->kept[p->kept_count++ % KEPT];
    memcpy(k->txid, m.txid, sizeof k->txid);
    k->remote = out->remote;
    k->socket = socket;
}

static void drain(struct play *p) {
    struct bk_natcheck_action a;
    struct bk_natcheck_event e;
    struct bk_datagram out;
    uint32_t socket;
    while (bk_natcheck_next_action(p->check, &a))
        do_action(p, &a);
    while (bk_natcheck_next_datagram(p->check, &socket, &out)) {
        fuzz_check(socket < BK_NATCHECK_SOCKETS_MAX && p->open[socket]);
        p->sent += p->tcp[socket] ? 0 : 1;
        keep(p, socket, &out);
    }
    while (bk_natcheck_next_event(p->check, &e))
        fuzz_check(e.kind == BK_NATCHECK_DONE || e.attr < BK_NAT_ATTRS);
    const struct bk_nat_record *r = bk_natcheck_record(p->check);
    fuzz_check(r->packets_sent <= p->config->packets_max);
    fuzz_check(r->deep_packets_sent <= p->config->deep_packets_max);
    fuzz_check(p->sent <= r->packets_sent + r->deep_packets_sent);
    fuzz_check(r->observation_count <= BK_NATCHECK_OBSERVATIONS_MAX);
}

static void give(struct play *p, uint32_t socket, const struct bk_addr *from, const uint8_t *data,
                 size_t len) {
    uint8_t *copy = fuzz_copy(data, len);
    const struct bk_datagram in = {.remote = *from, .data = copy, .len = len};
    (void)!bk_natcheck_recv(p->check, socket, &in, p->now);
    free(copy);
}

static void answer(struct play *p) {
    uint8_t how = wire_u8(&p->in), buf[256];
    const struct kept *k = &p->kept[wire_u8(&p->in) % KEPT];
    struct bk_addr from = (how & 1) != 0 ? pick_addr(p) : k->remote, a;
    enum stun_class cls = (how & 2) != 0 && (how & 4) != 0 ? STUN_ERROR : STUN_SUCCESS;
    uint32_t socket = (how & 8) != 0 ? wire_u8(&p->in) : k->socket;
    size_t len = 0;
    if ((how & 0xf0) == 0xf0)
        cls = STUN_REQUEST; /* a hairpin */
    struct stun_builder b = stun_start(buf, sizeof buf, cls, STUN_BINDING, k->txid);
    if (cls == STUN_ERROR)
        stun_put_error(&b, (uint16_t)(300 + wire_u8(&p->in)), NULL);
    a = pick_addr(p);
    stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &a);
    if ((how & 16) != 0)
        stun_put_addr(&b, STUN_MAPPED_ADDRESS, &a);
    a = pick_addr(p);
    if ((how & 32) != 0)
        stun_put_addr(&b, STUN_OTHER_ADDRESS, &a);
    if (stun_finish(&b, &len) == BK_OK)
        give(p, socket, &from, buf, len);
}

static void raw(struct play *p) {
    struct bk_addr from = pick_addr(p);
    uint32_t socket = wire_u8(&p->in);
    size_t len = wire_u8(&p->in);
    len = len < wire_left(&p->in) ? len : wire_left(&p->in);
    const uint8_t *bytes = wire_bytes(&p->in, len);
    if ((len & 1) != 0)
        from = bk_addr(p->config->gateway, 5351);
    if (bytes != NULL)
        give(p, socket, &from, bytes, len);
}

static void pass_time(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    struct bk_time deadline = bk_natcheck_deadline(p->check);
    if ((n & 3) != 0 && !bk_is_never(deadline))
        p->now = bk_later(p->now, deadline);
    else
        p->now = bk_after(p->now, (int64_t)1000 << (n >> 2 & 15));
    bk_natcheck_advance(p->check, p->now);
}

/* The other side ends a connection; a word about any other socket is ignored. */
static void end_connection(struct play *p) {
    uint8_t socket = wire_u8(&p->in);
    if (socket < BK_NATCHECK_SOCKETS_MAX && p->tcp[socket])
        p->open[socket] = false;
    bk_natcheck_closed(p->check, socket, p->now);
}

static void step(struct play *p) {
    switch (wire_u8(&p->in) & 7) {
    case 0:
    case 1:
    case 2:
        answer(p);
        break;
    case 3:
        raw(p);
        break;
    case 4:
        end_connection(p);
        break;
    case 5:
        if (wire_u8(&p->in) == 0)
            bk_natcheck_stop(p->check, p->now);
        break;
    default:
        pass_time(p);
        break;
    }
}

/* With nothing but time, it ends. */
static void run_to_end(struct play *p) {
    for (int i = 0; i < END_MAX && !bk_natcheck_is_done(p->check); i++) {
        struct bk_time deadline = bk_natcheck_deadline(p->check);
        fuzz_check(!bk_is_never(deadline));
        p->now = bk_later(p->now, deadline);
        bk_natcheck_advance(p->check, p->now);
        drain(p);
    }
    fuzz_check(bk_natcheck_is_done(p->check));
    for (unsigned a = 0; a < BK_NAT_ATTRS; a++)
        fuzz_check(bk_natcheck_record(p->check)->findings[a].status != BK_NAT_PENDING);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t v6[16] = {0x20, 0x01, 0x0d, 0xb8, 9};
    struct play p = {.in = wire_reader(data, size), .now = {1000}};
    struct bk_natcheck_config config = bk_natcheck_config_default;
    struct rng_seeded seed;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    uint8_t flags = wire_u8(&p.in);
    config.server = bk_addr(bk_ipv4(203, 0, 113, 1), 3478);
    if ((flags & 1) != 0)
        config.server6 = bk_addr(bk_ipv6(v6), 3478);
    if ((flags & 2) != 0)
        config.gateway = bk_ipv4(192, 168, 1, 1);
    if ((flags & 4) != 0)
        config.fallback = bk_addr(bk_ipv4(203, 0, 113, 1), 443);
    if ((flags & 8) != 0)
        config.second = bk_addr(bk_ipv4(203, 0, 113, 3), 19302);
    config.deep = (flags & 16) != 0;
    config.packets_max = (flags & 32) != 0 ? 10 : 40;
    if ((flags & 64) != 0)
        config.locals[config.local_count++] = bk_ipv4(192, 168, 1, 2);
    p.config = &config;
    fuzz_check(bk_natcheck_new(&config, &fuzz_alloc, &rng, p.now, &p.check) == BK_OK);
    drain(&p);
    for (int i = 0; i < STEPS_MAX && wire_left(&p.in) > 0 && !p.in.failed; i++) {
        step(&p);
        drain(&p);
    }
    run_to_end(&p);
    bk_natcheck_free(p.check);
    return 0;
}
