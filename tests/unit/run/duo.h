/* SPDX-License-Identifier: MIT
 * Two agents that signal to each other by plain calls, each in a driver of its own; both drivers
 * live on one libuv loop, which the test turns. Only loopback addresses are used. */
#ifndef TESTS_UNIT_RUN_DUO_H
#define TESTS_UNIT_RUN_DUO_H

#include "../test.h"
#include "net/loop.h"

#include <bodkin/run.h>
#include <uv.h>

enum {
    DUO_TEXT_MAX = 8192,
    DUO_TICK_MS = 5,
    DUO_PATIENCE_S = 60 /* under sanitizers, on a machine that is busy */
};

struct duo;

struct duo_side {
    struct duo *duo;
    struct bk_run *run;
    struct bk_ice *ice; /* NULL: removed and freed */
    int connected, selected, failed, restarts, closed, messages;
    struct bk_ice_candidate local, remote; /* of the last path told */
    char heard[64];                        /* the last message */
    /* Called after the counting; may remove and free the agent, with duo_drop(). */
    void (*on_event)(struct duo_side *s, const struct bk_ice_event *event);
    void (*on_data)(struct duo_side *s, const struct bk_ice_data *data);
};

struct duo {
    uv_loop_t uv;
    uv_timer_t guard;
    int ticks;
    const char *only; /* candidates without this text are not signalled; NULL: all are */
    struct duo_side sides[2];
};

static inline void duo_drop(struct duo_side *s) {
    bk_run_remove(s->run, s->ice);
    bk_ice_free(s->ice);
    s->ice = NULL;
}

static inline struct duo_side *duo_other(struct duo_side *s) {
    return &s->duo->sides[s == &s->duo->sides[0] ? 1 : 0];
}

/* Carries our description over. */
static inline void duo_describe(struct duo_side *s) {
    static char text[DUO_TEXT_MAX];
    size_t len;
    struct duo_side *to = duo_other(s);
    assert_int_equal(bk_ice_describe(s->ice, text, sizeof text, &len), BK_OK);
    if (to->ice == NULL)
        return;
    assert_int_equal(bk_ice_set_remote(to->ice, text, len, bk_run_now(to->run)), BK_OK);
    bk_run_poke(to->run, to->ice);
}

static inline void duo_on_event(void *ctx, struct bk_ice *ice, const struct bk_ice_event *event) {
    struct duo_side *s = ctx, *to = duo_other(s);
    assert_ptr_equal(ice, s->ice);
    s->connected += event->kind == BK_ICE_ON_CONNECTED;
    s->selected += event->kind == BK_ICE_ON_SELECTED;
    s->failed += event->kind == BK_ICE_ON_FAILED;
    s->restarts += event->kind == BK_ICE_ON_RESTART;
    s->closed += event->kind == BK_ICE_ON_CLOSED;
    if (event->kind == BK_ICE_ON_CONNECTED || event->kind == BK_ICE_ON_SELECTED) {
        s->local = event->local;
        s->remote = event->remote;
    }
    const char *only = s->duo->only;
    bool told = only == NULL || strstr(event->text, only) != NULL;
    if (event->kind == BK_ICE_ON_CANDIDATE && told && to->ice != NULL) {
        enum bk_err err =
            bk_ice_add_remote_candidate(to->ice, event->stream, event->text, bk_run_now(to->run));
        assert_true(err == BK_OK || err == BK_ERR_EXISTS);
        bk_run_poke(to->run, to->ice);
    }
    if (event->kind == BK_ICE_ON_RESTART)
        duo_describe(s);
    if (s->on_event != NULL)
        s->on_event(s, event);
}

static inline void duo_on_data(void *ctx, struct bk_ice *ice, const struct bk_ice_data *data) {
    struct duo_side *s = ctx;
    assert_ptr_equal(ice, s->ice);
    s->messages++;
    if (data->len < sizeof s->heard) {
        memcpy(s->heard, data->data, data->len);
        s->heard[data->len] = '\0';
    }
    if (s->on_data != NULL)
        s->on_data(s, data);
}

/* Ticks, because what a test waits for need not wake the loop. */
static inline void duo_on_guard(uv_timer_t *timer) {
    struct duo *d = timer->data;
    if (++d->ticks > DUO_PATIENCE_S * 1000 / DUO_TICK_MS)
        fail_msg("nothing happened for %d s", DUO_PATIENCE_S);
}

/* Makes both sides; duo_begin() sets them off. The role is set here. */
static inline void duo_init_on(struct duo *d, const struct bk_run_config *run_config,
                               const struct bk_ice_config *ice_config, const char *interfaces) {
    static const struct bk_run_handlers handlers = {duo_on_event, duo_on_data};
    memset(d, 0, sizeof *d);
    assert_int_equal(uv_loop_init(&d->uv), 0);
    uv_timer_init(&d->uv, &d->guard);
    d->guard.data = d;
    for (int i = 0; i < 2; i++) {
        struct duo_side *s = &d->sides[i];
        struct bk_run_config rc = *run_config;
        struct bk_ice_config ic = *ice_config;
        s->duo = d;
        rc.uv_loop = &d->uv;
        rc.loopback = true;
        rc.interfaces = interfaces;
        ic.role = i == 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
        ic.rng = bk_run_rng();
        assert_int_equal(bk_run_new(&rc, &s->run), BK_OK);
        assert_int_equal(bk_ice_new(&ic, bk_run_alloc(), &s->ice), BK_OK);
        assert_int_equal(bk_run_add(s->run, s->ice, &handlers, s), BK_OK);
    }
}

static inline void duo_init(struct duo *d, const struct bk_run_config *run_config,
                            const struct bk_ice_config *ice_config) {
    duo_init_on(d, run_config, ice_config, "lo");
}

static inline void duo_begin(struct duo *d) {
    for (int i = 0; i < 2; i++)
        duo_describe(&d->sides[i]);
    for (int i = 0; i < 2; i++) {
        bk_ice_gather(d->sides[i].ice, bk_run_now(d->sides[i].run));
        bk_run_poke(d->sides[i].run, d->sides[i].ice);
    }
}

static inline void duo_run_until(struct duo *d, bool (*done)(const struct duo *d)) {
    uv_update_time(&d->uv);
    d->ticks = 0;
    uv_timer_start(&d->guard, duo_on_guard, DUO_TICK_MS, DUO_TICK_MS);
    while (!done(d))
        uv_run(&d->uv, UV_RUN_ONCE);
    uv_timer_stop(&d->guard);
}

static inline bool duo_is_connected(const struct duo *d) {
    return d->sides[0].connected > 0 && d->sides[1].connected > 0;
}

static inline bool duo_is_selected(const struct duo *d) {
    return d->sides[0].selected > 0 && d->sides[1].selected > 0;
}

static inline bool duo_has_talked(const struct duo *d) {
    return d->sides[0].messages > 0 && d->sides[1].messages > 0;
}

static inline void duo_say(struct duo_side *s, const char *text) {
    assert_int_equal(bk_run_send(s->run, s->ice, 0, 1, text, strlen(text)), BK_OK);
}

static inline void duo_fini(struct duo *d) {
    for (int i = 0; i < 2; i++) {
        struct duo_side *s = &d->sides[i];
        if (s->ice != NULL)
            duo_drop(s);
        bk_run_free(s->run);
    }
    uv_close((uv_handle_t *)&d->guard, NULL);
    assert_int_equal(uv_run(&d->uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&d->uv), 0);
}

#endif
