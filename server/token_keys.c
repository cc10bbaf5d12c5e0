/* SPDX-License-Identifier: MIT */
#include "server/token_keys.h"

#include "base/wipe.h"
#include <string.h>

size_t token_base64_read(const char *text, uint8_t *out, size_t cap) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t len = strcspn(text, "="), n = 0;
    uint32_t bits = 0;
    unsigned have = 0;
    if (strlen(text) % 4 != 0 || strspn(text + len, "=") != strlen(text + len))
        return 0;
    for (size_t i = 0; i < len; i++) {
        const char *at = strchr(digits, text[i]);
        if (at == NULL)
            return 0;
        bits = bits << 6 | (uint32_t)(at - digits);
        have += 6;
        if (have < 8)
            continue;
        have -= 8;
        if (n == cap)
            return 0;
        out[n++] = (uint8_t)(bits >> have);
    }
    return n;
}

/* RFC 7635 section 6.2: AES-128 or AES-256. coturn's data base has keys that were made with `echo`:
 * their newline is none of the key. */
static size_t key_len(const uint8_t *key, size_t len) {
    bool newline = (len == 17 || len == 33) && key[len - 1] == '\n';
    size_t bare = newline ? len - 1 : len;
    return bare == 16 || bare == 32 ? bare : 0;
}

static bool read_one(const char *text, struct turn_token_key *out) {
    const char *colon = strchr(text, ':');
    size_t name = colon == NULL ? 0 : (size_t)(colon - text);
    if (name == 0 || name > TURN_KID_MAX)
        return false;
    memcpy(out->kid, text, name);
    uint8_t key[sizeof out->key + 1] = {0};
    size_t len = token_base64_read(colon + 1, key, sizeof key);
    out->len = key_len(key, len);
    memcpy(out->key, key, out->len);
    wipe(key, sizeof key);
    return out->len > 0;
}

bool token_keys_read(const struct server_secrets *from, struct token_keys *out) {
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < from->count; i++) {
        if (!read_one(from->list[i], &out->list[i])) {
            wipe(out, sizeof *out);
            return false;
        }
        out->count++;
    }
    return true;
}
