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
