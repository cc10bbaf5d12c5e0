/* SPDX-License-Identifier: MIT */
#include "server/users_book.h"

#include "base/table.h"
#include "base/text.h"
#include "base/wipe.h"
#include "crypto/hash.h"
#include "server/users_rest.h"
#include <stdatomic.h>
#include <string.h>

enum { SECRET_MAX = 512, REALM_MAX = 64 };

struct users_book {
    atomic_uint refs;
    struct bk_alloc alloc;
    char realm[REALM_MAX];
    struct table index; /* USERHASH -> entries */
    struct users_entry *entries;
    uint64_t *ids;
    uint32_t count, max;
    char secrets[USERS_SECRETS_MAX][SECRET_MAX];
    size_t secret_count;
};

enum bk_err users_book_new(const char *realm, uint32_t users_max, const struct bk_rng *rng,
                           const struct bk_alloc *alloc, struct users_book **out) {
    uint32_t max = users_max == 0 ? 1 : users_max;
    if (strlen(realm) >= REALM_MAX || stun_text_check(realm, strlen(realm)) != BK_OK)
        return BK_ERR_ARGUMENT;
    struct users_book *b = alloc->get(alloc->ctx, sizeof *b);
    if (b == NULL)
        return BK_ERR_NO_MEMORY;
    b->alloc = *alloc;
    b->max = max;
    atomic_init(&b->refs, 1);
    memcpy(b->realm, realm, strlen(realm) + 1);
    enum bk_err err = table_init(&b->index, STUN_USERHASH_LEN, max, rng, alloc);
    b->entries = alloc->get(alloc->ctx, max * sizeof *b->entries);
    b->ids = alloc->get(alloc->ctx, max * sizeof *b->ids);
    if (err == BK_OK && b->entries != NULL && b->ids != NULL) {
        *out = b;
        return BK_OK;
    }
    users_book_unref(b);
    return BK_ERR_NO_MEMORY;
}

struct users_book *users_book_ref(struct users_book *b) {
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void users_book_unref(struct users_book *b) {
    if (b == NULL || atomic_fetch_sub(&b->refs, 1) > 1)
        return;
    const struct bk_alloc alloc = b->alloc;
    table_fini(&b->index);
    if (b->entries != NULL)
        wipe(b->entries, b->max * sizeof *b->entries);
    alloc.put(alloc.ctx, b->entries);
    alloc.put(alloc.ctx, b->ids);
    wipe(b, sizeof *b);
    alloc.put(alloc.ctx, b);
}

static uint64_t id_of(const uint8_t hash[STUN_USERHASH_LEN]) {
    uint64_t id;
    memcpy(&id, hash, sizeof id);
    return id == 0 ? 1 : id;
}

uint64_t users_id(const char *name, const char *realm) {
    uint8_t hash[STUN_USERHASH_LEN];
    stun_userhash(name, realm, hash);
    return id_of(hash);
}

enum bk_err users_book_add(struct users_book *b, const char *name,
                           const struct users_entry *entry) {
    uint8_t hash[STUN_USERHASH_LEN];
    if (strlen(name) > STUN_USER_MAX || stun_text_check(name, strlen(name)) != BK_OK)
        return BK_ERR_ARGUMENT;
    stun_userhash(name, b->realm, hash);
    if (table_get(&b->index, hash, NULL))
        return BK_ERR_EXISTS;
    if (b->count == b->max)
        return BK_ERR_FULL;
    enum bk_err err = table_put(&b->index, hash, b->count);
    if (err != BK_OK)
        return err;
    b->ids[b->count] = id_of(hash);
    struct users_entry *e = &b->entries[b->count++];
    *e = *entry;
    struct text t = text_in(e->name, sizeof e->name);
    text_str(&t, name);
    return BK_OK;
}

enum bk_err users_book_add_secret(struct users_book *b, const char *secret) {
    size_t len = strlen(secret);
    if (b->secret_count == USERS_SECRETS_MAX)
        return BK_ERR_FULL;
    if (len == 0 || len >= SECRET_MAX)
        return BK_ERR_ARGUMENT;
    memcpy(b->secrets[b->secret_count++], secret, len + 1);
    return BK_OK;
}

/* How many bytes; 0: not hexadecimal. */
static size_t read_hex(const char *digits, uint8_t *out, size_t cap) {
    size_t len = strlen(digits);
    if (len % 2 != 0 || len / 2 > cap)
        return 0;
    for (size_t i = 0; i < len; i++) {
        char c = digits[i];
        int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (value < 0)
            return 0;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? value << 4 : out[i / 2] | value);
    }
    return len / 2;
}

static bool make_key(const char *name, const char *realm, const char *password,
                     enum stun_algorithm algorithm, uint8_t *out, size_t len) {
    struct stun_key key;
    bool made = stun_key_long(name, realm, password, algorithm, &key) == BK_OK && key.len == len;
    if (made)
        memcpy(out, key.bytes, len);
    wipe(&key, sizeof key);
    return made;
}

enum bk_err users_entry_make(const char *name, const char *realm, const char *password,
                             struct users_entry *out) {
    struct users_entry e = {.has_md5 = true};
    uint8_t key[USERS_SHA256_LEN];
    size_t hex = strncmp(password, "0x", 2) == 0 ? read_hex(password + 2, key, sizeof key) : 0;
    if (hex == USERS_MD5_LEN || hex == USERS_SHA256_LEN) {
        e.has_md5 = hex == USERS_MD5_LEN;
        e.has_sha256 = !e.has_md5;
        memcpy(e.has_md5 ? e.md5 : e.sha256, key, hex);
    } else {
        e.has_sha256 = true;
        if (!make_key(name, realm, password, STUN_ALGORITHM_MD5, e.md5, sizeof e.md5) ||
            !make_key(name, realm, password, STUN_ALGORITHM_SHA256, e.sha256, sizeof e.sha256))
            return BK_ERR_ARGUMENT;
    }
    *out = e;
    wipe(&e, sizeof e);
    wipe(key, sizeof key);
    return BK_OK;
}

size_t users_book_count(const struct users_book *b) {
    return b->count;
}

bool users_name_of(const struct stun_claim *claim, char *out) {
    if (claim->user.data == NULL || claim->user.len > STUN_USER_MAX ||
        stun_text_check(claim->user.data, claim->user.len) != BK_OK)
        return false;
    memcpy(out, claim->user.data, claim->user.len);
    out[claim->user.len] = '\0';
    return true;
}

/* RFC 8489 section 9.2.2: one key for each algorithm; a user kept with only one of them has no
 * other. */
bool users_entry_use(const struct users_entry *e, uint64_t id, const struct stun_claim *claim,
                     struct turn_user *out) {
    bool sha256 = claim->algorithm == STUN_ALGORITHM_SHA256;
    if (sha256 ? !e->has_sha256 : !e->has_md5)
        return false;
    memset(out, 0, sizeof *out);
    out->id = id;
    out->key.len = sha256 ? sizeof e->sha256 : sizeof e->md5;
    memcpy(out->key.bytes, sha256 ? e->sha256 : e->md5, out->key.len);
    out->allocations_max = e->allocations_max;
    out->bytes_per_s = e->bytes_per_s;
    memcpy(out->name, e->name, sizeof out->name);
    return true;
}

/* The n-th secret's key for a time-limited name. Its user is the NAME in it, so that limits hold
 * for all of somebody's passwords together. */
static bool use_secret(const struct users_book *b, const char *name, unsigned n, int64_t now_s,
                       const struct stun_claim *claim, struct turn_user *out) {
    char password[USERS_REST_PASSWORD_MAX];
    struct users_rest rest;
    if (n >= b->secret_count || !users_rest_parse(name, &rest))
        return false;
    users_rest_password(b->secrets[n], name, password);
    memset(out, 0, sizeof *out);
    out->id = users_id(rest.who, b->realm);
    out->ended = rest.expires_s <= now_s;
    enum bk_err err = stun_key_long(name, b->realm, password, claim->algorithm, &out->key);
    wipe(password, sizeof password);
    return err == BK_OK;
}

enum turn_found users_book_find(const struct users_book *b, const struct stun_claim *claim,
                                int64_t now_s, struct turn_user *out) {
    char name[STUN_USER_MAX + 1];
    uint8_t hash[STUN_USERHASH_LEN];
    uint32_t at;
    bool named = users_name_of(claim, name);
    if (named)
        stun_userhash(name, b->realm, hash);
    else if (claim->hash.data != NULL && claim->hash.len == sizeof hash)
        memcpy(hash, claim->hash.data, sizeof hash);
    else
        return TURN_USER_UNKNOWN;
    if (table_get(&b->index, hash, &at))
        return users_entry_use(&b->entries[at], b->ids[at], claim, out) ? TURN_USER_FOUND
                                                                        : TURN_USER_UNKNOWN;
    return named && use_secret(b, name, 0, now_s, claim, out) ? TURN_USER_FOUND : TURN_USER_UNKNOWN;
}

bool users_book_another(const struct users_book *b, const struct stun_claim *claim, unsigned n,
                        int64_t now_s, struct turn_user *out) {
    char name[STUN_USER_MAX + 1];
    uint8_t hash[STUN_USERHASH_LEN];
    if (n >= b->secret_count || !users_name_of(claim, name))
        return false;
    stun_userhash(name, b->realm, hash);
    return !table_get(&b->index, hash, NULL) && use_secret(b, name, n, now_s, claim, out);
}
