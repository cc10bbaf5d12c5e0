/* SPDX-License-Identifier: MIT
 * What the files of a scene share: scene.c plays the steps, scene_world.c builds the world,
 * scene_change.c changes it, scene_pair.c has the peers. Private to them. */
#ifndef SIM_SCENE_STATE_H
#define SIM_SCENE_STATE_H

#include "sim/actor_peer.h"
#include "sim/actor_relay.h"
#include "sim/actor_stun.h"
#include "sim/scene.h"

enum { SCENE_FLAPS_MAX = 64, SCENE_HOME_PORT = 443 };

/* A host that met somebody. */
struct scene_peer {
    struct scene *scene;
    struct sim_peer peer;
    int node; /* of the topology */
    bool home;
};

/* One end of a meeting. */
struct scene_side {
    struct scene_peer *peer;
    struct session *session;
    bool has_stream, ended, corrupt;
    int64_t stream;
    uint64_t sent, received;
    uint64_t mark; /* what the other side had sent when `expect data` began */
    enum session_end end;
};

struct scene_pair {
    struct scene_side side[2]; /* who connects, who listens */
    uint8_t secret[TICKET_SECRET_LEN];
    bool asked; /* the offer is out */
};

struct scene_flap {
    struct topology_change change;
    struct bk_time since;
    bool down;
};

struct scene {
    struct scene_config config;
    const struct topology *topology;
    struct bk_alloc alloc;
    struct world *world;
    struct bk_time began;
    node_id *nodes; /* by index in the topology */
    bool at_done[TOPOLOGY_STEPS_MAX];
    struct scene_flap flaps[SCENE_FLAPS_MAX];
    size_t flap_count;
    bool served;
    int server; /* node of the topology */
    struct sim_stun stun;
    struct sim_relay relay;
    actor_id pacer;
    struct bk_time pace; /* when everybody sends again */
    struct bk_rng secrets;
    struct scene_peer *peers;
    size_t peer_count;
    struct scene_pair *pairs;
    size_t pair_count;
};

/* Says why, for the line; always false. */
bool scene_fail(struct topology_error *error, unsigned line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void scene_tell(const struct scene *s, struct scene_event event);

/* scene_world.c */
BK_MUST_USE enum bk_err scene_build(struct scene *s, struct topology_error *error);

/* scene_change.c. false: *error says why the change cannot be made. */
bool scene_change(struct scene *s, const struct topology_step *step, struct topology_error *error);
/* Brings flapping links up to date; the next time to do so. */
struct bk_time scene_flap(struct scene *s);

/* scene_pair.c */
BK_MUST_USE enum bk_err scene_serve(struct scene *s, const struct topology_step *step);
BK_MUST_USE enum bk_err scene_meet(struct scene *s, const struct topology_step *step);
/* The pair an `expect` is about. */
struct scene_pair *scene_pair_of(struct scene *s, const struct topology_step *step);
void scene_pair_mark(struct scene_pair *pair);
/* Is it now as the step expects? */
bool scene_pair_is(const struct scene_pair *pair, const struct topology_step *step);
/* What it is instead, in words. */
void scene_pair_say(const struct scene_pair *pair, char *out, size_t cap);
void scene_pairs_fini(struct scene *s);

#endif
