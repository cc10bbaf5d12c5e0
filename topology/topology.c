/* SPDX-License-Identifier: MIT
 * Sections and settings, and the checks that need the whole file: every `behind` names a NAT, every
 * address lies in the network it is in, no two are the same. */
#include "topology/topology_parser.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { DEFAULT_MTU = 1500, MTU_MIN = 1280, MTU_MAX = 65535, QUEUE_BYTES = 256 * 1024 };
static const int64_t default_timeout_us = 60 * INT64_C(1000000);

static const struct topology_node *find_node(const struct topology *t, const char *name) {
    for (size_t i = 0; i < t->node_count; i++)
        if (strcmp(t->nodes[i].name, name) == 0)
            return &t->nodes[i];
    return NULL;
}

int topology_find(const struct topology *t, const char *name) {
    const struct topology_node *node = find_node(t, name);
    return node == NULL ? TOPOLOGY_NOWHERE : (int)(node - t->nodes);
}

void topology_fini(struct topology *t) {
    for (size_t i = 0; i < t->step_count; i++)
        free(t->steps[i].text);
    free(t->steps);
    free(t->nodes);
    *t = (struct topology){0};
}

/* What the lines are about. */
enum section { SECTION_NONE, SECTION_LAB, SECTION_NODE, SECTION_RUN };

struct reader {
    struct parser p;
    enum section section;
    bool nat_was_set; /* in this [nat]: a preset would undo it */
};

static enum bk_err begin_node(struct reader *r, enum topology_kind kind, const char *name) {
    struct topology *t = r->p.topology;
    if (name == NULL || !is_name(name))
        return parser_fail(&r->p, "\"%.60s\" is not a name: letters, digits, -_. and at most %d",
                           name == NULL ? "" : name, TOPOLOGY_NAME_MAX - 1);
    if (is_step_word(name) || strcmp(name, "internet") == 0)
        return parser_fail(&r->p, "\"%s\" means something else here and cannot be a name", name);
    const struct topology_node *other = find_node(t, name);
    if (other != NULL)
        return parser_fail(&r->p, "the name \"%s\" is taken in line %u", name, other->line);
    if (t->node_count == TOPOLOGY_NODES_MAX)
        return parser_fail(&r->p, "more than %d hosts and NATs", TOPOLOGY_NODES_MAX);
    struct topology_node *grown = parser_append(t->nodes, t->node_count, sizeof *grown);
    if (grown == NULL)
        return BK_ERR_NO_MEMORY;
    t->nodes = grown;
    struct topology_node *node = &t->nodes[t->node_count++];
    node->kind = kind;
    node->line = r->p.line;
    node->parent = TOPOLOGY_NOWHERE;
    node->mtu = DEFAULT_MTU;
    node->nat = nat_config_default;
    node->link[TOPOLOGY_UP].queue_bytes = QUEUE_BYTES;
    node->link[TOPOLOGY_DOWN].queue_bytes = QUEUE_BYTES;
    snprintf(node->name, sizeof node->name, "%s", name);
    r->section = SECTION_NODE;
    r->nat_was_set = false;
    return BK_OK;
}

static enum bk_err begin_section(struct reader *r, char *line) {
    size_t len = strlen(line);
    if (line[len - 1] != ']')
        return parser_fail(&r->p, "the section \"%.60s\" has no closing bracket", line);
    line[len - 1] = '\0';
    char *rest = line + 1;
    const char *kind = next_word(&rest), *name = next_word(&rest);
    if (next_word(&rest) != NULL)
        return parser_fail(&r->p, "a section has one name");
    if (kind != NULL && strcmp(kind, "host") == 0)
        return begin_node(r, TOPOLOGY_HOST, name);
    if (kind != NULL && strcmp(kind, "nat") == 0)
        return begin_node(r, TOPOLOGY_NAT, name);
    bool lab = kind != NULL && strcmp(kind, "lab") == 0;
    if (!lab && (kind == NULL || strcmp(kind, "run") != 0))
        return parser_fail(&r->p, "unknown section \"%.60s\"; known: lab, nat NAME, host NAME, run",
                           kind == NULL ? "" : kind);
    if (name != NULL)
        return parser_fail(&r->p, "the section \"%s\" has no name", kind);
    r->section = lab ? SECTION_LAB : SECTION_RUN;
    return BK_OK;
}

static enum bk_err set_lab(struct reader *r, const char *field, const char *value) {
    struct topology *t = r->p.topology;
    if (strcmp(field, "seed") == 0)
        return parse_number(&r->p, field, value, INT64_MAX / 1000000, &t->seed);
    if (strcmp(field, "timeout") == 0)
        return parse_duration(&r->p, field, value, &t->timeout_us);
    return parser_fail(&r->p, "unknown setting \"%.60s\"; known: seed, timeout", field);
}

/* One or more addresses, separated by commas; a repeated setting adds to the list. */
static enum bk_err add_prefixes(struct reader *r, const char *field, char *value,
                                struct topology_prefix *list, size_t *count) {
    for (char *next = value; next != NULL;) {
        char *text = next;
        next = strchr(next, ',');
        if (next != NULL)
            *next++ = '\0';
        if (*count == TOPOLOGY_ADDRESSES_MAX)
            return parser_fail(&r->p, "%s: more than %d addresses", field, TOPOLOGY_ADDRESSES_MAX);
        enum bk_err err = parse_prefix(&r->p, field, trimmed(text), &list[*count]);
        if (err != BK_OK)
            return err;
        (*count)++;
    }
    return BK_OK;
}

static enum bk_err add_inside(struct reader *r, const char *field, char *value,
                              struct topology_node *node) {
    enum bk_err err = add_prefixes(r, field, value, node->inside, &node->inside_count);
    for (size_t i = 0; err == BK_OK && i < node->inside_count; i++)
        if (node->inside[i].bits == UINT8_MAX)
            err = parser_fail(&r->p, "inside needs a prefix length, like 192.168.1.1/24");
    return err;
}

static enum bk_err set_preset(struct reader *r, struct topology_node *node, const char *value) {
    if (r->nat_was_set)
        return parser_fail(&r->p, "preset must come before the settings it would undo");
    if (nat_preset(value, &node->nat) == BK_OK)
        return BK_OK;
    char known[TOPOLOGY_ERROR_MAX] = "";
    size_t len = 0;
    const char *name;
    for (size_t i = 0; (name = nat_preset_name(i, NULL)) != NULL && len < sizeof known; i++) {
        int put = snprintf(known + len, sizeof known - len, "%s%s", i == 0 ? "" : ", ", name);
        len += put > 0 ? (size_t)put : 0;
    }
    return parser_fail(&r->p, "unknown NAT type \"%.40s\"; known: %.190s", value, known);
}

/* What the setting takes, in `out`. */
static const char *known_values(const char *field, char *out, size_t cap) {
    const char *name;
    for (size_t i = 0; (name = nat_option(i, out, cap)) != NULL; i++)
        if (strcasecmp(field, name) == 0)
            return out;
    return "";
}

static enum bk_err set_nat(struct reader *r, struct topology_node *node, const char *field,
                           char *value) {
    if (strcmp(field, "public") == 0)
        return add_prefixes(r, field, value, node->address, &node->address_count);
    if (strcmp(field, "inside") == 0)
        return add_inside(r, field, value, node);
    if (strcmp(field, "preset") == 0)
        return set_preset(r, node, value);
    enum bk_err err = nat_config_set(&node->nat, field, value);
    r->nat_was_set = true;
    node->tables_set |= strcmp(field, "mappings") == 0 || strcmp(field, "sessions") == 0;
    if (err == BK_ERR_NOT_FOUND)
        return parser_fail(&r->p,
                           "unknown setting \"%.60s\" of a NAT; known: public, inside, behind, "
                           "preset, mapping, filtering, ports, hairpin, unsolicited, udp, ipv6, "
                           "delay, loss, rate, ...",
                           field);
    char known[TOPOLOGY_ERROR_MAX];
    if (err != BK_OK)
        return parser_fail(&r->p, "unknown %.40s \"%.40s\"; known: %.160s", field, value,
                           known_values(field, known, sizeof known));
    return BK_OK;
}

static enum bk_err set_node(struct reader *r, struct topology_node *node, const char *field,
                            char *value) {
    bool found = false;
    enum bk_err err = parse_link_field(&r->p, field, value, node->link, &found);
    if (err != BK_OK || found)
        return err;
    if (strcmp(field, "behind") == 0) {
        if (!is_name(value))
            return parser_fail(&r->p, "behind: \"%.60s\" is not a name", value);
        snprintf(node->behind, sizeof node->behind, "%s", value);
        return BK_OK;
    }
    if (strcmp(field, "mtu") == 0) {
        uint64_t mtu = 0;
        err = parse_number(&r->p, field, value, MTU_MAX, &mtu);
        if (err == BK_OK && mtu < MTU_MIN)
            return parser_fail(&r->p, "mtu: at least %d, RFC 8200 section 5", MTU_MIN);
        node->mtu = err == BK_OK ? (uint32_t)mtu : node->mtu;
        return err;
    }
    if (node->kind == TOPOLOGY_NAT)
        return set_nat(r, node, field, value);
    if (strcmp(field, "address") == 0)
        return add_prefixes(r, field, value, node->address, &node->address_count);
    return parser_fail(&r->p,
                       "unknown setting \"%.60s\" of a host; known: address, behind, delay, "
                       "jitter, loss, rate, queue, duplicate, mtu",
                       field);
}

/* Cuts off a comment that stands behind white space. */
static void cut_comment(char *line) {
    for (char *c = line + 1; *c != '\0'; c++)
        if ((*c == '#' || *c == ';') && (c[-1] == ' ' || c[-1] == '\t')) {
            *c = '\0';
            return;
        }
}

static enum bk_err read_setting(struct reader *r, char *line) {
    cut_comment(line);
    char *value = strchr(line, '=');
    if (value == NULL)
        return parser_fail(&r->p, "\"%.60s\" is not NAME = VALUE", trimmed(line));
    *value++ = '\0';
    char *field = trimmed(line);
    value = trimmed(value);
    if (*value == '\0')
        return parser_fail(&r->p, "%.60s has no value", field);
    switch (r->section) {
    case SECTION_LAB:
        return set_lab(r, field, value);
    case SECTION_NODE:
        return set_node(r, &r->p.topology->nodes[r->p.topology->node_count - 1], field, value);
    case SECTION_NONE:
    case SECTION_RUN:
        break;
    }
    return parser_fail(&r->p, "\"%.60s\" stands before the first section", field);
}

static enum bk_err read_line(struct reader *r, char *line) {
    line = trimmed(line);
    if (*line == '\0' || *line == '#' || *line == ';')
        return BK_OK;
    if (*line == '[') {
        cut_comment(line);
        return begin_section(r, trimmed(line));
    }
    return r->section == SECTION_RUN ? parse_step(&r->p, line) : read_setting(r, line);
}

static enum bk_err read_lines(struct reader *r, const char *text, size_t len) {
    char line[PARSER_LINE_MAX];
    for (size_t at = 0; at < len;) {
        const char *newline = memchr(text + at, '\n', len - at);
        size_t end = newline != NULL ? (size_t)(newline - text) : len;
        r->p.line++;
        if (end - at >= sizeof line)
            return parser_fail(&r->p, "the line is longer than %d bytes", PARSER_LINE_MAX - 1);
        if (memchr(text + at, '\0', end - at) != NULL)
            return parser_fail(&r->p, "there is a NUL byte in this line");
        memcpy(line, text + at, end - at);
        line[end - at] = '\0';
        enum bk_err err = read_line(r, line);
        if (err != BK_OK)
            return err;
        at = end + 1;
    }
    return BK_OK;
}

bool topology_contains(const struct topology_prefix *network, const struct bk_ip *ip) {
    if (network->ip.family != ip->family)
        return false;
    size_t whole = network->bits / 8, odd = network->bits % 8;
    if (memcmp(network->ip.bytes, ip->bytes, whole) != 0)
        return false;
    return odd == 0 || ((network->ip.bytes[whole] ^ ip->bytes[whole]) >> (8 - odd)) == 0;
}

static enum bk_err check_parent(struct parser *p, struct topology_node *node) {
    const struct topology *t = p->topology;
    if (node->behind[0] == '\0' || strcmp(node->behind, "internet") == 0)
        return BK_OK;
    node->parent = topology_find(t, node->behind);
    if (node->parent == TOPOLOGY_NOWHERE)
        return parser_fail(p, "%s: there is no NAT \"%s\" to be behind", node->name, node->behind);
    if (t->nodes[node->parent].kind != TOPOLOGY_NAT)
        return parser_fail(p, "%s: %s is a host, not a NAT", node->name, node->behind);
    return BK_OK;
}

static enum bk_err check_depth(struct parser *p, const struct topology_node *node) {
    unsigned depth = 0;
    for (int i = node->parent; i != TOPOLOGY_NOWHERE; i = p->topology->nodes[i].parent)
        if (++depth > TOPOLOGY_DEPTH_MAX)
            return parser_fail(p, "%s: more than %d NATs behind each other, or a circle",
                               node->name, TOPOLOGY_DEPTH_MAX);
    return BK_OK;
}

/* The address must lie in a network of the NAT in front; it takes that network's prefix length. */
static enum bk_err place_address(struct parser *p, const struct topology_node *node,
                                 struct topology_prefix *address) {
    char text[BK_ADDR_TEXT_MAX];
    if (node->parent == TOPOLOGY_NOWHERE) {
        if (address->bits == UINT8_MAX)
            address->bits = address->ip.family == BK_IPV4 ? 32 : 128;
        return BK_OK;
    }
    const struct topology_node *nat = &p->topology->nodes[node->parent];
    for (size_t i = 0; i < nat->inside_count; i++) {
        if (!topology_contains(&nat->inside[i], &address->ip))
            continue;
        if (address->bits == UINT8_MAX)
            address->bits = nat->inside[i].bits;
        return BK_OK;
    }
    return parser_fail(p, "%s: %s is not in a network of %s", node->name,
                       bk_ip_format(&address->ip, text), nat->name);
}

static enum bk_err check_unique(struct parser *p, const struct topology_node *node,
                                const struct bk_ip *ip) {
    char text[BK_ADDR_TEXT_MAX];
    const struct topology *t = p->topology;
    if (node->parent != TOPOLOGY_NOWHERE) {
        const struct topology_node *nat = &t->nodes[node->parent];
        for (size_t i = 0; i < nat->inside_count; i++)
            if (bk_ip_equal(&nat->inside[i].ip, ip))
                return parser_fail(p, "%s: %s is the address of %s itself", node->name,
                                   bk_ip_format(ip, text), nat->name);
    }
    for (const struct topology_node *other = t->nodes; other < node; other++)
        for (size_t i = 0; other->parent == node->parent && i < other->address_count; i++)
            if (bk_ip_equal(&other->address[i].ip, ip))
                return parser_fail(p, "%s: %s is taken by %s", node->name, bk_ip_format(ip, text),
                                   other->name);
    return BK_OK;
}

static enum bk_err check_nat(struct parser *p, struct topology_node *node) {
    const char *field = "";
    if (node->inside_count == 0)
        return parser_fail(p, "%s has no inside network; for example: inside = 192.168.1.1/24",
                           node->name);
    node->nat.external_count = 0;
    for (size_t i = 0; i < node->address_count; i++) {
        uint8_t family = node->address[i].ip.family;
        enum nat_mode mode = family == BK_IPV4 ? node->nat.ipv4 : node->nat.ipv6;
        if (mode == NAT_MODE_TRANSLATE)
            node->nat.external[node->nat.external_count++] = node->address[i].ip;
    }
    bool need_public = false;
    for (size_t i = 0; i < node->inside_count; i++)
        need_public |= node->inside[i].ip.family == BK_IPV4 && node->nat.ipv4 == NAT_MODE_TRANSLATE;
    if (need_public && node->nat.external_count == 0)
        return parser_fail(p, "%s has no public address; for example: public = 203.0.113.1",
                           node->name);
    if (!need_public && node->nat.ipv4 == NAT_MODE_TRANSLATE && node->nat.external_count == 0)
        node->nat.ipv4 = NAT_MODE_BLOCK; /* an IPv6-only site needs no public IPv4 address */
    if (nat_config_check(&node->nat, &field) != BK_OK)
        return parser_fail(p, "%s: %s is out of range", node->name, field);
    return BK_OK;
}

static enum bk_err check_node(struct parser *p, struct topology_node *node) {
    enum bk_err err = check_depth(p, node);
    if (err == BK_OK && node->kind == TOPOLOGY_HOST && node->address_count == 0)
        err = parser_fail(p, "%s has no address; for example: address = 198.51.100.10", node->name);
    for (size_t i = 0; err == BK_OK && i < node->address_count; i++) {
        err = place_address(p, node, &node->address[i]);
        if (err == BK_OK)
            err = check_unique(p, node, &node->address[i].ip);
    }
    if (err == BK_OK && node->kind == TOPOLOGY_NAT)
        err = check_nat(p, node);
    return err;
}

static enum bk_err check_all(struct parser *p) {
    struct topology *t = p->topology;
    bool any_host = false;
    for (size_t i = 0; i < t->node_count; i++) {
        p->line = t->nodes[i].line;
        any_host |= t->nodes[i].kind == TOPOLOGY_HOST;
        enum bk_err err = check_parent(p, &t->nodes[i]);
        if (err != BK_OK)
            return err;
    }
    for (size_t i = 0; i < t->node_count; i++) {
        p->line = t->nodes[i].line;
        enum bk_err err = check_node(p, &t->nodes[i]);
        if (err != BK_OK)
            return err;
    }
    p->line = 0;
    return any_host ? BK_OK : parser_fail(p, "there is no host; write for example [host alice]");
}

enum bk_err topology_parse(const char *text, size_t len, struct topology *out,
                           struct topology_error *error) {
    struct topology t = {.seed = 1, .timeout_us = default_timeout_us};
    struct reader r = {.p = {.topology = &t, .error = error}};
    *error = (struct topology_error){0};
    if (len > TOPOLOGY_FILE_MAX)
        (void)parser_fail(&r.p, "the file is longer than %d bytes", TOPOLOGY_FILE_MAX);
    enum bk_err err = len > TOPOLOGY_FILE_MAX ? BK_ERR_TOO_LONG : read_lines(&r, text, len);
    if (err == BK_OK)
        err = check_all(&r.p);
    if (err != BK_OK) {
        if (err == BK_ERR_NO_MEMORY)
            (void)parser_fail(&r.p, "not enough memory");
        topology_fini(&t);
        return err;
    }
    *out = t;
    return BK_OK;
}

enum bk_err topology_override(struct topology *t, const char *text, struct topology_error *error) {
    static const char *const fixed[] = {"address", "public", "inside"};
    struct reader r = {.p = {.topology = t, .error = error}};
    char line[PARSER_LINE_MAX];
    if (snprintf(line, sizeof line, "%s", text) >= (int)sizeof line)
        return parser_fail(&r.p, "the setting is longer than %d bytes", PARSER_LINE_MAX - 1);
    char *field = strchr(line, ':'), *value = strchr(line, '=');
    if (field == NULL || value == NULL || value < field)
        return parser_fail(&r.p, "\"%.60s\" is not NAME:FIELD=VALUE", text);
    *field++ = '\0';
    *value++ = '\0';
    int node = topology_find(t, line);
    if (node == TOPOLOGY_NOWHERE)
        return parser_fail(&r.p, "there is no host or NAT \"%.60s\"", line);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
        if (strcmp(field, fixed[i]) == 0)
            return parser_fail(&r.p, "%s can only be set in the file", field);
    enum bk_err err = set_node(&r, &t->nodes[node], field, value);
    return err == BK_OK ? check_all(&r.p) : err;
}
