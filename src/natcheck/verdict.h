/* SPDX-License-Identifier: MIT
 * What follows from observations: pure functions, each next to the test that gathers them. */
#ifndef NATCHECK_VERDICT_H
#define NATCHECK_VERDICT_H

#include <bodkin/natcheck.h>

/* ---- mapping.c, and over TCP tcp.c ---- */

/* One inside endpoint, as different remotes see it. */
struct mapping_sample {
    struct bk_addr remote, seen;
};

struct mapping_verdict {
    enum bk_nat_dep dep;         /* the best guess when `reason` is not NONE */
    enum bk_nat_reason reason;   /* why it is not sure */
    enum bk_maybe port_specific; /* depends on the remote port alone */
};

struct mapping_verdict mapping_judge(const struct mapping_sample *samples, size_t count);

/* ---- ports.c ---- */

/* A new mapping. */
struct port_sample {
    uint16_t local, external;
    bool further;    /* not the first mapping of its inside port: an endpoint-dependent box */
    bool exact;      /* sent once, so `t_us` and `order` are those of the mapping */
    uint32_t order;  /* number among all packets that made a mapping, be they no sample */
    int64_t t_us;    /* when it was sent, first */
    int64_t last_us; /* and last */
};

enum { PORT_SAMPLES_MAX = 32 };

struct port_verdict {
    enum bk_nat_ports ports;
    uint16_t permille;
    int32_t step;
    double ports_per_s, foreign_per_s;
    uint16_t port_min, port_max; /* 0: no bounds seen */
    uint32_t port_count;         /* 0: as many as the bounds hold */
    enum bk_maybe parity;
    uint16_t parity_permille;
};

/* In the order of sending; PORT_SAMPLES_MAX at most. */
struct port_verdict ports_judge(const struct port_sample *samples, size_t count);

/* ---- double_nat.c ---- */

struct double_nat_facts {
    bool translated;
    struct bk_ip external;         /* as servers see us */
    struct bk_ip portmap_external; /* as the router tells; family NONE: it does not */
    const struct bk_ip *hops;      /* routers, nearest first */
    size_t hop_count;
};
enum bk_nat_double double_nat_judge(const struct double_nat_facts *facts, uint16_t *permille);

/* ---- lifetime.c ---- */

/* Alive after `alive_us` of silence, dead after `dead_us` (INT64_MAX: never seen dead). */
struct life_range {
    int64_t alive_us, dead_us;
};
void life_add(struct life_range *range, int64_t idle_us, bool alive);
/* Its middle, in ratio, and half its width. */
int64_t life_estimate(const struct life_range *range, int64_t *error_us);
/* Is it within 6 %? */
bool life_is_narrow(const struct life_range *range);
/* `count` instants inside the range, in even ratios, into `out`. */
void life_split(const struct life_range *range, int64_t *out, size_t count);

/* ---- prefix.c ---- */

/* Do two addresses differ in their prefix alone? Either the checksum stays the same, as RFC 6296
 * has it, though a word beside the prefix may differ for that, or nothing else differs at all. */
bool prefix_is_all(const struct bk_ip *inside, const struct bk_ip *outside);

#endif
