/* SPDX-License-Identifier: MIT
 * A session used like a pipe: what listen and connect do without other options.
 *
 * The listener opens the one stream and starts it with a byte that says what it offers, so data can
 * flow towards the other side in the first round trip. */
#ifndef CLI_TALK_H
#define CLI_TALK_H

#include "cli/agent.h"
#include "cli/pipe.h"

/* First byte of the listener's first stream. */
enum { HELLO_PIPE = 'P', HELLO_FORWARD = 'F' };

struct talk {
    struct agent *agent;
    struct session *session;
    struct pipe pipe;
    int64_t stream;
    bool has_stream, said_hello, joined, first_byte_told;
    uint64_t tick_bytes; /* for the rate on the status line */
    struct bk_time tick_at;
};

void talk_init(struct talk *t, struct agent *a);
void talk_fini(struct talk *t);
/* Listener: a session began. Connector: ours did. */
void talk_begin(struct talk *t, struct session *s);
void talk_quic(struct talk *t, const struct quic_event *e);
void talk_progress(struct talk *t);
void talk_ended(struct talk *t, const struct session_event *e);
/* For agent_set_tick(): path and rate on the status line. */
void talk_show(struct talk *t);

#endif
