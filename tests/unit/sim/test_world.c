/* SPDX-License-Identifier: MIT
 * The world: packets find their way, links do what they say, one seed is one run. */
#include "../test.h"
#include "sim/world.h"

struct peer {
    actor_id actor;
    socket_id socket;
    bool echo;
    unsigned got;
    struct bk_addr last_from;
    struct bk_time last_at;
    uint8_t last;
    unsigned order_errors, highest;
};

static void on_datagram(void *ctx, struct world *w, socket_id socket,
                        const struct bk_datagram *in) {
    struct peer *p = ctx;
    p->got++;
    p->last_from = in->remote;
    p->last_at = world_now(w);
    p->last = in->len > 0 ? in->data[0] : 0;
    if (p->last < p->highest)
        p->order_errors++;
    else
        p->highest = p->last;
    if (p->echo) {
        struct bk_datagram out = {.remote = in->remote, .data = in->data, .len = in->len};
        world_udp_send(w, socket, &out);
    }
}

static struct world *make(uint64_t seed) {
    struct world_config config = world_config_default;
    struct world *w;
    config.seed = seed;
    config.packets_max = 2048;
    assert_int_equal(world_new(&config, &test_alloc, &w), BK_OK);
    return w;
}

static void add_peer(struct world *w, struct peer *p, node_id host, uint16_t port) {
    memset(p, 0, sizeof *p);
    p->actor =
        world_add_actor(w, host, &(struct world_actor){.ctx = p, .on_datagram = on_datagram});
    assert_int_equal(world_udp_bind(w, p->actor, bk_addr(bk_ipv4(0, 0, 0, 0), port), &p->socket),
                     BK_OK);
}

static void send_byte(struct world *w, struct peer *p, struct bk_addr to, uint8_t byte) {
    world_udp_send(w, p->socket, &(struct bk_datagram){.remote = to, .data = &byte, .len = 1});
}

static struct nat_config home(uint8_t last) {
    struct nat_config c;
    assert_int_equal(nat_preset("home", &c), BK_OK);
    c.external[0] = bk_ipv4(203, 0, 113, last);
    c.external_count = 1;
    c.mappings_max = 256;
    c.sessions_max = 256;
    return c;
}

/* alice behind a, bob behind b (equal inside addresses), and an echoing server. */
struct town {
    struct world *w;
    node_id server, a, b, alice, bob;
    struct peer at_server, at_alice, at_bob;
};

static void build(struct town *t, uint64_t seed, const struct world_link *link) {
    t->w = make(seed);
    struct nat_config a = home(1), b = home(2);
    t->server = world_add_host(t->w, "server", WORLD_CORE, bk_ipv4(198, 51, 100, 1), NULL);
    t->a = world_add_nat(t->w, "a", WORLD_CORE, &a, link);
    t->b = world_add_nat(t->w, "b", WORLD_CORE, &b, link);
    t->alice = world_add_host(t->w, "alice", t->a, bk_ipv4(192, 168, 1, 2), NULL);
    t->bob = world_add_host(t->w, "bob", t->b, bk_ipv4(192, 168, 1, 2), NULL);
    add_peer(t->w, &t->at_server, t->server, 3478);
    add_peer(t->w, &t->at_alice, t->alice, 5000);
    add_peer(t->w, &t->at_bob, t->bob, 6000);
    t->at_server.echo = true;
}

static const struct bk_addr *server_addr(void) {
    static struct bk_addr a;
    a = bk_addr(bk_ipv4(198, 51, 100, 1), 3478);
    return &a;
}

static void test_delay_and_translation(void **state) {
    (void)state;
    struct town t;
    struct world_link link = {.delay_us = 20000};
    build(&t, 1, &link);
    struct bk_time start = world_now(t.w);
    send_byte(t.w, &t.at_alice, *server_addr(), 7);
    world_run(t.w, BK_US_PER_S);
    struct bk_addr outside = bk_addr(bk_ipv4(203, 0, 113, 1), 5000);
    assert_int_equal(t.at_server.got, 1);
    assert_true(bk_addr_equal(&t.at_server.last_from, &outside));
    assert_int_equal(t.at_alice.got, 1);
    assert_int_equal(bk_elapsed_us(start, t.at_alice.last_at), 40000);
    assert_int_equal(bk_elapsed_us(start, world_now(t.w)), BK_US_PER_S);
    world_free(t.w);
}

/* Two port-restricted NATs: the first packet opens a hole, the second finds it. */
static void test_hole_punching(void **state) {
    (void)state;
    struct town t;
    struct world_link link = {.delay_us = 20000};
    build(&t, 1, &link);
    struct bk_addr a = bk_addr(bk_ipv4(203, 0, 113, 1), 5000);
    struct bk_addr b = bk_addr(bk_ipv4(203, 0, 113, 2), 6000);
    send_byte(t.w, &t.at_alice, b, 1);
    world_run(t.w, 100000);
    assert_int_equal(t.at_bob.got, 0);
    send_byte(t.w, &t.at_bob, a, 2);
    world_run(t.w, 100000);
    assert_int_equal(t.at_alice.got, 1);
    send_byte(t.w, &t.at_alice, b, 3);
    world_run(t.w, 100000);
    assert_int_equal(t.at_bob.got, 1);
    assert_int_equal(world_get_counters(t.w)->nat_dropped, 1);
    world_free(t.w);
}

/* TTL counts boxes: 1 dies at the own box, 2 opens it and dies at the other. */
static void test_ttl_counts_boxes(void **state) {
    (void)state;
    struct town t;
    build(&t, 1, NULL);
    struct bk_addr b = bk_addr(bk_ipv4(203, 0, 113, 2), 6000);
    uint8_t byte = 1;
    struct bk_datagram out = {.remote = b, .data = &byte, .len = 1, .ttl = 1};
    world_udp_send(t.w, t.at_alice.socket, &out);
    world_run(t.w, 1000);
    assert_int_equal(nat_get_counters(world_nat(t.w, t.a))->mappings_made, 0);
    out.ttl = 2;
    world_udp_send(t.w, t.at_alice.socket, &out);
    world_run(t.w, 1000);
    assert_int_equal(nat_get_counters(world_nat(t.w, t.a))->mappings_made, 1);
    assert_int_equal(nat_get_counters(world_nat(t.w, t.b))->dropped[NAT_DROP_UNSOLICITED], 0);
    assert_int_equal(world_get_counters(t.w)->ttl_expired, 2);
    world_free(t.w);
}

static void test_loss_and_duplication_are_about_right(void **state) {
    (void)state;
    struct town t;
    struct world_link link = {.loss_ppm = 100000, .duplicate_ppm = 50000};
    build(&t, 3, &link);
    t.at_server.echo = false;
    for (int i = 0; i < 10000; i++) {
        send_byte(t.w, &t.at_alice, *server_addr(), 1);
        world_run(t.w, 10);
    }
    /* One lossy crossing: 10 000 x 0.9 x 1.05, give or take five standard deviations. */
    assert_in_range(t.at_server.got, 9450 - 190, 9450 + 190);
    assert_in_range(world_get_counters(t.w)->lost, 1000 - 150, 1000 + 150);
    world_free(t.w);
}

static void test_jitter_reorders_unless_told_not_to(void **state) {
    (void)state;
    for (int keep = 0; keep < 2; keep++) {
        struct town t;
        struct world_link link = {.jitter_us = 10000, .keep_order = keep == 1};
        build(&t, 4, &link);
        t.at_server.echo = false;
        for (uint8_t i = 0; i < 200; i++) {
            send_byte(t.w, &t.at_alice, *server_addr(), i);
            world_run(t.w, 100);
        }
        world_run(t.w, BK_US_PER_S);
        assert_int_equal(t.at_server.got, 200);
        assert_int_equal(t.at_server.order_errors == 0, keep == 1);
        world_free(t.w);
    }
}

static void test_rate_limits_and_drops_what_would_wait_too_long(void **state) {
    (void)state;
    struct town t;
    struct world_link link = {.rate_bps = 1000000, .queue_us = 10000};
    build(&t, 5, &link);
    t.at_server.echo = false;
    static const uint8_t bytes[972]; /* 8 ms on the wire, with headers */
    struct bk_datagram out = {.remote = *server_addr(), .data = bytes, .len = sizeof bytes};
    struct bk_time start = world_now(t.w);
    for (int i = 0; i < 10; i++)
        world_udp_send(t.w, t.at_alice.socket, &out);
    world_run(t.w, BK_US_PER_S);
    assert_int_equal(t.at_server.got, 2);
    assert_int_equal(bk_elapsed_us(start, t.at_server.last_at), 16000);
    assert_int_equal(world_get_counters(t.w)->queue_full, 8);
    world_free(t.w);
}

static void test_segments_are_separate_datagrams(void **state) {
    (void)state;
    struct town t;
    build(&t, 6, NULL);
    t.at_server.echo = false;
    static const uint8_t bytes[2500];
    struct bk_datagram out = {
        .remote = *server_addr(), .data = bytes, .len = sizeof bytes, .segment = 1000};
    world_udp_send(t.w, t.at_alice.socket, &out);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, 3);
    world_free(t.w);
}

static void test_faults(void **state) {
    (void)state;
    struct town t;
    build(&t, 7, NULL);
    unsigned expected = 0;
    world_cut_hosts(t.w, t.alice, t.server, WORLD_CUT_UDP);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, expected);
    world_cut_hosts(t.w, t.alice, t.server, WORLD_CUT_NONE);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, ++expected);
    world_cut_link(t.w, t.a, WORLD_CUT_ALL);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, expected);
    world_cut_link(t.w, t.a, WORLD_CUT_NONE);
    world_readdress_nat(t.w, t.a, bk_ipv4(203, 0, 113, 77));
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    struct bk_ip moved = bk_ipv4(203, 0, 113, 77);
    assert_int_equal(t.at_server.got, ++expected);
    assert_true(bk_ip_equal(&t.at_server.last_from.ip, &moved));
    world_readdress_host(t.w, t.alice, bk_ipv4(192, 168, 1, 2), bk_ipv4(192, 168, 1, 9));
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, ++expected);
    unsigned before = t.at_alice.got;
    world_reboot_nat(t.w, t.a);
    send_byte(t.w, &t.at_server, t.at_server.last_from, 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_alice.got, before);
    assert_true(world_get_counters(t.w)->cut == 2);
    world_free(t.w);
}

static void test_same_lan_and_ipv6_behind_a_firewall(void **state) {
    (void)state;
    struct town t;
    build(&t, 8, NULL);
    node_id carol = world_add_host(t.w, "carol", t.a, bk_ipv4(192, 168, 1, 3), NULL);
    struct peer at_carol;
    add_peer(t.w, &at_carol, carol, 1);
    send_byte(t.w, &t.at_alice, bk_addr(bk_ipv4(192, 168, 1, 3), 1), 1);
    world_run(t.w, 1000);
    assert_int_equal(at_carol.got, 1);
    assert_int_equal(at_carol.last_from.port, 5000);
    static const uint8_t a6[16] = {0x20, 1, 0xd, 0xb8, 1, [15] = 1};
    static const uint8_t b6[16] = {0x20, 1, 0xd, 0xb8, 2, [15] = 1};
    world_add_address(t.w, t.alice, bk_ipv6(a6));
    world_add_address(t.w, t.bob, bk_ipv6(b6));
    socket_id sa, sb;
    struct bk_addr any = {.ip.family = BK_IPV6, .port = 9};
    assert_int_equal(world_udp_bind(t.w, t.at_alice.actor, any, &sa), BK_OK);
    assert_int_equal(world_udp_bind(t.w, t.at_bob.actor, any, &sb), BK_OK);
    uint8_t byte = 1;
    struct bk_datagram to_b = {.remote = bk_addr(bk_ipv6(b6), 9), .data = &byte, .len = 1};
    struct bk_datagram to_a = {.remote = bk_addr(bk_ipv6(a6), 9), .data = &byte, .len = 1};
    world_udp_send(t.w, sa, &to_b);
    world_run(t.w, 1000);
    assert_int_equal(t.at_bob.got, 0); /* bob's firewall */
    world_udp_send(t.w, sb, &to_a);
    world_run(t.w, 1000);
    assert_int_equal(t.at_alice.got, 1); /* alice's is open for bob by now */
    world_free(t.w);
}

static void test_bind_errors(void **state) {
    (void)state;
    struct town t;
    socket_id s;
    build(&t, 9, NULL);
    struct bk_ip any = bk_ipv4(0, 0, 0, 0);
    assert_int_equal(world_udp_bind(t.w, t.at_alice.actor, bk_addr(any, 5000), &s), BK_ERR_EXISTS);
    struct bk_addr foreign = bk_addr(bk_ipv4(9, 9, 9, 9), 1);
    assert_int_equal(world_udp_bind(t.w, t.at_alice.actor, foreign, &s), BK_ERR_NOT_FOUND);
    assert_int_equal(world_udp_bind(t.w, t.at_alice.actor, bk_addr(any, 0), &s), BK_OK);
    assert_true(world_udp_local(t.w, s).port >= 49152);
    world_udp_close(t.w, t.at_alice.socket);
    assert_int_equal(world_udp_bind(t.w, t.at_alice.actor, bk_addr(any, 5000), &s), BK_OK);
    world_free(t.w);
}

static void count_line(void *ctx, const char *text) {
    (void)text;
    ++*(unsigned *)ctx;
}

static void test_cuts_anywhere_on_the_path(void **state) {
    (void)state;
    struct town t;
    build(&t, 7, NULL);
    /* Nothing passes both of these; the one name stands for all that passes it. */
    assert_int_equal(world_cut_path(t.w, t.a, t.b, WORLD_UDP), BK_OK);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, 1);
    assert_int_equal(world_cut_path(t.w, t.server, WORLD_CORE, WORLD_UDP | WORLD_TCP), BK_OK);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, 1);
    world_restore_path(t.w, t.server, WORLD_CORE, WORLD_TCP); /* UDP stays cut */
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, 1);
    send_byte(t.w, &t.at_alice, bk_addr(bk_ipv4(203, 0, 113, 2), 6000), 1);
    world_run(t.w, 1000);
    assert_int_equal(world_get_counters(t.w)->cut, 3);
    assert_int_equal(nat_get_counters(world_nat(t.w, t.b))->dropped[NAT_DROP_UNSOLICITED], 0);
    world_restore_path(t.w, WORLD_CORE, WORLD_CORE, WORLD_UDP | WORLD_TCP | WORLD_OTHER);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, 2);
    for (int i = 0; i < 64; i++)
        assert_int_equal(world_cut_path(t.w, t.a, t.b, WORLD_UDP), BK_OK);
    assert_int_equal(world_cut_path(t.w, t.a, t.b, WORLD_UDP), BK_ERR_FULL);
    world_free(t.w);
}

static void test_mtu_counts_the_ip_header(void **state) {
    (void)state;
    struct town t;
    struct world_link link = {.mtu = 1280};
    build(&t, 8, &link);
    t.at_server.echo = false;
    static const uint8_t bytes[1253];
    struct bk_datagram out = {.remote = *server_addr(), .data = bytes, .len = 1280 - 28};
    world_udp_send(t.w, t.at_alice.socket, &out);
    out.len++;
    world_udp_send(t.w, t.at_alice.socket, &out);
    world_run(t.w, 1000);
    assert_int_equal(t.at_server.got, 1);
    assert_int_equal(world_get_counters(t.w)->too_big, 1);
    world_free(t.w);
}

static void test_addresses_are_free_where_nobody_sees_them(void **state) {
    (void)state;
    struct town t;
    build(&t, 9, NULL);
    struct bk_ip alice, server = server_addr()->ip;
    assert_true(world_address(t.w, t.alice, 0, &alice));
    assert_false(world_address_is_free(t.w, t.a, &alice));
    assert_true(world_address_is_free(t.w, t.a, &server)); /* inside, it may exist again */
    assert_false(world_address_is_free(t.w, WORLD_CORE, &server));
    static const uint8_t v6[16] = {0x20, 1, 0xd, 0xb8, 1, [15] = 1};
    struct bk_ip ip = bk_ipv6(v6);
    assert_true(world_address_is_free(t.w, t.b, &ip));
    world_add_address(t.w, t.alice, ip); /* not translated: seen by all */
    assert_false(world_address_is_free(t.w, t.b, &ip));
    world_free(t.w);
}

static void test_a_watcher_sees_every_packet(void **state) {
    (void)state;
    struct town t;
    unsigned lines = 0;
    build(&t, 10, NULL);
    t.at_server.echo = false;
    world_watch(t.w, count_line, &lines);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(lines, 3); /* send, nat, deliver */
    world_watch(t.w, NULL, NULL);
    send_byte(t.w, &t.at_alice, *server_addr(), 1);
    world_run(t.w, 1000);
    assert_int_equal(lines, 3);
    world_free(t.w);
}

/* ---- one seed, one run ---- */
static uint64_t run_hash(uint64_t seed) {
    struct town t;
    struct world_link link = {
        .delay_us = 5000, .jitter_us = 3000, .loss_ppm = 50000, .duplicate_ppm = 20000};
    build(&t, seed, &link);
    struct bk_rng rng = world_rng(t.w, "what to send");
    for (int i = 0; i < 500; i++) {
        uint8_t byte;
        rng.fill(rng.ctx, &byte, 1);
        send_byte(t.w, i % 2 == 0 ? &t.at_alice : &t.at_bob, *server_addr(), byte);
        world_run(t.w, byte * 10);
    }
    world_run(t.w, BK_US_PER_S);
    uint64_t hash = world_hash(t.w);
    world_free(t.w);
    return hash;
}

static void test_same_seed_same_hash(void **state) {
    (void)state;
    uint64_t first = run_hash(42);
    assert_true(run_hash(42) == first);
    for (uint64_t seed = 43; seed < 53; seed++)
        assert_true(run_hash(seed) != first);
}

struct lines {
    unsigned count;
    bool seed, dropped;
};

static void on_line(void *ctx, const char *text) {
    struct lines *l = ctx;
    l->count++;
    l->seed = l->seed || strstr(text, "seed 11,") != NULL;
    l->dropped = l->dropped || strstr(text, "NAT DROP unsolicited") != NULL;
}

static void test_dump_names_seed_and_packets(void **state) {
    (void)state;
    struct town t;
    build(&t, 11, NULL);
    send_byte(t.w, &t.at_alice, bk_addr(bk_ipv4(203, 0, 113, 2), 1), 1);
    world_run(t.w, 1000);
    struct lines lines = {0};
    world_dump(t.w, on_line, &lines);
    assert_true(lines.seed && lines.dropped);
    assert_int_equal(lines.count, 4); /* counters, send, nat, drop */
    world_free(t.w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delay_and_translation),
        cmocka_unit_test(test_hole_punching),
        cmocka_unit_test(test_ttl_counts_boxes),
        cmocka_unit_test(test_loss_and_duplication_are_about_right),
        cmocka_unit_test(test_jitter_reorders_unless_told_not_to),
        cmocka_unit_test(test_rate_limits_and_drops_what_would_wait_too_long),
        cmocka_unit_test(test_segments_are_separate_datagrams),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_same_lan_and_ipv6_behind_a_firewall),
        cmocka_unit_test(test_bind_errors),
        cmocka_unit_test(test_cuts_anywhere_on_the_path),
        cmocka_unit_test(test_mtu_counts_the_ip_header),
        cmocka_unit_test(test_addresses_are_free_where_nobody_sees_them),
        cmocka_unit_test(test_a_watcher_sees_every_packet),
        cmocka_unit_test(test_same_seed_same_hash),
        cmocka_unit_test(test_dump_names_seed_and_packets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
