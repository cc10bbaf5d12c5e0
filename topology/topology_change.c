/* SPDX-License-Identifier: MIT
 * What can change while a lab or a scene runs: one row and one small parser per verb. */
#include "topology/topology_parser.h"

#include <stdio.h>
#include <string.h>

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
    change->set_duplicate |= strcmp(field, "duplicate") == 0;
}

static enum bk_err parse_node(struct parser *p, const char *verb, const char *word, int *out) {
    if (word == NULL)
        return parser_fail(p, "%s needs the name of a host or a NAT", verb);
    *out = topology_find(p->topology, word);
    if (*out == TOPOLOGY_NOWHERE)
        return parser_fail(p, "%s: there is no host or NAT \"%.60s\"", verb, word);
    return BK_OK;
}

static enum bk_err parse_set(struct parser *p, const char *verb, char *rest,
                             struct topology_change *change) {
    enum bk_err err = parse_node(p, verb, next_word(&rest), &change->node);
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
            return parser_fail(p,
                               "set: unknown field \"%.60s\"; known: delay, jitter, loss, rate, "
                               "queue, duplicate",
                               word);
        note_field(change, word);
    }
    return fields > 0 ? BK_OK : parser_fail(p, "set: what? For example \"set alice delay=20ms\"");
}

static enum bk_err parse_nat(struct parser *p, const char *verb, const char *word, int *out) {
    enum bk_err err = parse_node(p, verb, word, out);
    if (err == BK_OK && p->topology->nodes[*out].kind != TOPOLOGY_NAT)
        err = parser_fail(p, "%s: %s is not a NAT", verb, word);
    return err;
}

static enum bk_err need_end(struct parser *p, const char *verb, char *rest, const char *takes) {
    const char *word = next_word(&rest);
    return word == NULL
               ? BK_OK
               : parser_fail(p, "%s takes %s; \"%.60s\" is one too many", verb, takes, word);
}

static enum bk_err parse_reboot(struct parser *p, const char *verb, char *rest,
                                struct topology_change *change) {
    enum bk_err err = parse_nat(p, verb, next_word(&rest), &change->node);
    return err != BK_OK ? err : need_end(p, verb, rest, "one name");
}

/* "evict NAT 5 [oldest | random]", "evict NAT all". */
static enum bk_err parse_evict(struct parser *p, const char *verb, char *rest,
                               struct topology_change *change) {
    uint64_t count = UINT32_MAX;
    enum bk_err err = parse_nat(p, verb, next_word(&rest), &change->node);
    if (err != BK_OK)
        return err;
    const char *word = next_word(&rest);
    if (word == NULL)
        return parser_fail(p, "evict: how many? For example \"evict alice-router 1\" or \"all\"");
    if (strcmp(word, "all") != 0)
        err = parse_number(p, verb, word, UINT32_MAX - 1, &count);
    if (err != BK_OK)
        return err;
    change->count = (uint32_t)count;
    const char *which = next_word(&rest);
    change->any = which != NULL && strcmp(which, "random") == 0;
    if (which != NULL && !change->any && strcmp(which, "oldest") != 0)
        return parser_fail(p, "evict: \"%.60s\" is neither oldest nor random", which);
    return need_end(p, verb, rest, "a name, a number and oldest or random");
}

/* "exhaust NAT [off]" */
static enum bk_err parse_exhaust(struct parser *p, const char *verb, char *rest,
                                 struct topology_change *change) {
    enum bk_err err = parse_nat(p, verb, next_word(&rest), &change->node);
    if (err != BK_OK)
        return err;
    const char *word = next_word(&rest);
    change->off = word != NULL;
    if (word != NULL && strcmp(word, "off") != 0)
        return parser_fail(p, "exhaust: \"%.60s\" is not off", word);
    return need_end(p, verb, rest, "one name, and off");
}

/* "limit NAT 20" (new mappings a second), "limit NAT off" */
static enum bk_err parse_limit(struct parser *p, const char *verb, char *rest,
                               struct topology_change *change) {
    uint64_t count = 0;
    enum bk_err err = parse_nat(p, verb, next_word(&rest), &change->node);
    if (err != BK_OK)
        return err;
    const char *word = next_word(&rest);
    if (word == NULL)
        return parser_fail(p, "limit: how many new mappings a second? For example \"limit "
                              "alice-router 20\", or \"off\"");
    if (strcmp(word, "off") != 0)
        err = parse_number(p, verb, word, 1000000, &count);
    if (err == BK_OK && strcmp(word, "off") != 0 && count == 0)
        return parser_fail(p, "limit: \"%.60s\" would let nothing through: write exhaust", word);
    change->count = (uint32_t)count;
    return err != BK_OK ? err : need_end(p, verb, rest, "a name and a number");
}

static bool has_family(const struct topology_node *node, uint8_t family) {
    for (size_t i = 0; i < node->address_count; i++)
        if (node->address[i].ip.family == family)
            return true;
    return false;
}

/* "readdress NAT 203.0.113.9" */
static enum bk_err parse_readdress(struct parser *p, const char *verb, char *rest,
                                   struct topology_change *change) {
    struct topology_prefix address;
    enum bk_err err = parse_nat(p, verb, next_word(&rest), &change->node);
    if (err != BK_OK)
        return err;
    const struct topology_node *node = &p->topology->nodes[change->node];
    const char *word = next_word(&rest);
    if (word == NULL)
        return parser_fail(p, "readdress: to what? For example \"readdress alice-router "
                              "203.0.113.9\"");
    err = parse_prefix(p, verb, word, &address);
    if (err != BK_OK)
        return err;
    if (!has_family(node, address.ip.family))
        return parser_fail(p, "readdress: %s has no public address of that kind", node->name);
    change->ip = address.ip;
    return need_end(p, verb, rest, "a name and an address");
}

/* "flap NODE 300ms [every 2s times 5]" */
static enum bk_err parse_flap(struct parser *p, const char *verb, char *rest,
                              struct topology_change *change) {
    uint64_t times = 1;
    enum bk_err err = parse_node(p, verb, next_word(&rest), &change->node);
    if (err != BK_OK)
        return err;
    const char *down = next_word(&rest), *every = next_word(&rest), *gap = next_word(&rest),
               *word = next_word(&rest), *number = next_word(&rest);
    if (down == NULL)
        return parser_fail(p, "flap: for how long? For example \"flap alice 300ms\"");
    err = parse_duration(p, verb, down, &change->down_us);
    bool more = every != NULL;
    if (err == BK_OK && more &&
        (number == NULL || strcmp(every, "every") != 0 || strcmp(word, "times") != 0))
        return parser_fail(p, "flap: \"%.60s\" is not \"every 2s times 5\"", every);
    if (err == BK_OK && more)
        err = parse_duration(p, verb, gap, &change->every_us);
    if (err == BK_OK && more)
        err = parse_number(p, verb, number, 1000000, &times);
    if (err == BK_OK && change->down_us == 0)
        err = parser_fail(p, "flap: the time must be more than 0");
    if (err == BK_OK && more && change->every_us <= change->down_us)
        err = parser_fail(p, "flap: every \"%.60s\" is not longer than \"%.60s\"", gap, down);
    change->count = (uint32_t)times;
    change->protocols = TOPOLOGY_ALL;
    return err != BK_OK ? err : need_end(p, verb, rest, "a name and its times");
}

bool topology_flap_is_down(const struct topology_change *flap, int64_t since_us, int64_t now_us) {
    int64_t in = now_us - since_us;
    if (in < 0)
        return false;
    if (flap->every_us == 0)
        return in < flap->down_us;
    return in / flap->every_us < flap->count && in % flap->every_us < flap->down_us;
}

static const struct {
    const char *verb;
    enum topology_change_kind kind;
    enum bk_err (*parse)(struct parser *p, const char *verb, char *rest,
                         struct topology_change *change);
} verbs[] = {
    {"cut", TOPOLOGY_CUT, parse_cut},       {"restore", TOPOLOGY_RESTORE, parse_cut},
    {"set", TOPOLOGY_SET, parse_set},       {"reboot", TOPOLOGY_REBOOT, parse_reboot},
    {"evict", TOPOLOGY_EVICT, parse_evict}, {"exhaust", TOPOLOGY_EXHAUST, parse_exhaust},
    {"limit", TOPOLOGY_LIMIT, parse_limit}, {"readdress", TOPOLOGY_READDRESS, parse_readdress},
    {"flap", TOPOLOGY_FLAP, parse_flap},
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static const char known[] = "cut, restore, set, reboot, evict, exhaust, limit, readdress, flap";

bool topology_is_change(const char *word) {
    for (size_t i = 0; i < VERBS; i++)
        if (strcmp(word, verbs[i].verb) == 0)
            return true;
    return false;
}

enum bk_err parse_change(struct parser *p, const char *verb, char *rest,
                         struct topology_change *out) {
    struct topology_change change = {.node = TOPOLOGY_NOWHERE, .other = TOPOLOGY_NOWHERE};
    for (size_t i = 0; i < VERBS; i++) {
        if (strcmp(verb, verbs[i].verb) != 0)
            continue;
        change.kind = verbs[i].kind;
        enum bk_err err = verbs[i].parse(p, verb, rest, &change);
        if (err == BK_OK)
            *out = change;
        return err;
    }
    return parser_fail(p, "unknown change \"%.60s\"; known: %s", verb, known);
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
        return parser_fail(&p, "an empty change; known: %s", known);
    return parse_change(&p, verb, rest, out);
}
