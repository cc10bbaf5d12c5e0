/* SPDX-License-Identifier: MIT
 * The new process' side of an upgrade (server/upgrade.h): what the old one had, from the first word
 * to the last. On the main thread, before there are others, in the order of these functions; any
 * failure ends this process, and the old one goes on.
 *
 * Sockets that clients come to are taken before privileges are given up, since others may have to
 * be opened beside them; of what the old one says only fixed numbers are read by then. Allocations
 * are taken behind the sandbox. */
#ifndef SERVER_UPGRADE_TAKE_H
#define SERVER_UPGRADE_TAKE_H

#include "server/nonce_keys.h"
#include "server/upgrade_record.h"

struct fleet;
struct net_loop;
struct takeover; /* opaque */

/* *out: NULL: nobody is to be replaced. On failure of any of these `reason` (room for
 * SERVER_TEXT_MAX) gets a sentence. */
BK_MUST_USE enum bk_err takeover_begin(struct takeover **out, char *reason);
/* What the old one said of itself. NULL: nobody. */
const struct upgrade_hello *takeover_hello(const struct takeover *t);
/* A socket of the old one that worker `worker` reads: its kind is enum port_kind or
 * UPGRADE_DOOR_UDP; with port 0 any port will do. It is the caller's. 0: there is none, also where
 * `t` is NULL. */
int takeover_door(struct takeover *t, uint16_t worker, uint8_t kind, const struct bk_addr *at);
/* false: it had none. */
bool takeover_secrets(const struct takeover *t, struct nonce_secrets *out);
/* Everything is prepared but for the fast path: the old one's lets go of the interfaces. */
BK_MUST_USE enum bk_err takeover_let_go(struct takeover *t, char *reason);
/* Everything is ready: takes all that the old one has. It has stopped reading when this returns,
 * and so have we not begun: be quick. */
BK_MUST_USE enum bk_err takeover_take(struct takeover *t, struct fleet *fleet, char *reason);
/* The workers run; `loop`: main's. The takeover is over, but for clients that stay there. */
BK_MUST_USE enum bk_err takeover_started(struct takeover *t, struct fleet *fleet,
                                         struct net_loop *loop, char *reason);
/* The old one is told why this one ends. NULL is fine. */
void takeover_refuse(const struct takeover *t, const char *reason);
/* Is the old one still there, with clients that stayed? */
bool takeover_has_elder(const struct takeover *t);
/* After the workers. NULL is fine. */
void takeover_free(struct takeover *t);

#endif
