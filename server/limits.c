/* SPDX-License-Identifier: MIT */
#define _POSIX_C_SOURCE 200809L /* NOLINT: setrlimit */
#include "server/limits.h"

#include "base/assert.h"
#include "net/alloc.h"
#include <string.h>
#include <sys/resource.h>

enum {
    KEY_LEN = 9,     /* family, then an IPv4 address or the first half of an IPv6 address */
    OWN_FILES = 1024 /* listeners, loops, logs, and some air */
};

enum bk_err limits_init(struct limits *l, uint32_t total_max, uint32_t per_address_max,
                        const struct bk_rng *rng) {
    l->total = 0;
    l->total_max = total_max;
    l->per_address_max = per_address_max;
    if (pthread_mutex_init(&l->lock, NULL) != 0)
        return BK_ERR_NO_MEMORY;
    return table_init(&l->per_address, KEY_LEN, total_max, rng, net_alloc());
}

void limits_fini(struct limits *l) {
    table_fini(&l->per_address);
    pthread_mutex_destroy(&l->lock);
}

static void key_of(const struct bk_ip *ip, uint8_t key[KEY_LEN]) {
    memset(key, 0, KEY_LEN);
    key[0] = ip->family;
    memcpy(key + 1, ip->bytes, ip->family == BK_IPV4 ? 4 : 8);
}

enum limits_verdict limits_enter(struct limits *l, const struct bk_ip *ip) {
    uint8_t key[KEY_LEN];
    uint32_t count = 0;
    enum limits_verdict verdict = LIMITS_WELCOME;
    key_of(ip, key);
    pthread_mutex_lock(&l->lock);
    (void)table_get(&l->per_address, key, &count);
    if (l->per_address_max != 0 && count >= l->per_address_max)
        verdict = LIMITS_ADDRESS;
    else if (l->total >= l->total_max || table_put(&l->per_address, key, count + 1) != BK_OK)
        verdict = LIMITS_TOTAL;
    else
        l->total++;
    pthread_mutex_unlock(&l->lock);
    return verdict;
}

void limits_leave(struct limits *l, const struct bk_ip *ip) {
    uint8_t key[KEY_LEN];
    uint32_t count = 0;
    key_of(ip, key);
    pthread_mutex_lock(&l->lock);
    bool known = table_get(&l->per_address, key, &count);
    bk_assert(known && count > 0 && l->total > 0);
    l->total--;
    if (count == 1)
        table_remove(&l->per_address, key);
    else
        bk_assert(table_put(&l->per_address, key, count - 1) == BK_OK); /* the key is there */
    pthread_mutex_unlock(&l->lock);
}

uint32_t limits_divide(uint64_t files, uint32_t connections, uint32_t relays) {
    uint64_t half = files / 2, left = files > relays + half ? files - relays : half;
    if (files >= (uint64_t)connections + relays || left > connections)
        return connections;
    return (uint32_t)left;
}

uint32_t limits_descriptors(uint32_t connections, uint32_t relays) {
    struct rlimit r;
    rlim_t wanted = (rlim_t)connections + relays + OWN_FILES;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return connections;
    if (r.rlim_cur < wanted) {
        struct rlimit more = {.rlim_cur = wanted,
                              .rlim_max = r.rlim_max < wanted ? wanted : r.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &more) != 0) { /* only root may raise the upper limit */
            more = (struct rlimit){.rlim_cur = r.rlim_max < wanted ? r.rlim_max : wanted,
                                   .rlim_max = r.rlim_max};
            (void)setrlimit(RLIMIT_NOFILE, &more);
        }
    }
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur >= wanted)
        return connections;
    rlim_t files = r.rlim_cur > (rlim_t)2 * OWN_FILES ? r.rlim_cur - OWN_FILES : r.rlim_cur / 2;
    return limits_divide(files, connections, relays);
}
