/* SPDX-License-Identifier: MIT */
#include <peer/base32.h>

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

size_t base32_encode(const uint8_t *bytes, size_t len, char *out) {
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | bytes[i]) & 0xfff;
        for (held += 8; held >= 5; held -= 5)
            out[n++] = letters[bits >> (held - 5) & 31];
    }
    if (held > 0)
        out[n++] = letters[bits << (5 - held) & 31];
    out[n] = '\0';
    return n;
}

static int value_of(char c) {
    if (c >= 'a' && c <= 'z')
        return c - 'a';
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    return c >= '2' && c <= '7' ? c - '2' + 26 : -1;
}

enum bk_err base32_decode(const char *text, size_t len, uint8_t *out, size_t cap, size_t *out_len) {
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        if (value_of(text[i]) < 0)
            return BK_ERR_NOT_OURS;
    if (len * 5 / 8 > cap)
        return BK_ERR_TOO_LONG;
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 5 | (uint32_t)value_of(text[i])) & 0xfff;
        held += 5;
        if (held >= 8) {
            held -= 8;
            out[n++] = (uint8_t)(bits >> held);
        }
    }
    if (held >= 5 || (bits & ((1u << held) - 1)) != 0)
        return BK_ERR_MALFORMED;
    *out_len = n;
    return BK_OK;
}
