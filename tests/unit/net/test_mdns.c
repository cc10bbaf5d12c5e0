/* SPDX-License-Identifier: MIT
 * Names in .local on the loopback interface: two objects as if they were two programs, and an
 * ordinary resolver that asks from a port of its own. */
#include "../test.h"
#include "net/alloc.h"
#include "net/mdns.h"
#include "net/udp.h"
#include "wire/mdns.h"

#include <stdio.h>
#include <unistd.h>

struct world {
    struct net_loop *loop;
    struct net_mdns *asker, *teller;
    struct net_interface lo[4];
    size_t lo_count;
    char name[64];
    struct bk_ip ip;
    int calls;
    enum bk_err err;
    struct bk_ip ips[NET_MDNS_IPS_MAX];
    size_t count;
    bool free_in_call, late;
};

static void on_late(void *ctx, struct bk_time now) {
    struct world *w = ctx;
    (void)now;
    w->late = true;
    net_loop_stop(w->loop);
}

/* Runs until somebody stops the loop. */
static void run(struct world *w) {
    struct net_timer limit;
    if (w->lo_count == 0)
        skip(); /* no loopback interface */
    net_timer_init(&limit, w->loop, on_late, w);
    net_timer_set(&limit, bk_after(net_clock(), 8 * BK_US_PER_S));
    net_loop_run(w->loop);
    net_timer_set(&limit, BK_NEVER);
    assert_false(w->late); /* nothing happened within 8 s */
}

static void on_done(void *ctx, enum bk_err err, const struct bk_ip *ips, size_t count) {
    struct world *w = ctx;
    w->calls++;
    w->err = err;
    w->count = count;
    memcpy(w->ips, ips, count * sizeof ips[0]);
    if (w->free_in_call) {
        net_mdns_free(w->asker);
        w->asker = NULL;
    }
    net_loop_stop(w->loop);
}

static int set_up(void **state) {
    static unsigned number;
    struct world *w = calloc(1, sizeof *w);
    struct net_interface list[NET_INTERFACES_MAX];
    size_t count = 0;
    assert_non_null(w);
    assert_int_equal(net_loop_new(net_alloc(), &w->loop), BK_OK);
    assert_int_equal(net_mdns_new(w->loop, 2, &w->asker), BK_OK);
    assert_int_equal(net_mdns_new(w->loop, 2, &w->teller), BK_OK);
    assert_int_equal(net_interfaces(list, NET_INTERFACES_MAX, &count), BK_OK);
    for (size_t i = 0; i < count && w->lo_count < 4; i++)
        if (list[i].loopback)
            w->lo[w->lo_count++] = list[i];
    net_mdns_set_interfaces(w->asker, w->lo, w->lo_count);
    net_mdns_set_interfaces(w->teller, w->lo, w->lo_count);
    w->ip = bk_ipv4(127, 0, 0, 1);
    /* Other tests may be on this machine's loopback at the same time. */
    (void)snprintf(w->name, sizeof w->name, "test-%ld-%u.local", (long)getpid(), number++);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    struct world *w = *state;
    net_mdns_free(w->asker);
    net_mdns_free(w->teller);
    net_loop_free(w->loop);
    free(w);
    return 0;
}

static void a_name_is_resolved(void **state) {
    struct world *w = *state;
    struct net_mdns_lookup *lookup;
    assert_int_equal(net_mdns_publish(w->teller, w->name, &w->ip), BK_OK);
    w->name[0] = 'T'; /* whatever the case */
    assert_int_equal(net_mdns_resolve(w->asker, w->name, on_done, w, &lookup), BK_OK);
    run(w);
    assert_int_equal(w->err, BK_OK);
    assert_true(w->count >= 1);
    assert_true(bk_ip_equal(&w->ips[0], &w->ip));
    assert_int_equal(w->calls, 1);
}

/* The second lookup comes within the second in which the answer is not multicast again. */
static void a_name_is_resolved_again_at_once(void **state) {
    struct world *w = *state;
    struct net_mdns_lookup *lookup;
    assert_int_equal(net_mdns_publish(w->teller, w->name, &w->ip), BK_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(net_mdns_resolve(w->asker, w->name, on_done, w, &lookup), BK_OK);
        run(w);
        assert_int_equal(w->err, BK_OK);
    }
    assert_int_equal(w->calls, 2);
}

static void our_own_name_needs_no_network(void **state) {
    struct world *w = *state;
    struct net_mdns_lookup *lookup;
    net_mdns_set_interfaces(w->asker, NULL, 0);
    assert_int_equal(net_mdns_publish(w->asker, w->name, &w->ip), BK_OK);
    assert_int_equal(net_mdns_resolve(w->asker, w->name, on_done, w, &lookup), BK_OK);
    assert_int_equal(w->calls, 0); /* never from inside the call */
    run(w);
    assert_int_equal(w->err, BK_OK);
    assert_int_equal(w->count, 1);
    assert_true(bk_ip_equal(&w->ips[0], &w->ip));
}

/* Names that nobody has, or that are no longer published, or whose address is no longer ours; and
 * what is cancelled is not told. All at the same time, because each takes its 2.5 s. */
static void silence_is_a_timeout(void **state) {
    struct world *w = *state;
    struct net_mdns_lookup *lookup, *cancelled;
    struct bk_ip elsewhere = bk_ipv4(192, 0, 2, 1);
    struct bk_time before = net_clock();
    assert_int_equal(net_mdns_publish(w->teller, w->name, &elsewhere), BK_OK);
    assert_int_equal(net_mdns_publish(w->teller, "gone.local", &w->ip), BK_OK);
    assert_int_equal(net_mdns_withdraw(w->teller, "gone.local"), BK_OK);
    assert_int_equal(net_mdns_withdraw(w->teller, "gone.local"), BK_ERR_NOT_FOUND);
    assert_int_equal(net_mdns_resolve(w->asker, "gone.local", on_done, w, &cancelled), BK_OK);
    assert_int_equal(net_mdns_resolve(w->asker, w->name, on_done, w, &lookup), BK_OK);
    net_mdns_cancel(cancelled);
    w->free_in_call = true; /* everything may be called from there */
    run(w);
    assert_int_equal(w->err, BK_ERR_TIMEOUT);
    assert_int_equal(w->calls, 1);
    assert_true(bk_elapsed_us(before, net_clock()) >= 2400000);
}

static void arguments_and_limits(void **state) {
    struct world *w = *state;
    struct net_mdns_lookup *lookup;
    struct bk_ip none = {.family = BK_FAMILY_NONE};
    assert_int_equal(net_mdns_publish(w->teller, "example.org", &w->ip), BK_ERR_ARGUMENT);
    assert_int_equal(net_mdns_publish(w->teller, ".local", &w->ip), BK_ERR_ARGUMENT);
    assert_int_equal(net_mdns_publish(w->teller, w->name, &none), BK_ERR_ARGUMENT);
    assert_int_equal(net_mdns_publish(w->teller, "a.local", &w->ip), BK_OK);
    assert_int_equal(net_mdns_publish(w->teller, "A.LOCAL", &w->ip), BK_ERR_EXISTS);
    assert_int_equal(net_mdns_publish(w->teller, "b.local", &w->ip), BK_OK);
    assert_int_equal(net_mdns_publish(w->teller, "c.local", &w->ip), BK_ERR_FULL);
    assert_int_equal(net_mdns_resolve(w->asker, "local", on_done, w, &lookup), BK_ERR_ARGUMENT);
    assert_int_equal(net_mdns_resolve(w->asker, "a.b", on_done, w, &lookup), BK_ERR_ARGUMENT);
    for (int i = 0; i < NET_MDNS_LOOKUPS_MAX; i++)
        assert_int_equal(net_mdns_resolve(w->asker, "a.local", on_done, w, &lookup), BK_OK);
    assert_int_equal(net_mdns_resolve(w->asker, "a.local", on_done, w, &lookup), BK_ERR_FULL);
}

static void on_batch(void *ctx, const struct bk_datagram *in, size_t n, struct bk_time now) {
    struct world *w = ctx;
    struct mdns_msg msg;
    struct mdns_question q;
    struct mdns_record r;
    (void)now;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(in[i].remote.port, MDNS_PORT);
        assert_int_equal(mdns_parse(&msg, in[i].data, in[i].len), BK_OK);
        struct mdns_iter it = mdns_iter(&msg);
        assert_true(msg.response && msg.id == 0x0102);
        assert_true(mdns_next_question(&it, &q));
        assert_string_equal(q.name, w->name);
        assert_true(mdns_next_record(&it, &r));
        assert_int_equal(r.ttl_s, MDNS_LEGACY_TTL_S);
        assert_false(r.flush);
        assert_true(bk_ip_equal(&r.ip, &w->ip));
        w->calls++;
    }
    net_loop_stop(w->loop);
}

/* RFC 6762 section 6.7: asked from another port, by way of the group. */
static void ordinary_resolvers_are_answered_alone(void **state) {
    struct world *w = *state;
    struct net_udp *udp;
    struct bk_addr here = bk_addr(w->ip, 0);
    const struct net_udp_events events = {on_batch, w};
    uint8_t out[MDNS_WRITTEN_MAX];
    struct bk_datagram d = {.remote = bk_addr(bk_ipv4(224, 0, 0, 251), MDNS_PORT), .data = out};
    assert_int_equal(net_mdns_publish(w->teller, w->name, &w->ip), BK_OK);
    if (w->lo_count == 0)
        skip();
    assert_int_equal(net_udp_open(w->loop, &here, &net_udp_config_default, &events, &udp), BK_OK);
    d.len = mdns_write_query(w->name, false, out);
    out[0] = 1; /* the id */
    out[1] = 2;
    d.local = net_udp_local(udp);
    assert_int_equal(net_udp_send(udp, &d), BK_OK);
    run(w);
    assert_int_equal(w->calls, 1);
    net_udp_close(udp);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_name_is_resolved, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_name_is_resolved_again_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(our_own_name_needs_no_network, set_up, tear_down),
        cmocka_unit_test_setup_teardown(silence_is_a_timeout, set_up, tear_down),
        cmocka_unit_test_setup_teardown(arguments_and_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ordinary_resolvers_are_answered_alone, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
