/* SPDX-License-Identifier: MIT */
#include "sdp/words.h"

#include <string.h>

struct view view_of(const char *at, size_t len) {
    struct view v = {.at = at, .len = len};
    return v;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

static bool is_blank(char c) {
    return is_space(c) || c == '\r' || c == '\n';
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static char lower(char c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c;
}

static bool is_letter(char c) {
    c = lower(c);
    return c >= 'a' && c <= 'z';
}

struct view view_trim(struct view v) {
    while (v.len > 0 && is_blank(v.at[v.len - 1]))
        v.len--;
    while (v.len > 0 && is_blank(v.at[0])) {
        v.at++;
        v.len--;
    }
    return v;
}

bool view_is(struct view v, const char *word) {
    if (v.len != strlen(word))
        return false;
    for (size_t i = 0; i < v.len; i++)
        if (lower(v.at[i]) != lower(word[i]))
            return false;
    return true;
}

bool view_skip(struct view *v, const char *prefix) {
    size_t len = strlen(prefix);
    if (v->len < len || memcmp(v->at, prefix, len) != 0)
        return false;
    v->at += len;
    v->len -= len;
    return true;
}

bool view_word(struct view *rest, struct view *out) {
    *rest = view_trim(*rest);
    size_t len = 0;
    while (len < rest->len && !is_space(rest->at[len]))
        len++;
    if (len == 0)
        return false;
    *out = view_of(rest->at, len);
    *rest = view_of(rest->at + len, rest->len - len);
    return true;
}

bool view_is_visible(struct view v) {
    for (size_t i = 0; i < v.len; i++)
        if (!is_space(v.at[i]) && (v.at[i] < 0x21 || v.at[i] > 0x7e))
            return false;
    return true;
}

bool view_number(struct view v, uint32_t max, uint32_t *out) {
    uint64_t value = 0;
    if (v.len == 0 || v.len > 10)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        if (!is_digit(v.at[i]))
            return false;
        value = value * 10 + (unsigned)(v.at[i] - '0');
    }
    if (value > max)
        return false;
    *out = (uint32_t)value;
    return true;
}

bool view_ip(struct view v, struct bk_ip *out) {
    char text[BK_ADDR_TEXT_MAX];
    const char *zone = v.len > 0 ? memchr(v.at, '%', v.len) : NULL;
    if (zone != NULL)
        v.len = (size_t)(zone - v.at);
    if (v.len == 0 || v.len >= sizeof text)
        return false;
    view_copy(v, text);
    struct bk_ip ip;
    if (bk_ip_parse(text, &ip) != BK_OK || (zone != NULL && ip.family != BK_IPV6))
        return false;
    bk_ip_unmap(&ip); /* our sockets show ::ffff:a.b.c.d as a.b.c.d, and so must a peer's */
    *out = ip;
    return true;
}

bool view_is_name(struct view v) {
    enum { LABEL_MAX = 63, NAME_MAX_LEN = 255 }; /* RFC 1035 section 2.3.4 */
    size_t label = 0;
    bool digits = true; /* so far in this label; "1.2.3.4.5" is no name */
    if (v.len > 1 && v.at[v.len - 1] == '.')
        v.len--; /* fully qualified */
    if (v.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < v.len; i++) {
        char c = v.at[i];
        if (c == '.') {
            if (label == 0)
                return false;
            label = 0;
            digits = true;
            continue;
        }
        if (!is_letter(c) && !is_digit(c) && c != '-' && c != '_')
            return false;
        digits = digits && is_digit(c);
        if (++label > LABEL_MAX)
            return false;
    }
    return label > 0 && !digits;
}

bool view_is_ice_chars(struct view v) {
    for (size_t i = 0; i < v.len; i++)
        if (!is_letter(v.at[i]) && !is_digit(v.at[i]) && v.at[i] != '+' && v.at[i] != '/')
            return false;
    return true;
}

void view_copy(struct view v, char *out) {
    if (v.len > 0)
        memcpy(out, v.at, v.len);
    out[v.len] = '\0';
}
