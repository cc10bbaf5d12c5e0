/* SPDX-License-Identifier: MIT
 * Building short texts without stdio, which the core does not import. A text that does not fit is
 * cut, stays NUL-terminated, and says so in `cut`. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <bodkin/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    char *out;
    size_t cap; /* at least 1 */
    size_t len; /* without the NUL */
    bool cut;
};

/* Starts an empty text in `out`, which has room for `cap` >= 1 bytes. */
struct text text_in(char *out, size_t cap);
void text_char(struct text *t, char c);
void text_str(struct text *t, const char *s);
void text_bytes(struct text *t, const char *s, size_t len);
void text_u64(struct text *t, uint64_t value);
void text_i64(struct text *t, int64_t value);
/* Lower-case hexadecimal, two digits a byte. */
void text_hex(struct text *t, const uint8_t *bytes, size_t len);
void text_addr(struct text *t, const struct bk_addr *addr);
/* Milliseconds with one decimal: 18345 us is "18.3". */
void text_ms(struct text *t, int64_t us);

#endif
