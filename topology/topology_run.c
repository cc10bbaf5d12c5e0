/* SPDX-License-Identifier: MIT
 * The steps of [run]. Those that change something are read in topology_change.c. */
#include "topology/topology_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const step_words[] = {"start", "wait",  "join", "stop",  "sleep",
                                         "at",    "serve", "meet", "expect"};

bool is_step_word(const char *word) {
    for (size_t i = 0; i < sizeof step_words / sizeof *step_words; i++)
        if (strcmp(word, step_words[i]) == 0)
            return true;
    return topology_is_change(word);
}

static bool program_exists(const struct topology *t, const char *name) {
    for (size_t i = 0; i < t->step_count; i++)
        if (t->steps[i].kind == TOPOLOGY_START && strcmp(t->steps[i].name, name) == 0)
            return true;
    return false;
}

static enum bk_err need_program(struct parser *p, const char *verb, const char *name) {
    if (name == NULL)
        return parser_fail(p, "%s needs the name of a started command", verb);
    if (!program_exists(p->topology, name))
        return parser_fail(p, "%s: no command \"%.60s\" was started above", verb, name);
    return BK_OK;
}

static enum bk_err parse_exit(struct parser *p, const char *value, int *out) {
    uint64_t status = 0;
    if (strcmp(value, "any") == 0) {
        *out = -1;
        return BK_OK;
    }
    enum bk_err err = parse_number(p, "exit", value, 255, &status);
    if (err == BK_OK)
        *out = (int)status;
    return err;
}

/* "timeout=5s exit=3": what may stand behind the name. */
static enum bk_err parse_options(struct parser *p, char *rest, struct topology_step *step) {
    for (char *word = next_word(&rest); word != NULL; word = next_word(&rest)) {
        enum bk_err err = BK_OK;
        bool exits = step->kind == TOPOLOGY_RUN || step->kind == TOPOLOGY_JOIN;
        if (strncmp(word, "timeout=", 8) == 0 && step->kind != TOPOLOGY_START &&
            step->kind != TOPOLOGY_STOP)
            err = parse_duration(p, "timeout", word + 8, &step->timeout_us);
        else if (strncmp(word, "exit=", 5) == 0 && exits)
            err = parse_exit(p, word + 5, &step->exit);
        else
            err = parser_fail(p, "\"%.60s\" does not belong here; known: %s", word,
                              exits                         ? "timeout=5s, exit=0"
                              : step->kind == TOPOLOGY_WAIT ? "timeout=5s"
                                                            : "nothing more");
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

static enum bk_err need_host(struct parser *p, const char *word, int *out) {
    int node = word == NULL ? TOPOLOGY_NOWHERE : topology_find(p->topology, word);
    if (node == TOPOLOGY_NOWHERE)
        return parser_fail(p, "there is no host \"%.60s\" above", word == NULL ? "" : word);
    if (p->topology->nodes[node].kind != TOPOLOGY_HOST)
        return parser_fail(p, "%s is a NAT: commands run in hosts", word);
    *out = node;
    return BK_OK;
}

/* Behind "start": HOST [as NAME]. */
static enum bk_err parse_start(struct parser *p, char *rest, struct topology_step *step) {
    char *host = next_word(&rest);
    enum bk_err err = need_host(p, host, &step->host);
    if (err != BK_OK)
        return err;
    const char *name = host, *as = next_word(&rest);
    if (as != NULL && strcmp(as, "as") != 0)
        return parser_fail(p, "\"%.60s\" does not belong here; write: start HOST as NAME: ...", as);
    if (as != NULL) {
        name = next_word(&rest);
        if (name == NULL || !is_name(name))
            return parser_fail(p, "\"as\" needs a name of letters, digits and -_.");
    }
    if (program_exists(p->topology, name))
        return parser_fail(p,
                           "a command \"%.31s\" was started above; write: start %.31s as NAME: ...",
                           name, host);
    snprintf(step->name, sizeof step->name, "%s", name);
    return parse_options(p, rest, step);
}

/* serve HOST */
static enum bk_err parse_serve(struct parser *p, char *rest, struct topology_step *step) {
    for (size_t i = 0; i < p->topology->step_count; i++)
        if (p->topology->steps[i].kind == TOPOLOGY_SERVE)
            return parser_fail(p, "serve: there is a home server since line %u",
                               p->topology->steps[i].line);
    step->kind = TOPOLOGY_SERVE;
    enum bk_err err = need_host(p, next_word(&rest), &step->host);
    const char *word = err == BK_OK ? next_word(&rest) : NULL;
    return word == NULL ? err : parser_fail(p, "serve takes one host; not \"%.60s\"", word);
}

static bool have_met(const struct topology *t, int a, int b) {
    for (size_t i = 0; i < t->step_count; i++) {
        const struct topology_step *s = &t->steps[i];
        if (s->kind == TOPOLOGY_MEET && (a == TOPOLOGY_NOWHERE || (s->host == a && s->other == b)))
            return true;
    }
    return false;
}

static bool is_served(const struct topology *t) {
    for (size_t i = 0; i < t->step_count; i++)
        if (t->steps[i].kind == TOPOLOGY_SERVE)
            return true;
    return false;
}

/* meet A B [port=4000] [within 5s] */
static enum bk_err parse_meet(struct parser *p, char *rest, struct topology_step *step) {
    step->kind = TOPOLOGY_MEET;
    enum bk_err err = need_host(p, next_word(&rest), &step->host);
    if (err == BK_OK)
        err = need_host(p, next_word(&rest), &step->other);
    if (err != BK_OK)
        return err;
    if (step->host == step->other)
        return parser_fail(p, "meet: the two names must differ");
    if (!is_served(p->topology))
        return parser_fail(p, "meet: there is no home server; write \"serve HOST\" above");
    if (have_met(p->topology, step->host, step->other))
        return parser_fail(p, "meet: these two have met above");
    for (char *word = next_word(&rest); word != NULL; word = next_word(&rest)) {
        uint64_t port = 0;
        if (strncmp(word, "port=", 5) != 0)
            return parser_fail(p, "meet: \"%.60s\" does not belong here; known: port=4000", word);
        err = parse_number(p, "port", word + 5, UINT16_MAX, &port);
        if (err != BK_OK)
            return err;
        step->port = (uint16_t)port;
    }
    return BK_OK;
}

/* What may stand behind "expect direct". */
static enum bk_err parse_expect_options(struct parser *p, char *rest, struct topology_step *step) {
    for (char *word = next_word(&rest); word != NULL; word = next_word(&rest)) {
        const char *value = next_word(&rest);
        enum bk_err err = BK_OK;
        bool because = strcmp(word, "because") == 0 && step->expect == TOPOLOGY_RELAYED;
        bool hold = strcmp(word, "for") == 0 && step->expect != TOPOLOGY_DATA;
        if (value == NULL && (because || hold || strcmp(word, "within") == 0))
            return parser_fail(p, "expect: \"%s\" needs a value", word);
        if (strcmp(word, "within") == 0)
            err = parse_duration(p, word, value, &step->timeout_us);
        else if (hold)
            err = parse_duration(p, word, value, &step->hold_us);
        else if (because && is_name(value))
            snprintf(step->reason, sizeof step->reason, "%s", value);
        else
            err = parser_fail(p, "expect: \"%.60s\" does not belong here; known: within 2s%s",
                              because ? value : word,
                              step->expect == TOPOLOGY_RELAYED  ? ", because REASON, for 5s"
                              : step->expect == TOPOLOGY_DIRECT ? ", for 5s"
                                                                : "");
        if (err != BK_OK)
            return err;
    }
    return BK_OK;
}

/* expect [A B] direct | relayed | data ... */
static enum bk_err parse_expect(struct parser *p, char *rest, struct topology_step *step) {
    static const char *const words[] = {
        [TOPOLOGY_DIRECT] = "direct", [TOPOLOGY_RELAYED] = "relayed", [TOPOLOGY_DATA] = "data"};
    step->kind = TOPOLOGY_EXPECT;
    const char *word = next_word(&rest);
    if (word != NULL && topology_find(p->topology, word) != TOPOLOGY_NOWHERE) {
        enum bk_err err = need_host(p, word, &step->host);
        if (err == BK_OK)
            err = need_host(p, next_word(&rest), &step->other);
        if (err != BK_OK)
            return err;
        word = next_word(&rest);
    }
    if (!have_met(p->topology, step->host, step->other))
        return parser_fail(p, "expect: nobody has met above; write for example \"meet alice bob\"");
    for (size_t i = 0; word != NULL && i < sizeof words / sizeof *words; i++) {
        if (strcmp(word, words[i]) != 0)
            continue;
        step->expect = (enum topology_expect)i;
        return parse_expect_options(p, rest, step);
    }
    return parser_fail(p, "expect: \"%.60s\" is neither direct, relayed nor data",
                       word == NULL ? "" : word);
}

/* The words before the colon; `verb` is the first. */
static enum bk_err parse_head(struct parser *p, char *verb, char *rest, struct topology_step *s) {
    if (strcmp(verb, "start") == 0) {
        s->kind = TOPOLOGY_START;
        return parse_start(p, rest, s);
    }
    bool wait = strcmp(verb, "wait") == 0, join = strcmp(verb, "join") == 0;
    if (wait || join || strcmp(verb, "stop") == 0) {
        s->kind = wait ? TOPOLOGY_WAIT : join ? TOPOLOGY_JOIN : TOPOLOGY_STOP;
        const char *name = next_word(&rest);
        enum bk_err err = need_program(p, verb, name);
        if (err != BK_OK)
            return err;
        snprintf(s->name, sizeof s->name, "%s", name);
        return parse_options(p, rest, s);
    }
    if (strcmp(verb, "sleep") == 0) {
        s->kind = TOPOLOGY_SLEEP;
        const char *word = next_word(&rest);
        if (word == NULL || next_word(&rest) != NULL)
            return parser_fail(p, "sleep needs one duration, for example \"sleep 2s\"");
        return parse_duration(p, "sleep", word, &s->timeout_us);
    }
    if (strcmp(verb, "serve") == 0)
        return parse_serve(p, rest, s);
    if (strcmp(verb, "meet") == 0)
        return parse_meet(p, rest, s);
    if (strcmp(verb, "expect") == 0)
        return parse_expect(p, rest, s);
    if (topology_is_change(verb)) {
        s->kind = TOPOLOGY_DO;
        return parse_change(p, verb, rest, &s->change);
    }
    s->kind = TOPOLOGY_RUN;
    enum bk_err err = need_host(p, verb, &s->host);
    return err != BK_OK ? err : parse_options(p, rest, s);
}

static bool takes_text(enum topology_step_kind kind) {
    return kind == TOPOLOGY_RUN || kind == TOPOLOGY_START || kind == TOPOLOGY_WAIT;
}

enum bk_err keep_step(struct parser *p, const struct topology_step *step, const char *text) {
    struct topology *t = p->topology;
    if (t->step_count == TOPOLOGY_STEPS_MAX)
        return parser_fail(p, "more than %d steps", TOPOLOGY_STEPS_MAX);
    struct topology_step *grown = parser_append(t->steps, t->step_count, sizeof *grown);
    if (grown == NULL)
        return BK_ERR_NO_MEMORY;
    t->steps = grown;
    char *copy = NULL;
    if (text != NULL) {
        size_t len = strlen(text) + 1;
        copy = malloc(len);
        if (copy == NULL)
            return BK_ERR_NO_MEMORY;
        memcpy(copy, text, len);
    }
    t->steps[t->step_count] = *step;
    t->steps[t->step_count++].text = copy;
    return BK_OK;
}

/* "at 5s: cut alice bob": takes the front off and leaves *line at "cut". */
static enum bk_err parse_at(struct parser *p, char **line, struct topology_step *step) {
    char *colon = strchr(*line, ':');
    if (colon == NULL)
        return parser_fail(p, "at: write for example \"at 5s: cut alice bob udp\"");
    *colon = '\0';
    enum bk_err err = parse_duration(p, "at", trimmed(*line + 2), &step->at_us);
    if (err == BK_OK && step->at_us == 0)
        err = parser_fail(p, "at: the time must be more than 0");
    *line = trimmed(colon + 1);
    return err;
}

enum bk_err parse_step(struct parser *p, char *line) {
    struct topology_step step = {
        .line = p->line, .host = TOPOLOGY_NOWHERE, .other = TOPOLOGY_NOWHERE};
    enum bk_err err = BK_OK;
    if (strncmp(line, "at ", 3) == 0)
        err = parse_at(p, &line, &step);
    if (err != BK_OK)
        return err;
    char words[PARSER_LINE_MAX], first[PARSER_LINE_MAX];
    snprintf(first, sizeof first, "%s", line);
    char *rest = first;
    const char *change = next_word(&rest); /* its words may be IPv6 addresses */
    char *text = change != NULL && topology_is_change(change) ? NULL : strchr(line, ':');
    if (text != NULL)
        *text++ = '\0';
    snprintf(words, sizeof words, "%s", line);
    rest = line;
    char *verb = next_word(&rest);
    if (verb == NULL)
        return parser_fail(p, "a step starts with a host's name or a verb");
    err = parse_head(p, verb, rest, &step);
    if (err != BK_OK)
        return err;
    if (step.at_us != 0 && step.kind != TOPOLOGY_DO)
        return parser_fail(p, "at: only changes such as cut, set and reboot can wait for a time");
    text = text == NULL ? NULL : trimmed(text);
    bool has_text = text != NULL && *text != '\0';
    if (takes_text(step.kind) && !has_text)
        return parser_fail(p, "\"%s\" needs a colon and %s", verb,
                           step.kind == TOPOLOGY_WAIT ? "the text to wait for" : "a command");
    if (!takes_text(step.kind) && text != NULL)
        return parser_fail(p, "\"%s\" takes no colon", verb);
    return keep_step(p, &step, takes_text(step.kind) ? text : words);
}

enum bk_err topology_run_only(struct topology *t, const char *host, const char *command) {
    struct topology_error unused;
    struct parser p = {.topology = t, .error = &unused};
    struct topology_step step = {.kind = TOPOLOGY_RUN, .host = topology_find(t, host)};
    if (step.host == TOPOLOGY_NOWHERE || t->nodes[step.host].kind != TOPOLOGY_HOST)
        return BK_ERR_NOT_FOUND;
    for (size_t i = 0; i < t->step_count; i++)
        free(t->steps[i].text);
    t->step_count = 0;
    return keep_step(&p, &step, command);
}
