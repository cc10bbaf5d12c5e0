/* SPDX-License-Identifier: MIT
 * The steps of a scene, one after the other, and those with a time of their own in between. */
#include "sim/scene_state.h"

const struct scene_config scene_config_default = {.seed = 1, .trace_max = 4096};

static void *get(const struct scene *s, size_t count, size_t size) {
    return s->alloc.get(s->alloc.ctx, count * size);
}

void scene_tell(const struct scene *s, struct scene_event event) {
    if (s->config.event == NULL)
        return;
    event.at_us = scene_elapsed_us(s);
    event.text = event.text == NULL ? "" : event.text;
    event.host = event.host == NULL ? "" : event.host;
    event.other = event.other == NULL ? "" : event.other;
    event.reason = event.reason == NULL ? "" : event.reason;
    s->config.event(s->config.ctx, &event);
}

enum bk_err scene_new(const struct scene_config *config, const struct bk_alloc *alloc,
                      struct scene **out, struct topology_error *error) {
    *error = (struct topology_error){.text = "not enough memory"};
    struct scene *s = alloc->get(alloc->ctx, sizeof *s);
    if (s == NULL)
        return BK_ERR_NO_MEMORY;
    s->config = *config;
    s->topology = config->topology;
    s->alloc = *alloc;
    s->nodes = get(s, s->topology->node_count, sizeof *s->nodes);
    s->peers = get(s, SCENE_PEERS_MAX, sizeof *s->peers);
    s->pairs = get(s, SCENE_PAIRS_MAX, sizeof *s->pairs);
    bool all = s->nodes != NULL && s->peers != NULL && s->pairs != NULL;
    enum bk_err err = all ? scene_build(s, error) : BK_ERR_NO_MEMORY;
    if (err != BK_OK) {
        scene_free(s);
        return err;
    }
    *out = s;
    return BK_OK;
}

void scene_free(struct scene *s) {
    if (s == NULL)
        return;
    struct bk_alloc alloc = s->alloc;
    if (s->peers != NULL)
        scene_pairs_fini(s);
    world_free(s->world);
    alloc.put(alloc.ctx, s->nodes);
    alloc.put(alloc.ctx, s->peers);
    alloc.put(alloc.ctx, s->pairs);
    alloc.put(alloc.ctx, s);
}

struct world *scene_world(struct scene *s) {
    return s->world;
}

int64_t scene_elapsed_us(const struct scene *s) {
    return bk_elapsed_us(s->began, world_now(s->world));
}

/* Changes whose time has come; *next is when there is more to do. */
static bool run_due(struct scene *s, struct bk_time *next, struct topology_error *error) {
    *next = BK_NEVER;
    for (size_t i = 0; i < s->topology->step_count; i++) {
        const struct topology_step *step = &s->topology->steps[i];
        if (step->at_us == 0 || s->at_done[i])
            continue;
        struct bk_time when = bk_after(s->began, step->at_us);
        if (!bk_due(when, world_now(s->world))) {
            *next = bk_earlier(*next, when);
            continue;
        }
        s->at_done[i] = true;
        if (!scene_change(s, step, error))
            return false;
    }
    *next = bk_earlier(*next, scene_flap(s));
    return true;
}

/* What a piece of running waits for. */
struct wait {
    const struct scene_pair *pair;
    const struct topology_step *step;
    bool want; /* that it becomes so, or no longer is */
};

static bool is_over(void *ctx) {
    const struct wait *wait = ctx;
    return wait->pair != NULL && scene_pair_is(wait->pair, wait->step) == wait->want;
}

/* *over: what `wait` wants has happened, and not `until`. false: a change failed. */
static bool run_until(struct scene *s, struct wait *wait, struct bk_time until, bool *over,
                      struct topology_error *error) {
    struct bk_time next;
    for (;;) {
        if (!run_due(s, &next, error))
            return false;
        struct bk_time now = world_now(s->world);
        *over = is_over(wait);
        if (*over || !bk_before(now, until))
            return true;
        int64_t us = bk_elapsed_us(now, bk_earlier(next, until));
        (void)world_run_until(s->world, is_over, wait, us);
    }
}

static bool fail_expectation(const struct scene_pair *pair, const struct topology_step *step,
                             const char *what, struct topology_error *error) {
    char is[128];
    scene_pair_say(pair, is, sizeof is);
    return scene_fail(error, step->line, "\"%.80s\" %s: %s", step->text, what, is);
}

static bool run_expect(struct scene *s, const struct topology_step *step,
                       struct topology_error *error) {
    struct wait wait = {.pair = scene_pair_of(s, step), .step = step, .want = true};
    int64_t patience = step->timeout_us > 0 ? step->timeout_us : s->topology->timeout_us;
    struct scene_pair *pair = scene_pair_of(s, step);
    bool over;
    scene_pair_mark(pair);
    if (!run_until(s, &wait, bk_after(world_now(s->world), patience), &over, error))
        return false;
    if (!over)
        return fail_expectation(pair, step, "did not come true in time", error);
    wait.want = false;
    if (!run_until(s, &wait, bk_after(world_now(s->world), step->hold_us), &over, error))
        return false;
    return over && step->hold_us > 0 ? fail_expectation(pair, step, "did not stay so", error)
                                     : true;
}

static bool need(enum bk_err err, const struct topology_step *step, struct topology_error *error) {
    return err == BK_OK
               ? true
               : scene_fail(error, step->line, "\"%.80s\": %s", step->text, bk_err_text(err));
}

static bool run_step(struct scene *s, const struct topology_step *step,
                     struct topology_error *error) {
    struct wait nothing = {NULL, NULL, false};
    bool over;
    switch (step->kind) {
    case TOPOLOGY_SLEEP:
        return run_until(s, &nothing, bk_after(world_now(s->world), step->timeout_us), &over,
                         error);
    case TOPOLOGY_DO:
        return scene_change(s, step, error);
    case TOPOLOGY_SERVE:
        return need(scene_serve(s, step), step, error);
    case TOPOLOGY_MEET:
        return need(scene_meet(s, step), step, error);
    case TOPOLOGY_EXPECT:
        return run_expect(s, step, error);
    case TOPOLOGY_RUN: /* scene_new() refused them */
    case TOPOLOGY_START:
    case TOPOLOGY_WAIT:
    case TOPOLOGY_JOIN:
    case TOPOLOGY_STOP:
        break;
    }
    return scene_fail(error, step->line, "this step is for the lab");
}

bool scene_run(struct scene *s, struct topology_error *error) {
    struct bk_time unused;
    for (size_t i = 0; i < s->topology->step_count; i++) {
        const struct topology_step *step = &s->topology->steps[i];
        int64_t from = scene_elapsed_us(s);
        if (step->at_us != 0)
            continue;
        if (!run_due(s, &unused, error) || !run_step(s, step, error))
            return false;
        if (step->kind != TOPOLOGY_DO)
            scene_tell(s, (struct scene_event){.kind = SCENE_STEP,
                                               .line = step->line,
                                               .text = step->text,
                                               .took_us = scene_elapsed_us(s) - from});
    }
    return true;
}
