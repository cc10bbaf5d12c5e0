/* SPDX-License-Identifier: MIT */
/* kill() and mkstemp() are POSIX, not C. */
#define _GNU_SOURCE
#include "../test.h"
#include "base/rng.h"
#include "net/alloc.h"
#include "net/interfaces.h"
#include "net/loop.h"
#include "net/resolve.h"
#include "net/udp.h"
#include <pthread.h>
#include <signal.h>
#include <unistd.h>
#include <uv.h>

static struct net_loop *loop_new(void) {
    struct net_loop *loop;
    assert_int_equal(net_loop_new(net_alloc(), &loop), BK_OK);
    return loop;
}

enum { TIMERS = 500 };

static struct {
    struct net_loop *loop;
    struct net_timer timers[TIMERS];
    struct bk_time last;
    int fired, expected;
} many;

static void on_one_of_many(void *ctx, struct bk_time now) {
    struct bk_time due = *(const struct bk_time *)ctx;
    assert_false(bk_before(now, due));
    assert_false(bk_before(due, many.last)); /* in the order of their deadlines */
    many.last = due;
    if (++many.fired == many.expected)
        net_loop_stop(many.loop);
}

static void a_stop_that_nobody_waited_for_does_not_spoil_the_end(void **state) {
    (void)state;
    struct net_loop *loop = loop_new();
    net_loop_stop(loop);
    net_loop_free(loop);
}

static void timers_fire_in_order_of_deadline(void **state) {
    static struct bk_time due[TIMERS];
    struct rng_seeded seed;
    (void)state;
    rng_seed(&seed, 7);
    struct bk_rng rng = rng_from_seeded(&seed);
    many.loop = loop_new();
    struct bk_time start = net_now(many.loop);
    for (size_t i = 0; i < TIMERS; i++) {
        net_timer_init(&many.timers[i], many.loop, on_one_of_many, &due[i]);
        net_timer_set(&many.timers[i], bk_after(start, rng_below(&rng, 90000)));
    }
    for (size_t i = 0; i < TIMERS; i++) { /* move all, stop every third */
        due[i] = i % 3 == 0 ? BK_NEVER : bk_after(start, (int64_t)rng_below(&rng, 50000));
        net_timer_set(&many.timers[i], due[i]);
        many.expected += i % 3 == 0 ? 0 : 1;
    }
    net_loop_run(many.loop);
    assert_int_equal(many.fired, many.expected);
    net_loop_free(many.loop);
}

static struct {
    struct net_loop *loop;
    struct net_deferred first, second;
    char order[8];
    int runs;
} later;

static void on_first(void *ctx) {
    (void)ctx;
    strcat(later.order, "a");
    net_defer(&later.second);
    if (++later.runs < 3)
        net_defer(&later.first);
}

static void on_second(void *ctx) {
    (void)ctx;
    strcat(later.order, "b");
    if (later.runs == 3)
        net_loop_stop(later.loop);
}

static void deferred_calls_run_once_per_request(void **state) {
    (void)state;
    later.loop = loop_new();
    net_deferred_init(&later.first, later.loop, on_first, NULL);
    net_deferred_init(&later.second, later.loop, on_second, NULL);
    net_defer(&later.first);
    net_defer(&later.first);
    net_loop_run(later.loop);
    assert_string_equal(later.order, "ababab");
    net_loop_free(later.loop);
}

static void a_cancelled_deferred_call_does_not_run(void **state) {
    struct net_loop *loop = loop_new();
    struct net_deferred d;
    (void)state;
    net_deferred_init(&d, loop, on_first, NULL);
    later.runs = 0;
    net_defer(&d);
    net_defer_cancel(&d);
    net_loop_free(loop);
    assert_int_equal(later.runs, 0);
}

static void stop_loop(void *ctx) {
    net_loop_stop(ctx);
}

static void *send_wakeup(void *wakeup) {
    net_wakeup_send(wakeup);
    return NULL;
}

static void another_thread_can_wake_the_loop(void **state) {
    struct net_loop *loop = loop_new();
    struct net_wakeup *wakeup;
    pthread_t thread;
    (void)state;
    assert_int_equal(net_wakeup_new(loop, stop_loop, loop, &wakeup), BK_OK);
    assert_int_equal(pthread_create(&thread, NULL, send_wakeup, wakeup), 0);
    net_loop_run(loop);
    pthread_join(thread, NULL);
    net_wakeup_free(wakeup);
    net_loop_free(loop);
}

static int caught;

static void on_signal(void *ctx, int signum) {
    caught = signum;
    net_loop_stop(ctx);
}

static void a_signal_arrives_in_the_loop(void **state) {
    struct net_loop *loop = loop_new();
    struct net_signal *watch;
    (void)state;
    assert_int_equal(net_signal_new(loop, SIGUSR1, on_signal, loop, &watch), BK_OK);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    net_loop_run(loop);
    assert_int_equal(caught, SIGUSR1);
    net_signal_free(watch);
    net_loop_free(loop);
}

static unsigned ready_seen;

static void on_ready(void *ctx, unsigned ready) {
    ready_seen |= ready;
    net_loop_stop(ctx);
}

static void pipes_and_files_can_be_watched(void **state) {
    struct net_loop *loop = loop_new();
    struct net_watch *in, *out, *file;
    int ends[2];
    char name[] = "/tmp/bodkin-test-XXXXXX";
    int fd = mkstemp(name);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(net_watch_new(loop, ends[0], on_ready, loop, &in), BK_OK);
    assert_int_equal(net_watch_new(loop, ends[1], on_ready, loop, &out), BK_OK);
    assert_int_equal(net_watch_new(loop, fd, on_ready, loop, &file), BK_OK);
    net_watch_set(in, NET_READABLE);
    net_watch_set(out, NET_WRITABLE);
    net_loop_run(loop);
    assert_int_equal(ready_seen, NET_WRITABLE); /* the pipe is empty */
    net_watch_set(out, 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    net_loop_run(loop);
    assert_int_equal(ready_seen, NET_WRITABLE | NET_READABLE);
    net_watch_set(in, 0);
    ready_seen = 0;
    net_watch_set(file, NET_READABLE);
    net_loop_run(loop);
    assert_int_equal(ready_seen, NET_READABLE);
    net_watch_free(in);
    net_watch_free(out);
    net_watch_free(file);
    net_loop_free(loop);
    close(ends[0]);
    close(ends[1]);
    close(fd);
    unlink(name);
}

static struct {
    struct net_loop *loop;
    enum bk_err err;
    struct bk_addr addrs[NET_RESOLVE_MAX];
    size_t count;
    int calls;
} answer;

static void on_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n) {
    (void)ctx;
    answer.err = err;
    answer.count = n;
    answer.calls++;
    memcpy(answer.addrs, addrs, n * sizeof addrs[0]);
    net_loop_stop(answer.loop);
}

static void names_and_addresses_resolve(void **state) {
    struct net_resolve *r;
    struct bk_addr want;
    (void)state;
    answer.loop = loop_new();
    assert_int_equal(net_resolve(answer.loop, "192.0.2.7", 80, on_resolved, NULL, &r), BK_OK);
    assert_int_equal(answer.calls, 0);
    net_loop_run(answer.loop);
    assert_int_equal(bk_addr_parse("192.0.2.7:80", &want), BK_OK);
    assert_int_equal(answer.count, 1);
    assert_true(bk_addr_equal(&answer.addrs[0], &want));
    assert_int_equal(net_resolve(answer.loop, "localhost", 81, on_resolved, NULL, &r), BK_OK);
    net_loop_run(answer.loop);
    assert_int_equal(answer.err, BK_OK);
    assert_true(answer.count >= 1);
    assert_int_equal(answer.addrs[0].port, 81);
    assert_int_equal(bk_ip_scope(&answer.addrs[0].ip), BK_SCOPE_LOOPBACK);
    assert_int_equal(net_resolve(answer.loop, "", 81, on_resolved, NULL, &r), BK_ERR_ARGUMENT);
    assert_int_equal(net_resolve(answer.loop, "localhost", 81, on_resolved, NULL, &r), BK_OK);
    net_resolve_cancel(r);
    net_loop_free(answer.loop);
    assert_int_equal(answer.calls, 2);
}

static void interfaces_include_loopback(void **state) {
    struct net_interface found[NET_INTERFACES_MAX];
    size_t count;
    bool loopback = false;
    (void)state;
    assert_int_equal(net_interfaces(found, NET_INTERFACES_MAX, &count), BK_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_not_equal(bk_ip_scope(&found[i].ip), BK_SCOPE_NONE);
        assert_true(found[i].index > 0);
        loopback |= found[i].loopback && found[i].ip.family == BK_IPV4 && found[i].prefix_len == 8;
    }
    assert_true(loopback);
    struct bk_addr to;
    struct bk_ip source;
    assert_int_equal(bk_addr_parse("127.0.0.1:9", &to), BK_OK);
    assert_int_equal(net_source_for(&to, &source), BK_OK);
    assert_true(bk_ip_equal(&source, &to.ip));
}

static void the_interface_watch_starts_and_stops(void **state) {
    struct net_loop *loop = loop_new();
    struct net_interface_watch *w;
    (void)state;
    assert_int_equal(net_interface_watch_new(loop, stop_loop, loop, &w), BK_OK);
    net_interface_watch_free(w);
    net_loop_free(loop);
}

static struct {
    struct net_loop *loop;
    struct net_udp *udp;
    int timers, received;
} guest;

static void on_guest_timer(void *ctx, struct bk_time now) {
    struct net_timer *t = ctx;
    struct bk_datagram d = {.data = (const uint8_t *)"hello", .len = 5};
    guest.timers++;
    if (guest.timers < 3)
        net_timer_set(t, bk_after(now, 2000));
    d.remote = net_udp_local(guest.udp);
    assert_int_equal(net_udp_send(guest.udp, &d), BK_OK);
}

static void on_never_resolved(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n) {
    (void)ctx;
    (void)err;
    (void)addrs;
    (void)n;
    fail();
}

/* The third datagram is the end: everything of ours leaves the loop, a name still being asked for.
 */
static void on_guest_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct net_resolve *r;
    (void)ctx;
    (void)in;
    (void)now;
    guest.received += (int)n;
    if (guest.received < 3)
        return;
    assert_int_equal(net_resolve(guest.loop, "localhost", 1, on_never_resolved, NULL, &r), BK_OK);
    net_resolve_cancel(r);
    net_udp_close(guest.udp);
    net_loop_free(guest.loop);
}

static void a_loop_lives_on_a_foreign_one(void **state) {
    const struct net_udp_events events = {.on_batch = on_guest_batch};
    struct bk_addr bind;
    struct net_timer timer;
    uv_loop_t uv;
    (void)state;
    assert_int_equal(bk_addr_parse("127.0.0.1:0", &bind), BK_OK);
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(net_loop_new_on(&uv, net_alloc(), &guest.loop), BK_OK);
    assert_int_equal(net_udp_open(guest.loop, &bind, &net_udp_config_default, &events, &guest.udp),
                     BK_OK);
    net_timer_init(&timer, guest.loop, on_guest_timer, &timer);
    net_timer_set(&timer, net_now(guest.loop));
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0); /* it ends by itself */
    assert_int_equal(guest.timers, 3);
    assert_int_equal(guest.received, 3);
    assert_int_equal(uv_loop_close(&uv), 0);
}

static void on_no_wake(void *ctx) {
    (void)ctx;
    fail();
}

static void a_foreign_loop_need_not_have_run(void **state) {
    struct net_wakeup *wakeup;
    struct net_loop *loop;
    uv_loop_t uv;
    (void)state;
    assert_int_equal(uv_loop_init(&uv), 0);
    assert_int_equal(net_loop_new_on(&uv, net_alloc(), &loop), BK_OK);
    assert_int_equal(net_wakeup_new(loop, on_no_wake, NULL, &wakeup), BK_OK);
    net_wakeup_free(wakeup);
    net_loop_free(loop);
    assert_int_equal(uv_run(&uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&uv), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_fire_in_order_of_deadline),
        cmocka_unit_test(a_stop_that_nobody_waited_for_does_not_spoil_the_end),
        cmocka_unit_test(deferred_calls_run_once_per_request),
        cmocka_unit_test(a_cancelled_deferred_call_does_not_run),
        cmocka_unit_test(another_thread_can_wake_the_loop),
        cmocka_unit_test(a_signal_arrives_in_the_loop),
        cmocka_unit_test(pipes_and_files_can_be_watched),
        cmocka_unit_test(names_and_addresses_resolve),
        cmocka_unit_test(interfaces_include_loopback),
        cmocka_unit_test(the_interface_watch_starts_and_stops),
        cmocka_unit_test(a_loop_lives_on_a_foreign_one),
        cmocka_unit_test(a_foreign_loop_need_not_have_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
