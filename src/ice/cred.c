/* SPDX-License-Identifier: MIT */
#include "ice/cred.h"

#include "base/assert.h"
#include "base/rng.h"
#include "base/wipe.h"

#include <string.h>

/* RFC 8839 section 5.1: ice-char. Exactly 64, so six random bits choose one without bias. */
static const char ice_chars[65] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* The length of `text` if it consists of `min`..BK_ICE_CRED_MAX ice-chars, else 0. */
static size_t cred_len(const char *text, size_t min) {
    size_t len = 0;
    while (len <= BK_ICE_CRED_MAX && text[len] != '\0' && strchr(ice_chars, text[len]) != NULL)
        len++;
    return len < min || len > BK_ICE_CRED_MAX || text[len] != '\0' ? 0 : len;
}

enum bk_err ice_cred_set(struct ice_cred *cred, const char *ufrag, const char *pwd) {
    size_t ufrag_len = cred_len(ufrag, BK_ICE_UFRAG_MIN);
    size_t pwd_len = cred_len(pwd, BK_ICE_PWD_MIN);
    if (ufrag_len == 0 || pwd_len == 0)
        return BK_ERR_ARGUMENT;
    ice_cred_fini(cred);
    memcpy(cred->ufrag, ufrag, ufrag_len + 1);
    memcpy(cred->pwd, pwd, pwd_len + 1);
    return BK_OK;
}

static void fill_chars(char *out, size_t len, const struct bk_rng *rng) {
    for (size_t i = 0; i < len; i++)
        out[i] = ice_chars[rng_below(rng, 64)];
    out[len] = '\0';
}

void ice_cred_make(struct ice_cred *cred, const struct bk_rng *rng) {
    ice_cred_fini(cred);
    fill_chars(cred->ufrag, ICE_UFRAG_MADE, rng);
    fill_chars(cred->pwd, ICE_PWD_MADE, rng);
}

bool ice_cred_equal(struct ice_cred_view cred, const char *ufrag, const char *pwd) {
    size_t len = strlen(cred.pwd);
    return strcmp(cred.ufrag, ufrag) == 0 && strlen(pwd) == len && equal_secret(cred.pwd, pwd, len);
}

void ice_cred_fini(struct ice_cred *cred) {
    wipe(cred, sizeof *cred);
}

bool ice_cred_is_addressed(struct ice_cred_view cred, struct wire_span username) {
    size_t len = strlen(cred.ufrag);
    return len > 0 && username.len > len && username.data[len] == ':' &&
           memcmp(username.data, cred.ufrag, len) == 0;
}

bool ice_cred_is_from(struct ice_cred_view cred, struct ice_cred_view from,
                      struct wire_span username) {
    size_t at = strlen(cred.ufrag) + 1, len = strlen(from.ufrag);
    return username.len == at + len && memcmp(username.data + at, from.ufrag, len) == 0;
}

size_t ice_secret_len(const struct ice_secret *secret) {
    return ice_secret_is_set(secret) ? secret->pwd_at + strlen(secret->text + secret->pwd_at) + 1
                                     : 0;
}

struct ice_cred_view ice_secret_view(const struct ice_secret *secret) {
    struct ice_cred_view view = {"", ""};
    if (ice_secret_is_set(secret)) {
        view.ufrag = secret->text;
        view.pwd = secret->text + secret->pwd_at;
    }
    return view;
}

void ice_secret_put(struct ice_secret *secret, const struct ice_cred *cred) {
    size_t ufrag = strlen(cred->ufrag) + 1, pwd = strlen(cred->pwd) + 1;
    bk_assert(ufrag + pwd <= secret->cap);
    memcpy(secret->text, cred->ufrag, ufrag);
    memcpy(secret->text + ufrag, cred->pwd, pwd);
    secret->pwd_at = (uint16_t)ufrag;
}

void ice_secret_clear(struct ice_secret *secret) {
    if (secret->text != NULL)
        wipe(secret->text, secret->cap);
    secret->pwd_at = 0;
}
