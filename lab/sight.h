/* SPDX-License-Identifier: MIT
 * Telling whoever watches where packets go and why they end. Every drop in the
 * fabric goes through sight_dropped(), which also counts it. */
#ifndef LAB_SIGHT_H
#define LAB_SIGHT_H

#include "lab/fabric.h"

/* The packet begins its way up a link, or has come down one. */
void sight_crossed(struct fabric *f, struct transit *t);
/* The packet ends here, at the box or host `by` (TOPOLOGY_NOWHERE: the
 * internet). */
void sight_dropped(struct fabric *f, const struct transit *t, enum lab_drop drop, int by);
/* The box at `by` said no. */
void sight_refused(struct fabric *f, const struct transit *t, enum nat_drop why, int by);
/* Bytes that are no packet. */
void sight_malformed(struct fabric *f);

/* "lost on the link of alice", "filtered by alice-router", ... Returns `out`.
 */
enum { SIGHT_TEXT_MAX = 96 };
char *sight_describe(const struct topology *topology, const struct fabric_sight *sight,
                     char out[SIGHT_TEXT_MAX]);
/* "lost", "queue-full", "filtered", ...: a word for logs. */
const char *sight_reason(const struct fabric_sight *sight);

#endif
