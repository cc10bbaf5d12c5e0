/* SPDX-License-Identifier: MIT
 * links: relay
 * A relay client against a server that says anything. The input is a script: each step is a code
 * byte and a length byte, then so many bytes from the server (or ignored). */
#include "base/assert.h"
#include "base/rng.h"
#include "fuzz/fuzz.h"
#include "relay/client.h"

#include <stdlib.h>

static void drain(struct relay_client *c, bool *closed) {
    struct relay_client_event ev;
    struct relay_piece p;
    while (relay_client_next_event(c, &ev)) {
        bk_assert(!*closed);
        *closed = ev.type == RELAY_CLIENT_CLOSED;
        bk_assert(ev.data != NULL || ev.len == 0);
    }
    for (int i = 0; i < 4 && relay_client_next_bytes(c, &p); i++)
        relay_client_sent(c, p.len > 700 ? 700 : p.len);
}

static void step(struct relay_client *c, uint8_t code, const uint8_t *data, size_t len,
                 struct bk_time *now) {
    static const uint8_t dst[RELAY_KEY_LEN] = {1};
    static const uint8_t filler[4096];
    struct relay_piece piece = {filler, (size_t)code * 16};
    if (code < 0xc0) {
        (void)relay_client_recv(c, data, len, *now);
    } else if (code < 0xd0) {
        *now = bk_after(*now, (int64_t)(code & 15) * 4 * BK_US_PER_S);
        relay_client_advance(c, *now);
    } else if (code < 0xe0) {
        if (relay_client_ping(c, *now) == BK_OK)
            bk_assert(relay_client_queued(c) > 0);
    } else if (code < 0xf0) {
        bool room = relay_client_has_room(c, piece.len);
        enum bk_err err = relay_client_send(c, dst, &piece, 1);
        bk_assert(err == BK_ERR_CLOSED || (err == BK_OK) == room);
    } else {
        relay_client_eof(c, BK_ERR_CLOSED);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    struct rng_seeded seeded;
    struct relay_client *c = NULL;
    struct relay_client_config config = relay_client_config_default;
    struct bk_time now = {1};
    bool closed = false;
    if (len < 1)
        return 0;
    rng_seed(&seeded, 1);
    struct bk_rng rng = rng_from_seeded(&seeded);
    config.start = (enum relay_start)(data[0] % 3);
    config.host = "relay.example";
    config.secret[0] = 8;
    config.secret[31] = 64;
    config.server_key_known = config.start == RELAY_START_FAST;
    config.server_key[0] = 9; /* the base point: its secret is 1 */
    if (relay_client_new(&config, &rng, &fuzz_alloc, now, &c) != BK_OK)
        abort();
    data++;
    len--;
    while (len >= 2) {
        uint8_t code = data[0];
        size_t n = data[1];
        data += 2;
        len -= 2;
        n = n < len ? n : len;
        step(c, code, data, n, &now);
        drain(c, &closed);
        if (code < 0xc0) {
            data += n;
            len -= n;
        }
    }
    bk_assert(!closed || bk_is_never(relay_client_deadline(c)));
    relay_client_free(c);
    return 0;
}
