/* SPDX-License-Identifier: MIT */
#include "server/upgrade_record.h"

#include "base/wipe.h"
#include "wire/reader.h"
#include "wire/writer.h"
#include <string.h>

enum { MAGIC = 0x626f646b /* "bodk" */, ADDR_LEN = 1 + 16 + 4 + 2, TUPLE_LEN = 2 * ADDR_LEN };

/* ---- Writing -------------------------------------------------------------------------------- */

static void put_addr(struct wire_writer *w, const struct bk_addr *addr) {
    wire_put_u8(w, addr->ip.family);
    wire_put_bytes(w, addr->ip.bytes, sizeof addr->ip.bytes);
    wire_put_u32(w, addr->ip.zone);
    wire_put_u16(w, addr->port);
}

static void put_tuple(struct wire_writer *w, const struct upgrade_record *r) {
    put_addr(w, &r->remote);
    put_addr(w, &r->local);
}

static void put_hello(struct wire_writer *w, const struct upgrade_hello *h) {
    wire_put_u32(w, MAGIC);
    wire_put_u16(w, UPGRADE_VERSION);
    wire_put_u16(w, h->workers);
    wire_put_u16(w, h->https_port);
    wire_put_u16(w, h->stun_port);
    wire_put_u16(w, h->plain_port);
    wire_put_u16(w, h->turns_port);
    wire_put_u8(w, h->turn);
    wire_put_bytes(w, h->secret, sizeof h->secret);
    wire_put_u8(w, h->has_previous);
    wire_put_bytes(w, h->previous, sizeof h->previous);
    wire_put_u64(w, (uint64_t)h->nonce_clock_us);
}

static void put_body(struct wire_writer *w, const struct upgrade_record *r) {
    switch (r->kind) {
    case UPGRADE_HELLO:
        put_hello(w, &r->hello);
        return;
    case UPGRADE_DOOR:
        wire_put_u8(w, r->door);
        return;
    case UPGRADE_ALLOC:
    case UPGRADE_DATAGRAM:
        put_tuple(w, r);
        wire_put_bytes(w, r->data, r->len);
        return;
    case UPGRADE_STAY:
    case UPGRADE_STAY_END:
        put_tuple(w, r);
        return;
    case UPGRADE_PASS:
        wire_put_u16(w, r->to);
        put_tuple(w, r);
        return;
    case UPGRADE_ELSEWHERE:
        put_addr(w, &r->local);
        return;
    case UPGRADE_REFUSED:
        wire_put_bytes(w, r->data, r->len);
        return;
    case UPGRADE_DOORS_END:
    case UPGRADE_PREPARED:
    case UPGRADE_LET_GO:
    case UPGRADE_READY:
    case UPGRADE_WORKER_END:
    case UPGRADE_TAKEN:
    case UPGRADE_COMMIT:
    case UPGRADE_STARTED:
    case UPGRADE_KINDS:
        return;
    }
}

enum bk_err upgrade_put(struct wire_writer *w, const struct upgrade_record *r) {
    struct wire_writer before = *w, body;
    wire_put_u8(w, (uint8_t)r->kind);
    wire_put_u8(w, r->fds);
    wire_put_u16(w, r->worker);
    wire_put_u32(w, 0);
    body = *w;
    put_body(w, r);
    if (w->failed) {
        *w = before;
        return BK_ERR_TOO_LONG;
    }
    size_t len = w->len - body.len;
    wire_patch_u16(w, body.len - 4, (uint16_t)(len >> 16));
    wire_patch_u16(w, body.len - 2, (uint16_t)len);
    return BK_OK;
}

/* ---- Reading -------------------------------------------------------------------------------- */

static bool get_addr(struct wire_reader *r, struct bk_addr *out) {
    memset(out, 0, sizeof *out);
    out->ip.family = wire_u8(r);
    const uint8_t *bytes = wire_bytes(r, sizeof out->ip.bytes);
    out->ip.zone = wire_u32(r);
    out->port = wire_u16(r);
    if (r->failed || (out->ip.family != BK_IPV4 && out->ip.family != BK_IPV6))
        return false;
    memcpy(out->ip.bytes, bytes, out->ip.family == BK_IPV4 ? 4 : 16);
    return out->port != 0;
}

static bool get_tuple(struct wire_reader *r, struct upgrade_record *out) {
    return get_addr(r, &out->remote) && get_addr(r, &out->local) &&
           out->remote.ip.family == out->local.ip.family;
}

static bool get_flag(struct wire_reader *r, bool *out) {
    uint8_t value = wire_u8(r);
    *out = value == 1;
    return value <= 1;
}

/* Another version may have other fields behind the number. */
static enum bk_err get_hello(struct wire_reader *r, struct upgrade_hello *h) {
    if (wire_u32(r) != MAGIC)
        return BK_ERR_MALFORMED;
    if (wire_u16(r) != UPGRADE_VERSION)
        return r->failed ? BK_ERR_MALFORMED : BK_ERR_UNSUPPORTED;
    h->workers = wire_u16(r);
    h->https_port = wire_u16(r);
    h->stun_port = wire_u16(r);
    h->plain_port = wire_u16(r);
    h->turns_port = wire_u16(r);
    bool good = get_flag(r, &h->turn);
    const uint8_t *secret = wire_bytes(r, sizeof h->secret);
    good = get_flag(r, &h->has_previous) && good;
    const uint8_t *previous = wire_bytes(r, sizeof h->previous);
    h->nonce_clock_us = (int64_t)wire_u64(r);
    if (r->failed || !good || h->workers == 0 || h->workers > UPGRADE_WORKERS_MAX)
        return BK_ERR_MALFORMED;
    memcpy(h->secret, secret, sizeof h->secret);
    memcpy(h->previous, previous, sizeof h->previous);
    return BK_OK;
}

static void get_rest(struct wire_reader *r, struct upgrade_record *out) {
    out->len = wire_left(r);
    out->data = wire_bytes(r, out->len);
}

/* May this kind have so many descriptors? */
static bool is_fit(const struct upgrade_record *r) {
    if (r->kind == UPGRADE_DOOR)
        return r->fds == 1;
    return r->kind == UPGRADE_ALLOC ? r->fds <= 2 : r->fds == 0;
}

static enum bk_err get_body(struct wire_reader *r, struct upgrade_record *out) {
    bool good = true;
    switch (out->kind) {
    case UPGRADE_HELLO:
        return get_hello(r, &out->hello);
    case UPGRADE_DOOR:
        out->door = wire_u8(r);
        break;
    case UPGRADE_ALLOC:
    case UPGRADE_DATAGRAM:
        good = get_tuple(r, out);
        get_rest(r, out);
        break;
    case UPGRADE_STAY:
    case UPGRADE_STAY_END:
        good = get_tuple(r, out);
        break;
    case UPGRADE_PASS:
        out->to = wire_u16(r);
        good = get_tuple(r, out);
        break;
    case UPGRADE_ELSEWHERE:
        good = get_addr(r, &out->local);
        break;
    case UPGRADE_REFUSED:
        get_rest(r, out);
        break;
    case UPGRADE_DOORS_END:
    case UPGRADE_PREPARED:
    case UPGRADE_LET_GO:
    case UPGRADE_READY:
    case UPGRADE_WORKER_END:
    case UPGRADE_TAKEN:
    case UPGRADE_COMMIT:
    case UPGRADE_STARTED:
    case UPGRADE_KINDS:
        break;
    }
    return good && !r->failed ? BK_OK : BK_ERR_MALFORMED;
}

enum bk_err upgrade_get(struct wire_reader *r, struct upgrade_record *out) {
    struct upgrade_record made = {.len = 0};
    uint8_t kind = wire_u8(r);
    made.fds = wire_u8(r);
    made.worker = wire_u16(r);
    size_t len = wire_u32(r);
    const uint8_t *bytes = wire_bytes(r, len);
    if (r->failed || kind == 0 || kind >= UPGRADE_KINDS || made.worker >= UPGRADE_WORKERS_MAX)
        return BK_ERR_MALFORMED;
    struct wire_reader body = wire_reader(bytes, len);
    made.kind = (enum upgrade_kind)kind;
    enum bk_err err = is_fit(&made) ? get_body(&body, &made) : BK_ERR_MALFORMED;
    if (err == BK_OK && wire_left(&body) > 0)
        err = BK_ERR_MALFORMED;
    if (err == BK_OK)
        *out = made;
    wipe(&made.hello, sizeof made.hello);
    return err;
}
