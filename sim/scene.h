/* SPDX-License-Identifier: MIT
 * A topology file played in virtual time: its hosts, NAT boxes and links become a world, its steps
 * happen to it. Peers that `meet` are real endpoints (src/peer) with their sessions, relay and STUN
 * clients; `serve` is the real relay and STUN service. Both sides of a meeting send 100 bytes every
 * 20 ms from then on, so that a broken path is noticed and `expect data` can be asked.
 *
 *     struct scene_config config = scene_config_default;
 *     config.topology = &topology;
 *     config.seed = seed;
 *     err = scene_new(&config, &alloc, &scene, &error);   // error: line and words
 *     if (!scene_run(scene, &error))
 *         ... an expectation did not come true
 *     scene_free(scene);
 *
 * The steps that run programs (HOST: COMMAND, start, wait, join, stop) exist in the lab only. */
#ifndef SIM_SCENE_H
#define SIM_SCENE_H

#include "sim/world.h"
#include "topology/topology.h"

enum { SCENE_PEERS_MAX = 24, SCENE_PAIRS_MAX = 24 };

enum scene_event_kind {
    SCENE_STEP,   /* a step is done: `text`, `line`, `took_us` */
    SCENE_CHANGE, /* a change was made in its turn or at its time: `text`, `line` */
    SCENE_PATH,   /* `host` sends to `other` on a direct path, or `reason` says why not */
    SCENE_ENDED   /* the session of `host` with `other` is over: `reason` */
};

struct scene_event {
    enum scene_event_kind kind;
    int64_t at_us, took_us; /* since the beginning of the scene; of the step */
    unsigned line;
    const char *text, *host, *other, *reason; /* never NULL; valid during the call */
    bool direct;
};

struct scene_config {
    const struct topology *topology; /* *kept* */
    uint64_t seed;                   /* instead of the topology's own */
    uint32_t trace_max;              /* packet events that world_dump() can show; 4096 */
    void (*event)(void *ctx, const struct scene_event *event); /* or NULL */
    void *ctx;
};
extern const struct scene_config scene_config_default;

struct scene;

/* BK_ERR_ARGUMENT: the file asks for what a simulation has not: *error says what and where.
 * BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err scene_new(const struct scene_config *config, const struct bk_alloc *alloc,
                                  struct scene **out, struct topology_error *error);
void scene_free(struct scene *scene);
/* Plays all steps, once. false: *error says which expectation did not come true, and what was. */
BK_MUST_USE bool scene_run(struct scene *scene, struct topology_error *error);
struct world *scene_world(struct scene *scene);
/* Virtual time since the beginning. */
int64_t scene_elapsed_us(const struct scene *scene);

#endif
