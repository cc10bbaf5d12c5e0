/* SPDX-License-Identifier: MIT
 * Private to net: the insides of a stream. stream.c holds its life and its calls, stream_io.c moves
 * its bytes, listener.c accepts it.
 *
 * The rules of a stream's life:
 * - A stream owns its descriptor through `poll`; until TCP is connected it owns a dial instead.
 * - A failure in the middle of anything only writes `failed` and `reason` and asks for the deferred
 *   call, which tells the owner; so on_close never comes from inside the owner's own call.
 * - stream_end() is the one way out. The memory goes when libuv has let go of `poll`, so that code
 *   further up the call stack may still look at `state`. */
#ifndef NET_STREAM_PRIVATE_H
#define NET_STREAM_PRIVATE_H

#include "net/dial.h"
#include "net/loop_private.h"
#include "net/stream.h"
#include "net/tls_private.h"

enum stream_state {
    STREAM_DIALING,   /* no socket yet */
    STREAM_HANDSHAKE, /* TCP is there, TLS is not */
    STREAM_OPEN,      /* carries bytes */
    STREAM_FAILED,    /* on_close is to come */
    STREAM_ENDED      /* the owner is gone, the memory nearly */
};

struct net_stream {
    uv_poll_t poll;
    struct net_loop *loop;
    struct net_stream *next, *prev; /* in the loop's list, until the end */
    struct net_stream_events events;
    void *ctx;
    enum stream_state state;
    int fd; /* -1: none, and `poll` is not in use */
    int watched;
    struct bk_addr local, remote;
    struct net_dial *dial;
    struct net_timer timer;    /* the opening's deadline, later the lingering's */
    struct net_deferred later; /* flush, or tell the failure */

    struct net_tls *tls;
    gnutls_session_t session; /* NULL: plain TCP */
    char *server_name;

    uint8_t *out; /* out[out_head..out_head+out_len) waits to be sent; NULL when nothing does */
    size_t out_head, out_len, out_cap;
    size_t write_max, write_low;
    int64_t open_timeout_us;
    size_t in_record; /* bytes of `out` in a TLS record that GnuTLS has not got rid of */
    bool blocked;     /* the kernel's buffer is full */
    bool was_full;    /* on_room is owed */

    const uint8_t *in; /* received, not yet used: in the loop's buffer, or in `held` */
    size_t in_len;
    uint8_t *held;
    bool in_end; /* TCP's end has been read */

    bool paused;
    bool read_ended;     /* the other side's end was told */
    bool shut, shut_out; /* the end of our side is wanted, is sent */
    bool finishing;      /* the owner is gone, only what is buffered still leaves */

    enum bk_err failed;
    char reason[NET_REASON_MAX];
};

/* Makes a stream in state STREAM_DIALING. */
BK_MUST_USE enum bk_err stream_new(struct net_loop *loop, const struct net_stream_config *config,
                                   struct net_stream **out);
/* Gives it a connected socket (takes `fd`, also on failure) and starts TLS, or opens it. */
BK_MUST_USE enum bk_err stream_take_socket(struct net_stream *s, int fd,
                                           const struct bk_addr *remote);
/* Gives a stream the socket of an open one (takes `fd`, also on failure); `tls`, `session` and the
 * buffers are set already. */
BK_MUST_USE enum bk_err stream_resume_socket(struct net_stream *s, int fd);
/* Like stream_end(), but gives the descriptor away. */
int stream_end_but_fd(struct net_stream *s);
/* Notes the first failure; the owner hears of it after the present callback. `reason` NULL: keep
 * what is written there. */
void stream_fail(struct net_stream *s, enum bk_err err, const char *reason);
/* Frees everything, at once or as soon as possible. */
void stream_end(struct net_stream *s);

/* The callback of `poll`. */
void stream_on_poll(uv_poll_t *poll, int status, int events);
/* Watches for what the stream now waits for. */
void stream_watch(struct net_stream *s);
/* Uses received bytes, receives more, until there are none or a fair share is used up. */
void stream_read(struct net_stream *s);
/* Sends buffered bytes until none is left or the kernel takes no more. */
void stream_send(struct net_stream *s);
/* Sends bytes of a plain stream. Gives how many left it; fewer than `len`: the kernel takes no
 * more, or failure. */
size_t stream_send_some(struct net_stream *s, const uint8_t *data, size_t len);
/* Connects a session's push and pull to the stream. */
void stream_bind_session(struct net_stream *s);
/* STREAM_HANDSHAKE is over: on_open. */
void stream_opened(struct net_stream *s);

#endif
