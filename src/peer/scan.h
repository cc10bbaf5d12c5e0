/* SPDX-License-Identifier: MIT
 * Reading what people typed or pasted: trimmed, and without regard to letter case. */
#ifndef PEER_SCAN_H
#define PEER_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* What is still to be read. */
struct scan {
    const char *at;
    size_t left;
};

static inline bool scan_is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* ASCII only, whatever the locale. */
static inline char scan_lower(char c) {
    if (c >= 'A' && c <= 'Z')
        return (char)(c - 'A' + 'a');
    return c;
}

static inline void scan_skip(struct scan *s, size_t n) {
    s->at += n;
    s->left -= n;
}

/* The text without the white space around it. */
static inline struct scan scan_trimmed(const char *text, size_t len) {
    struct scan s = {text, len};
    while (s.left > 0 && scan_is_space(s.at[0]))
        scan_skip(&s, 1);
    while (s.left > 0 && scan_is_space(s.at[s.left - 1]))
        s.left--;
    return s;
}

/* Takes `word`, which is in lower case, off the front. false: something else is there. */
static inline bool scan_take(struct scan *s, const char *word) {
    size_t n = 0;
    for (; word[n] != '\0'; n++)
        if (n == s->left || scan_lower(s->at[n]) != word[n])
            return false;
    scan_skip(s, n);
    return true;
}

#endif
