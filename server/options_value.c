/* SPDX-License-Identifier: MIT
 * From the text of an option to its field: one function per type. */
#include "base/wipe.h"
#include "server/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STUN_PORT = 3478 };

static enum bk_err wrong(char *reason, const struct server_option *row, const char *value,
                         const char *wanted) {
    snprintf(reason, SERVER_TEXT_MAX, "%s: \"%.200s\" is not %s", row->name, value, wanted);
    return BK_ERR_MALFORMED;
}

/* The same for what nobody else may read. */
static enum bk_err wrong_secret(char *reason, const struct server_option *row, const char *wanted) {
    snprintf(reason, SERVER_TEXT_MAX, "%s: what was given is not %s", row->name, wanted);
    return BK_ERR_MALFORMED;
}

static enum bk_err set_number(int64_t *to, const struct server_option *row, const char *value,
                              char *reason) {
    char wanted[96], *end;
    int64_t unit = 1;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    bool rate = row->type == SERVER_RATE, digits = end != value;
    if (rate && digits && *end != '\0' && strchr("kMG", *end) != NULL) {
        unit = *end == 'k' ? 1000 : *end == 'M' ? 1000000 : 1000000000;
        end++;
    }
    snprintf(wanted, sizeof wanted, "a number from %lld to %lld%s", (long long)row->min,
             (long long)row->max, rate ? ", with k, M or G behind it" : "");
    if (!digits || *end != '\0' || errno != 0 || number < row->min || number > row->max / unit)
        return wrong(reason, row, value, wanted);
    *to = number * unit;
    return BK_OK;
}

static enum bk_err set_text(struct server_text *to, const struct server_option *row,
                            const char *value, char *reason) {
    size_t len = strlen(value), max = row->max == 0 ? sizeof to->text - 1 : (size_t)row->max;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "a text of 1 to %zu bytes", max);
    if (len == 0 || len > max)
        return wrong(reason, row, value, wanted);
    memset(to->text, 0, sizeof to->text);
    memcpy(to->text, value, len);
    return BK_OK;
}

/* Field by field into zeros: what lies between fields is compared, too. */
static void put_ip(struct bk_ip *to, const struct bk_ip *ip) {
    memset(to, 0, sizeof *to);
    to->family = ip->family;
    memcpy(to->bytes, ip->bytes, sizeof to->bytes);
    to->zone = ip->zone;
}

static enum bk_err add_listen(struct server_listen *to, const struct server_option *row,
                              const char *value, char *reason) {
    struct bk_ip ip;
    if (bk_ip_parse(value, &ip) != BK_OK)
        return wrong(reason, row, value, "an IP address");
    if (to->count == SERVER_LISTEN_MAX)
        return wrong(reason, row, value, "one of at most 16 addresses");
    put_ip(&to->ips[to->count++], &ip);
    return BK_OK;
}

/* "10.0.0.4" or, behind a one-to-one NAT, "10.0.0.4=203.0.113.4". */
static enum bk_err add_outside(struct server_listen *to, const struct server_option *row,
                               const char *value, char *reason) {
    char inside[BK_ADDR_TEXT_MAX];
    const char *equals = strchr(value, '=');
    size_t len = equals == NULL ? strlen(value) : (size_t)(equals - value);
    struct bk_ip outside = {.family = BK_FAMILY_NONE};
    if (len >= sizeof inside || (equals != NULL && bk_ip_parse(equals + 1, &outside) != BK_OK))
        return wrong(reason, row, value, "an IP address, or ADDR=OUTSIDE");
    memcpy(inside, value, len);
    inside[len] = '\0';
    enum bk_err err = add_listen(to, row, inside, reason);
    if (err != BK_OK)
        return err;
    put_ip(&to->outside[to->count - 1], &outside);
    return BK_OK;
}

static enum bk_err set_flag(bool *to, const struct server_option *row, const char *value,
                            char *reason) {
    bool yes = value == NULL || strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "no") != 0 && strcmp(value, "false") != 0)
        return wrong(reason, row, value, "yes or no");
    *to = yes;
    return BK_OK;
}

/* One of the words "a|b|c" in the row. */
static enum bk_err set_choice(int64_t *to, const struct server_option *row, const char *value,
                              char *reason) {
    int64_t number = 0;
    size_t len = strlen(value);
    for (const char *word = row->value; word != NULL; number++) {
        const char *bar = strchr(word, '|');
        size_t word_len = bar == NULL ? strlen(word) : (size_t)(bar - word);
        if (word_len == len && memcmp(word, value, len) == 0) {
            *to = number;
            return BK_OK;
        }
        word = bar == NULL ? NULL : bar + 1;
    }
    return wrong(reason, row, value, row->value);
}

static enum bk_err set_ports(struct server_ports *to, const struct server_option *row,
                             const char *value, char *reason) {
    char *end, *last;
    unsigned long min = strtoul(value, &end, 10);
    unsigned long max = *end == '-' ? strtoul(end + 1, &last, 10) : 0;
    if (end == value || *end != '-' || last == end + 1 || *last != '\0' || min < 1 || max > 65535 ||
        min > max)
        return wrong(reason, row, value, "MIN-MAX, two ports");
    *to = (struct server_ports){(uint16_t)min, (uint16_t)max};
    return BK_OK;
}

/* "10.0.0.0/8", or an address alone. Bits behind the prefix are a mistake: one of the two was meant
 * otherwise. */
static bool read_range(const char *value, struct turn_range *out) {
    char text[BK_ADDR_TEXT_MAX], *end;
    const char *slash = strchr(value, '/');
    size_t len = slash == NULL ? strlen(value) : (size_t)(slash - value);
    if (len >= sizeof text)
        return false;
    memcpy(text, value, len);
    text[len] = '\0';
    if (bk_ip_parse(text, &out->ip) != BK_OK || out->ip.zone != 0)
        return false;
    unsigned long all = out->ip.family == BK_IPV4 ? 32 : 128;
    unsigned long bits = slash == NULL ? all : strtoul(slash + 1, &end, 10);
    if (slash != NULL && (end == slash + 1 || *end != '\0' || slash[1] == '-' || slash[1] == '+'))
        return false;
    if (bits > all)
        return false;
    for (unsigned long i = bits; i < all; i++)
        if ((out->ip.bytes[i / 8] >> (7 - i % 8) & 1) != 0)
            return false;
    out->bits = (uint8_t)bits;
    return true;
}

static enum bk_err add_range(struct server_ranges *to, const struct server_option *row,
                             const char *value, char *reason) {
    struct turn_range range;
    if (!read_range(value, &range))
        return wrong(reason, row, value, "a range of addresses like 10.0.0.0/8");
    if (to->count == SERVER_RANGES_MAX)
        return wrong(reason, row, value, "one of at most 128 ranges");
    put_ip(&to->list[to->count].ip, &range.ip);
    to->list[to->count++].bits = range.bits;
    return BK_OK;
}

static enum bk_err add_user(struct server_users *to, const struct server_option *row,
                            const char *value, char *reason) {
    const char *colon = strchr(value, ':');
    if (colon == NULL || colon == value || colon[1] == '\0')
        return wrong_secret(reason, row, "NAME:PASSWORD");
    size_t name = (size_t)(colon - value), password = strlen(colon + 1);
    if (to->count == SERVER_USERS_MAX)
        return wrong_secret(reason, row, "one of at most 256; `bodkin user add` keeps more");
    struct server_user *user = &to->list[to->count];
    if (name >= sizeof user->name || password >= sizeof user->password)
        return wrong_secret(reason, row, "NAME:PASSWORD of at most 127 bytes each");
    memset(user, 0, sizeof *user);
    memcpy(user->name, value, name);
    memcpy(user->password, colon + 1, password);
    to->count++;
    return BK_OK;
}

static enum bk_err add_secret(struct server_secrets *to, const struct server_option *row,
                              const char *value, char *reason) {
    size_t len = strlen(value);
    if (len == 0 || len >= sizeof to->list[0])
        return wrong_secret(reason, row, "a text of 1 to 511 bytes");
    if (to->count == SERVER_SECRETS_MAX)
        return wrong_secret(reason, row, "one of at most 16");
    memset(to->list[to->count], 0, sizeof to->list[0]);
    memcpy(to->list[to->count++], value, len);
    return BK_OK;
}

/* "@FILE": the first line of FILE, since others can read command lines. */
static enum bk_err add_secret_of(struct server_secrets *to, const struct server_option *row,
                                 const char *value, char *reason) {
    char line[SERVER_SECRET_TEXT_MAX];
    if (value[0] != '@')
        return add_secret(to, row, value, reason);
    FILE *file = fopen(value + 1, "re");
    bool read = file != NULL && fgets(line, sizeof line, file) != NULL;
    if (file != NULL)
        fclose(file);
    if (!read)
        return wrong(reason, row, value, "a file with a line that can be read");
    line[strcspn(line, "\r\n")] = '\0';
    enum bk_err err = add_secret(to, row, line, reason);
    wipe(line, sizeof line);
    return err;
}

/* Which files a reload will read: lockdown.c leaves them open. More than there is room for are read
 * at the start only. */
static void note_file(struct server_options *o, const char *path) {
    size_t len = strlen(path);
    for (size_t i = 0; i < SERVER_SECRET_FILES_MAX && len < SERVER_TEXT_MAX; i++) {
        struct server_text *to = &o->secret_files[i];
        if (to->text[0] == '\0')
            memcpy(to->text, path, len + 1);
        if (strcmp(to->text, path) == 0)
            return;
    }
}

static enum bk_err set_addr(struct bk_addr *to, const struct server_option *row, const char *value,
                            char *reason) {
    struct bk_addr addr = {.port = STUN_PORT};
    if (bk_addr_parse(value, &addr) != BK_OK && bk_ip_parse(value, &addr.ip) != BK_OK)
        return wrong(reason, row, value, "an IP address, with a port or without");
    put_ip(&to->ip, &addr.ip);
    to->port = addr.port;
    return BK_OK;
}

static enum bk_err set_level(enum log_level *to, const struct server_option *row, const char *value,
                             char *reason) {
    if (!log_level_parse(value, to))
        return wrong(reason, row, value, "debug, info, warn or error");
    return BK_OK;
}

enum bk_err server_option_set(struct server_options *o, const struct server_option *row,
                              const char *value, char *reason) {
    void *field = (char *)o + row->offset;
    if (row->type != SERVER_FLAG && value == NULL) {
        snprintf(reason, SERVER_TEXT_MAX, "%s needs a value", row->name);
        return BK_ERR_MALFORMED;
    }
    switch (row->type) {
    case SERVER_FLAG:
        return set_flag(field, row, value, reason);
    case SERVER_NUMBER:
    case SERVER_RATE:
        return set_number(field, row, value, reason);
    case SERVER_TEXT:
        return set_text(field, row, value, reason);
    case SERVER_LISTEN:
        return add_listen(field, row, value, reason);
    case SERVER_OUTSIDE:
        return add_outside(field, row, value, reason);
    case SERVER_LEVEL:
        return set_level(field, row, value, reason);
    case SERVER_CHOICE:
        return set_choice(field, row, value, reason);
    case SERVER_PORTS:
        return set_ports(field, row, value, reason);
    case SERVER_RANGES:
        return add_range(field, row, value, reason);
    case SERVER_USERS:
        return add_user(field, row, value, reason);
    case SERVER_SECRETS:
        if (value[0] == '@')
            note_file(o, value + 1);
        return add_secret_of(field, row, value, reason);
    case SERVER_ADDR:
        return set_addr(field, row, value, reason);
    }
    return BK_ERR_ARGUMENT;
}

static size_t size_of(enum server_option_type type) {
    switch (type) {
    case SERVER_FLAG:
        return sizeof(bool);
    case SERVER_NUMBER:
    case SERVER_RATE:
    case SERVER_CHOICE:
        return sizeof(int64_t);
    case SERVER_TEXT:
        return sizeof(struct server_text);
    case SERVER_LISTEN:
    case SERVER_OUTSIDE:
        return sizeof(struct server_listen);
    case SERVER_LEVEL:
        return sizeof(enum log_level);
    case SERVER_PORTS:
        return sizeof(struct server_ports);
    case SERVER_RANGES:
        return sizeof(struct server_ranges);
    case SERVER_USERS:
        return sizeof(struct server_users);
    case SERVER_SECRETS:
        return sizeof(struct server_secrets);
    case SERVER_ADDR:
        return sizeof(struct bk_addr);
    }
    return 0;
}

/* Everything starts as zeros and is written whole, so bytes that differ are values that do. */
bool server_option_differs(const struct server_options *a, const struct server_options *b,
                           const struct server_option *row) {
    return memcmp((const char *)a + row->offset, (const char *)b + row->offset,
                  size_of(row->type)) != 0;
}

void server_option_copy(struct server_options *to, const struct server_options *from,
                        const struct server_option *row) {
    memcpy((char *)to + row->offset, (const char *)from + row->offset, size_of(row->type));
}
