/* SPDX-License-Identifier: MIT
 * The network of a lab, packet by packet, in virtual time:
 *
 *   alice, carol -- home ---- internet ---- server
 *   bob -- flat -- isp ----------'
 */
#include "../test.h"

#include "lab/fabric.h"
#include "lab/sight.h"

#include <stdio.h>

static const char world[] = "[nat home]\npublic = 203.0.113.1\n"
                            "inside = 192.168.1.1/24, 2001:db8:a::1/64\n"
                            "[nat isp]\npublic = 203.0.113.2\ninside = 100.64.0.1/10\n"
                            "[nat flat]\nbehind = isp\npublic = 100.64.0.2\n"
                            "inside = 192.168.1.1/24\n"
                            "[host alice]\nbehind = home\n"
                            "address = 192.168.1.10, 2001:db8:a::10\n"
                            "[host carol]\nbehind = home\naddress = 192.168.1.11\n"
                            "[host bob]\nbehind = flat\naddress = 192.168.1.10\n"
                            "[host server]\naddress = 198.51.100.10, 2001:db8:5::10\n";

enum { TAKEN_MAX = 16, PACKET_ROOM = 4096 };

struct bench {
    struct topology topology;
    struct fabric fabric;
    struct bk_time now;
    struct {
        int host;
        uint8_t bytes[PACKET_ROOM];
        size_t len;
    } taken[TAKEN_MAX];
    size_t count;
};

static bool take(void *ctx, int host, const uint8_t *bytes, size_t len) {
    struct bench *b = ctx;
    assert_true(b->count < TAKEN_MAX && len <= PACKET_ROOM);
    b->taken[b->count].host = host;
    b->taken[b->count].len = len;
    memcpy(b->taken[b->count++].bytes, bytes, len);
    return true;
}

static void open_with(struct bench *b, const char *more) {
    char text[2048];
    struct topology_error error;
    memset(b, 0, sizeof *b);
    snprintf(text, sizeof text, "%s%s", world, more);
    assert_int_equal(topology_parse(text, strlen(text), &b->topology, &error), BK_OK);
    assert_int_equal(fabric_init(&b->fabric, &b->topology, &test_alloc, take, b), BK_OK);
    b->now = test_at_ms(1000);
}

static void close_bench(struct bench *b) {
    fabric_fini(&b->fabric);
    topology_fini(&b->topology);
}

static int host(const struct bench *b, const char *name) {
    return topology_find(&b->topology, name);
}

static struct bk_addr at(const char *text) {
    struct bk_addr a;
    assert_int_equal(bk_addr_parse(text, &a), BK_OK);
    return a;
}

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)p[i] << (i % 2 == 0 ? 8 : 0);
    return sum;
}

static void put_sum(uint8_t *at_byte, uint32_t sum) {
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    at_byte[0] = (uint8_t)(~sum >> 8);
    at_byte[1] = (uint8_t)~sum;
}

/* A UDP packet behind an empty vnet header, `size` bytes with its IP header; checksums right. */
static size_t udp(uint8_t *out, struct bk_addr src, struct bk_addr dst, uint8_t hops, size_t size) {
    bool v4 = src.ip.family == BK_IPV4;
    size_t header = v4 ? 20 : 40, address = v4 ? 4 : 16, body = size - header;
    uint8_t *ip = out + FABRIC_VNET_LEN, *u = ip + header;
    memset(out, 0, FABRIC_VNET_LEN + size);
    ip[0] = v4 ? 0x45 : 0x60;
    ip[v4 ? 2 : 4] = (uint8_t)((v4 ? size : body) >> 8);
    ip[v4 ? 3 : 5] = (uint8_t)(v4 ? size : body);
    ip[6] = v4 ? 0x40 : 17; /* don't fragment; next header */
    ip[v4 ? 8 : 7] = hops;
    ip[9] = v4 ? 17 : ip[9];
    memcpy(ip + (v4 ? 12 : 8), src.ip.bytes, address);
    memcpy(ip + (v4 ? 16 : 24), dst.ip.bytes, address);
    if (v4)
        put_sum(ip + 10, sum16(0, ip, 20));
    u[0] = (uint8_t)(src.port >> 8);
    u[1] = (uint8_t)src.port;
    u[2] = (uint8_t)(dst.port >> 8);
    u[3] = (uint8_t)dst.port;
    u[4] = (uint8_t)(body >> 8);
    u[5] = (uint8_t)body;
    uint32_t pseudo = sum16((uint32_t)body + 17, ip + (v4 ? 12 : 8), 2 * address);
    put_sum(u + 6, sum16(pseudo, u, body));
    return FABRIC_VNET_LEN + size;
}

static void send_sized(struct bench *b, const char *from, const char *src, struct bk_addr dst,
                       uint8_t hops, size_t size) {
    uint8_t bytes[PACKET_ROOM];
    b->count = 0;
    size_t len = udp(bytes, at(src), dst, hops, size);
    fabric_packet(&b->fabric, host(b, from), bytes, len, b->now);
}

static void send_udp(struct bench *b, const char *from, const char *src, struct bk_addr dst) {
    send_sized(b, from, src, dst, 64, 100);
}

/* The i-th packet that reached a host, parsed; its checksums must be right. */
static struct packet taken(struct bench *b, size_t i, const char *at_host) {
    struct packet p;
    assert_true(i < b->count);
    assert_int_equal(b->taken[i].host, host(b, at_host));
    assert_int_equal(packet_parse(&p, b->taken[i].bytes + FABRIC_VNET_LEN,
                                  b->taken[i].len - FABRIC_VNET_LEN, false),
                     BK_OK);
    assert_true(packet_checksums_right(&p));
    return p;
}

static bool same(struct bk_addr a, struct bk_addr b) {
    return bk_addr_equal(&a, &b);
}

static void a_nat_translates_out_and_back(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
    struct packet p = taken(&b, 0, "server");
    assert_true(same(p.header.flow.src, at("203.0.113.1:5000")));
    assert_int_equal(p.hops, 62); /* the box and the internet */
    send_udp(&b, "server", "198.51.100.10:3478", at("203.0.113.1:5000"));
    p = taken(&b, 0, "alice");
    assert_true(same(p.header.flow.dst, at("192.168.1.10:5000")));
    send_udp(&b, "server", "198.51.100.10:9999", at("203.0.113.1:5000"));
    assert_int_equal(b.count, 0); /* port-restricted */
    assert_int_equal(b.fabric.counters.dropped[LAB_DROP_NAT], 1);
    close_bench(&b);
}

static void two_boxes_translate_twice(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    send_udp(&b, "bob", "192.168.1.10:5000", at("198.51.100.10:3478"));
    struct packet p = taken(&b, 0, "server");
    assert_true(same(p.header.flow.src, at("203.0.113.2:5000")));
    assert_int_equal(p.hops, 61);
    send_udp(&b, "server", "198.51.100.10:3478", at("203.0.113.2:5000"));
    (void)taken(&b, 0, "bob");
    close_bench(&b);
}

static void neighbours_talk_directly(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    send_udp(&b, "alice", "192.168.1.10:5000", at("192.168.1.11:6000"));
    assert_int_equal(taken(&b, 0, "carol").hops, 64);
    send_udp(&b, "alice", "192.168.1.10:5000", at("192.168.1.255:6000"));
    assert_int_equal(b.count, 1); /* a broadcast reaches the others, not the sender */
    (void)taken(&b, 0, "carol");
    send_udp(&b, "alice", "192.168.1.10:5000", at("192.168.1.77:6000"));
    assert_int_equal(b.count, 0);
    close_bench(&b);
}

static void an_ipv6_firewall_lets_answers_in(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    send_udp(&b, "server", "[2001:db8:5::10]:3478", at("[2001:db8:a::10]:5000"));
    assert_int_equal(b.count, 0);
    send_udp(&b, "alice", "[2001:db8:a::10]:5000", at("[2001:db8:5::10]:3478"));
    struct packet p = taken(&b, 0, "server");
    assert_true(same(p.header.flow.src, at("[2001:db8:a::10]:5000")));
    send_udp(&b, "server", "[2001:db8:5::10]:3478", at("[2001:db8:a::10]:5000"));
    (void)taken(&b, 0, "alice");
    close_bench(&b);
}

static void delay_adds_up_over_the_links(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "delay = 5ms / 7ms\n[run]\nalice: true\n"); /* server's link: down is 7 ms */
    send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
    assert_int_equal(b.count, 0);
    assert_int_equal(fabric_deadline(&b.fabric).us, b.now.us + 7000);
    fabric_advance(&b.fabric, bk_after(b.now, 6999));
    assert_int_equal(b.count, 0);
    fabric_advance(&b.fabric, bk_after(b.now, 7000));
    (void)taken(&b, 0, "server");
    assert_true(fabric_deadline(&b.fabric).us > b.now.us + 7000); /* only the mapping is left */
    close_bench(&b);
}

static void loss_loses_its_share(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "loss = 0 / 25%\n");
    unsigned arrived = 0;
    for (int i = 0; i < 4000; i++) {
        send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
        arrived += (unsigned)b.count;
    }
    assert_in_range(arrived, 2850, 3150); /* 5 sigma around 3000; the seed is fixed anyway */
    assert_int_equal(b.fabric.counters.dropped[LAB_DROP_LOST], 4000 - arrived);
    assert_false(fabric_wants_superpackets(&b.fabric));
    close_bench(&b);
}

static void a_rate_spaces_packets_and_its_queue_is_finite(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "rate = 1mbit\nqueue = 2000B\n"); /* 1000 bytes are 8 ms */
    for (int i = 0; i < 10; i++)
        send_sized(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"), 64, 1000);
    assert_int_equal(b.fabric.counters.dropped[LAB_DROP_QUEUE_FULL],
                     7); /* three fit: one going, two waiting */
    b.count = 0;
    fabric_advance(&b.fabric, bk_after(b.now, 16000));
    assert_int_equal(b.count, 2);
    fabric_advance(&b.fabric, bk_after(b.now, 24000));
    assert_int_equal(b.count, 3);
    close_bench(&b);
}

static enum bk_err change(struct bench *b, const char *words) {
    struct topology_change c;
    struct topology_error error;
    assert_int_equal(topology_parse_change(&b->topology, words, &c, &error), BK_OK);
    return fabric_change(&b->fabric, &c);
}

static void cuts_drop_silently_until_restored(void **state) {
    static const struct {
        const char *words;
        bool alice_arrives, carol_arrives;
    } cases[] = {
        {"cut home server udp", false, false}, {"cut alice server", false, true},
        {"cut server alice", false, true},     {"cut alice", false, true},
        {"cut home server tcp", true, true},   {"cut bob server", true, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bench b;
        open_with(&b, "");
        assert_int_equal(change(&b, cases[i].words), BK_OK);
        send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
        assert_int_equal(b.count, cases[i].alice_arrives);
        send_udp(&b, "carol", "192.168.1.11:5000", at("198.51.100.10:3478"));
        assert_int_equal(b.count, cases[i].carol_arrives);
        assert_int_equal(change(&b, "restore"), BK_OK);
        send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
        assert_int_equal(b.count, 1);
        close_bench(&b);
    }
}

static void a_rebooted_box_has_forgotten(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
    assert_int_equal(change(&b, "reboot home"), BK_OK);
    send_udp(&b, "server", "198.51.100.10:3478", at("203.0.113.1:5000"));
    assert_int_equal(b.count, 0);
    close_bench(&b);
}

static size_t arrive(struct bench *b, const char *host, const char *from) {
    send_udp(b, host, from, at("198.51.100.10:3478"));
    return b->count;
}

static void faults_of_a_box(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5000"), 1);
    assert_int_equal(change(&b, "exhaust home"), BK_OK);
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5000"), 1);
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5001"), 0);
    assert_int_equal(change(&b, "exhaust home off"), BK_OK);
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5001"), 1);
    assert_int_equal(change(&b, "limit home 1"), BK_OK);
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5002"), 1);
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5003"), 0);
    assert_int_equal(change(&b, "limit home off"), BK_OK);
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5003"), 1);
    assert_int_equal(change(&b, "evict home all"), BK_OK);
    send_udp(&b, "server", "198.51.100.10:3478", at("203.0.113.1:5000"));
    assert_int_equal(b.count, 0);
    close_bench(&b);
}

static void a_box_moves_to_another_address(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    assert_int_equal(change(&b, "readdress home 203.0.113.2"), BK_ERR_EXISTS);
    assert_int_equal(change(&b, "readdress home 203.0.113.9"), BK_OK);
    assert_int_equal(arrive(&b, "alice", "192.168.1.10:5000"), 1);
    assert_true(same(taken(&b, 0, "server").header.flow.src, at("203.0.113.9:5000")));
    send_udp(&b, "server", "198.51.100.10:3478", at("203.0.113.9:5000"));
    assert_int_equal(b.count, 1);
    send_udp(&b, "server", "198.51.100.10:3478", at("203.0.113.1:5000"));
    assert_int_equal(b.count, 0);
    close_bench(&b);
}

static void a_link_flaps(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "");
    fabric_advance(&b.fabric, b.now);
    assert_int_equal(change(&b, "flap alice 300ms every 2s times 2"), BK_OK);
    for (int ms = 0; ms < 6000; ms += 100) {
        bool down = ms < 4000 && ms % 2000 < 300;
        b.now = test_at_ms(1000 + ms);
        assert_int_equal(arrive(&b, "alice", "192.168.1.10:5000"), !down);
    }
    close_bench(&b);
}

static void routers_answer_for_dead_hops_and_big_packets(void **state) {
    struct bench b;
    (void)state;
    open_with(&b, "mtu = 1280\n"); /* of the server's link */
    send_sized(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"), 1, 100);
    struct packet p = taken(&b, 0, "alice");
    assert_true(same(p.header.flow.src, at("192.168.1.1:0"))); /* died in its own box */
    assert_int_equal(p.data[p.transport], 11);
    send_sized(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"), 2, 100);
    p = taken(&b, 0, "alice"); /* died in the internet, came back through the box */
    assert_true(same(p.header.inner.src, at("192.168.1.10:5000")));
    send_sized(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"), 64, 1281);
    p = taken(&b, 0, "alice");
    assert_int_equal(p.data[p.transport], 3);
    assert_int_equal(p.data[p.transport + 1], 4);
    assert_int_equal(p.data[p.transport + 6] << 8 | p.data[p.transport + 7], 1280);
    assert_int_equal(b.fabric.counters.dropped[LAB_DROP_TOO_BIG], 1);
    send_sized(&b, "alice", "[2001:db8:a::10]:5000", at("[2001:db8:5::10]:1"), 64, 1400);
    p = taken(&b, 0, "alice");
    assert_int_equal(p.data[p.transport], 2); /* packet too big */
    close_bench(&b);
}

/* Puts received fragments together again; they came in order. Returns the packet's length. */
static size_t reassemble(const struct bench *b, uint8_t *out) {
    size_t len = 20;
    for (size_t i = 0; i < b->count; i++) {
        const uint8_t *ip = b->taken[i].bytes + FABRIC_VNET_LEN;
        size_t body = b->taken[i].len - FABRIC_VNET_LEN - 20;
        assert_int_equal((size_t)ip[2] << 8 | ip[3], body + 20);
        assert_true(body + 20 <= 1280);
        assert_int_equal(((size_t)(ip[6] & 0x1f) << 8 | ip[7]) * 8, len - 20);
        assert_int_equal((ip[6] & 0x20) != 0, i + 1 < b->count);
        uint32_t sum = sum16(0, ip, 20);
        while (sum >> 16 != 0)
            sum = (sum & 0xffff) + (sum >> 16);
        assert_int_equal(sum, 0xffff);
        memcpy(out + len, ip + 20, body);
        len += body;
    }
    return len;
}

static void what_may_be_fragmented_is(void **state) {
    struct bench b;
    uint8_t bytes[PACKET_ROOM], whole[PACKET_ROOM];
    (void)state;
    open_with(&b, "mtu = 1280\n"); /* of the server's link */
    for (size_t size = 1281; size <= 1500; size += 13) {
        size_t len = udp(bytes, at("192.168.1.10:5000"), at("198.51.100.10:3478"), 64, size);
        uint8_t *ip = bytes + FABRIC_VNET_LEN;
        ip[6] = ip[10] = ip[11] = 0; /* may be fragmented */
        put_sum(ip + 10, sum16(0, ip, 20));
        b.count = 0;
        fabric_packet(&b.fabric, host(&b, "alice"), bytes, len, b.now);
        assert_int_equal(b.count, 2);
        assert_int_equal(reassemble(&b, whole), size);
        assert_memory_equal(whole + 28, ip + 28, size - 28); /* behind the UDP header */
    }
    assert_int_equal(b.fabric.counters.dropped[LAB_DROP_TOO_BIG], 0);
    close_bench(&b);
}

/* Cuts a packet in two by hand: the first `at` bytes behind the IP header, and the rest. */
static void send_in_two(struct bench *b, const char *from, uint8_t *whole, size_t len,
                        size_t at_byte, bool later_first) {
    uint8_t piece[2][PACKET_ROOM];
    size_t size[2] = {FABRIC_VNET_LEN + 20 + at_byte, len - at_byte};
    for (size_t i = 0; i < 2; i++) {
        uint8_t *ip = piece[i] + FABRIC_VNET_LEN;
        memcpy(piece[i], whole, FABRIC_VNET_LEN + 20);
        memcpy(ip + 20, whole + FABRIC_VNET_LEN + 20 + (i == 0 ? 0 : at_byte),
               size[i] - FABRIC_VNET_LEN - 20);
        ip[2] = (uint8_t)((size[i] - FABRIC_VNET_LEN) >> 8);
        ip[3] = (uint8_t)(size[i] - FABRIC_VNET_LEN);
        ip[6] = i == 0 ? 0x20 : (uint8_t)(at_byte / 8 >> 8);
        ip[7] = i == 0 ? 0 : (uint8_t)(at_byte / 8);
        ip[10] = ip[11] = 0;
        put_sum(ip + 10, sum16(0, ip, 20));
    }
    b->count = 0;
    for (size_t i = 0; i < 2; i++) {
        size_t which = later_first ? 1 - i : i;
        fabric_packet(&b->fabric, host(b, from), piece[which], size[which], b->now);
    }
}

static void fragments_pass_a_nat(void **state) {
    struct bench b;
    uint8_t bytes[PACKET_ROOM], whole[PACKET_ROOM];
    (void)state;
    for (int later_first = 0; later_first < 2; later_first++) {
        open_with(&b, "");
        size_t len = udp(bytes, at("192.168.1.10:5000"), at("198.51.100.10:3478"), 64, 1200);
        for (size_t i = 28; i < 1200; i++)
            bytes[FABRIC_VNET_LEN + i] = (uint8_t)i;
        send_in_two(&b, "alice", bytes, len, 800, later_first == 1);
        assert_int_equal(b.count, 2);
        assert_int_equal(b.taken[0].host, host(&b, "server"));
        assert_int_equal(reassemble(&b, whole), 1200);
        assert_memory_equal(whole + 28, bytes + FABRIC_VNET_LEN + 28, 1200 - 28);
        static const uint8_t outside[] = {203, 0, 113, 1};
        for (size_t i = 0; i < 2; i++)
            assert_memory_equal(b.taken[i].bytes + FABRIC_VNET_LEN + 12, outside, 4);
        send_in_two(&b, "bob", bytes, len, 800, later_first == 1); /* alice's address: two boxes */
        assert_int_equal(b.count, 2);
        close_bench(&b);
    }
}

static void a_box_may_drop_fragments(void **state) {
    struct bench b;
    uint8_t bytes[PACKET_ROOM];
    (void)state;
    open_with(&b, "[nat shop]\npublic = 203.0.113.9\ninside = 10.0.0.1/24\nfragments = drop\n"
                  "[host till]\nbehind = shop\naddress = 10.0.0.2\n");
    size_t len = udp(bytes, at("10.0.0.2:5000"), at("198.51.100.10:3478"), 64, 1200);
    send_in_two(&b, "till", bytes, len, 800, false);
    assert_int_equal(b.count, 0);
    assert_int_equal(b.fabric.counters.dropped[LAB_DROP_FRAGMENT], 2);
    close_bench(&b);
}

static void an_alg_rewrites_payloads_on_the_way(void **state) {
    static const char inside[] = "at 192.168.1.5 now", outside[] = "at 203.0.113.100 now";
    struct bench b;
    uint8_t bytes[PACKET_ROOM];
    (void)state;
    open_with(&b, "delay = 0 / 5ms\n[nat shop]\npublic = 203.0.113.100\n"
                  "inside = 192.168.1.1/24\nalg = text\ndelay = 5ms\n"
                  "[host till]\nbehind = shop\naddress = 192.168.1.5\n");
    size_t size = 28 + sizeof inside - 1;
    size_t len = udp(bytes, at("192.168.1.5:5000"), at("198.51.100.10:3478"), 64, size);
    uint8_t *u = bytes + FABRIC_VNET_LEN + 20;
    memcpy(u + 8, inside, sizeof inside - 1);
    u[6] = u[7] = 0; /* no checksum */
    b.count = 0;
    fabric_packet(&b.fabric, host(&b, "till"), bytes, len, b.now);
    memset(b.fabric.payload, 0xee, sizeof b.fabric.payload); /* it must not wait there */
    fabric_advance(&b.fabric, bk_after(b.now, 5000));
    fabric_advance(&b.fabric, bk_after(b.now, 10000));
    struct packet p = taken(&b, 0, "server");
    assert_int_equal(p.len, 28 + sizeof outside - 1);
    assert_memory_equal(p.data + 28, outside, sizeof outside - 1);
    assert_false(fabric_wants_superpackets(&b.fabric));
    close_bench(&b);
}

/* With every preset: out and back through one box and through two, and IPv6 through a firewall. */
static void every_preset_works_in_a_chain(void **state) {
    (void)state;
    for (size_t i = 0; nat_preset_name(i, NULL) != NULL; i++) {
        struct bench b;
        struct nat_config config;
        struct topology_error error;
        char set[3][64];
        static const char *const boxes[] = {"home", "isp", "flat"};
        assert_int_equal(nat_preset(nat_preset_name(i, NULL), &config), BK_OK);
        open_with(&b, "");
        fabric_fini(&b.fabric);
        for (size_t n = 0; n < 3; n++) {
            snprintf(set[n], sizeof set[n], "%s:preset=%s", boxes[n], nat_preset_name(i, NULL));
            assert_int_equal(topology_override(&b.topology, set[n], &error), BK_OK);
        }
        assert_int_equal(fabric_init(&b.fabric, &b.topology, &test_alloc, take, &b), BK_OK);
        bool passes =
            config.ipv4 == NAT_MODE_TRANSLATE && !config.udp_blocked && !config.udp_allow.limited;
        const char *hosts[] = {"alice", "bob"};
        for (size_t h = 0; h < 2 && passes; h++) {
            send_udp(&b, hosts[h], "192.168.1.10:5000", at("198.51.100.10:3478"));
            struct bk_addr seen = taken(&b, 0, "server").header.flow.src;
            assert_int_equal(seen.ip.bytes[0], 203);
            send_udp(&b, "server", "198.51.100.10:3478", seen);
            assert_true(same(taken(&b, 0, hosts[h]).header.flow.dst, at("192.168.1.10:5000")));
        }
        if (config.ipv6 == NAT_MODE_FIREWALL && passes) {
            send_udp(&b, "alice", "[2001:db8:a::10]:5000", at("[2001:db8:5::10]:3478"));
            send_udp(&b, "server", "[2001:db8:5::10]:3478", at("[2001:db8:a::10]:5000"));
            (void)taken(&b, 0, "alice");
        }
        close_bench(&b);
    }
}

/* Who watches sees a packet at every link, and why it ended. */
struct watched {
    struct bench *bench;
    size_t crossed, dropped, made, ended;
    struct fabric_sight last;
};

static void on_sight(void *ctx, const struct fabric_sight *sight) {
    struct watched *w = ctx;
    w->crossed += sight->drop == LAB_DROP_NONE;
    w->dropped += sight->drop != LAB_DROP_NONE;
    w->last = *sight;
}

static void on_mapping(void *ctx, int box, const struct nat_mapping_view *mapping, bool made) {
    struct watched *w = ctx;
    assert_int_equal(box, host(w->bench, "home"));
    assert_true(same(mapping->external, at("203.0.113.1:5000")));
    w->made += made;
    w->ended += !made;
}

static void watchers_see_every_link_and_every_end(void **state) {
    struct bench b;
    struct watched w = {.bench = &b};
    struct fabric_watcher watcher = {on_sight, on_mapping, &w};
    char text[SIGHT_TEXT_MAX];
    (void)state;
    open_with(&b, "");
    fabric_watch(&b.fabric, &watcher);
    send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
    assert_int_equal(w.crossed, 3); /* alice, home, server */
    assert_int_equal(w.last.link, host(&b, "server"));
    assert_int_equal(w.made, 1);
    send_udp(&b, "server", "198.51.100.10:99", at("203.0.113.1:5000"));
    assert_int_equal(w.crossed, 5); /* server, home */
    assert_int_equal(w.dropped, 1);
    assert_int_equal(w.last.link, host(&b, "home"));
    assert_string_equal(sight_describe(&b.topology, &w.last, text), "filtered by home");
    assert_string_equal(sight_reason(&w.last), "filtered");
    assert_int_equal(change(&b, "cut server"), BK_OK);
    send_udp(&b, "server", "198.51.100.10:3478", at("203.0.113.1:5000"));
    assert_string_equal(sight_describe(&b.topology, &w.last, text), "cut on the link of server");
    send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.77:3478"));
    assert_string_equal(sight_describe(&b.topology, &w.last, text),
                        "nobody has the address, says the internet");
    assert_int_equal(w.ended, 0);
    fabric_advance(&b.fabric, bk_after(b.now, 31 * BK_US_PER_S)); /* nobody has to send for it */
    assert_int_equal(w.ended, 1);
    fabric_watch(&b.fabric, NULL);
    send_udp(&b, "alice", "192.168.1.10:5000", at("198.51.100.10:3478"));
    assert_int_equal(w.made, 1);
    close_bench(&b);
}

static void garbage_is_counted_and_dropped(void **state) {
    struct bench b;
    uint8_t bytes[64] = {0};
    (void)state;
    open_with(&b, "");
    for (size_t len = 0; len <= sizeof bytes; len++)
        fabric_packet(&b.fabric, host(&b, "alice"), bytes, len, b.now);
    assert_int_equal(b.fabric.counters.dropped[LAB_DROP_MALFORMED], sizeof bytes + 1);
    assert_int_equal(b.count, 0);
    close_bench(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_nat_translates_out_and_back),
        cmocka_unit_test(two_boxes_translate_twice),
        cmocka_unit_test(neighbours_talk_directly),
        cmocka_unit_test(an_ipv6_firewall_lets_answers_in),
        cmocka_unit_test(delay_adds_up_over_the_links),
        cmocka_unit_test(loss_loses_its_share),
        cmocka_unit_test(a_rate_spaces_packets_and_its_queue_is_finite),
        cmocka_unit_test(cuts_drop_silently_until_restored),
        cmocka_unit_test(a_rebooted_box_has_forgotten),
        cmocka_unit_test(faults_of_a_box),
        cmocka_unit_test(a_box_moves_to_another_address),
        cmocka_unit_test(a_link_flaps),
        cmocka_unit_test(routers_answer_for_dead_hops_and_big_packets),
        cmocka_unit_test(what_may_be_fragmented_is),
        cmocka_unit_test(fragments_pass_a_nat),
        cmocka_unit_test(a_box_may_drop_fragments),
        cmocka_unit_test(an_alg_rewrites_payloads_on_the_way),
        cmocka_unit_test(every_preset_works_in_a_chain),
        cmocka_unit_test(watchers_see_every_link_and_every_end),
        cmocka_unit_test(garbage_is_counted_and_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
