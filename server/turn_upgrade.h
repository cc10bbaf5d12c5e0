/* SPDX-License-Identifier: MIT
 * A worker's allocations to and from another process of the server (server/upgrade.h). In the
 * worker's thread, or before it runs. What moves are the allocations of clients over plain UDP; the
 * others stay where their sessions and streams are. */
#ifndef SERVER_TURN_UPGRADE_H
#define SERVER_TURN_UPGRADE_H

#include "server/turn.h"
#include "server/upgrade_channel.h"

/* The fast path carries nothing of ours any more. */
void server_turn_let_go(struct server_turn *t, struct bk_time now);
/* Puts everything that moves into `out`, and does not read their relay sockets any more, until
 * server_turn_go_on() or server_turn_moved(). */
BK_MUST_USE enum bk_err server_turn_hand_over(struct server_turn *t, struct upgrade_out *out,
                                              struct bk_time now);
/* They stay after all. */
void server_turn_go_on(struct server_turn *t);
/* They live on elsewhere: gone from here, without a sign to anybody. */
void server_turn_moved(struct server_turn *t, struct bk_time now);

/* The new process: takes one over. `link`: the client's door. The record's descriptors are taken
 * from `message`, also on failure. BK_ERR_TIMEOUT: it has ended meanwhile, which is fine. */
BK_MUST_USE enum bk_err server_turn_take(struct server_turn *t, struct turn_link *link,
                                         const struct upgrade_record *r,
                                         struct upgrade_message *message, struct bk_time now);
/* A relay port that the other process keeps, or (once it is gone) no longer. */
void server_turn_elsewhere(struct server_turn *t, const struct bk_addr *relay, bool open);
/* A client that the other process knew to belong to worker `to`. */
void server_turn_take_pass(struct server_turn *t, const struct upgrade_record *r);
/* How many allocations there are. */
uint32_t server_turn_count(const struct server_turn *t);

#endif
