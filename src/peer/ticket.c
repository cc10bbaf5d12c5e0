/* SPDX-License-Identifier: MIT */
#include <assert.h>
#include <base/assert.h>
#include <base/wipe.h>
#include <crypto/crc32.h>
#include <peer/base32.h>
#include <peer/scan.h>
#include <peer/ticket.h>
#include <string.h>
#include <wire/reader.h>
#include <wire/writer.h>

static const char magic[] = "bodkin";

enum {
    VERSION = 1,
    FLAG_PIN = 1,
    FLAG_PLAIN = 2,
    CHECK_LEN = 4,
    BYTES_MAX =
        2 + PEER_KEY_LEN + TICKET_SECRET_LEN + 4 + 1 + HOME_HOST_MAX + HOME_PIN_LEN + CHECK_LEN,
    LETTERS_MAX = BASE32_TEXT_LEN(BYTES_MAX)
};

static_assert(sizeof magic + 1 + LETTERS_MAX <= TICKET_TEXT_MAX, "a ticket fits its text");

void ticket_fini(struct ticket *t) {
    wipe(t, sizeof *t);
}

size_t ticket_format(const struct ticket *t, char *out) {
    uint8_t bytes[BYTES_MAX];
    struct wire_writer w = wire_writer(bytes, sizeof bytes);
    size_t host_len = strlen(t->home.host);
    wire_put_u8(&w, VERSION);
    wire_put_u8(&w, (uint8_t)((t->home.has_pin ? FLAG_PIN : 0) | (t->home.plain ? FLAG_PLAIN : 0)));
    wire_put_bytes(&w, t->key.bytes, PEER_KEY_LEN);
    wire_put_bytes(&w, t->secret, TICKET_SECRET_LEN);
    wire_put_u16(&w, t->home.https_port);
    wire_put_u16(&w, t->home.stun_port);
    wire_put_u8(&w, (uint8_t)host_len);
    wire_put_bytes(&w, t->home.host, host_len);
    if (t->home.has_pin)
        wire_put_bytes(&w, t->home.pin, HOME_PIN_LEN);
    wire_put_u32(&w, crc32(0, bytes, w.len));
    bk_assert(!w.failed && host_len < HOME_HOST_MAX);
    memcpy(out, magic, sizeof magic - 1);
    out[sizeof magic - 1] = '0' + VERSION;
    size_t n = sizeof magic + base32_encode(bytes, w.len, out + sizeof magic);
    wipe(bytes, sizeof bytes);
    return n;
}

/* Copies the letters without white space; returns how many there are, which may be more than fit.
 */
static size_t letters_of(const char *text, size_t len, char *out, size_t cap) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        if (scan_is_space(text[i]))
            continue;
        if (n < cap)
            out[n] = scan_lower(text[i]);
        n++;
    }
    return n;
}

static bool host_take(struct wire_reader *r, struct home *home) {
    size_t len = wire_u8(r);
    const uint8_t *host = wire_bytes(r, len);
    if (host == NULL || len >= sizeof home->host)
        return false;
    memcpy(home->host, host, len);
    return home_host_is_valid(home->host, len);
}

static enum bk_err read_fields(struct wire_reader *r, struct ticket *t) {
    uint8_t version = wire_u8(r);
    uint8_t flags = wire_u8(r);
    if (!r->failed && (version != VERSION || (flags & ~(FLAG_PIN | FLAG_PLAIN)) != 0))
        return BK_ERR_UNSUPPORTED;
    const uint8_t *key = wire_bytes(r, PEER_KEY_LEN);
    const uint8_t *secret = wire_bytes(r, TICKET_SECRET_LEN);
    t->home.https_port = wire_u16(r);
    t->home.stun_port = wire_u16(r);
    if (!host_take(r, &t->home))
        return BK_ERR_MALFORMED;
    t->home.plain = (flags & FLAG_PLAIN) != 0;
    t->home.has_pin = (flags & FLAG_PIN) != 0;
    const uint8_t *pin = t->home.has_pin ? wire_bytes(r, HOME_PIN_LEN) : NULL;
    if (r->failed || wire_left(r) != 0 || t->home.https_port == 0)
        return BK_ERR_MALFORMED;
    memcpy(t->key.bytes, key, PEER_KEY_LEN);
    memcpy(t->secret, secret, TICKET_SECRET_LEN);
    if (pin != NULL)
        memcpy(t->home.pin, pin, HOME_PIN_LEN);
    return BK_OK;
}

static enum bk_err read_body(const char *letters, size_t count, struct ticket *out) {
    uint8_t bytes[BYTES_MAX];
    struct ticket t = {0};
    size_t len = 0;
    enum bk_err e = base32_decode(letters, count, bytes, sizeof bytes, &len);
    if (e != BK_OK)
        return e == BK_ERR_TOO_LONG ? e : BK_ERR_MALFORMED;
    if (len <= CHECK_LEN)
        return BK_ERR_SHORT;
    struct wire_reader check = wire_reader(bytes + len - CHECK_LEN, CHECK_LEN);
    struct wire_reader body = wire_reader(bytes, len - CHECK_LEN);
    e = wire_u32(&check) == crc32(0, bytes, len - CHECK_LEN) ? BK_OK : BK_ERR_MALFORMED;
    if (e == BK_OK)
        e = read_fields(&body, &t);
    if (e == BK_OK)
        *out = t;
    wipe(bytes, sizeof bytes);
    ticket_fini(&t);
    return e;
}

enum bk_err ticket_parse(const char *text, size_t len, struct ticket *out) {
    char letters[TICKET_TEXT_MAX];
    const size_t head = sizeof magic; /* the magic and one digit */
    size_t n = letters_of(text, len, letters, sizeof letters);
    size_t seen = n < sizeof letters ? n : sizeof letters;
    enum bk_err e = BK_ERR_NOT_OURS;
    if (seen >= head && memcmp(letters, magic, sizeof magic - 1) == 0) {
        char version = letters[head - 1];
        if (version == '0' + VERSION)
            e = n > head + LETTERS_MAX ? BK_ERR_TOO_LONG : read_body(letters + head, n - head, out);
        else if (version >= '0' && version <= '9')
            e = BK_ERR_UNSUPPORTED;
    }
    wipe(letters, sizeof letters);
    return e;
}
