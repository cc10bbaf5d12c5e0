/* SPDX-License-Identifier: MIT */
#include "cli/call.h"

#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

size_t call_encode(const struct call *c, uint8_t *out) {
    struct wire_writer w = wire_writer(out, CALL_LEN_MAX);
    size_t len = strlen(c->target);
    wire_put_u8(&w, c->kind);
    wire_put_u16(&w, (uint16_t)len);
    wire_put_bytes(&w, c->target, len);
    return w.len;
}

/* A target may end up on a terminal: no control characters, no white space. */
static bool is_plain(const uint8_t *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (text[i] <= 0x20 || text[i] >= 0x7f)
            return false;
    return true;
}

enum bk_err call_decode(struct call *out, const uint8_t *data, size_t available, size_t *len) {
    struct wire_reader r = wire_reader(data, available);
    struct call c = {.kind = wire_u8(&r)};
    size_t target_len = wire_u16(&r);
    if (!r.failed && ((c.kind != CALL_TCP && c.kind != CALL_UDP) || target_len == 0 ||
                      target_len > CALL_TARGET_MAX))
        return BK_ERR_MALFORMED;
    const uint8_t *target = wire_bytes(&r, target_len);
    if (r.failed)
        return BK_ERR_SHORT;
    if (!is_plain(target, target_len))
        return BK_ERR_MALFORMED;
    memcpy(c.target, target, target_len);
    *out = c;
    *len = available - wire_left(&r);
    return BK_OK;
}

static bool read_port(const char *text, uint16_t *out) {
    uint32_t port = 0;
    size_t n = 0;
    for (; text[n] >= '0' && text[n] <= '9' && n < 5; n++)
        port = port * 10 + (uint32_t)(text[n] - '0');
    if (n == 0 || text[n] != '\0' || port == 0 || port > 65535)
        return false;
    *out = (uint16_t)port;
    return true;
}

bool call_split(const char *target, char *host, size_t cap, uint16_t *port) {
    const char *colon = strrchr(target, ':');
    if (colon == NULL || colon == target || !read_port(colon + 1, port))
        return false;
    const char *start = target;
    size_t len = (size_t)(colon - target);
    if (target[0] == '[') {
        if (len < 3 || target[len - 1] != ']')
            return false;
        start++;
        len -= 2;
    } else if (memchr(target, ':', len) != NULL) {
        return false; /* an IPv6 address without brackets: where would the port begin? */
    }
    if (len == 0 || len >= cap)
        return false;
    memcpy(host, start, len);
    host[len] = '\0';
    return true;
}
