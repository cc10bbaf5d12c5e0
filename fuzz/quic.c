/* SPDX-License-Identifier: MIT
 * links: peer
 * A script of bytes drives two connections: deliver, drop, mangle, repeat or invent datagrams, let
 * time pass, use streams. Whatever the script does, nothing may crash, leak, or stop making
 * progress. In half of the runs packets are not encrypted (this file's callbacks stand in for the
 * crypto library's), so that mangling reaches every frame: the peer is then an attacker who holds
 * the right key. */
#include "fuzz/fuzz.h"

#include <base/assert.h>
#include <base/rng.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <peer/quic.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 16, STEPS_MAX = 400 };

struct kept {
    int to;
    size_t len;
    uint8_t data[QUIC_PAYLOAD_MAX];
};

struct world {
    struct quic *end[2];
    struct kept kept[KEPT]; /* the last datagrams, delivered or not */
    unsigned next;
    bool hold; /* datagrams are kept, not delivered */
    struct bk_time now;
    const uint8_t *script;
    size_t left;
};

/* --- encryption that can be switched off --- */

static bool plain;

enum { TAG_LEN = 16, MASK_LEN = 5 };

/* NOLINTNEXTLINE(readability-function-size): the signature is ngtcp2's */
int ngtcp2_crypto_encrypt_cb(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                             const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text, size_t len,
                             const uint8_t *nonce, size_t nonce_len, const uint8_t *aad,
                             size_t aad_len) {
    if (!plain)
        return ngtcp2_crypto_encrypt(dest, aead, ctx, text, len, nonce, nonce_len, aad, aad_len) ==
                       0
                   ? 0
                   : NGTCP2_ERR_CALLBACK_FAILURE;
    memmove(dest, text, len);
    memset(dest + len, 0, TAG_LEN);
    return 0;
}

/* NOLINTNEXTLINE(readability-function-size): the signature is ngtcp2's */
int ngtcp2_crypto_decrypt_cb(uint8_t *dest, const ngtcp2_crypto_aead *aead,
                             const ngtcp2_crypto_aead_ctx *ctx, const uint8_t *text, size_t len,
                             const uint8_t *nonce, size_t nonce_len, const uint8_t *aad,
                             size_t aad_len) {
    if (!plain)
        return ngtcp2_crypto_decrypt(dest, aead, ctx, text, len, nonce, nonce_len, aad, aad_len) ==
                       0
                   ? 0
                   : NGTCP2_ERR_DECRYPT;
    if (len < TAG_LEN)
        return NGTCP2_ERR_DECRYPT;
    memmove(dest, text, len - TAG_LEN);
    return 0;
}

int ngtcp2_crypto_hp_mask_cb(uint8_t *dest, const ngtcp2_crypto_cipher *hp,
                             const ngtcp2_crypto_cipher_ctx *ctx, const uint8_t *sample) {
    if (!plain)
        return ngtcp2_crypto_hp_mask(dest, hp, ctx, sample) == 0 ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
    memset(dest, 0, MASK_LEN);
    return 0;
}

/* --- the world --- */

static uint8_t next_byte(struct world *w) {
    if (w->left == 0)
        return 0;
    w->left--;
    return *w->script++;
}

static void deliver(struct world *w, const struct kept *k) {
    (void)!quic_recv(w->end[k->to], k->data, k->len, w->now);
}

static void drain_events(struct world *w, int end) {
    struct quic_event ev;
    while (quic_next_event(w->end[end], &ev)) {
        const uint8_t *data = NULL;
        size_t len = 0;
        while (ev.type == QUIC_STREAM_READABLE &&
               quic_stream_peek(w->end[end], ev.stream, &data, &len) && len > 0)
            quic_stream_consume(w->end[end], ev.stream, len);
        while (ev.type == QUIC_DATAGRAM && quic_datagram_peek(w->end[end], &data, &len))
            quic_datagram_drop(w->end[end]);
    }
}

static void flush(struct world *w, int from) {
    static uint8_t train[QUIC_TRAIN_MAX];
    size_t len = 0, segment = 0;
    while (quic_next_train(w->end[from], train, sizeof train, QUIC_PAYLOAD_MAX, w->now, &len,
                           &segment)) {
        size_t step = segment == 0 ? len : segment;
        for (size_t at = 0; at < len; at += step) {
            struct kept *k = &w->kept[w->next++ % KEPT];
            k->to = !from;
            k->len = len - at < step ? len - at : step;
            memcpy(k->data, train + at, k->len);
            if (!w->hold)
                deliver(w, k);
        }
    }
}

static void settle(struct world *w) {
    for (int round = 0; round < 4; round++)
        for (int end = 0; end < 2; end++) {
            flush(w, end);
            drain_events(w, end);
        }
}

static void mangle(struct world *w) {
    struct kept k = w->kept[next_byte(w) % KEPT];
    unsigned changes = next_byte(w) % 8u + 1;
    for (unsigned i = 0; i < changes && k.len > 0; i++)
        k.data[(next_byte(w) * 256u + next_byte(w)) % k.len] = next_byte(w);
    if (next_byte(w) % 4 == 0)
        k.len = k.len * next_byte(w) / 255;
    deliver(w, &k);
}

static void invent(struct world *w) {
    struct kept k = {.to = next_byte(w) & 1, .len = next_byte(w)};
    for (size_t i = 0; i < k.len; i++)
        k.data[i] = next_byte(w);
    if (k.len > 5 && (k.data[0] & 0x40) != 0) /* let it past the first look */
        memcpy(k.data + ((k.data[0] & 0x80) != 0 ? 6 : 1), "\0\0\0", 3);
    if (k.len > 10)
        k.data[(k.data[0] & 0x80) != 0 ? 9 : 4] = (uint8_t)(k.to + 1);
    deliver(w, &k);
}

static void use_stream(struct world *w) {
    static const uint8_t bytes[5000];
    struct quic *q = w->end[next_byte(w) & 1];
    int64_t id = next_byte(w) % 16;
    switch (next_byte(w) % 7) {
    case 0:
        (void)!quic_stream_open(q, &id);
        break;
    case 1:
        (void)quic_stream_write(q, id, bytes, (size_t)next_byte(w) * 19);
        break;
    case 2:
        (void)!quic_stream_finish(q, id);
        break;
    case 3:
        quic_stream_reset(q, id, 7);
        break;
    case 4:
        quic_stream_stop(q, id, 8);
        break;
    case 5:
        (void)!quic_datagram_send(q, bytes, (size_t)next_byte(w) * 5);
        break;
    default:
        quic_nudge(q, w->now);
        break;
    }
}

static void pass_time(struct world *w) {
    static const int64_t pause_us[] = {0, 100, 1000, 20000, 300000, 2000000};
    w->now = bk_after(w->now, pause_us[next_byte(w) % 6]);
    for (int end = 0; end < 2; end++)
        quic_advance(w->end[end], w->now);
}

static void step(struct world *w) {
    switch (next_byte(w) % 12) {
    case 0:
    case 1:
        mangle(w);
        break;
    case 2:
        invent(w);
        break;
    case 3:
        deliver(w, &w->kept[next_byte(w) % KEPT]);
        break;
    case 4:
        w->hold = (next_byte(w) & 1) != 0;
        break;
    case 5:
    case 6:
        pass_time(w);
        break;
    case 11:
        if (next_byte(w) == 0)
            quic_close(w->end[next_byte(w) & 1], next_byte(w), "script", w->now);
        break;
    default:
        use_stream(w);
        break;
    }
}

static void start(struct world *w, struct rng_seeded *seeded) {
    struct bk_rng rng = rng_from_seeded(seeded);
    struct identity id[2];
    identity_make(&id[0], &rng);
    identity_make(&id[1], &rng);
    for (int i = 0; i < 2; i++) {
        struct quic_config c = quic_config_default;
        c.server = i == 1;
        c.identity = &id[i];
        c.peer = id[!i].key;
        c.rng = rng;
        c.alloc = fuzz_alloc;
        c.local_tag = (uint32_t)i + 1;
        c.remote_tag = (uint32_t)!i + 1;
        c.streams_max = 8;
        c.early_server_data = true;
        bk_assert(quic_new(&c, w->now, &w->end[i]) == BK_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct world w;
    struct rng_seeded seeded;
    rng_seed(&seeded, 1);
    w = (struct world){.now = {BK_US_PER_S}, .script = data, .left = size};
    unsigned how = next_byte(&w);
    plain = (how & 1) != 0;
    start(&w, &seeded);
    if ((how & 2) == 0) /* half the scripts meet an established pair, half the handshake */
        settle(&w);
    for (int i = 0; i < STEPS_MAX && w.left > 0; i++) {
        step(&w);
        settle(&w);
    }
    quic_free(w.end[0]);
    quic_free(w.end[1]);
    return 0;
}
