/* SPDX-License-Identifier: MIT */
#include "topology/topology_parser.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum bk_err parser_fail(struct parser *p, const char *format, ...) {
    va_list args;
    p->error->line = p->line;
    va_start(args, format);
    vsnprintf(p->error->text, sizeof p->error->text, format, args);
    va_end(args);
    return BK_ERR_MALFORMED;
}

void *parser_append(void *array, size_t count, size_t size) {
    unsigned char *grown = realloc(array, (count + 1) * size);
    if (grown != NULL)
        memset(grown + count * size, 0, size);
    return grown;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

char *trimmed(char *text) {
    while (is_space(*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && is_space(text[len - 1]))
        len--;
    text[len] = '\0';
    return text;
}

char *next_word(char **rest) {
    char *word = *rest;
    while (is_space(*word))
        word++;
    if (*word == '\0')
        return NULL;
    char *end = word;
    while (*end != '\0' && !is_space(*end))
        end++;
    *rest = *end == '\0' ? end : end + 1;
    *end = '\0';
    return word;
}

bool is_name(const char *text) {
    size_t len = strlen(text);
    if (len == 0 || len >= TOPOLOGY_NAME_MAX || text[0] == '-' || text[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("-_.", text[i]) == NULL)
            return false;
    return true;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* Decimal digits with up to six after the point, times a unit from the table. 0: not that. */
static bool parse_scaled(const char *text, const struct unit *units, uint64_t max, uint64_t *out) {
    const char *c = text;
    uint64_t millionths = 0, scale = 1000000;
    bool point = false;
    for (; isdigit((unsigned char)*c) || (*c == '.' && !point); c++) {
        if (*c == '.') {
            point = true;
            continue;
        }
        scale = point ? scale / 10 : scale;
        if (scale == 0 || millionths > UINT64_MAX / 10000)
            return false;
        millionths = point ? millionths + (uint64_t)(*c - '0') * scale
                           : millionths * 10 + (uint64_t)(*c - '0') * 1000000;
    }
    if (c == text || c[-1] == '.')
        return false;
    for (; units->name != NULL; units++) {
        if (strcasecmp(c, units->name) != 0)
            continue;
        if (millionths != 0 && units->factor > UINT64_MAX / millionths)
            return false;
        uint64_t value = millionths * units->factor / 1000000;
        if (value > max)
            return false;
        *out = value;
        return true;
    }
    return false;
}

enum bk_err parse_duration(struct parser *p, const char *field, const char *text, int64_t *out_us) {
    static const struct unit units[] = {
        {"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000}, {NULL, 0}};
    uint64_t value = 0;
    if (strcmp(text, "0") != 0 && !parse_scaled(text, units, UINT64_C(86400000000), &value))
        return parser_fail(p, "%s: \"%.60s\" is not a duration like 20ms, 1.5s or 2m", field, text);
    *out_us = (int64_t)value;
    return BK_OK;
}

enum bk_err parse_loss(struct parser *p, const char *field, const char *text, uint32_t *out_ppm) {
    static const struct unit units[] = {{"%", 10000}, {NULL, 0}};
    uint64_t value = 0;
    if (strcmp(text, "0") != 0 && !parse_scaled(text, units, 1000000, &value))
        return parser_fail(p, "%s: \"%.60s\" is not a share like 0.5%%, at most 100%%", field,
                           text);
    *out_ppm = (uint32_t)value;
    return BK_OK;
}

enum bk_err parse_rate(struct parser *p, const char *field, const char *text, uint64_t *out_bps) {
    static const struct unit units[] = {
        {"kbit", 1000}, {"mbit", 1000000}, {"gbit", 1000000000}, {NULL, 0}};
    uint64_t value = 0;
    bool ok = parse_scaled(text, units, UINT64_C(1000000000000), &value) && value >= 1000;
    if (!ok && strcmp(text, "unlimited") != 0)
        return parser_fail(p, "%s: \"%.60s\" is not a rate like 512kbit, 100mbit or unlimited",
                           field, text);
    *out_bps = ok ? value : 0;
    return BK_OK;
}

enum bk_err parse_size(struct parser *p, const char *field, const char *text, uint32_t *out_bytes) {
    static const struct unit units[] = {{"B", 1},        {"KB", 1000},     {"KiB", 1024},
                                        {"MB", 1000000}, {"MiB", 1 << 20}, {NULL, 0}};
    uint64_t value = 0;
    if (!parse_scaled(text, units, UINT32_MAX, &value) || value == 0)
        return parser_fail(p, "%s: \"%.60s\" is not a size like 64KB or 1MiB", field, text);
    *out_bytes = (uint32_t)value;
    return BK_OK;
}

enum bk_err parse_number(struct parser *p, const char *field, const char *text, uint64_t max,
                         uint64_t *out) {
    static const struct unit units[] = {{"", 1}, {NULL, 0}};
    if (strchr(text, '.') != NULL || !parse_scaled(text, units, max, out))
        return parser_fail(p, "%s: \"%.60s\" is not a number up to %llu", field, text,
                           (unsigned long long)max);
    return BK_OK;
}

enum bk_err parse_prefix(struct parser *p, const char *field, const char *text,
                         struct topology_prefix *out) {
    char address[BK_ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(text);
    struct topology_prefix value = {.bits = UINT8_MAX};
    if (len >= sizeof address)
        return parser_fail(p, "%s: \"%.60s\" is not an IP address", field, text);
    memcpy(address, text, len);
    address[len] = '\0';
    if (bk_ip_parse(address, &value.ip) != BK_OK || value.ip.zone != 0)
        return parser_fail(p, "%s: \"%.60s\" is not an IP address", field, address);
    if (bk_ip_scope(&value.ip) < BK_SCOPE_PRIVATE)
        return parser_fail(p, "%s: %s is not an address a host can have here", field, address);
    if (slash != NULL) {
        uint64_t bits = 0;
        enum bk_err err =
            parse_number(p, field, slash + 1, value.ip.family == BK_IPV4 ? 32 : 128, &bits);
        if (err != BK_OK)
            return err;
        value.bits = (uint8_t)bits;
    }
    *out = value;
    return BK_OK;
}

static enum bk_err parse_link_value(struct parser *p, const char *field, const char *text,
                                    struct topology_link *link, bool *found) {
    *found = true;
    if (strcmp(field, "delay") == 0)
        return parse_duration(p, field, text, &link->delay_us);
    if (strcmp(field, "jitter") == 0)
        return parse_duration(p, field, text, &link->jitter_us);
    if (strcmp(field, "loss") == 0)
        return parse_loss(p, field, text, &link->loss_ppm);
    if (strcmp(field, "rate") == 0)
        return parse_rate(p, field, text, &link->rate_bps);
    if (strcmp(field, "queue") == 0)
        return parse_size(p, field, text, &link->queue_bytes);
    if (strcmp(field, "duplicate") == 0)
        return parse_loss(p, field, text, &link->duplicate_ppm);
    *found = false;
    return BK_OK;
}

enum bk_err parse_link_field(struct parser *p, const char *field, char *value,
                             struct topology_link link[TOPOLOGY_DIRECTIONS], bool *found) {
    char *down = strchr(value, '/');
    if (down != NULL)
        *down++ = '\0';
    enum bk_err err = parse_link_value(p, field, trimmed(value), &link[TOPOLOGY_UP], found);
    if (err != BK_OK)
        return err;
    if (!*found && down != NULL)
        down[-1] = '/'; /* the value belongs to somebody else, who wants it whole */
    if (!*found)
        return BK_OK;
    return parse_link_value(p, field, trimmed(down != NULL ? down : value), &link[TOPOLOGY_DOWN],
                            found);
}

/* A hole's end, or NULL when `brace` does not start one: "{name}" or "{name...}". */
static const char *hole_end(const char *brace, size_t *name_len, bool *rest_of_line) {
    const char *c = brace + 1;
    while (isalnum((unsigned char)*c) || *c == '_')
        c++;
    *name_len = (size_t)(c - brace - 1);
    *rest_of_line = strncmp(c, "...", 3) == 0;
    c += *rest_of_line ? 3 : 0;
    return *name_len > 0 && *name_len < TOPOLOGY_NAME_MAX && *c == '}' ? c : NULL;
}

/* Where the literal text at `pattern` ends: at a hole or at the end. */
static size_t literal_length(const char *pattern) {
    size_t len = 0, name_len = 0;
    bool rest = false;
    while (pattern[len] != '\0' &&
           !(pattern[len] == '{' && hole_end(pattern + len, &name_len, &rest) != NULL))
        len++;
    return len;
}

static const char *find_literal(const char *line, const char *literal, size_t len) {
    for (; *line != '\0' || len == 0; line++)
        if (strncmp(line, literal, len) == 0)
            return line;
    return NULL;
}

enum { HOLES_MAX = 8 };

struct hole {
    char name[TOPOLOGY_NAME_MAX];
    const char *value;
    size_t len;
};

/* Fills the hole from the start of `line`; returns how much of the line that took, 0: no match. */
static size_t fill_hole(struct hole *hole, const char *brace, size_t name_len, bool rest_of_line,
                        const char *line) {
    size_t len = rest_of_line ? strlen(line) : strcspn(line, " \t\r\n");
    memcpy(hole->name, brace + 1, name_len);
    hole->name[name_len] = '\0';
    hole->value = line;
    hole->len = len;
    return len;
}

bool topology_match(const char *pattern, const char *line,
                    void (*captured)(void *ctx, const char *name, const char *value, size_t len),
                    void *ctx) {
    struct hole holes[HOLES_MAX];
    size_t count = 0;
    const char *at = line;
    bool first = true;
    while (*pattern != '\0') {
        size_t len = literal_length(pattern);
        const char *hit =
            first ? find_literal(at, pattern, len) : (strncmp(at, pattern, len) == 0 ? at : NULL);
        if (hit == NULL)
            return false;
        first = false;
        at = hit + len;
        pattern += len;
        if (*pattern == '\0')
            break;
        size_t name_len = 0;
        bool rest = false;
        const char *end = hole_end(pattern, &name_len, &rest);
        if (end == NULL || count == HOLES_MAX)
            return false;
        size_t took = fill_hole(&holes[count++], pattern, name_len, rest, at);
        if (took == 0)
            return false;
        at += took;
        pattern = end + 1;
    }
    for (size_t i = 0; i < count && captured != NULL; i++)
        captured(ctx, holes[i].name, holes[i].value, holes[i].len);
    return true;
}
