/* SPDX-License-Identifier: MIT
 * The signalling of two ICE agents in the simulated world: texts that reach an actor out of band,
 * after a delay, in order or not. One inbox for each direction; the receiver owns it.
 *
 *     sim_signal_init(&bob.inbox, w, bob.actor, &config, &rng, &alloc);
 *     sim_signal_send(&bob.inbox, &(struct sim_signal_message){...});   // alice's side does
 *     ... bob's on_message: sim_signal_take(&bob.inbox, data, len, &message) */
#ifndef SIM_SIGNAL_H
#define SIM_SIGNAL_H

#include "sim/world.h"

enum { SIM_SIGNAL_SLOTS = 512 };

struct sim_signal_config {
    int64_t delay_us;  /* one way */
    int64_t jitter_us; /* uniform on top, drawn for each message */
    bool keep_order;   /* as RFC 8838 section 4 wants it: jitter lets none overtake another */
};

enum sim_signal_kind { SIM_SIGNAL_DESCRIPTION, SIM_SIGNAL_CANDIDATE };

struct sim_signal_message {
    enum sim_signal_kind kind;
    uint16_t stream;  /* CANDIDATE */
    const char *text; /* copied by send, valid until the next take */
    size_t len;
};

struct sim_signal_slot {
    char *text; /* NULL: free */
    struct sim_signal_message message;
};

struct sim_signal {
    struct sim_signal_config config;
    struct world *world;
    actor_id to;
    struct bk_rng rng;
    struct bk_alloc alloc;
    struct bk_time last; /* when the latest of them arrives */
    uint32_t sent, lost; /* lost: no slot, or sent after the end */
    struct sim_signal_slot slots[SIM_SIGNAL_SLOTS];
    char *taken;
};

/* The first byte of every message it posts: actors tell their own messages by other first bytes. */
enum { SIM_SIGNAL_TAG = 'S' };

void sim_signal_init(struct sim_signal *s, struct world *w, actor_id to,
                     const struct sim_signal_config *config, const struct bk_rng *rng,
                     const struct bk_alloc *alloc);
/* What is under way never arrives. */
void sim_signal_fini(struct sim_signal *s);
void sim_signal_send(struct sim_signal *s, const struct sim_signal_message *message);
/* What on_message() got, if it is one of these. */
bool sim_signal_take(struct sim_signal *s, const uint8_t *data, size_t len,
                     struct sim_signal_message *out);

#endif
