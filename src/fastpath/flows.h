/* SPDX-License-Identifier: MIT
 * The flows that the program in the kernel looks at: adding, changing, ending, counting, all by
 * writing memory that both see (shared.h). One thread at a time. */
#ifndef FASTPATH_FLOWS_H
#define FASTPATH_FLOWS_H

#include "base/table.h"
#include "fastpath/fastpath.h"
#include "fastpath/shared.h"

/* Zeroed memory for it. */
struct flows_memory {
    struct fast_settings *settings;
    struct fast_bucket *buckets;
    struct fast_flow *flows;
    struct fast_limit *limits;
    uint32_t bucket_count; /* flows_buckets(flow_count) */
    uint32_t flow_count, limit_count;
};

struct flows {
    struct flows_memory shared;
    struct table by_id, by_alloc; /* to places in `flows` and `limits` */
    uint32_t *free_flows, *free_limits;
    uint32_t free_flow_count,
        free_limit_count; /* returned ones; beyond `used` none was taken yet */
    uint32_t used_flows, used_limits;
    uint32_t *sharers;  /* of each limit, how many flows */
    uint64_t *limit_of; /* of each limit, its allocation */
    struct bk_alloc alloc;
};

/* A power of two; the slots are at most half full, and are two for each flow. */
uint32_t flows_buckets(uint32_t flow_count);
/* Keeps the memory, borrowed. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err flows_init(struct flows *s, const struct flows_memory *memory,
                                   const struct bk_rng *rng, struct bk_time now,
                                   const struct bk_alloc *alloc);
void flows_fini(struct flows *s);

/* As fastpath_add(), fastpath_remove(), fastpath_count(). */
BK_MUST_USE enum bk_err flows_put(struct flows *s, const struct fastpath_flow *flow);
BK_MUST_USE enum bk_err flows_remove(struct flows *s, uint64_t id, struct fastpath_count *last);
BK_MUST_USE enum bk_err flows_count(const struct flows *s, uint64_t id, struct fastpath_count *out);

#endif
