/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "cli/nat_card.h"

#include "nat/nat.h"
#include <bodkin/time.h>
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void explain(char reason[NAT_CARD_REASON_MAX], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void explain(char reason[NAT_CARD_REASON_MAX], const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(reason, NAT_CARD_REASON_MAX, format, args);
    va_end(args);
}

/* --- the traits as a table: a new one is a row --- */

struct word {
    unsigned value;
    const char *text; /* NULL: the end */
};

static const struct word dep_words[] = {{BK_NAT_EI, "endpoint-independent"},
                                        {BK_NAT_AD, "address-dependent"},
                                        {BK_NAT_APD, "address-and-port-dependent"},
                                        {0, NULL}};
static const struct word ports_words[] = {{BK_NAT_PORTS_PRESERVE, "preserving"},
                                          {BK_NAT_PORTS_SEQUENTIAL, "sequential"},
                                          {BK_NAT_PORTS_RANDOM, "random"},
                                          {BK_NAT_PORTS_TIME, "time"},
                                          {0, NULL}};
static const struct word hairpin_words[] = {{BK_NAT_HAIRPIN_NONE, "none"},
                                            {BK_NAT_HAIRPIN_EXTERNAL, "external"},
                                            {BK_NAT_HAIRPIN_INTERNAL, "internal"},
                                            {0, NULL}};
static const struct word unsolicited_words[] = {
    {BK_NAT_UNSOLICITED_DROP, "drop"}, {BK_NAT_UNSOLICITED_REJECT, "reject"}, {0, NULL}};

enum kind { MAYBE, WORD, U16, U32, I32, DOUBLE, MILLISECONDS, ADDRESS };

struct field {
    const char *key;
    enum kind kind;
    size_t offset;
    const struct word *words; /* WORD */
    double max;               /* of a number; the least is 0, or -max for I32 */
};

#define AT(member) offsetof(struct bk_nat_traits, member)
static const struct field fields[] = {
    {"translated", MAYBE, AT(translated), NULL, 0},
    {"udp_blocked", MAYBE, AT(udp_blocked), NULL, 0},
    {"mapping", WORD, AT(mapping), dep_words, 0},
    {"filtering", WORD, AT(filtering), dep_words, 0},
    {"ports", WORD, AT(ports), ports_words, 0},
    {"step", I32, AT(step), NULL, 65535},
    {"ports_per_s", DOUBLE, AT(ports_per_s), NULL, 1e6},
    {"foreign_per_s", DOUBLE, AT(foreign_per_s), NULL, 1e6},
    {"port_min", U16, AT(port_min), NULL, 65535},
    {"port_max", U16, AT(port_max), NULL, 65535},
    {"port_count", U32, AT(port_count), NULL, 65536},
    {"paired", MAYBE, AT(paired), NULL, 0},
    {"hairpin", WORD, AT(hairpin), hairpin_words, 0},
    {"unsolicited", WORD, AT(unsolicited), unsolicited_words, 0},
    {"inbound_first", MAYBE, AT(inbound_first), NULL, 0},
    {"mappings_max", U32, AT(mappings_max), NULL, 4294967295.0},
    {"udp_lifetime_ms", MILLISECONDS, AT(udp_lifetime_us), NULL, 1e12},
    {"external", ADDRESS, AT(external), NULL, 0},
    {"inner", ADDRESS, AT(inner), NULL, 0},
    {"two_nats", MAYBE, AT(two_nats), NULL, 0},
    {"port_mapping", MAYBE, AT(port_mapping), NULL, 0},
    {"tcp_punch", MAYBE, AT(tcp_punch), NULL, 0},
    {"ipv6", MAYBE, AT(ipv6), NULL, 0},
};
#undef AT

enum { FIELDS = sizeof fields / sizeof *fields };

/* --- writing --- */

static const char *word_for(const struct word *words, unsigned value) {
    for (; words->text != NULL; words++)
        if (words->value == value)
            return words->text;
    return NULL;
}

static double number_of(const struct field *f, const uint8_t *at) {
    uint16_t u16;
    uint32_t u32;
    int32_t i32;
    int64_t us;
    double real = 0;
    switch (f->kind) {
    case U16:
        memcpy(&u16, at, sizeof u16);
        return u16;
    case U32:
        memcpy(&u32, at, sizeof u32);
        return u32;
    case I32:
        memcpy(&i32, at, sizeof i32);
        return i32;
    case MILLISECONDS:
        memcpy(&us, at, sizeof us);
        return (double)(us / BK_US_PER_MS);
    case DOUBLE:
        memcpy(&real, at, sizeof real);
        return real;
    case MAYBE:
    case WORD:
    case ADDRESS:
        break;
    }
    return 0;
}

/* Leaves out what is unknown, which is zero everywhere. */
static void write_field(cJSON *object, const struct field *f, const uint8_t *at) {
    unsigned value;
    struct bk_ip ip;
    char text[BK_ADDR_TEXT_MAX];
    switch (f->kind) {
    case MAYBE:
        memcpy(&value, at, sizeof value);
        if (value != BK_UNKNOWN)
            cJSON_AddBoolToObject(object, f->key, value == BK_YES);
        return;
    case WORD:
        memcpy(&value, at, sizeof value);
        if (word_for(f->words, value) != NULL)
            cJSON_AddStringToObject(object, f->key, word_for(f->words, value));
        return;
    case ADDRESS:
        memcpy(&ip, at, sizeof ip);
        if (ip.family != BK_FAMILY_NONE)
            cJSON_AddStringToObject(object, f->key, bk_ip_format(&ip, text));
        return;
    case U16:
    case U32:
    case I32:
    case DOUBLE:
    case MILLISECONDS:
        if (number_of(f, at) != 0)
            cJSON_AddNumberToObject(object, f->key, number_of(f, at));
        return;
    }
}

cJSON *nat_traits_json(const struct bk_nat_traits *traits) {
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; i < FIELDS; i++)
        write_field(object, &fields[i], (const uint8_t *)traits + fields[i].offset);
    return object;
}

static bool knows_something(const struct bk_nat_traits *t) {
    return t->translated != BK_UNKNOWN || t->udp_blocked != BK_UNKNOWN;
}

cJSON *nat_card_json(const struct nat_card *card) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "bodkin_nat_card", NAT_CARD_VERSION);
    if (knows_something(&card->ipv4))
        cJSON_AddItemToObject(object, "ipv4", nat_traits_json(&card->ipv4));
    if (knows_something(&card->ipv6))
        cJSON_AddItemToObject(object, "ipv6", nat_traits_json(&card->ipv6));
    return object;
}

/* --- reading --- */

static bool read_word(const struct field *f, const cJSON *item, uint8_t *at) {
    if (!cJSON_IsString(item))
        return false;
    for (const struct word *w = f->words; w->text != NULL; w++)
        if (strcmp(w->text, item->valuestring) == 0) {
            memcpy(at, &w->value, sizeof w->value);
            return true;
        }
    return false;
}

static bool read_number(const struct field *f, const cJSON *item, uint8_t *at) {
    double value = cJSON_IsNumber(item) ? item->valuedouble : -1e300;
    if (!(value >= (f->kind == I32 ? -f->max : 0) && value <= f->max)) /* so no NaN either */
        return false;
    if (f->kind != DOUBLE && value != (double)(int64_t)value)
        return false;
    uint16_t u16 = f->kind == U16 ? (uint16_t)value : 0;
    uint32_t u32 = f->kind == U32 ? (uint32_t)value : 0;
    int32_t i32 = f->kind == I32 ? (int32_t)value : 0;
    int64_t us = f->kind == MILLISECONDS ? (int64_t)value * BK_US_PER_MS : 0;
    if (f->kind == U16)
        memcpy(at, &u16, sizeof u16);
    else if (f->kind == U32)
        memcpy(at, &u32, sizeof u32);
    else if (f->kind == I32)
        memcpy(at, &i32, sizeof i32);
    else if (f->kind == MILLISECONDS)
        memcpy(at, &us, sizeof us);
    else
        memcpy(at, &value, sizeof value);
    return true;
}

static bool read_field(const struct field *f, const cJSON *item, uint8_t *at) {
    struct bk_ip ip;
    unsigned maybe = cJSON_IsTrue(item) ? BK_YES : BK_NO;
    if (cJSON_IsNull(item))
        return true; /* unknown, said aloud */
    switch (f->kind) {
    case MAYBE:
        memcpy(at, &maybe, sizeof maybe);
        return cJSON_IsBool(item);
    case WORD:
        return read_word(f, item, at);
    case ADDRESS:
        if (!cJSON_IsString(item) || bk_ip_parse(item->valuestring, &ip) != BK_OK)
            return false;
        memcpy(at, &ip, sizeof ip);
        return true;
    case U16:
    case U32:
    case I32:
    case DOUBLE:
    case MILLISECONDS:
        return read_number(f, item, at);
    }
    return false;
}

static enum bk_err read_traits(const cJSON *object, const char *name, struct bk_nat_traits *out,
                               char reason[NAT_CARD_REASON_MAX]) {
    memset(out, 0, sizeof *out);
    if (object == NULL)
        return BK_OK;
    if (!cJSON_IsObject(object)) {
        explain(reason, "\"%s\" is not an object", name);
        return BK_ERR_MALFORMED;
    }
    for (size_t i = 0; i < FIELDS; i++) {
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, fields[i].key);
        if (item != NULL && !read_field(&fields[i], item, (uint8_t *)out + fields[i].offset)) {
            explain(reason, "\"%s\" has no possible value", fields[i].key);
            return BK_ERR_MALFORMED;
        }
    }
    if (out->port_max < out->port_min) {
        explain(reason, "\"port_max\" is less than \"port_min\"");
        return BK_ERR_MALFORMED;
    }
    return BK_OK;
}

static enum bk_err read_card(const cJSON *root, struct nat_card *out,
                             char reason[NAT_CARD_REASON_MAX]) {
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "bodkin_nat_card");
    struct nat_card card;
    if (version == NULL) { /* the report of --json */
        root = cJSON_GetObjectItemCaseSensitive(root, "card");
        version = cJSON_GetObjectItemCaseSensitive(root, "bodkin_nat_card");
    }
    if (!cJSON_IsNumber(version) || version->valuedouble < 1) {
        explain(reason, "it is not what `bodkin nat --card` writes");
        return BK_ERR_NOT_OURS;
    }
    if (version->valuedouble != NAT_CARD_VERSION) {
        explain(reason, "it was written by a newer bodkin");
        return BK_ERR_UNSUPPORTED;
    }
    enum bk_err err =
        read_traits(cJSON_GetObjectItemCaseSensitive(root, "ipv4"), "ipv4", &card.ipv4, reason);
    if (err == BK_OK)
        err =
            read_traits(cJSON_GetObjectItemCaseSensitive(root, "ipv6"), "ipv6", &card.ipv6, reason);
    if (err == BK_OK && !knows_something(&card.ipv4) && !knows_something(&card.ipv6)) {
        explain(reason, "it says nothing about a NAT");
        err = BK_ERR_MALFORMED;
    }
    if (err == BK_OK)
        *out = card;
    return err;
}

enum bk_err nat_card_parse(const char *text, size_t len, struct nat_card *out,
                           char reason[NAT_CARD_REASON_MAX]) {
    cJSON *root = len > NAT_CARD_MAX ? NULL : cJSON_ParseWithLength(text, len);
    enum bk_err err = BK_ERR_NOT_OURS;
    if (root == NULL)
        explain(reason, len > NAT_CARD_MAX ? "it is too long" : "it is not JSON");
    else
        err = read_card(root, out, reason);
    cJSON_Delete(root);
    return err;
}

/* --- files --- */

enum bk_err nat_card_write(const char *path, const struct nat_card *card,
                           char reason[NAT_CARD_REASON_MAX]) {
    cJSON *object = nat_card_json(card);
    char *text = cJSON_PrintUnformatted(object);
    cJSON_Delete(object);
    if (text == NULL) {
        explain(reason, "there is no memory");
        return BK_ERR_NO_MEMORY;
    }
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *file = to_stdout ? stdout : fopen(path, "we");
    bool ok = file != NULL && fprintf(file, "%s\n", text) > 0 && fflush(file) == 0;
    int why = errno;
    if (file != NULL && !to_stdout)
        ok = fclose(file) == 0 && ok;
    cJSON_free(text);
    if (ok)
        return BK_OK;
    explain(reason, "%s", strerror(why));
    return BK_ERR_IO;
}

static enum bk_err preset_card(const char *name, struct nat_card *out,
                               char reason[NAT_CARD_REASON_MAX]) {
    struct nat_config config;
    if (nat_preset(name, &config) != BK_OK) {
        explain(reason, "there is no such preset; `man bodkin-lab` lists them");
        return BK_ERR_NOT_FOUND;
    }
    memset(out, 0, sizeof *out);
    nat_traits_of(&config, &out->ipv4);
    return BK_OK;
}

enum bk_err nat_card_read(const char *path, struct nat_card *out,
                          char reason[NAT_CARD_REASON_MAX]) {
    static char text[NAT_CARD_MAX + 1];
    if (strncmp(path, "preset:", 7) == 0)
        return preset_card(path + 7, out, reason);
    bool from_stdin = strcmp(path, "-") == 0;
    FILE *file = from_stdin ? stdin : fopen(path, "re");
    if (file == NULL) {
        explain(reason, "%s", strerror(errno));
        return errno == ENOENT ? BK_ERR_NOT_FOUND : BK_ERR_IO;
    }
    size_t len = fread(text, 1, sizeof text, file);
    bool failed = ferror(file) != 0;
    int why = errno;
    if (!from_stdin)
        (void)fclose(file);
    if (failed) {
        explain(reason, "%s", strerror(why));
        return BK_ERR_IO;
    }
    return nat_card_parse(text, len, out, reason);
}
