/* SPDX-License-Identifier: MIT
 * What is in an answer. */
#include "server/users_hook.h"

#include "base/wipe.h"
#include <cjson/cJSON.h>
#include <string.h>

enum { TTL_DEFAULT_S = 60, TTL_MAX_S = 3600, BITS = 8 };

static const char *text_of(const cJSON *o, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

static double number_of(const cJSON *o, const char *name, double otherwise, double max) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0))
        return otherwise;
    return item->valuedouble > max ? max : item->valuedouble;
}

/* A key in hexadecimal is what users_entry_make() takes for "0x..." of the right length. */
static bool read_key(const char *hex, size_t bytes, const char *name, const char *realm,
                     struct users_entry *out) {
    char text[2 + 2 * USERS_SHA256_LEN + 1] = "0x";
    if (hex == NULL || strlen(hex) != 2 * bytes)
        return false;
    memcpy(text + 2, hex, 2 * bytes + 1);
    bool made = users_entry_make(name, realm, text, out) == BK_OK;
    wipe(text, sizeof text);
    return made && out->has_md5 != out->has_sha256; /* both: it was no hexadecimal */
}

static bool read_keys(const cJSON *o, const char *name, const char *realm,
                      struct users_entry *out) {
    struct users_entry one = {.has_md5 = false};
    const char *password = text_of(o, "password");
    if (password != NULL)
        return users_entry_make(name, realm, password, out) == BK_OK;
    memset(out, 0, sizeof *out);
    if (read_key(text_of(o, "md5"), USERS_MD5_LEN, name, realm, &one)) {
        memcpy(out->md5, one.md5, sizeof out->md5);
        out->has_md5 = true;
    }
    if (read_key(text_of(o, "sha256"), USERS_SHA256_LEN, name, realm, &one)) {
        memcpy(out->sha256, one.sha256, sizeof out->sha256);
        out->has_sha256 = true;
    }
    wipe(&one, sizeof one);
    return out->has_md5 || out->has_sha256;
}

enum bk_err users_hook_read(const char *json, size_t len, const char *name, const char *realm,
                            struct users_entry *out, int64_t *ttl_s) {
    struct users_entry e;
    cJSON *o = cJSON_ParseWithLength(json, len);
    bool good = cJSON_IsObject(o) && read_keys(o, name, realm, &e);
    if (good) {
        e.allocations_max = (uint32_t)number_of(o, "allocations", 0, 1e6);
        e.bytes_per_s = (uint64_t)number_of(o, "bandwidth", 0, 1e12) / BITS;
        *ttl_s = (int64_t)number_of(o, "ttl", TTL_DEFAULT_S, TTL_MAX_S);
        *out = e;
        wipe(&e, sizeof e);
    }
    cJSON_Delete(o);
    return good ? BK_OK : BK_ERR_MALFORMED;
}
