/* SPDX-License-Identifier: MIT */
#include "server/users_rest.h"

#include "base/wipe.h"
#include "crypto/hmac.h"
#include <string.h>

enum { DIGITS_MAX = 18 };

bool users_rest_parse(const char *name, struct users_rest *out) {
    int64_t value = 0;
    size_t i = 0;
    for (; name[i] >= '0' && name[i] <= '9'; i++) {
        if (i == DIGITS_MAX)
            return false;
        value = value * 10 + (name[i] - '0');
    }
    if (i == 0 || (name[i] != '\0' && (name[i] != ':' || name[i + 1] == '\0')))
        return false;
    out->expires_s = value;
    out->who = name[i] == ':' ? name + i + 1 : name;
    return true;
}

void users_rest_password(const char *secret, const char *name, char out[USERS_REST_PASSWORD_MAX]) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const struct crypto_piece piece = {name, strlen(name)};
    uint8_t mac[SHA1_LEN + 1] = {0}; /* seven times three bytes, the last of them padding */
    hmac_sha1(secret, strlen(secret), &piece, 1, mac);
    for (size_t i = 0; i < sizeof mac / 3; i++) {
        uint32_t bits = (uint32_t)mac[3 * i] << 16 | (uint32_t)mac[3 * i + 1] << 8 | mac[3 * i + 2];
        for (size_t k = 0; k < 4; k++)
            out[4 * i + k] = digits[bits >> (18 - 6 * k) & 63];
    }
    out[USERS_REST_PASSWORD_MAX - 2] = '=';
    out[USERS_REST_PASSWORD_MAX - 1] = '\0';
    wipe(mac, sizeof mac);
}
