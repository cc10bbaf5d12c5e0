/* SPDX-License-Identifier: MIT
 * links: portmap
 * A client under a script: the input's bytes choose routers, wants, answers (right ones, and ones
 * with a byte changed), raw packets, UPnP results, and steps of time. Whatever happens, requests
 * are well formed and go to the routers or the server only, no port below 1024 is asked for
 * outside, time goes on, and the end is bounded. */
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "wire/natpmp.h"
#include "wire/pcp.h"
#include "wire/stun.h"

#include <bodkin/portmap.h>

enum { KEPT = 16, STEPS_MAX = 300, TURNS_MAX = 100000, SENDS_MAX = 20000, WANTS = 3 };

struct kept { /* a request, to be answered */
    uint8_t data[BK_PORTMAP_DATAGRAM_MAX];
    size_t len;
    struct bk_addr local, remote;
};

struct play {
    struct wire_reader in;
    struct bk_portmap *pm;
    struct bk_time now;
    struct kept kept[KEPT];
    uint32_t kept_count, sends;
    struct bk_portmap_job job;
    bool has_job, stopped;
};

static const struct bk_addr server = {{BK_IPV4, {198, 51, 100, 9}, 0}, 3478};

static struct bk_portmap_router router(uint8_t n) {
    static const uint8_t own[16] = {0x2a, 0, [15] = 2}, link[16] = {0xfe, 0x80, [15] = 1};
    struct bk_portmap_router r = {bk_ipv4(192, 168, n & 3, 2), bk_ipv4(192, 168, n & 3, 1)};
    if ((n & 4) != 0) {
        r.local = bk_ipv6(own);
        r.router = bk_ipv6(link);
        r.router.zone = 1;
    }
    if ((n & 24) == 24)
        r.router = bk_ipv4(192, 0, 0, 9);
    return r;
}

static void set_routers(struct play *p) {
    struct bk_portmap_router list[BK_PORTMAP_ROUTERS_MAX];
    size_t count = wire_u8(&p->in) % (BK_PORTMAP_ROUTERS_MAX + 1);
    for (size_t i = 0; i < count; i++)
        list[i] = router(wire_u8(&p->in));
    bk_portmap_set_routers(p->pm, list, count, p->now);
}

static void check_request(const struct bk_datagram *out) {
    struct pcp_request q;
    struct natpmp_request n;
    struct stun_msg m;
    if (out->remote.port == server.port) {
        fuzz_check(bk_addr_equal(&out->remote, &server));
        fuzz_check(stun_parse(&m, out->data, out->len) == BK_OK && m.cls == STUN_REQUEST);
        return;
    }
    fuzz_check(out->remote.port == PCP_SERVER_PORT && out->local.port == 0);
    if (natpmp_parse_request(out->data, out->len, &n) == BK_OK) {
        fuzz_check(n.opcode == NATPMP_EXTERNAL || n.lifetime_s == 0 || n.external_port >= 1024);
        return;
    }
    fuzz_check(pcp_parse_request(out->data, out->len, &q) == BK_OK);
    fuzz_check(!q.other_options); /* THIRD_PARTY never */
}

static void drain(struct play *p) {
    struct bk_datagram out;
    struct bk_portmap_event e;
    while (bk_portmap_next_datagram(p->pm, &out)) {
        fuzz_check(out.len > 0 && out.len <= BK_PORTMAP_DATAGRAM_MAX);
        fuzz_check(p->sends++ < SENDS_MAX);
        check_request(&out);
        struct kept *k = &p->kept[p->kept_count++ % KEPT];
        memcpy(k->data, out.data, out.len);
        k->len = out.len;
        k->local = out.local;
        k->remote = out.remote;
    }
    while (bk_portmap_next_job(p->pm, &p->job)) {
        fuzz_check(p->job.kind == BK_PORTMAP_FIND || p->job.internal_port != 0);
        p->has_job = true;
    }
    while (bk_portmap_next_event(p->pm, &e)) {
        struct bk_portmap_lease lease;
        fuzz_check(!p->stopped);
        p->stopped = e.kind == BK_PORTMAP_STOPPED;
        if (e.kind == BK_PORTMAP_MAPPED && !p->stopped)
            (void)!bk_portmap_lease(p->pm, e.want, e.router, &lease);
        (void)bk_portmap_reason(p->pm, e.want, e.router, e.way);
    }
}

static void give(struct play *p, const struct bk_addr *local, const struct bk_addr *from,
                 const uint8_t *data, size_t len) {
    uint8_t *copy = fuzz_copy(data, len);
    const struct bk_datagram in = {.local = *local, .remote = *from, .data = copy, .len = len};
    (void)!bk_portmap_recv(p->pm, &in, p->now);
    free(copy);
}

static size_t pcp_answer(struct play *p, const struct pcp_request *q, uint8_t *buf, size_t cap) {
    struct pcp_response r = {.version = PCP_VERSION,
                             .opcode = (uint8_t)q->opcode,
                             .result = wire_u8(&p->in) & 15,
                             .lifetime_s = wire_u32(&p->in),
                             .epoch_s = wire_u16(&p->in),
                             .has_map = q->opcode != PCP_ANNOUNCE,
                             .map = q->map};
    r.map.external = bk_addr(bk_ipv4(8, 8, 4, wire_u8(&p->in)), wire_u16(&p->in));
    if ((r.result & 8) != 0)
        r.result = PCP_SUCCESS;
    return pcp_build_response(&r, buf, cap);
}

static size_t natpmp_answer(struct play *p, const struct natpmp_request *q, uint8_t *buf,
                            size_t cap) {
    const struct natpmp_response r = {.opcode = (uint8_t)q->opcode,
                                      .result = wire_u8(&p->in) & 1 ? 0 : wire_u8(&p->in) & 7,
                                      .epoch_s = wire_u16(&p->in),
                                      .external = bk_ipv4(8, 8, 4, wire_u8(&p->in)),
                                      .internal_port = q->internal_port,
                                      .external_port = wire_u16(&p->in),
                                      .lifetime_s = wire_u32(&p->in)};
    return natpmp_build_response(&r, buf, cap);
}

static size_t stun_answer(struct play *p, const struct stun_msg *q, uint8_t *buf, size_t cap) {
    struct bk_addr seen = bk_addr(bk_ipv4(8, 8, 4, wire_u8(&p->in)), wire_u16(&p->in));
    size_t len = 0;
    bool fine = (wire_u8(&p->in) & 3) != 0;
    struct stun_builder b =
        stun_start(buf, cap, fine ? STUN_SUCCESS : STUN_ERROR, STUN_BINDING, q->txid);
    if (fine)
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &seen);
    else
        stun_put_error(&b, 420, NULL);
    return stun_finish(&b, &len) == BK_OK ? len : 0;
}

static void answer(struct play *p) {
    const struct kept *k = &p->kept[wire_u8(&p->in) % KEPT];
    uint8_t how = wire_u8(&p->in), buf[PCP_MESSAGE_MAX];
    struct bk_addr local = k->local, from = k->remote;
    struct pcp_request pcp;
    struct natpmp_request natpmp;
    struct stun_msg stun;
    size_t len = 0;
    if (stun_is_message(k->data, k->len) && stun_parse(&stun, k->data, k->len) == BK_OK)
        len = stun_answer(p, &stun, buf, sizeof buf);
    else if (pcp_parse_request(k->data, k->len, &pcp) == BK_OK)
        len = pcp_answer(p, &pcp, buf, sizeof buf);
    else if (natpmp_parse_request(k->data, k->len, &natpmp) == BK_OK)
        len = natpmp_answer(p, &natpmp, buf, sizeof buf);
    if (len > 0 && (how & 7) == 1)
        buf[wire_u8(&p->in) % len] = wire_u8(&p->in);
    if (len > 0 && (how & 7) == 2)
        len = wire_u8(&p->in) % len;
    if ((how & 24) == 8)
        local.port = PCP_CLIENT_PORT; /* to everybody */
    if ((how & 96) == 96)
        from = bk_addr(bk_ipv4(198, 51, 100, 10), 3479);
    give(p, &local, &from, buf, len);
}

static void raw(struct play *p) {
    const struct kept *k = &p->kept[0];
    size_t len = wire_u8(&p->in);
    len = len < wire_left(&p->in) ? len : wire_left(&p->in);
    const uint8_t *bytes = wire_bytes(&p->in, len);
    if (bytes != NULL)
        give(p, &k->local, &k->remote, bytes, len);
}

static void finish_job(struct play *p) {
    static const enum bk_err errs[] = {BK_OK, BK_OK, BK_ERR_REFUSED, BK_ERR_NOT_FOUND};
    const struct bk_portmap_result r = {
        .number = p->job.number,
        .err = errs[wire_u8(&p->in) & 3],
        .code = (uint16_t)(718 + (wire_u8(&p->in) & 15)),
        .external = bk_addr(bk_ipv4(8, 8, 4, wire_u8(&p->in)), wire_u16(&p->in)),
        .lifetime_s = wire_u16(&p->in),
        .pinhole = wire_u16(&p->in)};
    if (p->has_job)
        bk_portmap_job_done(p->pm, &r, p->now);
    p->has_job = false;
}

static void add(struct play *p) {
    uint8_t how = wire_u8(&p->in);
    struct bk_portmap_want w = {.protocol = (how & 1) != 0 ? BK_TCP : BK_UDP,
                                .internal_port = wire_u16(&p->in),
                                .external_port = (how & 2) != 0 ? wire_u16(&p->in) : 0,
                                .exact = (how & 4) != 0,
                                .verify = (how & 8) != 0};
    uint32_t number;
    if ((how & 48) == 48)
        w.peer = bk_addr(bk_ipv4(9, 9, 9, 9), wire_u16(&p->in));
    (void)!bk_portmap_add(p->pm, &w, p->now, &number);
}

static void pass_time(struct play *p) {
    uint8_t n = wire_u8(&p->in);
    struct bk_time deadline = bk_portmap_deadline(p->pm);
    if ((n & 3) != 0 && !bk_is_never(deadline))
        p->now = bk_later(p->now, deadline);
    else
        p->now = bk_after(p->now, (int64_t)1000 << (n >> 2 & 31));
    bk_portmap_advance(p->pm, p->now);
}

static void step(struct play *p) {
    switch (wire_u8(&p->in) & 15) {
    case 0:
    case 1:
        add(p);
        break;
    case 2:
        bk_portmap_remove(p->pm, wire_u8(&p->in), p->now);
        break;
    case 3:
        set_routers(p);
        break;
    case 4:
        raw(p);
        break;
    case 5:
    case 6:
        finish_job(p);
        break;
    case 7:
        if (wire_u8(&p->in) == 0)
            bk_portmap_stop(p->pm, p->now);
        break;
    case 8:
    case 9:
    case 10:
        pass_time(p);
        break;
    default:
        answer(p);
        break;
    }
}

/* Nobody answers any more: it waits in growing steps, and ends within its time. */
static void run_to_end(struct play *p) {
    struct bk_time begin = p->now;
    bk_portmap_stop(p->pm, p->now);
    drain(p);
    for (int i = 0; i < TURNS_MAX && !p->stopped; i++) {
        struct bk_time deadline = bk_portmap_deadline(p->pm);
        fuzz_check(!bk_is_never(deadline));
        p->now = bk_later(p->now, deadline);
        bk_portmap_advance(p->pm, p->now);
        drain(p);
    }
    fuzz_check(p->stopped && bk_elapsed_us(begin, p->now) <= bk_portmap_config_default.release_us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct play p = {.in = wire_reader(data, size), .now = {1000}};
    struct bk_portmap_config config = bk_portmap_config_default;
    struct rng_seeded seed;
    rng_seed(&seed, 1);
    struct bk_rng rng = rng_from_seeded(&seed);
    uint8_t flags = wire_u8(&p.in);
    config.wants_max = WANTS;
    config.probe = (flags & 1) != 0;
    config.off[BK_PORTMAP_UPNP] = (flags & 2) != 0;
    config.off[BK_PORTMAP_PCP] = (flags & 12) == 12;
    if ((flags & 16) != 0)
        config.stun = server;
    fuzz_check(bk_portmap_new(&config, &fuzz_alloc, &rng, p.now, &p.pm) == BK_OK);
    set_routers(&p);
    drain(&p);
    for (int i = 0; i < STEPS_MAX && wire_left(&p.in) > 0 && !p.in.failed; i++) {
        step(&p);
        drain(&p);
    }
    run_to_end(&p);
    bk_portmap_free(p.pm);
    return 0;
}
