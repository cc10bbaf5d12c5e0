/* SPDX-License-Identifier: MIT
 * Access tokens of RFC 7635: brought instead of a password, and made, which is what an
 * authorization server does. Both ends of it are the JSON object of section 4. */
#include "base/wipe.h"
#include "box/box.h"
#include "cli/command.h"
#include "cli/turn.h"
#include "crypto/aead.h"
#include "server/token_keys.h"
#include "wire/writer.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FILE_MAX = 8192, NONCE_LEN = 12, MAC_KEY_LEN = 20, TOKEN_ROOM = 128, TEXT_ROOM = 256 };

static bool mistake(const char *what, const char *why) {
    fprintf(stderr, "bodkin turn: %s: %s\n", what, why);
    return false;
}

/* ---- Brought ------------------------------------------------------------------------------ */

static size_t bytes_of(const cJSON *object, const char *name, uint8_t *out, size_t cap) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, name));
    return text == NULL ? 0 : token_base64_read(text, out, cap);
}

static bool take_object(struct turn_cli *t, const cJSON *o, char *kid) {
    const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, "kid"));
    t->token_len = bytes_of(o, "access_token", t->token, sizeof t->token);
    t->token_key_len = bytes_of(o, "key", t->token_key, sizeof t->token_key);
    if (name == NULL || strlen(name) > TURN_CLI_KID_MAX || t->token_len == 0 ||
        t->token_key_len == 0)
        return false;
    memcpy(kid, name, strlen(name) + 1);
    t->user = kid;
    return true;
}

bool turn_token_read(struct turn_cli *t, const char *path, char *kid) {
    char text[FILE_MAX];
    FILE *f = fopen(path, "re");
    size_t len = f == NULL ? 0 : fread(text, 1, sizeof text - 1, f);
    if (f != NULL)
        (void)fclose(f);
    if (len == 0)
        return mistake(path, "cannot be read");
    text[len] = '\0';
    cJSON *o = cJSON_Parse(text);
    bool ok = o != NULL && take_object(t, o, kid);
    cJSON_Delete(o);
    wipe(text, sizeof text);
    return ok || mistake(path, "is no JSON object with access_token, key (base64) and kid");
}

void turn_credentials(const struct turn_cli *t, struct bk_turn_config *c) {
    c->user = t->user;
    c->password = t->password;
    if (t->token_len == 0)
        return;
    c->token = t->token;
    c->token_len = t->token_len;
    c->token_key = t->token_key;
    c->token_key_len = t->token_key_len;
}

/* ---- Made --------------------------------------------------------------------------------- */

static void write_base64(const uint8_t *bytes, size_t len, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3, out += 4) {
        uint32_t bits = (uint32_t)bytes[i] << 16;
        bits |= i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0;
        bits |= i + 2 < len ? bytes[i + 2] : 0;
        for (unsigned n = 0; n < 4; n++)
            out[n] = (char)(i + n <= len ? digits[bits >> (18 - 6 * n) & 63] : '=');
    }
    *out = '\0';
}

/* Section 6.2: the key's length and the key, the time in seconds and 1/64000 of them, how long. */
static size_t write_plain(const uint8_t mac_key[MAC_KEY_LEN], uint32_t lifetime_s, uint8_t *out,
                          size_t cap) {
    struct wire_writer w = wire_writer(out, cap);
    wire_put_u16(&w, MAC_KEY_LEN);
    wire_put_bytes(&w, mac_key, MAC_KEY_LEN);
    wire_put_u64(&w, (uint64_t)time(NULL) << 16);
    wire_put_u32(&w, lifetime_s);
    return w.len;
}

static size_t seal(const struct turn_token_key *key, const char *server, const uint8_t *plain,
                   size_t len, uint8_t *out) {
    const struct bk_rng rng = box_rng();
    struct wire_writer w = wire_writer(out, TOKEN_ROOM);
    wire_put_u16(&w, NONCE_LEN);
    rng.fill(rng.ctx, out + w.len, NONCE_LEN);
    const struct aead a = {.key = key->key,
                           .key_len = key->len,
                           .nonce = {out + w.len, NONCE_LEN},
                           .extra = {server, strlen(server)}};
    aead_seal(&a, plain, len, out + w.len + NONCE_LEN);
    return w.len + NONCE_LEN + len + AEAD_TAG_LEN;
}

static void print_token(const char *kid, const char *token, const char *mac, uint32_t lifetime_s) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "access_token", token);
    cJSON_AddStringToObject(o, "token_type", "pop");
    cJSON_AddNumberToObject(o, "expires_in", lifetime_s);
    cJSON_AddStringToObject(o, "kid", kid);
    cJSON_AddStringToObject(o, "key", mac);
    char *text = cJSON_Print(o);
    if (text != NULL)
        puts(text);
    free(text);
    cJSON_Delete(o);
}

int turn_token_make(const char *server, const char *key, uint32_t lifetime_s) {
    struct server_secrets from = {.count = 1};
    struct token_keys keys;
    uint8_t mac_key[MAC_KEY_LEN], plain[TOKEN_ROOM], token[TOKEN_ROOM];
    char mac_text[TEXT_ROOM], token_text[TEXT_ROOM];
    const struct bk_rng rng = box_rng();
    int fits = key == NULL ? -1 : snprintf(from.list[0], sizeof from.list[0], "%s", key);
    if (fits < 0 || (size_t)fits >= sizeof from.list[0] || !token_keys_read(&from, &keys)) {
        (void)mistake("--token-key", "is KID:KEY, KEY 16 or 32 bytes in base64");
        return EXIT_USAGE;
    }
    rng.fill(rng.ctx, mac_key, sizeof mac_key);
    lifetime_s = lifetime_s != 0 ? lifetime_s : 3600;
    size_t len = write_plain(mac_key, lifetime_s, plain, sizeof plain);
    size_t token_len = seal(&keys.list[0], server, plain, len, token);
    write_base64(mac_key, sizeof mac_key, mac_text);
    write_base64(token, token_len, token_text);
    print_token(keys.list[0].kid, token_text, mac_text, lifetime_s);
    wipe(&keys, sizeof keys);
    wipe(&from, sizeof from);
    return EXIT_FINE;
}
