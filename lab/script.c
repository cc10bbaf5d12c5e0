/* SPDX-License-Identifier: MIT */
#include "lab/lab.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STATUS_TIMEOUT = 124, STATUS_FAILED = 1, STATUS_NOT_STARTED = 126 };

/* The step went wrong: says so, and ends the lab. */
static void fail(struct lab *lab, const struct topology_step *step, int status, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void fail(struct lab *lab, const struct topology_step *step, int status, const char *format,
                 ...) {
    char text[TOPOLOGY_ERROR_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    lab_tell(lab, (struct lab_event){
                      .kind = LAB_FAILED, .text = text, .line = step->line, .status = status});
    lab->script.wait = SCRIPT_DONE;
    lab_stop(lab, status);
}

static struct program *find_program(const struct lab *lab, const char *name) {
    for (size_t i = lab->program_count; i > 0; i--)
        if (!lab->programs[i - 1]->awaited && strcmp(lab->programs[i - 1]->name, name) == 0)
            return lab->programs[i - 1];
    return NULL;
}

static void keep_variable(void *ctx, const char *name, const char *value, size_t len) {
    struct lab *lab = ctx;
    struct script *s = &lab->script;
    size_t i = 0;
    while (i < s->variable_count && strcmp(s->variables[i].name, name) != 0)
        i++;
    char *copy = malloc(len + 1);
    if (i == LAB_VARIABLES_MAX || copy == NULL) {
        free(copy);
        return;
    }
    memcpy(copy, value, len);
    copy[len] = '\0';
    if (i == s->variable_count)
        s->variables[s->variable_count++] = (struct program_variable){.value = NULL};
    free(s->variables[i].value);
    s->variables[i].value = copy;
    snprintf(s->variables[i].name, sizeof s->variables[i].name, "%s", name);
    lab_tell(lab, (struct lab_event){.kind = LAB_CAPTURED, .program = name, .text = copy});
}

void script_fini(struct script *s) {
    for (size_t i = 0; i < s->variable_count; i++)
        free(s->variables[i].value);
    s->variable_count = 0;
}

static void wait_for(struct lab *lab, enum script_wait what, const struct topology_step *step,
                     struct program *program) {
    int64_t timeout_us = step->timeout_us;
    if (timeout_us == 0 && what != SCRIPT_TIME)
        timeout_us = lab->topology->timeout_us;
    lab->script.wait = what;
    lab->script.step = step;
    lab->script.program = program;
    lab->script.deadline = bk_after(lab->now, timeout_us);
}

static void start(struct lab *lab, const struct topology_step *step) {
    const char *host = lab->topology->nodes[step->host].name;
    const char *name = step->kind == TOPOLOGY_START ? step->name : host;
    struct program *p = lab_start_program(lab, name, step->host, step->text);
    if (p == NULL) {
        fail(lab, step, STATUS_NOT_STARTED, "%s: cannot start a program: %s", host,
             strerror(errno));
        return;
    }
    p->awaited = step->kind == TOPOLOGY_RUN;
    if (p->awaited)
        wait_for(lab, SCRIPT_EXIT, step, p);
}

static void change(struct lab *lab, const struct topology_step *step) {
    enum bk_err err = lab_change(lab, &step->change, step->text);
    if (err != BK_OK)
        fail(lab, step, STATUS_FAILED, "the change was not made: %s", bk_err_text(err));
}

/* DATA: only lines that are printed from now on count. */
static void expect(struct lab *lab, const struct topology_step *step) {
    struct program *p = find_program(lab, step->name);
    if (step->expect == TOPOLOGY_DATA)
        program_forget(p, p->history_count);
    wait_for(lab, step->expect == TOPOLOGY_DATA ? SCRIPT_LINE : SCRIPT_PATH, step, p);
}

static void run_step(struct lab *lab, const struct topology_step *step) {
    struct program *p = NULL;
    switch (step->kind) {
    case TOPOLOGY_RUN:
    case TOPOLOGY_START:
        start(lab, step);
        return;
    case TOPOLOGY_WAIT:
        wait_for(lab, SCRIPT_LINE, step, find_program(lab, step->name));
        return;
    case TOPOLOGY_STOP:
        p = find_program(lab, step->name);
        program_signal(p, SIGTERM);
        return;
    case TOPOLOGY_JOIN:
        wait_for(lab, SCRIPT_EXIT, step, find_program(lab, step->name));
        return;
    case TOPOLOGY_SLEEP:
        wait_for(lab, SCRIPT_TIME, step, NULL);
        return;
    case TOPOLOGY_DO:
        change(lab, step);
        return;
    case TOPOLOGY_EXPECT:
        expect(lab, step);
        return;
    case TOPOLOGY_SERVE: /* spelled out before the lab began */
    case TOPOLOGY_MEET:
        fail(lab, step, STATUS_FAILED, "this step was not spelled out");
        return;
    }
}

static bool is_late(const struct lab *lab) {
    return bk_due(lab->script.deadline, lab->now);
}

static void check_exit(struct lab *lab) {
    struct script *s = &lab->script;
    const struct program *p = s->program;
    if (p->running && is_late(lab)) {
        fail(lab, s->step, STATUS_TIMEOUT, "%s did not end in time", p->name);
    } else if (!p->running && s->step->exit != -1 && p->status != s->step->exit) {
        fail(lab, s->step, p->status == 0 ? STATUS_FAILED : p->status,
             "%s ended with status %d, not %d", p->name, p->status, s->step->exit);
    } else if (!p->running) {
        s->wait = SCRIPT_READY;
    }
}

static void check_line(struct lab *lab) {
    struct script *s = &lab->script;
    struct program *p = s->program;
    for (size_t i = 0; i < p->history_count; i++) {
        if (!topology_match(s->step->text, p->history[i], keep_variable, lab))
            continue;
        program_forget(p, i + 1);
        s->wait = SCRIPT_READY;
        return;
    }
    program_forget(p, p->history_count);
    if (!p->running)
        fail(lab, s->step, p->status == 0 ? STATUS_FAILED : p->status,
             "%s ended with status %d and never printed \"%.120s\"", p->name, p->status,
             s->step->text);
    else if (is_late(lab))
        fail(lab, s->step, STATUS_TIMEOUT, "%s did not print \"%.120s\" in time", p->name,
             s->step->text);
}

/* What the program said last about its path, which is not consumed: the path stays what it is. */
static bool path_is(const struct program *p, const struct topology_step *step) {
    const char *kind =
        step->expect == TOPOLOGY_DIRECT ? "\"kind\":\"direct\"" : "\"kind\":\"relayed\"";
    char reason[TOPOLOGY_REASON_MAX + 16];
    snprintf(reason, sizeof reason, "\"reason\":\"%s", step->reason);
    for (size_t i = p->history_count; i > 0; i--) {
        const char *line = p->history[i - 1];
        if (strstr(line, "\"event\":\"path\"") == NULL)
            continue;
        bool because = step->reason[0] == '\0' || strstr(line, reason) != NULL;
        return strstr(line, kind) != NULL && because;
    }
    return false;
}

static void check_path(struct lab *lab) {
    struct script *s = &lab->script;
    bool right = path_is(s->program, s->step);
    if (s->wait == SCRIPT_HOLD) {
        if (!right)
            fail(lab, s->step, STATUS_FAILED, "\"%.120s\" did not stay so", s->step->text);
        else if (is_late(lab))
            s->wait = SCRIPT_READY;
    } else if (right) {
        s->wait = s->step->hold_us > 0 ? SCRIPT_HOLD : SCRIPT_READY;
        s->deadline = bk_after(lab->now, s->step->hold_us);
    } else if (is_late(lab) || !s->program->running) {
        fail(lab, s->step, is_late(lab) ? STATUS_TIMEOUT : STATUS_FAILED,
             "\"%.120s\" did not come true%s", s->step->text, is_late(lab) ? " in time" : "");
    }
}

/* Steps with a time of their own. */
static void run_due_changes(struct lab *lab) {
    for (size_t i = 0; i < lab->topology->step_count; i++) {
        const struct topology_step *step = &lab->topology->steps[i];
        if (step->at_us == 0 || lab->script.at_done[i] ||
            !bk_due(bk_after(lab->started, step->at_us), lab->now))
            continue;
        lab->script.at_done[i] = true;
        change(lab, step);
    }
}

static void next_step(struct lab *lab) {
    struct script *s = &lab->script;
    if (s->next < lab->topology->step_count) {
        const struct topology_step *step = &lab->topology->steps[s->next++];
        if (step->at_us == 0)
            run_step(lab, step);
        return;
    }
    s->wait = SCRIPT_DONE;
    if (!lab->config.stay && lab->topology->step_count > 0)
        lab_stop(lab, 0);
}

/* Looks at what we wait for. Returns true when there may be more to do at once. */
static bool step_on(struct lab *lab) {
    struct script *s = &lab->script;
    switch (s->wait) {
    case SCRIPT_READY:
        next_step(lab);
        return true;
    case SCRIPT_EXIT:
        check_exit(lab);
        return s->wait == SCRIPT_READY;
    case SCRIPT_LINE:
        check_line(lab);
        return s->wait == SCRIPT_READY;
    case SCRIPT_PATH:
    case SCRIPT_HOLD:
        check_path(lab);
        return s->wait == SCRIPT_READY;
    case SCRIPT_TIME:
        s->wait = is_late(lab) ? SCRIPT_READY : SCRIPT_TIME;
        return s->wait == SCRIPT_READY;
    case SCRIPT_DONE:
        break;
    }
    return false;
}

void script_advance(struct lab *lab) {
    if (lab->stopping)
        return;
    run_due_changes(lab);
    while (!lab->stopping && step_on(lab))
        continue;
}

struct bk_time script_deadline(const struct lab *lab) {
    const struct script *s = &lab->script;
    bool waits = s->wait != SCRIPT_READY && s->wait != SCRIPT_DONE;
    struct bk_time earliest = waits ? s->deadline : BK_NEVER;
    for (size_t i = 0; i < lab->topology->step_count; i++) {
        const struct topology_step *step = &lab->topology->steps[i];
        if (step->at_us != 0 && !s->at_done[i])
            earliest = bk_earlier(earliest, bk_after(lab->started, step->at_us));
    }
    return lab->stopping ? BK_NEVER : earliest;
}
