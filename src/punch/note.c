/* SPDX-License-Identifier: MIT */
#include "punch/note.h"

#include "wire/reader.h"
#include "wire/writer.h"

#include "base/assert.h"

enum { REACHED = 1, SPENT = 2, BOTH = 4, IP_LEN = 16, IPV4_LEN = 4 };

void punch_note_put(const struct punch_note *n, uint8_t out[PUNCH_NOTE_LEN]) {
    struct wire_writer w = wire_writer(out, PUNCH_NOTE_LEN);
    wire_put_u8(&w, n->step);
    wire_put_u8(&w, n->attempt);
    wire_put_u8(&w, n->method);
    wire_put_u8(&w, (uint8_t)((n->reached != 0 ? REACHED : 0) | (n->spent ? SPENT : 0) |
                              (n->both ? BOTH : 0)));
    wire_put_u16(&w, n->window);
    for (int i = 0; i < 2; i++)
        wire_put_u16(&w, n->sockets[i]);
    for (int i = 0; i < 2; i++)
        wire_put_u16(&w, n->ports[i]);
    wire_put_u8(&w, n->aim.ip.family);
    wire_put_bytes(&w, n->aim.ip.bytes, IP_LEN);
    wire_put_u16(&w, n->aim.port);
    wire_put_u16(&w, (uint16_t)n->stride);
    wire_put_u16(&w, n->min);
    wire_put_u16(&w, n->max);
    wire_put_u16(&w, n->run);
    wire_put_u16(&w, n->gap);
    bk_assert(!w.failed && w.len == PUNCH_NOTE_LEN);
}

static bool is_zero(const uint8_t *bytes, size_t len) {
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= bytes[i];
    return any == 0;
}

static bool aim_is_sound(const struct bk_addr *aim) {
    switch (aim->ip.family) {
    case BK_FAMILY_NONE:
        return is_zero(aim->ip.bytes, IP_LEN) && aim->port == 0;
    case BK_IPV4:
        return is_zero(aim->ip.bytes + IPV4_LEN, IP_LEN - IPV4_LEN);
    default:
        return aim->ip.family == BK_IPV6;
    }
}

static bool ports_are_sound(const struct punch_note *n) {
    bool ranged = n->min != 0 || n->max != 0;
    if (ranged && (n->min == 0 || n->min > n->max))
        return false;
    if (n->run == 0 || n->gap == 0)
        return n->run == 0 && n->gap == 0;
    return ranged && n->run <= n->gap;
}

static int16_t read_i16(struct wire_reader *r) {
    int32_t value = wire_u16(r);
    return (int16_t)(value < 0x8000 ? value : value - 0x10000);
}

enum bk_err punch_note_get(struct punch_note *out, const uint8_t *data, size_t len) {
    struct wire_reader r = wire_reader(data, len);
    struct punch_note n = {.step = wire_u8(&r), .attempt = wire_u8(&r), .method = wire_u8(&r)};
    uint8_t flags = wire_u8(&r);
    n.reached = (flags & REACHED) != 0 ? 1 : 0;
    n.spent = (flags & SPENT) != 0;
    n.both = (flags & BOTH) != 0;
    n.window = wire_u16(&r);
    for (int i = 0; i < 2; i++)
        n.sockets[i] = wire_u16(&r);
    for (int i = 0; i < 2; i++)
        n.ports[i] = wire_u16(&r);
    n.aim.ip.family = wire_u8(&r);
    const uint8_t *ip = wire_bytes(&r, IP_LEN);
    if (ip != NULL)
        memcpy(n.aim.ip.bytes, ip, IP_LEN);
    n.aim.port = wire_u16(&r);
    n.stride = read_i16(&r);
    n.min = wire_u16(&r);
    n.max = wire_u16(&r);
    n.run = wire_u16(&r);
    n.gap = wire_u16(&r);
    if (r.failed)
        return BK_ERR_SHORT;
    if (wire_left(&r) != 0 || (flags & ~(REACHED | SPENT | BOTH)) != 0 ||
        n.method >= BK_ORACLE_METHODS || !aim_is_sound(&n.aim) || !ports_are_sound(&n))
        return BK_ERR_MALFORMED;
    *out = n;
    return BK_OK;
}

bool punch_note_equal(const struct punch_note *a, const struct punch_note *b) {
    uint8_t bytes[2][PUNCH_NOTE_LEN];
    punch_note_put(a, bytes[0]);
    punch_note_put(b, bytes[1]);
    return memcmp(bytes[0], bytes[1], PUNCH_NOTE_LEN) == 0;
}
