/* SPDX-License-Identifier: MIT
 * The steps of [run], and the changes that `bodkin lab cut` and its siblings share with them. */
#include "topology/topology_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const step_words[] = {"start", "wait",    "join", "stop",   "sleep",
                                         "cut",   "restore", "set",  "reboot", "at"};

bool is_step_word(const char *word) {
    for (size_t i = 0; i < sizeof step_words / sizeof *step_words; i++)
        if (strcmp(word, step_words[i]) == 0)
            return true;
    return false;
}

/* "udp", "tcp", "icmp": adds to *protocols. icmp stands for everything that is neither of both. */
static bool parse_protocol(const char *word, unsigned *protocols) {
    if (strcmp(word, "udp") == 0)
        *protocols |= TOPOLOGY_UDP;
    else if (strcmp(word, "tcp") == 0)
        *protocols |= TOPOLOGY_TCP;
    else if (strcmp(word, "icmp") == 0)
        *protocols |= TOPOLOGY_OTHER;
    else
        return false;
    return true;
}

static enum bk_err parse_cut(struct parser *p, const char *verb, char *rest,
                             struct topology_change *change) {
    for (char *word = next_word(&rest); word != NULL; word = next_word(&rest)) {
        int node = topology_find(p->topology, word);
        if (parse_protocol(word, &change->protocols))
            continue;
        if (node == TOPOLOGY_NOWHERE)
            return parser_fail(p, "%s: \"%.60s\" is neither a host, a NAT, nor udp, tcp or icmp",
                               verb, word);
        if (change->other != TOPOLOGY_NOWHERE)
            return parser_fail(p, "%s takes at most two names; \"%.60s\" is one too many", verb,
                               word);
        if (change->node == TOPOLOGY_NOWHERE)
            change->node = node;
        else
            change->other = node;
    }
    if (change->node == TOPOLOGY_NOWHERE && change->kind == TOPOLOGY_CUT)
        return parser_fail(p, "cut: whom? For example \"cut alice bob udp\"");
    if (change->node == change->other && change->node != TOPOLOGY_NOWHERE)
        return parser_fail(p, "%s: the two names must differ", verb);
    if (change->protocols == 0)
        change->protocols = TOPOLOGY_ALL;
    return BK_OK;
}

static void note_field(struct topology_change *change, const char *field) {
    change->set_delay |= strcmp(field, "delay") == 0;
    change->set_jitter |= strcmp(field, "jitter") == 0;
    change->set_loss |= strcmp(field, "loss") == 0;
    change->set_rate |= strcmp(field, "rate") == 0;
    change->set_queue |= strcmp(field, "queue") == 0;
}

static enum bk_err parse_node(struct parser *p, const char *verb, const char *word, int *out) {
    if (word == NULL)
        return parser_fail(p, "%s needs the name of a host or a NAT", verb);
    *out = topology_find(p->topology, word);
    if (*out == TOPOLOGY_NOWHERE)
        return parser_fail(p, "%s: there is no host or NAT \"%.60s\"", verb, word);
    return BK_OK;
}

static enum bk_err parse_set(struct parser *p, char *rest, struct topology_change *change) {
    enum bk_err err = parse_node(p, "set", next_word(&rest), &change->node);
    if (err != BK_OK)
        return err;
    unsigned fields = 0;
    for (char *word = next_word(&rest); word != NULL; word = next_word(&rest), fields++) {
        char *value = strchr(word, '=');
        bool found = false;
        if (value == NULL)
            return parser_fail(p, "set: \"%.60s\" is not FIELD=VALUE", word);
        *value++ = '\0';
        err = parse_link_field(p, word, value, change->link, &found);
        if (err != BK_OK)
            return err;
        if (!found)
            return parser_fail(
                p, "set: unknown field \"%.60s\"; known: delay, jitter, loss, rate, queue", word);
        note_field(change, word);
    }
    return fields > 0 ? BK_OK : parser_fail(p, "set: what? For example \"set alice delay=20ms\"");
}

static enum bk_err parse_reboot(struct parser *p, char *rest, struct topology_change *change) {
    enum bk_err err = parse_node(p, "reboot", next_word(&rest), &change->node);
    if (err != BK_OK)
        return err;
    const struct topology_node *node = &p->topology->nodes[change->node];
    if (node->kind != TOPOLOGY_NAT)
        return parser_fail(p, "reboot: %s is not a NAT", node->name);
    if (next_word(&rest) != NULL)
        return parser_fail(p, "reboot takes one name");
    return BK_OK;
}

/* `verb` is the first word, `rest` what follows it. */
static enum bk_err parse_change(struct parser *p, const char *verb, char *rest,
                                struct topology_change *out) {
    struct topology_change change = {.node = TOPOLOGY_NOWHERE, .other = TOPOLOGY_NOWHERE};
    enum bk_err err = BK_OK;
    if (strcmp(verb, "cut") == 0) {
        change.kind = TOPOLOGY_CUT;
        err = parse_cut(p, verb, rest, &change);
    } else if (strcmp(verb, "restore") == 0) {
        change.kind = TOPOLOGY_RESTORE;
        err = parse_cut(p, verb, rest, &change);
    } else if (strcmp(verb, "set") == 0) {
        change.kind = TOPOLOGY_SET;
        err = parse_set(p, rest, &change);
    } else if (strcmp(verb, "reboot") == 0) {
        change.kind = TOPOLOGY_REBOOT;
        err = parse_reboot(p, rest, &change);
    } else {
        err = parser_fail(p, "unknown change \"%.60s\"; known: cut, restore, set, reboot", verb);
    }
    if (err == BK_OK)
        *out = change;
    return err;
}

enum bk_err topology_parse_change(const struct topology *t, const char *text,
                                  struct topology_change *out, struct topology_error *error) {
    struct topology view = *t; /* the parser only looks names up in it */
    struct parser p = {.topology = &view, .error = error};
    char line[PARSER_LINE_MAX];
    if (strlen(text) >= sizeof line)
        return parser_fail(&p, "the line is longer than %d bytes", PARSER_LINE_MAX - 1);
    memcpy(line, text, strlen(text) + 1);
    char *rest = line;
    char *verb = next_word(&rest);
    if (verb == NULL)
        return parser_fail(&p, "an empty change; known: cut, restore, set, reboot");
    return parse_change(&p, verb, rest, out);
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
    if (is_step_word(verb)) {
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

static enum bk_err keep_step(struct parser *p, const struct topology_step *step, const char *text) {
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
    struct topology_step step = {.line = p->line, .host = TOPOLOGY_NOWHERE};
    enum bk_err err = BK_OK;
    if (strncmp(line, "at ", 3) == 0)
        err = parse_at(p, &line, &step);
    if (err != BK_OK)
        return err;
    char *text = strchr(line, ':');
    if (text != NULL)
        *text++ = '\0';
    char words[PARSER_LINE_MAX];
    snprintf(words, sizeof words, "%s", line);
    char *rest = line;
    char *verb = next_word(&rest);
    if (verb == NULL)
        return parser_fail(p, "a step starts with a host's name or a verb");
    err = parse_head(p, verb, rest, &step);
    if (err != BK_OK)
        return err;
    if (step.at_us != 0 && step.kind != TOPOLOGY_DO)
        return parser_fail(p, "at: only cut, restore, set and reboot can wait for a time");
    text = text == NULL ? NULL : trimmed(text);
    bool has_text = text != NULL && *text != '\0';
    if (takes_text(step.kind) && !has_text)
        return parser_fail(p, "\"%s\" needs a colon and %s", verb,
                           step.kind == TOPOLOGY_WAIT ? "the text to wait for" : "a command");
    if (!takes_text(step.kind) && text != NULL)
        return parser_fail(p, "\"%s\" takes no colon", verb);
    return keep_step(p, &step, step.kind == TOPOLOGY_DO ? words : text);
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
