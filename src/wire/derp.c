/* SPDX-License-Identifier: MIT */
#include "wire/derp.h"

#include "wire/reader.h"

#include <string.h>

const uint8_t derp_magic[DERP_MAGIC_LEN] = {0x44, 0x45, 0x52, 0x50, 0xf0, 0x9f, 0x94, 0x91};
static const uint8_t disco_magic[DERP_DISCO_MAGIC_LEN] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

enum { PRESENT_ADDR_LEN = 18 }; /* 16 bytes address, 2 bytes port */

static const uint32_t quiet_magic = 0x626b7175; /* "bkqu" */

static enum derp_type type_of(uint8_t byte) {
    bool known = (byte >= DERP_SERVER_KEY && byte <= DERP_FORWARD_PACKET) ||
                 (byte >= DERP_WATCH_CONNS && byte <= DERP_RESTARTING);
    return known ? (enum derp_type)byte : DERP_UNKNOWN;
}

enum bk_err derp_header_parse(const uint8_t *data, size_t len, struct derp_header *out) {
    struct wire_reader r = wire_reader(data, len);
    struct derp_header h = {.type = type_of(wire_u8(&r))};
    h.len = wire_u32(&r);
    if (r.failed)
        return BK_ERR_SHORT;
    if (h.len > DERP_FRAME_MAX)
        return BK_ERR_TOO_LONG;
    *out = h;
    return BK_OK;
}

/* The rest of the payload becomes the frame's data. */
static void take_rest(struct wire_reader *r, struct derp_frame *f) {
    f->len = wire_left(r);
    f->data = wire_bytes(r, f->len);
}

static enum bk_err parse_server_key(struct wire_reader *r, struct derp_frame *f) {
    const uint8_t *magic = wire_bytes(r, DERP_MAGIC_LEN);
    f->key = wire_bytes(r, DERP_KEY_LEN);
    if (r->failed)
        return BK_ERR_SHORT;
    return memcmp(magic, derp_magic, DERP_MAGIC_LEN) == 0 ? BK_OK : BK_ERR_MALFORMED;
}

static enum bk_err parse_info(struct wire_reader *r, struct derp_frame *f) {
    if (f->type == DERP_CLIENT_INFO)
        f->key = wire_bytes(r, DERP_KEY_LEN);
    take_rest(r, f);
    return f->len < DERP_INFO_BOX_MIN ? BK_ERR_SHORT : BK_OK;
}

static enum bk_err parse_packet(struct wire_reader *r, struct derp_frame *f) {
    f->key = wire_bytes(r, DERP_KEY_LEN);
    if (f->type == DERP_FORWARD_PACKET)
        f->key2 = wire_bytes(r, DERP_KEY_LEN);
    take_rest(r, f);
    return f->len > DERP_PACKET_MAX ? BK_ERR_TOO_LONG : BK_OK;
}

/* A v4-mapped address of the wire becomes IPv4; the zero address means none was given. */
static struct bk_addr present_addr(const uint8_t *bytes, uint16_t port) {
    struct bk_addr addr = bk_addr(bk_ipv6(bytes), port);
    bk_ip_unmap(&addr.ip);
    if (bk_ip_is_any(&addr.ip))
        memset(&addr, 0, sizeof addr);
    return addr;
}

static enum bk_err parse_present(struct wire_reader *r, struct derp_frame *f) {
    f->key = wire_bytes(r, DERP_KEY_LEN);
    if (r->failed || wire_left(r) < PRESENT_ADDR_LEN)
        return BK_OK; /* servers before 2022 send the key alone */
    const uint8_t *ip = wire_bytes(r, 16);
    uint16_t port = wire_u16(r);
    f->addr = present_addr(ip, port);
    f->flag = wire_left(r) > 0 ? wire_u8(r) : 0;
    return BK_OK;
}

static enum bk_err parse_ping(struct wire_reader *r, struct derp_frame *f) {
    if (wire_left(r) > DERP_PING_MAX)
        return BK_ERR_TOO_LONG;
    f->data = wire_bytes(r, DERP_PING_LEN);
    f->len = DERP_PING_LEN;
    if (wire_left(r) < DERP_QUIET_LEN - DERP_PING_LEN || wire_u32(r) != quiet_magic)
        return BK_OK;
    uint32_t quiet_s = wire_u32(r);
    f->quiet_s = quiet_s < DERP_QUIET_MAX_S ? quiet_s : DERP_QUIET_MAX_S;
    return BK_OK;
}

static enum bk_err parse_exact(struct wire_reader *r, struct derp_frame *f) {
    size_t want = f->type == DERP_NOTE_PREFERRED ? 1 : 0;
    if (wire_left(r) != want)
        return BK_ERR_MALFORMED;
    f->flag = want == 1 ? wire_u8(r) : 0;
    return f->flag > 1 ? BK_ERR_MALFORMED : BK_OK;
}

static enum bk_err parse_fields(struct wire_reader *r, struct derp_frame *f) {
    switch (f->type) {
    case DERP_SERVER_KEY:
        return parse_server_key(r, f);
    case DERP_CLIENT_INFO:
    case DERP_SERVER_INFO:
        return parse_info(r, f);
    case DERP_SEND_PACKET:
    case DERP_RECV_PACKET:
    case DERP_FORWARD_PACKET:
        return parse_packet(r, f);
    case DERP_PEER_PRESENT:
        return parse_present(r, f);
    case DERP_PEER_GONE: /* old servers omit the reason: then it is "disconnected", 0 */
        f->key = wire_bytes(r, DERP_KEY_LEN);
        f->flag = wire_left(r) > 0 ? wire_u8(r) : DERP_GONE_DISCONNECTED;
        return BK_OK;
    case DERP_CLOSE_PEER:
        f->key = wire_bytes(r, DERP_KEY_LEN);
        return BK_OK;
    case DERP_PING:
    case DERP_PONG:
        return parse_ping(r, f);
    case DERP_NOTE_PREFERRED:
    case DERP_WATCH_CONNS:
        return parse_exact(r, f);
    case DERP_RESTARTING:
        f->reconnect_ms = wire_u32(r);
        f->try_ms = wire_u32(r);
        return BK_OK;
    case DERP_KEEP_ALIVE:
        return BK_OK;
    case DERP_HEALTH:
    case DERP_UNKNOWN:
        take_rest(r, f);
        return BK_OK;
    }
    return BK_ERR_ARGUMENT;
}

enum bk_err derp_body_parse(enum derp_type type, const uint8_t *body, size_t len,
                            struct derp_frame *out) {
    struct wire_reader r = wire_reader(body, len);
    struct derp_frame f = {.type = type};
    enum bk_err err = parse_fields(&r, &f);
    if (r.failed)
        return BK_ERR_SHORT;
    if (err == BK_OK)
        *out = f;
    return err;
}

enum bk_err derp_parse(const uint8_t *data, size_t len, struct derp_frame *out, size_t *used) {
    struct derp_header h;
    enum bk_err err = derp_header_parse(data, len, &h);
    if (err != BK_OK)
        return err;
    if (len - DERP_HEADER_LEN < h.len)
        return BK_ERR_SHORT;
    err = derp_body_parse(h.type, data + DERP_HEADER_LEN, h.len, out);
    if (err == BK_ERR_SHORT)
        err = BK_ERR_MALFORMED; /* the frame is whole: more bytes will not help */
    if (err == BK_OK)
        *used = DERP_HEADER_LEN + h.len;
    return err;
}

bool derp_is_disco(const uint8_t *data, size_t len) {
    return len >= DERP_DISCO_MAGIC_LEN && memcmp(data, disco_magic, DERP_DISCO_MAGIC_LEN) == 0;
}

bool derp_is_urgent(const uint8_t *data, size_t len) {
    return (len > 0 && data[0] == DERP_SIGNAL_BYTE) || derp_is_disco(data, len);
}

void derp_put_header(struct wire_writer *w, enum derp_type type, size_t len) {
    if (type == DERP_UNKNOWN || len > DERP_FRAME_MAX) {
        w->failed = true;
        return;
    }
    wire_put_u8(w, (uint8_t)type);
    wire_put_u32(w, (uint32_t)len);
}

/* A frame of up to three runs of bytes. */
static void put_frame(struct wire_writer *w, enum derp_type type, const uint8_t *key,
                      const uint8_t *key2, const void *data, size_t len) {
    size_t keys = (key != NULL ? 1u : 0u) + (key2 != NULL ? 1u : 0u);
    derp_put_header(w, type, keys * DERP_KEY_LEN + len);
    if (key != NULL)
        wire_put_bytes(w, key, DERP_KEY_LEN);
    if (key2 != NULL)
        wire_put_bytes(w, key2, DERP_KEY_LEN);
    wire_put_bytes(w, data, len);
}

void derp_put_server_key(struct wire_writer *w, const uint8_t key[DERP_KEY_LEN]) {
    derp_put_header(w, DERP_SERVER_KEY, DERP_MAGIC_LEN + DERP_KEY_LEN);
    wire_put_bytes(w, derp_magic, DERP_MAGIC_LEN);
    wire_put_bytes(w, key, DERP_KEY_LEN);
}

void derp_put_client_info(struct wire_writer *w, const uint8_t key[DERP_KEY_LEN],
                          const uint8_t *box, size_t len) {
    put_frame(w, DERP_CLIENT_INFO, key, NULL, box, len);
}

void derp_put_server_info(struct wire_writer *w, const uint8_t *box, size_t len) {
    put_frame(w, DERP_SERVER_INFO, NULL, NULL, box, len);
}

void derp_put_send_packet(struct wire_writer *w, const uint8_t dst[DERP_KEY_LEN],
                          const uint8_t *data, size_t len) {
    put_frame(w, DERP_SEND_PACKET, dst, NULL, data, len);
}

void derp_put_recv_packet(struct wire_writer *w, const uint8_t src[DERP_KEY_LEN],
                          const uint8_t *data, size_t len) {
    put_frame(w, DERP_RECV_PACKET, src, NULL, data, len);
}

void derp_put_forward_packet(struct wire_writer *w, const uint8_t src[DERP_KEY_LEN],
                             const uint8_t dst[DERP_KEY_LEN], const uint8_t *data, size_t len) {
    put_frame(w, DERP_FORWARD_PACKET, src, dst, data, len);
}

void derp_put_keep_alive(struct wire_writer *w) {
    derp_put_header(w, DERP_KEEP_ALIVE, 0);
}

void derp_put_note_preferred(struct wire_writer *w, bool preferred) {
    derp_put_header(w, DERP_NOTE_PREFERRED, 1);
    wire_put_u8(w, preferred ? 1 : 0);
}

void derp_put_peer_gone(struct wire_writer *w, const uint8_t peer[DERP_KEY_LEN],
                        enum derp_gone reason) {
    uint8_t byte = (uint8_t)reason;
    put_frame(w, DERP_PEER_GONE, peer, NULL, &byte, 1);
}

void derp_put_peer_present(struct wire_writer *w, const uint8_t peer[DERP_KEY_LEN],
                           const struct bk_addr *addr, uint8_t flags) {
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    derp_put_header(w, DERP_PEER_PRESENT, DERP_KEY_LEN + PRESENT_ADDR_LEN + 1);
    wire_put_bytes(w, peer, DERP_KEY_LEN);
    if (addr->ip.family == BK_IPV4)
        wire_put_bytes(w, mapped, sizeof mapped);
    wire_put_bytes(w, addr->ip.bytes, addr->ip.family == BK_IPV4 ? 4 : 16);
    wire_put_u16(w, addr->port);
    wire_put_u8(w, flags);
}

void derp_put_watch_conns(struct wire_writer *w) {
    derp_put_header(w, DERP_WATCH_CONNS, 0);
}

void derp_put_close_peer(struct wire_writer *w, const uint8_t peer[DERP_KEY_LEN]) {
    put_frame(w, DERP_CLOSE_PEER, peer, NULL, NULL, 0);
}

void derp_put_ping(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN]) {
    put_frame(w, DERP_PING, NULL, NULL, bytes, DERP_PING_LEN);
}

void derp_put_pong(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN]) {
    put_frame(w, DERP_PONG, NULL, NULL, bytes, DERP_PING_LEN);
}

static void put_quiet(struct wire_writer *w, enum derp_type type, const uint8_t *bytes,
                      uint32_t quiet_s) {
    derp_put_header(w, type, DERP_QUIET_LEN);
    wire_put_bytes(w, bytes, DERP_PING_LEN);
    wire_put_u32(w, quiet_magic);
    wire_put_u32(w, quiet_s);
}

void derp_put_quiet_ping(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN],
                         uint32_t quiet_s) {
    put_quiet(w, DERP_PING, bytes, quiet_s);
}

void derp_put_quiet_pong(struct wire_writer *w, const uint8_t bytes[DERP_PING_LEN],
                         uint32_t quiet_s) {
    put_quiet(w, DERP_PONG, bytes, quiet_s);
}

void derp_put_health(struct wire_writer *w, const char *text, size_t len) {
    put_frame(w, DERP_HEALTH, NULL, NULL, text, len);
}

void derp_put_restarting(struct wire_writer *w, uint32_t reconnect_ms, uint32_t try_ms) {
    derp_put_header(w, DERP_RESTARTING, 8);
    wire_put_u32(w, reconnect_ms);
    wire_put_u32(w, try_ms);
}
