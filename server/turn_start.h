/* SPDX-License-Identifier: MIT
 * TURN's configuration, made of the server's options, and the start of it in every worker. */
#ifndef SERVER_TURN_START_H
#define SERVER_TURN_START_H

#include "server/options.h"
#include "server/worker.h"

/* Where relay ports are opened, one address of each family, and what clients are told instead
 * (family NONE: the same): as --relay-address says; else the first address of that family that is
 * served on; else, where that is the wildcard, an address of this machine, global before private
 * before loopback. Family NONE where there is none. */
void server_turn_addresses(const struct server_options *o, const struct bk_ip *served, size_t count,
                           struct bk_ip relay[2], struct bk_ip outside[2]);

/* How many relay ports may be open at once. */
uint32_t server_turn_relays(const struct server_options *o, const struct bk_ip *served,
                            size_t count);

/* How sockets are driven, --io. */
struct net_plane_config server_turn_plane(const struct server_options *o);

/* In the worker's thread: the limits, the filter and the keys of these options from now on, and
 * whether new clients are sent elsewhere. */
void server_turn_change(struct server_turn *t, const struct server_options *o);
/* In the worker's thread: no new allocations, whatever options come. */
void server_turn_refuse(struct server_turn *t);

/* Before binding: what takes long. From then on clients may send, and they do not wait for seconds.
 */
void server_turn_prepare(struct fleet *fleet, const struct server_options *o);

/* After binding, before the threads. Does nothing where nobody can log in. `users`: one source for
 * each worker. `reason` (room for SERVER_TEXT_MAX) gets one sentence. */
BK_MUST_USE enum bk_err server_turn_start(struct fleet *fleet, const struct server_options *o,
                                          const struct bk_ip *served, size_t count,
                                          const struct turn_users users[], char *reason);

/* After the workers. */
void server_turn_stop(struct fleet *fleet);

#endif
