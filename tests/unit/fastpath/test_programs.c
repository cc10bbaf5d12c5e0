/* SPDX-License-Identifier: MIT
 * The programs on packets made here (BPF_PROG_TEST_RUN): many thousand mutilated ones. Each must
 * either be left alone, to the byte, or come out as a model of a few lines of C says; which of the
 * two, the model says as well. */
#define _GNU_SOURCE /* NOLINT: setns */
#include "../test.h"
#include "world.h"

#include "base/rng.h"
#include "fastpath/private.h"
#ifdef BODKIN_FASTPATH
#include <bpf/bpf.h>

enum { FLOWS = 5, FRAME_MAX = 2048, LENGTH_MAX = 2000, ROUNDS = 12000, UP = 0, DOWN = 1 };
enum { REDIRECT = 4, PASS = 2, TC_REDIRECT = 7, TC_NEXT = -1 };
enum { ETH = 14, UDP_HEAD = 8 };

/* Client, server, relay, peer: both families, across them, and all on one link. */
static const char *const addresses[FLOWS][4] = {
    {"192.0.2.2:40000", "192.0.2.1:3478", "198.51.100.1:50000", "198.51.100.2:7000"},
    {"[2001:db8:1::2]:40000", "[2001:db8:1::1]:3478", "[2001:db8:2::1]:50000",
     "[2001:db8:2::2]:7000"},
    {"192.0.2.2:40000", "192.0.2.1:3478", "[2001:db8:2::1]:50001", "[2001:db8:2::2]:7001"},
    {"[2001:db8:1::2]:40000", "[2001:db8:1::1]:3478", "198.51.100.1:50001", "198.51.100.2:7001"},
    {"192.0.2.2:40001", "192.0.2.1:3478", "192.0.2.1:50002", "192.0.2.2:7002"},
};

static struct world world;
static struct fastpath *path;
static struct fastpath_flow flows[FLOWS];
static struct rng_seeded seeded;
static struct bk_rng rng;
static uint32_t links[SIDES];

struct frame {
    uint8_t bytes[FRAME_MAX];
    size_t len;
};

static size_t get16(const uint8_t *at) {
    return (size_t)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t sum(const uint8_t *at, size_t len) {
    uint32_t total = 0;
    for (size_t i = 0; i < len; i++)
        total += i % 2 == 0 ? (uint32_t)at[i] << 8 : at[i];
    return total;
}

static size_t fold(uint32_t total) {
    while (total > 0xffff)
        total = (total & 0xffff) + (total >> 16);
    return total;
}

/* ---- Frames --------------------------------------------------------------------------------- */

static size_t ip_head(const struct frame *f) {
    return f->bytes[12] == 8 ? 20 : 40;
}

/* Of the pseudo header of an IP packet whose UDP length is `len`. */
static uint32_t pseudo(const struct frame *f, size_t len) {
    const uint8_t *ip = f->bytes + ETH;
    return (ip_head(f) == 20 ? sum(ip + 12, 8) : sum(ip + 8, 32)) + 17 + (uint32_t)len;
}

static bool udp_right(const struct frame *f) {
    const uint8_t *udp = f->bytes + ETH + ip_head(f);
    size_t len = get16(udp + 4);
    if (get16(udp + 6) == 0)
        return ip_head(f) == 20;
    return fold(pseudo(f, len) + sum(udp, len)) == 0xffff;
}

static void udp_checksum(struct frame *f) {
    uint8_t *udp = f->bytes + ETH + ip_head(f);
    size_t len = get16(udp + 4);
    put16(udp + 6, 0);
    size_t check = 0xffff ^ fold(pseudo(f, len) + sum(udp, len));
    put16(udp + 6, check == 0 ? 0xffff : check);
}

/* Headers of a datagram of `len` bytes, in which `tos`, `ttl`, `id` and `flags` stand. */
static void put_heads(struct frame *f, const struct bk_addr *from, const struct bk_addr *to,
                      size_t len, const uint8_t like[5]) {
    uint8_t *ip = f->bytes + ETH, *udp;
    bool v4 = from->ip.family == BK_IPV4;
    put16(f->bytes + 12, v4 ? 0x0800 : 0x86dd);
    if (v4) {
        const uint8_t start[] = {0x45, like[0], 0, 0, like[2], like[3], like[4], 0, like[1], 17};
        memcpy(ip, start, sizeof start);
        put16(ip + 2, 20 + 8 + len);
        put16(ip + 10, 0);
        memcpy(ip + 12, from->ip.bytes, 4);
        memcpy(ip + 16, to->ip.bytes, 4);
        put16(ip + 10, 0xffff ^ fold(sum(ip, 20)));
        udp = ip + 20;
    } else {
        const uint8_t start[] = {(uint8_t)(0x60 | like[0] >> 4), (uint8_t)(like[0] << 4), 0, 0};
        memcpy(ip, start, sizeof start);
        put16(ip + 4, 8 + len);
        ip[6] = 17;
        ip[7] = like[1];
        memcpy(ip + 8, from->ip.bytes, 16);
        memcpy(ip + 24, to->ip.bytes, 16);
        udp = ip + 40;
    }
    put16(udp, from->port);
    put16(udp + 2, to->port);
    put16(udp + 4, 8 + len);
    f->len = (size_t)(udp - f->bytes) + 8 + len;
}

static void put_macs(struct frame *f, enum world_side side, bool in) {
    const uint8_t ours[6] = {2, 0, 0, 0, (uint8_t)side, 1};
    const uint8_t theirs[6] = {2, 0, 0, 0, (uint8_t)side, 2};
    memcpy(f->bytes, in ? ours : theirs, 6);
    memcpy(f->bytes + 6, in ? theirs : ours, 6);
}

/* On which link an address of the far side is. */
static enum world_side side_of(const struct bk_addr *a) {
    bool peer_link = a->ip.family == BK_IPV4 ? a->ip.bytes[0] == 198 : a->ip.bytes[5] == 2;
    return peer_link ? PEER : CLIENT;
}

/* ---- The model ------------------------------------------------------------------------------ */

struct parsed {
    size_t head, payload; /* of Ethernet, IP and UDP; of the data */
    uint8_t like[5];
    struct bk_addr from, to;
};

static struct bk_addr addr_at(const uint8_t *ip, const uint8_t *port, bool v4) {
    struct bk_ip a = v4 ? bk_ipv4(ip[0], ip[1], ip[2], ip[3]) : bk_ipv6(ip);
    return bk_addr(a, (uint16_t)get16(port));
}

static bool model_parse(const struct frame *f, struct parsed *p) {
    const uint8_t *ip = f->bytes + ETH;
    size_t type = get16(f->bytes + 12), room = f->len - ETH;
    if (f->len < ETH + 28 || (type != 0x0800 && type != 0x86dd))
        return false;
    bool v4 = type == 0x0800;
    size_t head = v4 ? 20 : 40;
    if (room < head + UDP_HEAD)
        return false;
    size_t all = v4 ? get16(ip + 2) : 40 + get16(ip + 4);
    const uint8_t *udp = ip + head;
    if (v4 && (ip[0] != 0x45 || ip[9] != 17 || fold(sum(ip, 20)) != 0xffff ||
               (get16(ip + 6) & 0xbfff) != 0))
        return false;
    if (!v4 && (ip[0] >> 4 != 6 || ip[6] != 17 || get16(udp + 6) == 0))
        return false;
    p->like[0] = v4 ? ip[1] : (uint8_t)((ip[0] & 15) << 4 | ip[1] >> 4);
    p->like[1] = v4 ? ip[8] : ip[7];
    memcpy(p->like + 2, v4 ? ip + 4 : (const uint8_t *)"\0\0\x40", 3);
    p->from = addr_at(v4 ? ip + 12 : ip + 8, udp, v4);
    p->to = addr_at(v4 ? ip + 16 : ip + 24, udp + 2, v4);
    p->head = ETH + head + UDP_HEAD;
    if (all > room || all < head + UDP_HEAD || get16(udp + 4) != all - head || p->like[1] <= 1)
        return false;
    p->payload = all - head - UDP_HEAD;
    return true;
}

/* What a frame becomes. false: it is left alone. */
static bool model(const struct frame *in, uint32_t link, bool tc, struct frame *out) {
    struct parsed p = {0};
    if (!model_parse(in, &p))
        return false;
    const uint8_t *data = in->bytes + p.head;
    for (int i = 0; i < FLOWS; i++) {
        const struct fastpath_flow *f = &flows[i];
        bool up = bk_addr_equal(&p.from, &f->client) && bk_addr_equal(&p.to, &f->server);
        bool down = bk_addr_equal(&p.from, &f->peer) && bk_addr_equal(&p.to, &f->relay);
        size_t len = p.payload;
        if (up && (p.payload < 4 || get16(data) != f->channel))
            continue;
        if (!up && !down)
            continue;
        if (up) {
            len = get16(data + 2);
            if (p.payload != 4 + len && p.payload != 4 + (len + 3) / 4 * 4)
                return false;
        }
        const struct bk_addr *from = up ? &f->relay : &f->server;
        const struct bk_addr *to = up ? &f->peer : &f->client;
        size_t extra = up ? 0 : 4;
        struct frame want = {{0}, 0};
        p.like[1]--; /* RFC 8656 section 14 */
        put_heads(&want, from, to, len + extra, p.like);
        uint8_t *body = want.bytes + want.len - len - extra;
        put16(body, f->channel);
        put16(body + 2, len);
        memcpy(body + extra, up ? data + 4 : data, len);
        put_macs(&want, side_of(to), false);
        const uint8_t mac[6] = {2, 0, 0, 0, (uint8_t)(link == links[PEER] ? PEER : CLIENT), 1};
        if (want.len > ETH + 1500 || memcmp(mac, in->bytes, 6) != 0)
            return false;
        if (tc && from->ip.family != p.from.ip.family)
            return false;
        *out = want;
        return true;
    }
    return false;
}

/* ---- Running -------------------------------------------------------------------------------- */

static uint32_t segment; /* of a train; 0: no train */

static int run(const struct frame *in, uint32_t link, bool tc, struct frame *out) {
    struct xdp_md xdp = {.data_end = (uint32_t)in->len, .ingress_ifindex = link};
    struct __sk_buff skb = {.ifindex = link, .gso_size = segment, .gso_segs = segment != 0};
    struct bpf_test_run_opts opts = {.sz = sizeof opts,
                                     .data_in = in->bytes,
                                     .data_size_in = (uint32_t)in->len,
                                     .data_out = out->bytes,
                                     .data_size_out = sizeof out->bytes,
                                     .repeat = 1};
    opts.ctx_in = tc ? (void *)&skb : (void *)&xdp;
    opts.ctx_size_in = tc ? sizeof skb : sizeof xdp;
    int err =
        bpf_prog_test_run_opts(fastpath_program(path, tc ? FASTPATH_TC : FASTPATH_XDP), &opts);
    if (err != 0)
        fail_msg("test run of %zu bytes: %s", in->len, strerror(errno));
    out->len = opts.data_size_out;
    return (int)opts.retval;
}

static void check_one(const struct frame *in, uint32_t link, bool tc, int *carried) {
    static struct frame want, got;
    int verdict = run(in, link, tc, &got);
    if (!model(in, link, tc, &want)) {
        assert_int_equal(verdict, tc ? TC_NEXT : PASS);
        assert_int_equal(got.len, in->len);
        assert_memory_equal(got.bytes, in->bytes, in->len);
        return;
    }
    size_t head = ip_head(&want), seen = ETH + ip_head(in);
    size_t check = get16(in->bytes + seen + 6);
    bool unmade = check != 0 && check == fold(pseudo(in, get16(in->bytes + seen + 4)));
    if (tc && unmade)
        return; /* here, in a whole skb, it is one that is wrong; test_links has real ones */
    assert_int_equal(verdict, tc ? TC_REDIRECT : REDIRECT);
    assert_true(got.len >= want.len);
    if (tc)
        assert_int_equal(got.len, want.len);
    if (head == 40) {
        uint8_t *label = got.bytes + ETH + 1;
        assert_true((label[0] & 15) != 0 || label[1] != 0 || label[2] != 0);
        label[0] &= 0xf0;
        label[1] = label[2] = 0;
    }
    if (check == 0 && head == 20)
        assert_int_equal(get16(got.bytes + ETH + head + 6), 0);
    else
        assert_int_equal(udp_right(&got), unmade || check == 0 || udp_right(in));
    memcpy(want.bytes + ETH + head + 6, got.bytes + ETH + head + 6, 2);
    assert_memory_equal(got.bytes, want.bytes, want.len);
    (*carried)++;
}

/* ---- Input ---------------------------------------------------------------------------------- */

static uint32_t below(uint32_t bound) {
    return rng_below(&rng, bound);
}

static void make(struct frame *f, const struct fastpath_flow *flow, int way, uint32_t *link) {
    const struct bk_addr *from = way == UP ? &flow->client : &flow->peer;
    const struct bk_addr *to = way == UP ? &flow->server : &flow->relay;
    uint8_t like[5] = {0, 64, 0, 0, 0x40};
    size_t len = below(4) == 0 ? below(1480) : below(200);
    size_t payload = way == UP ? 4 + (below(2) == 0 ? len : (len + 3) / 4 * 4) : len;
    rng_fill(&rng, f->bytes, sizeof f->bytes);
    if (below(2) == 0)
        rng_fill(&rng, like, 4);
    like[1] |= (uint8_t)(below(8) == 0 ? 0 : 2);
    like[4] = below(2) == 0 ? 0x40 : 0;
    put_heads(f, from, to, payload, like);
    put_macs(f, side_of(from), true);
    if (way == UP) {
        put16(f->bytes + f->len - payload, flow->channel);
        put16(f->bytes + f->len - payload + 2, len);
    }
    *link = links[side_of(from)];
    udp_checksum(f);
}

static void ip_checksum(struct frame *f) {
    uint8_t *ip = f->bytes + ETH;
    put16(ip + 10, 0);
    put16(ip + 10, 0xffff ^ fold(sum(ip, 20)));
}

/* One thing, or nothing, wrong with it; checksums are made anew half of the time. */
static void mutilate(struct frame *f) {
    size_t head = ETH + ip_head(f) + UDP_HEAD + 4;
    bool v4 = ip_head(f) == 20;
    uint8_t *udp = f->bytes + ETH + ip_head(f);
    switch (below(12)) {
    case 0:
        f->bytes[below((uint32_t)(head < f->len ? head : f->len))] ^= (uint8_t)(1U << below(8));
        break;
    case 1:
        f->bytes[below((uint32_t)(head < f->len ? head : f->len))] = (uint8_t)below(256);
        break;
    case 2:
        f->len -= below((uint32_t)(f->len - ETH));
        return;
    case 3:
        f->len += below((uint32_t)(LENGTH_MAX - f->len));
        return;
    case 4:
        put16(udp + 6, 0);
        return;
    case 5:
        put16(udp + 6, fold(pseudo(f, get16(udp + 4)))); /* yet to be made */
        return;
    case 6:
        put16(udp + 4, get16(udp + 4) + below(9) - 4);
        break;
    case 7:
        put16(udp + 10, get16(udp + 10) + below(9) - 4);
        break;
    case 8:
        put16(f->bytes + ETH + (v4 ? 2 : 4), get16(f->bytes + ETH + (v4 ? 2 : 4)) + below(9) - 4);
        break;
    default:
        return;
    }
    if (v4 && below(2) == 0 && f->len >= ETH + 20 && f->bytes[12] == 8)
        ip_checksum(f);
}

static int setup(void **state) {
    (void)state;
    char reason[FASTPATH_REASON_MAX] = "";
    const struct fastpath_config config = {
        .mode = FASTPATH_AUTO, .flows_max = 64, .allocs_max = 64};
    rng_seed(&seeded, 7);
    rng = rng_from_seeded(&seeded);
    if (!world_make(&world) || fastpath_open(&config, &test_alloc, &path, reason) != BK_OK) {
        print_message("skipped: %s%s\n", world.why, reason);
        return 0;
    }
    links[CLIENT] = if_nametoindex("s0");
    links[PEER] = if_nametoindex("s1");
    for (int i = 0; i < FLOWS; i++) {
        flows[i] = (struct fastpath_flow){.id = (uint64_t)i + 1,
                                          .client = world_addr(addresses[i][0]),
                                          .server = world_addr(addresses[i][1]),
                                          .relay = world_addr(addresses[i][2]),
                                          .peer = world_addr(addresses[i][3]),
                                          .channel = (uint16_t)(0x4000 + i),
                                          .expires = BK_NEVER};
        assert_int_equal(fastpath_add(path, &flows[i]), BK_OK);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fastpath_close(path);
    path = NULL;
    world_end(&world);
    return 0;
}

static void check_many(bool tc) {
    static struct frame f;
    int carried = 0;
    if (path == NULL)
        skip();
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t link;
        make(&f, &flows[below(FLOWS)], (int)below(2), &link);
        mutilate(&f);
        if (tc && f.len < ETH + 40)
            continue; /* the kernel makes no skb of these */
        check_one(&f, link, tc, &carried);
    }
    assert_true(carried > ROUNDS / 4);
}

static void test_xdp_does_as_the_model_says(void **state) {
    (void)state;
    check_many(false);
}

static void test_tc_does_as_the_model_says(void **state) {
    (void)state;
    check_many(true);
}

/* Else it would overtake them: they take the long way. */
static void test_tc_leaves_what_comes_soon_after_a_train(void **state) {
    (void)state;
    static struct frame f, out;
    const uint8_t like[5] = {0, 64, 0, 0, 0x40};
    bool held = false;
    if (path == NULL)
        skip();
    put_heads(&f, &flows[0].client, &flows[0].server, 104, like);
    put_macs(&f, CLIENT, true);
    put16(f.bytes + f.len - 104, flows[0].channel);
    put16(f.bytes + f.len - 102, 100);
    udp_checksum(&f);
    assert_int_equal(run(&f, links[CLIENT], true, &out), TC_REDIRECT);
    for (int i = 0; i < 100 && !held;
         i++) { /* this process may be stopped in between, not always */
        segment = 52;
        assert_int_equal(run(&f, links[CLIENT], true, &out), TC_NEXT);
        segment = 0;
        held = run(&f, links[CLIENT], true, &out) == TC_NEXT;
    }
    assert_true(held);
    (void)usleep(25000);
    assert_int_equal(run(&f, links[CLIENT], true, &out), TC_REDIRECT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xdp_does_as_the_model_says),
        cmocka_unit_test(test_tc_does_as_the_model_says),
        cmocka_unit_test(test_tc_leaves_what_comes_soon_after_a_train),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
#else
int main(void) {
    (void)puts("skipped: this build has no fast path");
    return 0;
}
#endif
