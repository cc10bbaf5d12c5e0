/* SPDX-License-Identifier: MIT
 * Pairs of connected agents for ice_idle.c and ice_data.c: two drivers in one process and thread,
 * each with one UDP port for all of its agents, on loopback. */
#ifndef BENCH_ICE_PAIRS_H
#define BENCH_ICE_PAIRS_H

#include <bodkin/run.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct pairs;

struct pairs_side {
    struct pairs *pairs;
    struct bk_ice *ice;
    bool selected;
};

struct pairs {
    uv_loop_t uv;
    struct bk_run *runs[2];
    struct pairs_side *sides; /* 2 * i and 2 * i + 1 are a pair */
    size_t count, connected;
    void (*on_data)(void *ctx, struct bk_ice *ice, const struct bk_ice_data *data);
};

static inline void pairs_die(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void pairs_on_event(void *ctx, struct bk_ice *ice, const struct bk_ice_event *event) {
    struct pairs_side *s = ctx;
    (void)ice;
    if (event->kind == BK_ICE_ON_FAILED)
        pairs_die(event->text);
    if (event->kind == BK_ICE_ON_SELECTED && !s->selected) {
        s->selected = true;
        s->pairs->connected++;
    }
}

/* For at most `max` pairs. */
static inline void pairs_init(struct pairs *p, size_t max) {
    struct bk_run_config config = bk_run_config_default;
    memset(p, 0, sizeof *p);
    p->sides = calloc(2 * max, sizeof *p->sides);
    if (p->sides == NULL || uv_loop_init(&p->uv) != 0)
        pairs_die("no loop");
    config.uv_loop = &p->uv;
    config.loopback = true;
    config.interfaces = "lo";
    for (int i = 0; i < 2; i++)
        if (bk_run_new(&config, &p->runs[i]) != BK_OK)
            pairs_die("no driver");
}

/* Adds `count` pairs, and lets them connect. */
static inline void pairs_add(struct pairs *p, const struct bk_ice_config *from, size_t count) {
    struct bk_ice_config config = *from;
    const struct bk_run_handlers on = {pairs_on_event, p->on_data};
    static char text[2][4096];
    config.rng = bk_run_rng();
    for (size_t i = 0; i < count; i++, p->count++) {
        struct pairs_side *s = &p->sides[2 * p->count];
        size_t len[2];
        for (int k = 0; k < 2; k++) {
            s[k].pairs = p;
            config.role = k == 0 ? BK_ICE_CONTROLLING : BK_ICE_CONTROLLED;
            if (bk_ice_new(&config, bk_run_alloc(), &s[k].ice) != BK_OK ||
                bk_run_add(p->runs[k], s[k].ice, &on, &s[k]) != BK_OK)
                pairs_die("no agent");
            bk_ice_gather(s[k].ice, bk_run_now(p->runs[k])); /* host candidates come at once */
            if (bk_ice_describe(s[k].ice, text[k], sizeof text[k], &len[k]) != BK_OK)
                pairs_die("no description");
        }
        for (int k = 0; k < 2; k++) {
            if (bk_ice_set_remote(s[k].ice, text[1 - k], len[1 - k], bk_run_now(p->runs[k])) !=
                BK_OK)
                pairs_die("a description is refused");
            bk_run_poke(p->runs[k], s[k].ice);
        }
        uv_run(&p->uv, UV_RUN_NOWAIT);
    }
    while (p->connected < 2 * p->count)
        uv_run(&p->uv, UV_RUN_ONCE);
}

static inline void pairs_fini(struct pairs *p) {
    for (size_t i = 0; i < 2 * p->count; i++) {
        bk_run_remove(p->runs[i % 2], p->sides[i].ice);
        bk_ice_free(p->sides[i].ice);
    }
    bk_run_free(p->runs[0]);
    bk_run_free(p->runs[1]);
    uv_run(&p->uv, UV_RUN_DEFAULT);
    uv_loop_close(&p->uv);
    free(p->sides);
}

#endif
