/* SPDX-License-Identifier: MIT
 * links: peer
 * A script of steps for two sides of one session on one link: seek, let time pass, carry a packet
 * over as it is, changed, again or from somewhere else. Whatever comes: both stay bounded, nobody
 * is sent to but the asker on the link, and what is told is an address of that link. */
#include "peer/beacon.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"

enum { KEPT = 8 };

struct play {
    struct beacon side[2];
    struct rng_seeded seed;
    struct bk_time now;
    uint8_t kept[KEPT][BEACON_LEN];
    size_t count;
};

static const uint8_t id[BEACON_ID_LEN] = {1}, secret[BEACON_SECRET_LEN] = {2};

static struct beacon_link link_of(uint8_t host) {
    struct beacon_link link = {.index = 3, .count = 2};
    link.addrs[0] = bk_addr(bk_ipv4(10, 1, 2, host), 4000);
    link.prefix_len[0] = 20;
    link.addrs[1] = bk_addr(bk_ipv6((const uint8_t[16]){0xfe, 0x80, [15] = host}), 4000);
    link.prefix_len[1] = 64;
    return link;
}

static void drain(struct play *p, unsigned from) {
    struct beacon_packet out;
    struct beacon_event event;
    for (size_t n = 0; beacon_next_packet(&p->side[from], &out); n++) {
        fuzz_check(n < 64 && out.len == BEACON_LEN && out.link == 3);
        if (out.to.ip.family == BK_IPV4)
            fuzz_check(out.to.ip.bytes[0] == 10 && out.to.port != 0);
        else
            fuzz_check(out.to.ip.family == BK_FAMILY_NONE ||
                       bk_ip_scope(&out.to.ip) == BK_SCOPE_LINK);
        memcpy(p->kept[p->count++ % KEPT], out.data, BEACON_LEN);
    }
    while (beacon_next_event(&p->side[from], &event))
        for (size_t i = 0; i < event.count; i++)
            fuzz_check(event.addrs[i].port != 0 &&
                       (event.addrs[i].ip.bytes[0] == 10 || event.addrs[i].ip.bytes[0] == 0xfe));
}

/* One step is eight bytes: what, side, and parameters. */
static void receive(struct play *p, struct beacon *b, const uint8_t s[8]) {
    struct bk_datagram in = {.remote = bk_addr(bk_ipv4(10, 1, s[5] & 31, s[6]), 5000),
                             .data = p->kept[s[2] % KEPT],
                             .len = (s[7] & 15) == 1 ? s[3] % BEACON_LEN : BEACON_LEN,
                             .ttl = (s[7] & 0xf0) == 0x10 ? s[3] : BEACON_HOPS};
    enum bk_err err = beacon_recv(b, 3, &in, p->now);
    fuzz_check(err != BK_OK || (in.ttl == BEACON_HOPS && in.len == BEACON_LEN));
}

static void step(struct play *p, const uint8_t s[8]) {
    unsigned side = s[1] & 1;
    struct beacon *b = &p->side[side];
    const struct beacon_link link = link_of((uint8_t)(1 + side));
    uint8_t *data = p->kept[s[2] % KEPT];
    switch (s[0] % 6) {
    case 0:
        beacon_seek(b, id, p->now);
        break;
    case 1:
        p->now = bk_after(p->now, (int64_t)(s[2] << 8 | s[3]) * 200);
        beacon_advance(b, p->now);
        break;
    case 2:
        data[s[3] % BEACON_LEN] ^= s[4]; /* 0: nothing changes */
        receive(p, b, s);
        break;
    case 3:
        receive(p, b, s);
        break;
    case 4:
        beacon_set_links(b, &link, s[2] & 1, p->now);
        break;
    case 5:
        beacon_stop(b, id);
        break;
    }
    drain(p, side);
    fuzz_check(bk_is_never(beacon_deadline(b)) || b->session_count == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    static struct play p;
    memset(&p, 0, sizeof p);
    rng_seed(&p.seed, 1);
    const struct bk_rng rng = rng_from_seeded(&p.seed);
    for (unsigned i = 0; i < 2; i++) {
        const struct beacon_link link = link_of((uint8_t)(1 + i));
        beacon_init(&p.side[i], &rng);
        beacon_set_links(&p.side[i], &link, 1, p.now);
        fuzz_check(beacon_watch(&p.side[i], id, secret, i == 0) == BK_OK);
    }
    for (size_t at = 0; at + 8 <= len && at < 4096; at += 8)
        step(&p, data + at);
    return 0;
}
