/* SPDX-License-Identifier: MIT */
#include "turn/ticket.h"

#include "crypto/hmac.h"
#include "wire/reader.h"
#include "wire/writer.h"

#include <string.h>

enum { NONCE_LEN = 12, BODY_LEN = 16, VERSION = 1 };

static void derive(uint8_t out[AEAD_KEY_256], const uint8_t secret[32]) {
    static const char purpose[] = "bodkin mobility ticket";
    const struct crypto_piece piece = {purpose, sizeof purpose - 1};
    hmac_sha256(secret, 32, &piece, 1, out);
}

void turn_ticket_keys_set(struct turn_ticket_keys *k, const uint8_t current[32],
                          const uint8_t previous[32]) {
    memset(k, 0, sizeof *k);
    derive(k->current, current);
    k->has_previous = previous != NULL;
    if (k->has_previous)
        derive(k->previous, previous);
}

void turn_ticket_seal(const struct turn_ticket_keys *k, const struct turn_ticket *t,
                      const struct bk_rng *rng, uint8_t out[TURN_TICKET_LEN]) {
    uint8_t body[BODY_LEN] = {0};
    struct wire_writer w = wire_writer(body, sizeof body);
    wire_put_u16(&w, VERSION);
    wire_put_u16(&w, t->worker);
    wire_put_u32(&w, t->alloc);
    wire_put_u64(&w, t->id);
    rng->fill(rng->ctx, out, NONCE_LEN);
    const struct aead a = {.key = k->current, .key_len = AEAD_KEY_256, .nonce = {out, NONCE_LEN}};
    aead_seal(&a, body, sizeof body, out + NONCE_LEN);
}

static bool open_with(const uint8_t *key, const uint8_t *bytes, uint8_t body[BODY_LEN]) {
    const struct aead a = {.key = key, .key_len = AEAD_KEY_256, .nonce = {bytes, NONCE_LEN}};
    return aead_open(&a, bytes + NONCE_LEN, BODY_LEN + AEAD_TAG_LEN, body);
}

bool turn_ticket_open(const struct turn_ticket_keys *k, const uint8_t *bytes, size_t len,
                      struct turn_ticket *out) {
    uint8_t body[BODY_LEN];
    if (len != TURN_TICKET_LEN)
        return false;
    if (!open_with(k->current, bytes, body) &&
        !(k->has_previous && open_with(k->previous, bytes, body)))
        return false;
    struct wire_reader r = wire_reader(body, sizeof body);
    if (wire_u16(&r) != VERSION)
        return false;
    out->worker = wire_u16(&r);
    out->alloc = wire_u32(&r);
    out->id = wire_u64(&r);
    return true;
}
