/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: geteuid */
#include "server/store.h"

#include "base/text.h"
#include "base/wipe.h"
#include "box/box.h"
#include "net/state_file.h"
#include "net/tls.h"
#include "relay/upgrade.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char key_file[] = "relay.key";
static const char mark[] = "\"privkey:";

enum { PATH_LEN = 4096, HEX_LEN = 2 * STORE_KEY_LEN };

/* Finds `"privkey:<64 hex>"` wherever it stands in the JSON: derper writes nothing else. */
static enum bk_err parse_key(const struct state_bytes *file, uint8_t secret[STORE_KEY_LEN]) {
    const char *text = (const char *)file->data; /* state_file_read() ends it with a NUL */
    const char *at = strstr(text, mark);
    if (at == NULL || strlen(at) < sizeof mark - 1 + HEX_LEN + 1)
        return BK_ERR_MALFORMED;
    at += sizeof mark - 1;
    if (at[HEX_LEN] != '"')
        return BK_ERR_MALFORMED;
    return relay_key_parse(at, HEX_LEN, secret);
}

static enum bk_err make_key(const char *dir, uint8_t secret[STORE_KEY_LEN], char *reason) {
    struct bk_rng rng = box_rng();
    uint8_t public_key[BOX_KEY_LEN];
    char json[160];
    box_keypair(&rng, public_key, secret);
    struct text t = text_in(json, sizeof json);
    text_str(&t, "{\"PrivateKey\":\"privkey:");
    text_hex(&t, secret, STORE_KEY_LEN);
    text_str(&t, "\"}\n");
    const struct state_bytes piece = {(unsigned char *)json, t.len};
    enum bk_err err = state_file_write(dir, key_file, &piece, 1, reason);
    wipe(json, sizeof json);
    return err;
}

enum bk_err store_relay_key(const char *dir, uint8_t secret[STORE_KEY_LEN], char *reason) {
    char path[PATH_LEN];
    struct state_bytes file;
    struct text t = text_in(path, sizeof path);
    text_str(&t, dir);
    text_char(&t, '/');
    text_str(&t, key_file);
    if (t.cut)
        return BK_ERR_TOO_LONG;
    if (!state_file_exists(path))
        return make_key(dir, secret, reason);
    enum bk_err err = state_file_read(path, &file, reason);
    if (err != BK_OK)
        return err;
    err = parse_key(&file, secret);
    state_bytes_fini(&file);
    if (err != BK_OK && reason != NULL) {
        struct text r = text_in(reason, NET_REASON_MAX);
        text_str(&r, path);
        text_str(&r, " holds no relay key");
    }
    return err;
}

enum bk_err store_default_dir(char *out, size_t cap) {
    struct text t = text_in(out, cap);
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (geteuid() == 0) {
        text_str(&t, "/var/lib/bodkin");
    } else if (state != NULL && state[0] == '/') {
        text_str(&t, state);
        text_str(&t, "/bodkin");
    } else if (home != NULL && home[0] == '/') {
        text_str(&t, home);
        text_str(&t, "/.local/state/bodkin");
    } else {
        return BK_ERR_NOT_FOUND;
    }
    return t.cut ? BK_ERR_TOO_LONG : BK_OK;
}
