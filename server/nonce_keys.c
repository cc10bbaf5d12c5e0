/* SPDX-License-Identifier: MIT */
#include "server/nonce_keys.h"

#include "base/wipe.h"
#include "crypto/hash.h"
#include <string.h>

bool nonce_keys_read(const struct server_secrets *from, struct nonce_keys *out) {
    static const char purpose[] = "bodkin nonce key:";
    memset(out, 0, sizeof *out);
    if (from->count > NONCE_KEYS)
        return false;
    for (size_t i = 0; i < from->count; i++) {
        const struct crypto_piece pieces[] = {{purpose, sizeof purpose - 1},
                                              {from->list[i], strlen(from->list[i])}};
        if (pieces[1].len < NONCE_KEY_TEXT_MIN) {
            wipe(out, sizeof *out);
            return false;
        }
        sha256(pieces, 2, out->list[i]);
        out->count++;
    }
    return true;
}

bool nonce_secrets_change(struct nonce_secrets *s, const struct server_secrets *from) {
    struct nonce_keys keys;
    bool given = nonce_keys_read(from, &keys) && keys.count > 0;
    if (given) {
        bool same = equal_secret(keys.list[0], s->current, NONCE_KEY_LEN);
        s->has_previous = keys.count > 1 || !same;
        memcpy(s->previous, keys.count > 1 ? keys.list[1] : s->current, NONCE_KEY_LEN);
        memcpy(s->current, keys.list[0], NONCE_KEY_LEN);
    }
    wipe(&keys, sizeof keys);
    return given;
}
