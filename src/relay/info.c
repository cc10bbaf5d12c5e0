/* SPDX-License-Identifier: MIT
 * RFC 8259 as far as two flat objects need it. */
#include "relay/info.h"

#include <string.h>

enum { NAME_MAX = 32, VALUE_MAX = 96 };

struct json {
    const uint8_t *at, *end;
    bool failed;
};

/* A name or a value: strings without their quotes, cut to what we compare with. */
struct word {
    char text[VALUE_MAX];
    size_t len;
    bool string, cut;
};

static void skip_space(struct json *j) {
    while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
        j->at++;
}

static bool take(struct json *j, uint8_t c) {
    skip_space(j);
    if (j->failed || j->at == j->end || *j->at != c)
        return false;
    j->at++;
    return true;
}

static void word_add(struct word *w, uint8_t c) {
    if (w->len + 1 < sizeof w->text)
        w->text[w->len++] = (char)c;
    else
        w->cut = true;
}

/* Reads a string after its opening quote. An escape makes the word unequal to every name we know,
 * which is all that matters here: no key of the protocol needs one. */
static void read_string(struct json *j, struct word *w) {
    w->string = true;
    while (j->at < j->end && *j->at != '"') {
        if (*j->at < 0x20)
            break;
        if (*j->at == '\\') {
            w->cut = true;
            j->at++;
            if (j->at == j->end)
                break;
        }
        word_add(w, *j->at++);
    }
    if (j->at == j->end || *j->at != '"') {
        j->failed = true;
        return;
    }
    j->at++;
}

/* Skips an array or object, keeping count of brackets and stepping over strings. */
static void skip_nested(struct json *j) {
    unsigned depth = 0;
    do {
        if (j->at == j->end) {
            j->failed = true;
            return;
        }
        uint8_t c = *j->at++;
        struct word ignored = {0};
        if (c == '"')
            read_string(j, &ignored);
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
    } while (depth > 0 && !j->failed);
}

static bool is_bare(uint8_t c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

static void read_value(struct json *j, struct word *w) {
    if (take(j, '"')) {
        read_string(j, w);
        return;
    }
    skip_space(j);
    if (j->at < j->end && (*j->at == '{' || *j->at == '[')) {
        w->cut = true;
        skip_nested(j);
        return;
    }
    while (j->at < j->end && is_bare(*j->at))
        word_add(w, *j->at++);
    if (w->len == 0)
        j->failed = true;
}

static char lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool word_is(const struct word *w, const char *lower_name) {
    if (w->cut || w->len != strlen(lower_name))
        return false;
    for (size_t i = 0; i < w->len; i++)
        if (lower(w->text[i]) != lower_name[i])
            return false;
    return true;
}

static bool word_u64(const struct word *w, uint64_t *out) {
    uint64_t value = 0;
    if (w->string || w->cut || w->len == 0 || w->len > 18)
        return false;
    for (size_t i = 0; i < w->len; i++) {
        if (w->text[i] < '0' || w->text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(w->text[i] - '0');
    }
    *out = value;
    return true;
}

static bool word_bool(const struct word *w, bool *out) {
    if (w->string || (!word_is(w, "true") && !word_is(w, "false")))
        return false;
    *out = word_is(w, "true");
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* An empty mesh key is what Go writes for none. */
static bool word_key(const struct word *w, struct relay_info *info) {
    uint8_t key[32];
    if (!w->string || w->cut || (w->len != 0 && w->len != 64))
        return false;
    for (size_t i = 0; i < w->len; i += 2) {
        int high = hex_digit(w->text[i]), low = hex_digit(w->text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        key[i / 2] = (uint8_t)(high << 4 | low);
    }
    info->mesh_key_known = w->len == 64;
    if (info->mesh_key_known)
        memcpy(info->mesh_key, key, sizeof key);
    return true;
}

static bool set_member(struct relay_info *info, const struct word *name, const struct word *value) {
    uint64_t version = info->version;
    if (!value->string && word_is(value, "null"))
        return true; /* Go leaves the field as it is */
    if (word_is(name, "version")) {
        if (!word_u64(value, &version) || version > UINT32_MAX)
            return false;
        info->version = (uint32_t)version;
        return true;
    }
    if (word_is(name, "canackpings"))
        return word_bool(value, &info->can_ack_pings);
    if (word_is(name, "isprober"))
        return word_bool(value, &info->is_prober);
    if (word_is(name, "meshkey"))
        return word_key(value, info);
    if (word_is(name, "tokenbucketbytespersecond"))
        return word_u64(value, &info->rate_bytes_per_s);
    if (word_is(name, "tokenbucketbytesburst"))
        return word_u64(value, &info->rate_burst_bytes);
    return true;
}

enum bk_err relay_info_parse(const uint8_t *data, size_t len, struct relay_info *out) {
    struct json j = {data, data + len, false};
    struct relay_info info = {0};
    if (!take(&j, '{'))
        return BK_ERR_MALFORMED;
    bool first = true;
    while (!take(&j, '}')) {
        struct word name = {0}, value = {0};
        if (!first && !take(&j, ','))
            return BK_ERR_MALFORMED;
        first = false;
        if (!take(&j, '"'))
            return BK_ERR_MALFORMED;
        read_string(&j, &name);
        if (!take(&j, ':'))
            return BK_ERR_MALFORMED;
        read_value(&j, &value);
        if (j.failed || !set_member(&info, &name, &value))
            return BK_ERR_MALFORMED;
    }
    skip_space(&j);
    if (j.at != j.end)
        return BK_ERR_MALFORMED;
    *out = info;
    return BK_OK;
}

void relay_info_put_client(struct text *out, const struct relay_info *info) {
    text_str(out, "{");
    if (info->mesh_key_known) {
        text_str(out, "\"meshKey\":\"");
        text_hex(out, info->mesh_key, sizeof info->mesh_key);
        text_str(out, "\",");
    }
    text_str(out, "\"version\":");
    text_u64(out, info->version);
    text_str(out, info->can_ack_pings ? ",\"CanAckPings\":true" : ",\"CanAckPings\":false");
    text_str(out, info->is_prober ? ",\"IsProber\":true}" : "}");
}

void relay_info_put_server(struct text *out, const struct relay_info *info) {
    text_str(out, "{\"version\":");
    text_u64(out, info->version);
    if (info->rate_bytes_per_s > 0) {
        text_str(out, ",\"TokenBucketBytesPerSecond\":");
        text_u64(out, info->rate_bytes_per_s);
        text_str(out, ",\"TokenBucketBytesBurst\":");
        text_u64(out, info->rate_burst_bytes);
    }
    text_str(out, "}");
}
