/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "net/alloc.h"
#include "net/udp.h"

/* A socket that keeps what it hears, and stops the loop when it has heard enough. */
struct ear {
    struct net_loop *loop;
    struct net_udp *udp;
    size_t datagrams, bytes, trains, wanted;
    struct bk_datagram last;
    uint8_t first_bytes[64];
    size_t lengths[256];
};

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct ear *e = ctx;
    (void)now;
    for (size_t i = 0; i < n; i++) {
        size_t size = in[i].segment == 0 ? in[i].len : in[i].segment;
        e->trains += in[i].segment != 0 ? 1 : 0;
        for (size_t at = 0; at < in[i].len || at == 0; at += size == 0 ? 1 : size) {
            size_t len = in[i].len - at < size ? in[i].len - at : size;
            e->lengths[e->datagrams++ % 256] = len;
            e->bytes += len;
        }
        e->last = in[i];
        memcpy(e->first_bytes, in[i].data, in[i].len < 64 ? in[i].len : 64);
    }
    if (e->datagrams >= e->wanted)
        net_loop_stop(e->loop);
}

static void on_late(void *ctx, struct bk_time now) {
    (void)ctx;
    (void)now;
    fail_msg("the datagrams did not arrive within 5 s");
}

static bool prompt; /* what is opened next */

static void ear_open(struct ear *e, struct net_loop *loop, const char *bind, bool gro) {
    struct bk_addr addr;
    struct net_udp_config config = net_udp_config_default;
    const struct net_udp_events events = {on_batch, e};
    *e = (struct ear){.loop = loop};
    config.gro = gro;
    config.prompt = prompt;
    config.rcvbuf = 4 << 20;
    assert_int_equal(bk_addr_parse(bind, &addr), BK_OK);
    assert_int_equal(net_udp_open(loop, &addr, &config, &events, &e->udp), BK_OK);
}

static void hear(struct ear *e, size_t datagrams) {
    struct net_timer limit;
    net_timer_init(&limit, e->loop, on_late, NULL);
    net_timer_set(&limit, bk_after(net_clock(), 5 * BK_US_PER_S));
    e->wanted = datagrams;
    if (e->datagrams < datagrams)
        net_loop_run(e->loop);
    net_timer_set(&limit, BK_NEVER);
}

static struct net_loop *loop;
static struct ear a, b;

static int open_pair(const char *bind_a, const char *bind_b, bool gro) {
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    ear_open(&a, loop, bind_a, gro);
    ear_open(&b, loop, bind_b, gro);
    return 0;
}

static void close_pair(void) {
    net_udp_close(a.udp);
    net_udp_close(b.udp);
    net_loop_free(loop);
}

static struct bk_datagram to(const struct ear *e, const char *ip, const void *data, size_t len) {
    struct bk_datagram d = {.data = data, .len = len};
    assert_int_equal(bk_ip_parse(ip, &d.remote.ip), BK_OK);
    d.remote.port = net_udp_local(e->udp).port;
    return d;
}

static void a_datagram_arrives_with_both_addresses(void **state) {
    (void)state;
    open_pair("127.0.0.1:0", "0.0.0.0:0", false);
    struct bk_datagram d = to(&b, "127.0.0.3", "hello", 5);
    d.ecn = 2;
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    hear(&b, 1);
    struct bk_addr from = net_udp_local(a.udp);
    assert_int_equal(b.bytes, 5);
    assert_memory_equal(b.first_bytes, "hello", 5);
    assert_true(bk_addr_equal(&b.last.remote, &from));
    assert_true(bk_addr_equal(&b.last.local, &d.remote)); /* not the wildcard it was bound to */
    assert_int_equal(b.last.ecn, 2);
    close_pair();
}

static void a_reply_leaves_from_the_address_that_was_asked(void **state) {
    (void)state;
    open_pair("127.0.0.1:0", "0.0.0.0:0", false);
    struct bk_datagram d = to(&b, "127.0.0.3", "ask", 3);
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    hear(&b, 1);
    struct bk_datagram reply = {
        .local = b.last.local, .remote = b.last.remote, .data = (const uint8_t *)"yes", .len = 3};
    assert_int_equal(net_udp_send(b.udp, &reply), BK_OK);
    hear(&a, 1);
    assert_true(bk_addr_equal(&a.last.remote, &d.remote));
    close_pair();
}

static void one_socket_carries_both_families(void **state) {
    (void)state;
    open_pair("[::]:0", "[::]:0", false);
    struct bk_datagram d = to(&b, "127.0.0.1", "four", 4);
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    hear(&b, 1);
    assert_int_equal(b.last.remote.ip.family, BK_IPV4);
    assert_int_equal(b.last.local.ip.family, BK_IPV4);
    struct bk_datagram reply = {
        .local = b.last.local, .remote = b.last.remote, .data = (const uint8_t *)"4!", .len = 2};
    assert_int_equal(net_udp_send(b.udp, &reply), BK_OK);
    hear(&a, 1);
    assert_true(bk_addr_equal(&a.last.remote, &d.remote));
    d = to(&b, "::1", "six", 3);
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    hear(&b, 2);
    assert_int_equal(b.last.remote.ip.family, BK_IPV6);
    assert_true(bk_ip_equal(&b.last.local.ip, &d.remote.ip));
    close_pair();
}

/* 40 datagrams of 1200 bytes and a short one: one train out, every datagram in, nothing merged. */
static void a_train_arrives_whole(bool gro) {
    static uint8_t data[40 * 1200 + 77];
    open_pair("127.0.0.1:0", "127.0.0.1:0", gro);
    struct bk_datagram d = to(&b, "127.0.0.1", data, sizeof data);
    d.segment = 1200;
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    hear(&b, 41);
    assert_int_equal(b.bytes, sizeof data);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(b.lengths[i], 1200);
    assert_int_equal(b.lengths[40], 77);
    assert_int_equal(net_udp_counters(a.udp)->out, 41);
    assert_int_equal(net_udp_counters(b.udp)->in, 41);
    if (!gro)
        assert_int_equal(b.trains, 0);
    close_pair();
}

static void trains_arrive_whole(void **state) {
    (void)state;
    a_train_arrives_whole(false);
    a_train_arrives_whole(true);
}

static void single_datagrams_become_trains_without_changing(void **state) {
    static const size_t lengths[] = {100, 100, 100, 60, 100, 100, 0, 300, 300, 10};
    static const uint8_t data[300];
    (void)state;
    open_pair("127.0.0.1:0", "127.0.0.1:0", true);
    for (size_t i = 0; i < 10; i++) {
        struct bk_datagram d = to(&b, "127.0.0.1", data, lengths[i]);
        assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    }
    hear(&b, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(b.lengths[i], lengths[i]);
    close_pair();
}

/* Sends from `a` to `b`, gives how many have left before the turn ends, and ends it. */
static uint64_t sent_at_once(size_t count) {
    static const uint8_t data[100];
    uint64_t before = net_udp_counters(a.udp)->out;
    for (size_t i = 0; i < count; i++) {
        struct bk_datagram d = to(&b, "127.0.0.1", data, sizeof data - i);
        assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    }
    uint64_t at_once = net_udp_counters(a.udp)->out - before;
    hear(&b, b.datagrams + count);
    assert_int_equal(net_udp_counters(a.udp)->out - before, count);
    return at_once;
}

static void what_is_alone_leaves_at_once_from_a_prompt_socket(void **state) {
    (void)state;
    open_pair("127.0.0.1:0", "127.0.0.1:0", true);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sent_at_once(1), 0); /* it is not prompt */
    close_pair();
    prompt = true;
    open_pair("127.0.0.1:0", "127.0.0.1:0", true);
    assert_int_equal(sent_at_once(1), 0);
    assert_int_equal(sent_at_once(1), 1);
    assert_int_equal(sent_at_once(5), 1); /* the others are joined, in their order */
    assert_int_equal(b.lengths[(b.datagrams - 5) % 256], 100);
    assert_int_equal(b.lengths[(b.datagrams - 1) % 256], 96);
    assert_int_equal(sent_at_once(5), 0);
    assert_int_equal(sent_at_once(1), 0);
    assert_int_equal(sent_at_once(1), 1);
    close_pair();
    prompt = false;
}

/* A socket that asks for one datagram alone, because no more came for a while, finds the others. */
static void a_burst_after_single_datagrams_is_read(void **state) {
    (void)state;
    open_pair("127.0.0.1:0", "127.0.0.1:0", false);
    for (int i = 0; i < 20; i++) {
        (void)sent_at_once(1);
        (void)sent_at_once(i % 4 == 0 ? 40 : 2);
    }
    close_pair();
}

static void a_train_too_long_for_the_kernel_is_divided(void **state) {
    static uint8_t data[200 * 1000];
    (void)state;
    open_pair("127.0.0.1:0", "127.0.0.1:0", true);
    struct bk_datagram d = to(&b, "127.0.0.1", data, sizeof data);
    d.segment = 1000;
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    hear(&b, 200);
    assert_int_equal(b.bytes, sizeof data);
    close_pair();
}

static void unreachable_places_do_not_hurt_the_socket(void **state) {
    (void)state;
    open_pair("127.0.0.1:0", "127.0.0.1:0", false);
    struct bk_datagram d = to(&b, "198.51.100.1", "x", 1); /* not from a loopback address */
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    d = to(&b, "127.0.0.1", "closed port", 11);
    d.remote.port = 1;
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    d = to(&b, "127.0.0.1", "hello", 5);
    assert_int_equal(net_udp_send(a.udp, &d), BK_OK);
    hear(&b, 1);
    assert_int_equal(b.bytes, 5);
    const struct net_udp_counters *c = net_udp_counters(a.udp);
    assert_int_equal(c->out_unreachable + c->out_error, 1);
    close_pair();
}

static void impossible_datagrams_are_refused(void **state) {
    static uint8_t data[65536];
    (void)state;
    open_pair("127.0.0.1:0", "127.0.0.1:0", false);
    struct bk_datagram d = to(&b, "::1", "x", 1); /* IPv6 over an IPv4 socket */
    assert_int_equal(net_udp_send(a.udp, &d), BK_ERR_ARGUMENT);
    d = to(&b, "127.0.0.1", data, sizeof data);
    assert_int_equal(net_udp_send(a.udp, &d), BK_ERR_ARGUMENT);
    d.len = 1;
    d.remote.port = 0;
    assert_int_equal(net_udp_send(a.udp, &d), BK_ERR_ARGUMENT);
    close_pair();
}

static void a_taken_port_is_told(void **state) {
    struct net_udp *second;
    const struct net_udp_events events = {on_batch, &b};
    (void)state;
    open_pair("127.0.0.1:0", "127.0.0.1:0", false);
    struct bk_addr taken = net_udp_local(a.udp);
    assert_int_equal(net_udp_open(loop, &taken, &net_udp_config_default, &events, &second),
                     BK_ERR_EXISTS);
    assert_int_equal(bk_addr_parse("192.0.2.1:0", &taken), BK_OK);
    assert_int_equal(net_udp_open(loop, &taken, &net_udp_config_default, &events, &second),
                     BK_ERR_UNREACHABLE);
    close_pair();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_datagram_arrives_with_both_addresses),
        cmocka_unit_test(a_reply_leaves_from_the_address_that_was_asked),
        cmocka_unit_test(one_socket_carries_both_families),
        cmocka_unit_test(trains_arrive_whole),
        cmocka_unit_test(single_datagrams_become_trains_without_changing),
        cmocka_unit_test(what_is_alone_leaves_at_once_from_a_prompt_socket),
        cmocka_unit_test(a_burst_after_single_datagrams_is_read),
        cmocka_unit_test(a_train_too_long_for_the_kernel_is_divided),
        cmocka_unit_test(unreachable_places_do_not_hurt_the_socket),
        cmocka_unit_test(impossible_datagrams_are_refused),
        cmocka_unit_test(a_taken_port_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
