/* SPDX-License-Identifier: MIT
 * Private to sdp: views of text, and the words between the spaces of a line. Nothing here copies
 * or needs a NUL at the end. */
#ifndef SDP_WORDS_H
#define SDP_WORDS_H

#include <bodkin/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct view {
    const char *at;
    size_t len;
};

struct view view_of(const char *at, size_t len);
/* Without spaces, tabs and line ends around it. */
struct view view_trim(struct view v);
/* The same text; letters of either case are the same (RFC 5234 section 2.3). */
bool view_is(struct view v, const char *word);
/* Takes `prefix` off the front, case and all; false: it does not begin so. */
bool view_skip(struct view *v, const char *prefix);
/* The next word of *rest, which shrinks; false: there is none. */
bool view_word(struct view *rest, struct view *out);
/* Nothing but visible US-ASCII and the spaces between: VCHAR, SP and HTAB of RFC 5234. */
bool view_is_visible(struct view v);
/* 1 to 10 digits and a value of at most `max`. */
bool view_number(struct view v, uint32_t max, uint32_t *out);
/* An IP address, without a zone, which would mean something to its writer alone. */
bool view_ip(struct view v, struct bk_ip *out);
/* A host name: letters, digits, "-", "_", labels of 1 to 63, the last not all digits. */
bool view_is_name(struct view v);
/* Only letters, digits, "+" and "/": ice-char of RFC 8839 section 5.1. */
bool view_is_ice_chars(struct view v);
/* Copies it with a NUL; `out` has room for v.len + 1. */
void view_copy(struct view v, char *out);

#endif
