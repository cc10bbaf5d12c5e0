/* SPDX-License-Identifier: MIT
 * The event log of a lab: what the network does, without drowning the reader. A flow's first
 * dropped packet is told at once, then once in JOURNAL_WINDOW_US how many more there were; mappings
 * are told one by one up to JOURNAL_MAPPINGS_MAX in that time, and then counted. Makes no system
 * calls. */
#ifndef LAB_JOURNAL_H
#define LAB_JOURNAL_H

#include "lab/fabric.h"

enum {
    JOURNAL_WINDOW_US = 1000000,
    JOURNAL_FLOWS_MAX = 128, /* whose drops are counted one by one */
    JOURNAL_MAPPINGS_MAX = 1000
};

struct journal_flow {
    bool used;
    int link, by;
    enum topology_direction direction;
    enum lab_drop drop;
    enum nat_drop nat;
    struct lab_flow flow;
    uint64_t count; /* since it was last told */
    struct bk_time tell_at;
};

/* Takes what is to be told. Its time is not set yet. */
typedef void journal_tell(void *ctx, const struct lab_event *event);

struct journal {
    const struct topology *topology;
    struct journal_flow flows[JOURNAL_FLOWS_MAX];
    uint64_t others;                  /* drops of flows that have no place above */
    uint64_t mappings, mappings_more; /* told, and only counted, in this window */
    struct bk_time window_end;        /* of the last two; BK_NEVER: nothing yet */
    journal_tell *tell;
    void *ctx;
};

/* Borrows `topology`. */
void journal_init(struct journal *j, const struct topology *topology, journal_tell *tell,
                  void *ctx);
void journal_sight(struct journal *j, const struct fabric_sight *sight, struct bk_time now);
void journal_mapping(struct journal *j, int box, const struct nat_mapping_view *mapping, bool made,
                     struct bk_time now);
/* Tells what has been counted until now, when it is time. */
void journal_advance(struct journal *j, struct bk_time now);
struct bk_time journal_deadline(const struct journal *j);
/* Tells all that has been counted. */
void journal_finish(struct journal *j, struct bk_time now);

#endif
