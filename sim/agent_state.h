/* SPDX-License-Identifier: MIT
 * What the files of the agent actor share: actor_agent.c (life and turns), agent_io.c (sockets,
 * connections, names), agent_data.c (traffic and what an observer sees). Private to sim/. */
#ifndef SIM_AGENT_STATE_H
#define SIM_AGENT_STATE_H

#include "sim/actor_agent.h"

/* agent_io.c */
void agent_io_open(struct sim_agent *a, size_t place);
void agent_io_close(struct sim_agent *a, size_t place);
void agent_io_close_all(struct sim_agent *a);
void agent_io_send(struct sim_agent *a, const struct bk_datagram *out);
/* Requests and bytes of connections that wait in the agent; false: there were none. */
bool agent_io_drain(struct sim_agent *a, struct bk_time now);
void agent_io_on_stream(void *ctx, struct world *w, stream_id stream, enum world_stream_event event,
                        const uint8_t *data, size_t len);
/* An answer of a name, posted by agent_io_drain(). */
void agent_io_resolved(struct sim_agent *a, const uint8_t *data, size_t len, struct bk_time now);
enum { AGENT_RESOLVED_TAG = 'R' };

/* agent_data.c */
void agent_data_send(struct sim_agent *a, struct bk_time now);
void agent_data_take(struct sim_agent *a, const struct bk_ice_data *in, struct bk_time now);
void agent_data_watch(struct sim_agent *a, const struct bk_datagram *out, struct bk_time now);

#endif
