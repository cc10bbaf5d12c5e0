/* SPDX-License-Identifier: MIT
 * The check on real sockets, all on loopback: how it ends. What it finds out is the business of
 * tests/system/test_nat_cli.py, which has NATs. */
#define _GNU_SOURCE
#include "../test.h"
#include "net/alloc.h"
#include "net/udp.h"
#include "node/nat_driver.h"

static struct net_loop *loop;
static struct net_udp *silent; /* takes everything, answers nothing */
static struct nat_driver *driver;
static struct net_timer limit;
static size_t done, found, heard;

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    (void)ctx;
    (void)in;
    (void)now;
    heard += n;
}

static void on_found(void *ctx, enum bk_nat_attr attr) {
    (void)ctx;
    (void)attr;
    found++;
}

static void on_done(void *ctx) {
    (void)ctx;
    done++;
    net_loop_stop(loop);
}

static void on_late(void *ctx, struct bk_time now) {
    (void)ctx;
    (void)now;
    fail_msg("the check does not end");
}

static void start(void) {
    struct bk_natcheck_config config = bk_natcheck_config_default;
    const struct nat_driver_events events = {on_found, on_done, NULL};
    config.server = net_udp_local(silent);
    done = found = heard = 0;
    nat_driver_look_around(&config);
    assert_true(config.local_count > 0);
    assert_true(bk_ip_equal(&config.locals[0], &config.server.ip)); /* the best one is first */
    assert_int_equal(config.gateway.family, BK_FAMILY_NONE);        /* none on the way to there */
    assert_int_equal(nat_driver_new(loop, &config, &events, &driver), BK_OK);
    net_timer_set(&limit, bk_after(net_clock(), 60 * BK_US_PER_S));
}

static void a_silent_server_ends_in_blocked_udp(void **state) {
    (void)state;
    start();
    net_loop_run(loop);
    const struct bk_nat_record *r = nat_driver_record(driver);
    assert_int_equal(done, 1);
    assert_int_equal(r->traits.udp_blocked, BK_YES);
    assert_true(heard >= 2); /* it was asked more than once */
    assert_true(found > 0);
    nat_driver_free(driver);
}

static void stopping_early_still_tells_the_end(void **state) {
    (void)state;
    start();
    nat_driver_stop(driver);
    net_loop_run(loop);
    assert_int_equal(done, 1);
    assert_true(nat_driver_record(driver)->findings[BK_NAT_MAPPING].status != BK_NAT_PENDING);
    nat_driver_free(driver);
}

/* Sockets are closed, no callback follows; the sanitizer sees what is left behind. */
static void freed_in_the_middle_it_is_silent(void **state) {
    (void)state;
    start();
    while (heard == 0)
        net_loop_turn(loop);
    nat_driver_free(driver);
    assert_int_equal(done, 0);
    nat_driver_free(NULL);
}

static void wrong_configurations_are_refused(void **state) {
    (void)state;
    struct bk_natcheck_config config = bk_natcheck_config_default;
    const struct nat_driver_events events = {on_found, on_done, NULL};
    config.packets_max = 1;
    assert_int_equal(nat_driver_new(loop, &config, &events, &driver), BK_ERR_ARGUMENT);
}

static int open_loop(void **state) {
    const struct net_udp_events events = {on_batch, NULL};
    const struct bk_addr any = bk_addr(bk_ipv4(127, 0, 0, 1), 0);
    (void)state;
    if (net_loop_new(net_alloc(), &loop) != BK_OK)
        return 1;
    net_timer_init(&limit, loop, on_late, NULL);
    return net_udp_open(loop, &any, &net_udp_config_default, &events, &silent) == BK_OK ? 0 : 1;
}

static int close_loop(void **state) {
    (void)state;
    net_timer_set(&limit, BK_NEVER);
    net_udp_close(silent);
    net_loop_free(loop);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_silent_server_ends_in_blocked_udp, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(stopping_early_still_tells_the_end, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(freed_in_the_middle_it_is_silent, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(wrong_configurations_are_refused, open_loop, close_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
