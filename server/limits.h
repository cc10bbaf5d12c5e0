/* SPDX-License-Identifier: MIT
 * How many connections there may be, in all and of one address (IPv6: of one /64, which is what one
 * customer gets, RFC 6177). Shared by the workers, because the kernel spreads one address's
 * connections over all of them. */
#ifndef SERVER_LIMITS_H
#define SERVER_LIMITS_H

#include "base/table.h"
#include <bodkin/addr.h>
#include <pthread.h>
#include <stdint.h>

struct limits {
    pthread_mutex_t lock; /* guards the two fields below; held for one table lookup */
    struct table per_address;
    uint32_t total;
    uint32_t total_max, per_address_max; /* per_address_max 0: no limit */
};

enum limits_verdict { LIMITS_WELCOME, LIMITS_TOTAL, LIMITS_ADDRESS };

BK_MUST_USE enum bk_err limits_init(struct limits *l, uint32_t total_max, uint32_t per_address_max,
                                    const struct bk_rng *rng);
void limits_fini(struct limits *l);
/* Counts a connection in, unless a limit is reached. */
enum limits_verdict limits_enter(struct limits *l, const struct bk_ip *ip);
/* Counts out what was welcome. */
void limits_leave(struct limits *l, const struct bk_ip *ip);

/* Raises the limit of file descriptors as far as needed and allowed for `connections` of them and
 * `relays`, relay ports. Gives for how many connections there is room. */
uint32_t limits_descriptors(uint32_t connections, uint32_t relays);
/* How many connections there may be when there are `files` for both: relay ports come first, but
 * get no more than half where not all have room. */
uint32_t limits_divide(uint64_t files, uint32_t connections, uint32_t relays);

#endif
