/* SPDX-License-Identifier: MIT
 * The steps about peers, spelled out as commands for who runs programs. */
#include "topology/topology_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct speller {
    struct parser p; /* of the steps so far */
    unsigned meets;  /* so far */
    bool full;       /* a step did not fit */
    const struct topology_step *before;
    size_t before_count; /* of `before`, already spelled out */
};

static enum bk_err put(struct speller *s, const struct topology_step *step, const char *text) {
    s->full |= s->p.topology->step_count == TOPOLOGY_STEPS_MAX;
    return keep_step(&s->p, step, text);
}

static enum bk_err put_command(struct speller *s, const struct topology_step *from, int host,
                               const char *name, const char *command) {
    struct topology_step step = {.kind = TOPOLOGY_START, .line = from->line, .host = host};
    snprintf(step.name, sizeof step.name, "%s", name);
    return put(s, &step, command);
}

static enum bk_err put_wait(struct speller *s, const struct topology_step *from, const char *name,
                            const char *pattern) {
    struct topology_step step = {.kind = TOPOLOGY_WAIT,
                                 .line = from->line,
                                 .host = TOPOLOGY_NOWHERE,
                                 .timeout_us = from->timeout_us};
    snprintf(step.name, sizeof step.name, "%s", name);
    return put(s, &step, pattern);
}

static enum bk_err spell_serve(struct speller *s, const struct topology_step *step) {
    enum bk_err err = put_command(s, step, step->host, "serve",
                                  "exec bodkin serve --state \"$BODKIN_LAB_DIR\" --log-level warn");
    return err != BK_OK ? err : put_wait(s, step, "serve", "home: {bodkin_home}");
}

/* Commands of the number-th meeting are called meetN and meetN-listen. */
static void name_of(char out[TOPOLOGY_NAME_MAX], unsigned number, bool listens) {
    snprintf(out, TOPOLOGY_NAME_MAX, "meet%u%s", number, listens ? "-listen" : "");
}

/* A line ten times a second; what listens prints it. */
static enum bk_err spell_meet(struct speller *s, const struct topology_step *step) {
    char listens[TOPOLOGY_NAME_MAX], connects[TOPOLOGY_NAME_MAX];
    s->meets++;
    name_of(listens, s->meets, true);
    name_of(connects, s->meets, false);
    enum bk_err err =
        put_command(s, step, step->other, listens,
                    "while sleep 0.1; do echo tick; done | bodkin listen --home \"$bodkin_home\"");
    if (err == BK_OK)
        err = put_wait(s, step, listens, "ticket: {bodkin_ticket}");
    return err != BK_OK ? err
                        : put_command(s, step, step->host, connects,
                                      "while sleep 0.1; do echo tick; done | bodkin connect --json "
                                      "\"$bodkin_ticket\" >/dev/null");
}

/* Which meeting is it about: that of these two, or the last one before it. */
static unsigned meeting_of(const struct speller *s, const struct topology_step *step) {
    unsigned number = 0, found = 0;
    for (size_t i = 0; i < s->before_count; i++) {
        const struct topology_step *m = &s->before[i];
        if (m->kind != TOPOLOGY_MEET)
            continue;
        number++;
        if (step->host == TOPOLOGY_NOWHERE || (m->host == step->host && m->other == step->other))
            found = number;
    }
    return found;
}

static enum bk_err spell_expect(struct speller *s, const struct topology_step *step) {
    struct topology_step out = *step;
    bool data = step->expect == TOPOLOGY_DATA;
    name_of(out.name, meeting_of(s, step), data);
    return put(s, &out, data ? "tick" : step->text);
}

static enum bk_err spell(struct speller *s, const struct topology_step *step) {
    if (step->kind == TOPOLOGY_SERVE)
        return spell_serve(s, step);
    if (step->kind == TOPOLOGY_MEET)
        return spell_meet(s, step);
    if (step->kind == TOPOLOGY_EXPECT)
        return spell_expect(s, step);
    return put(s, step, step->text);
}

enum bk_err topology_spell_out(struct topology *t) {
    struct topology_error unused;
    struct topology out = *t;
    out.steps = NULL;
    out.step_count = 0;
    struct speller s = {.p = {.topology = &out, .error = &unused}, .before = t->steps};
    enum bk_err err = BK_OK;
    for (; err == BK_OK && s.before_count < t->step_count; s.before_count++)
        err = spell(&s, &t->steps[s.before_count]);
    for (size_t i = 0; i < t->step_count; i++)
        free(t->steps[i].text);
    free(t->steps);
    *t = out;
    return s.full ? BK_ERR_TOO_LONG : err;
}
