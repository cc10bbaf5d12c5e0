/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <string.h>

struct text text_in(char *out, size_t cap) {
    out[0] = '\0';
    struct text t = {.out = out, .cap = cap};
    return t;
}

void text_bytes(struct text *t, const char *s, size_t len) {
    size_t room = t->cap - 1 - t->len;
    if (len > room) {
        len = room;
        t->cut = true;
    }
    memcpy(t->out + t->len, s, len);
    t->len += len;
    t->out[t->len] = '\0';
}

void text_char(struct text *t, char c) {
    text_bytes(t, &c, 1);
}

void text_str(struct text *t, const char *s) {
    text_bytes(t, s, strlen(s));
}

void text_u64(struct text *t, uint64_t value) {
    char digits[20];
    size_t n = sizeof digits;
    do {
        digits[--n] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    text_bytes(t, digits + n, sizeof digits - n);
}

void text_i64(struct text *t, int64_t value) {
    if (value < 0)
        text_char(t, '-');
    text_u64(t, value < 0 ? ~(uint64_t)value + 1 : (uint64_t)value);
}

void text_hex(struct text *t, const uint8_t *bytes, size_t len) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        text_char(t, digits[bytes[i] >> 4]);
        text_char(t, digits[bytes[i] & 15]);
    }
}

void text_addr(struct text *t, const struct bk_addr *addr) {
    char buf[BK_ADDR_TEXT_MAX];
    text_str(t, bk_addr_format(addr, buf));
}

void text_ms(struct text *t, int64_t us) {
    int64_t tenths = (us + (us < 0 ? -50 : 50)) / 100;
    if (tenths < 0) {
        text_char(t, '-');
        tenths = -tenths;
    }
    text_i64(t, tenths / 10);
    text_char(t, '.');
    text_i64(t, tenths % 10);
}
