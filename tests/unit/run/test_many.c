/* SPDX-License-Identifier: MIT
 * Many agents on one port, and drivers in threads of their own. */
/* Threads are POSIX's. */
#define _GNU_SOURCE
#include "../test.h"

#include <bodkin/run.h>
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { PAIRS = 40, TEXT_MAX = 4096, PATIENCE_S = 60 };

/* Descriptions cross by bk_run_call(): each agent is touched by its driver's thread only. */
struct peer {
    struct bk_run *run;
    struct bk_ice *ice;
    struct peer *other;
    char offer[TEXT_MAX];
    size_t offer_len;
    bool selected; /* the thread's own */
    atomic_bool ready;
};

static struct peer peers[PAIRS][2];
static atomic_int connected;

static void on_event(void *ctx, struct bk_ice *ice, const struct bk_ice_event *event) {
    struct peer *p = ctx;
    assert_ptr_equal(ice, p->ice);
    if (event->kind == BK_ICE_ON_SELECTED && !p->selected) {
        p->selected = true;
        atomic_fetch_add(&connected, 1);
    }
}

static void add(void *ctx) {
    static const struct bk_run_handlers handlers = {on_event, NULL};
    struct peer *p = ctx;
    assert_int_equal(bk_run_add(p->run, p->ice, &handlers, p), BK_OK);
    bk_ice_gather(p->ice, bk_run_now(p->run)); /* without servers it is over at once */
    assert_int_equal(bk_ice_describe(p->ice, p->offer, sizeof p->offer, &p->offer_len), BK_OK);
    atomic_store(&p->ready, true);
}

static void take_offer(void *ctx) {
    struct peer *p = ctx;
    assert_int_equal(
        bk_ice_set_remote(p->ice, p->other->offer, p->other->offer_len, bk_run_now(p->run)), BK_OK);
    bk_run_poke(p->run, p->ice);
}

static void take_away(void *ctx) {
    struct peer *p = ctx;
    bk_run_remove(p->run, p->ice);
    bk_ice_free(p->ice);
    atomic_store(&p->ready, false);
}

static void call(struct peer *p, void (*what)(void *ctx)) {
    assert_int_equal(bk_run_call(p->run, what, p), BK_OK);
}

static void wait_for(bool (*done)(void)) {
    const struct timespec pause = {.tv_nsec = 2000000};
    for (int i = 0; i < PATIENCE_S * 500 && !done(); i++)
        nanosleep(&pause, NULL);
    assert_true(done());
}

static bool all_are_ready(void) {
    for (int i = 0; i < PAIRS; i++)
        if (!atomic_load(&peers[i][0].ready) || !atomic_load(&peers[i][1].ready))
            return false;
    return true;
}

static bool all_are_connected(void) {
    return atomic_load(&connected) == 2 * PAIRS;
}

static bool all_are_away(void) {
    for (int i = 0; i < PAIRS; i++)
        if (atomic_load(&peers[i][0].ready) || atomic_load(&peers[i][1].ready))
            return false;
    return true;
}

static int descriptors(void) {
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

static void everybody(void (*what)(void *ctx)) {
    for (int i = 0; i < PAIRS; i++)
        for (int side = 0; side < 2; side++)
            call(&peers[i][side], what);
}

static void agents_share_a_port_and_a_thread(void **state) {
    struct bk_run *runs[2];
    struct bk_run_config rc = bk_run_config_default;
    struct bk_ice_config ic = bk_ice_config_default;
    (void)state;
    rc.loopback = true;
    rc.interfaces = "lo";
    ic.rng = bk_run_rng();
    for (int side = 0; side < 2; side++) {
        assert_int_equal(bk_run_new(&rc, &runs[side]), BK_OK);
        assert_int_equal(bk_run_thread(runs[side]), BK_OK);
        assert_int_equal(bk_run_thread(runs[side]), BK_ERR_STATE);
    }
    for (int i = 0; i < PAIRS; i++)
        for (int side = 0; side < 2; side++) {
            struct peer *p = &peers[i][side];
            p->run = runs[side];
            p->other = &peers[i][1 - side];
            ic.role = side == 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
            assert_int_equal(bk_ice_new(&ic, bk_run_alloc(), &p->ice), BK_OK);
        }
    call(&peers[0][0], add); /* the first one opens the sockets */
    call(&peers[0][1], add);
    while (!atomic_load(&peers[0][0].ready) || !atomic_load(&peers[0][1].ready))
        sched_yield();
    int before = descriptors();
    for (int i = 1; i < PAIRS; i++)
        for (int side = 0; side < 2; side++)
            call(&peers[i][side], add);
    wait_for(all_are_ready);
    everybody(take_offer);
    wait_for(all_are_connected);
    assert_int_equal(descriptors(), before); /* none for an agent */
    everybody(take_away);
    wait_for(all_are_away);
    bk_run_free(runs[0]);
    bk_run_free(runs[1]);
}

static atomic_int calls;

static void count_call(void *ctx) {
    (void)ctx;
    atomic_fetch_add(&calls, 1);
}

static void *call_often(void *ctx) {
    struct bk_run *run = ctx;
    for (int i = 0; i < 1000; i++)
        while (bk_run_call(run, count_call, NULL) == BK_ERR_FULL)
            sched_yield();
    return NULL;
}

static void calls_come_from_any_thread_and_none_is_lost(void **state) {
    pthread_t threads[4];
    struct bk_run *run;
    (void)state;
    assert_int_equal(bk_run_new(&bk_run_config_default, &run), BK_OK);
    assert_int_equal(bk_run_thread(run), BK_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, run), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    bk_run_free(run); /* those that wait are made before the thread ends */
    assert_int_equal(atomic_load(&calls), 4000);
}

static void stop(void *ctx) {
    bk_run_stop(ctx);
}

static void the_loop_runs_until_it_is_stopped(void **state) {
    struct bk_run *run;
    (void)state;
    assert_int_equal(bk_run_new(&bk_run_config_default, &run), BK_OK);
    assert_int_equal(bk_run_call(run, stop, run), BK_OK);
    bk_run_loop(run);
    bk_run_free(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agents_share_a_port_and_a_thread),
        cmocka_unit_test(calls_come_from_any_thread_and_none_is_lost),
        cmocka_unit_test(the_loop_runs_until_it_is_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
