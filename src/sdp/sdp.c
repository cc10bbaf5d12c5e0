/* SPDX-License-Identifier: MIT
 * A description line by line: which of them are ICE's, and what they say. RFC 8839 section 5,
 * RFC 8840 section 8.2 (end-of-candidates), RFC 5888 section 4 (mid). */
#include "sdp/sdp.h"

#include "sdp/words.h"

#include <string.h>

bool sdp_is_ufrag(const char *text, size_t len) {
    return len >= BK_ICE_UFRAG_MIN && len <= BK_ICE_CRED_MAX &&
           view_is_ice_chars(view_of(text, len));
}

bool sdp_is_pwd(const char *text, size_t len) {
    return len >= BK_ICE_PWD_MIN && len <= BK_ICE_CRED_MAX && view_is_ice_chars(view_of(text, len));
}

bool sdp_has_option(const char *value, size_t len, const char *word) {
    struct view rest = view_of(value, len), option;
    while (view_word(&rest, &option))
        if (view_is(option, word))
            return true;
    return false;
}

/* The readers of the lines below: false: the value breaks its rules. */
static bool read_candidate(struct sdp_item *item, struct view value) {
    (void)value;
    item->err = sdp_read_candidate(item->value, item->len, &item->candidate);
    return item->err == BK_OK || item->err == BK_ERR_UNSUPPORTED;
}

static bool read_ufrag(struct sdp_item *item, struct view value) {
    (void)item;
    return sdp_is_ufrag(value.at, value.len);
}

static bool read_pwd(struct sdp_item *item, struct view value) {
    (void)item;
    return sdp_is_pwd(value.at, value.len);
}

static bool read_text(struct sdp_item *item, struct view value) {
    (void)item;
    return value.len > 0 && view_is_visible(value);
}

static bool read_mid(struct sdp_item *item, struct view value) {
    return read_text(item, value) && value.len <= SDP_MID_MAX &&
           memchr(value.at, ' ', value.len) == NULL;
}

static bool read_number(struct sdp_item *item, struct view value) {
    return view_number(value, UINT32_MAX, &item->number);
}

/* m=<media> <port>[/<number of ports>] ...; RFC 4566 section 5.14. */
static bool read_media(struct sdp_item *item, struct view value) {
    struct view media, port;
    if (!view_word(&value, &media) || !view_word(&value, &port))
        return false;
    const char *slash = memchr(port.at, '/', port.len);
    if (slash != NULL)
        port.len = (size_t)(slash - port.at);
    return view_number(port, UINT16_MAX, &item->number);
}

/* The lines that are ours. Without a reader the whole line is the name. */
static const struct {
    const char *name;
    enum sdp_kind kind;
    bool (*read)(struct sdp_item *item, struct view value);
} lines[] = {
    {"candidate:", SDP_CANDIDATE, read_candidate},
    {"end-of-candidates", SDP_END_OF_CANDIDATES, NULL},
    {"ice-ufrag:", SDP_UFRAG, read_ufrag},
    {"ice-pwd:", SDP_PWD, read_pwd},
    {"ice-options:", SDP_OPTIONS, read_text},
    {"ice-lite", SDP_LITE, NULL},
    {"ice-mismatch", SDP_MISMATCH, NULL},
    {"ice-pacing:", SDP_PACING, read_number},
    {"mid:", SDP_MID, read_mid},
    {"m=", SDP_MEDIA, read_media},
};

/* false: a line of ours that breaks its rules. */
static bool read_line(struct view line, struct sdp_item *item) {
    item->kind = SDP_OTHER;
    item->value = line.at;
    item->len = line.len;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct view value = line;
        if (lines[i].kind != SDP_MEDIA)
            (void)view_skip(&value, "a=");
        if (!view_skip(&value, lines[i].name) || (lines[i].read == NULL && value.len > 0))
            continue;
        value = view_trim(value);
        item->kind = lines[i].kind;
        if (lines[i].read != NULL && !lines[i].read(item, value))
            return false;
        item->value = value.at;
        item->len = value.len;
        return true;
    }
    return true;
}

/* The line that begins at *at, which moves behind its end: CR, LF or both. */
static struct view take_line(const char *text, size_t len, size_t *at) {
    size_t start = *at, end = start;
    while (end < len && text[end] != '\r' && text[end] != '\n')
        end++;
    *at = end;
    while (*at < len && (text[*at] == '\r' || text[*at] == '\n'))
        ++*at;
    return view_trim(view_of(text + start, end - start));
}

bool sdp_next(const char *text, size_t len, size_t *at, struct sdp_item *out, enum bk_err *err) {
    *err = len > SDP_TEXT_MAX ? BK_ERR_TOO_LONG : BK_OK;
    if (*err != BK_OK || *at >= len)
        return false;
    memset(out, 0, sizeof *out);
    if (read_line(take_line(text, len, at), out))
        return true;
    *err = BK_ERR_MALFORMED;
    return false;
}
