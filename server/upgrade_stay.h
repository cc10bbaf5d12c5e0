/* SPDX-License-Identifier: MIT
 * Clients whose session cannot move (DTLS) or whose place is known to nobody else (behind a proxy):
 * they stay with the server that is being replaced, but their datagrams arrive at doors that the
 * new one reads, which passes them on by this table. One for each worker. */
#ifndef SERVER_UPGRADE_STAY_H
#define SERVER_UPGRADE_STAY_H

#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>

enum { UPGRADE_STAY_MAX = 65536 };

struct upgrade_stay; /* opaque; any thread may use it */

/* `channel`: to the other process, `worker`: this one's number. */
BK_MUST_USE enum bk_err upgrade_stay_new(int channel, uint16_t worker, struct upgrade_stay **out);
/* NULL is fine. */
void upgrade_stay_free(struct upgrade_stay *s);
/* BK_ERR_FULL. */
BK_MUST_USE enum bk_err upgrade_stay_add(struct upgrade_stay *s, const struct bk_addr *remote,
                                         const struct bk_addr *local);
void upgrade_stay_remove(struct upgrade_stay *s, const struct bk_addr *remote,
                         const struct bk_addr *local);
/* The other process is gone, and so are they all. */
void upgrade_stay_end(struct upgrade_stay *s);
/* true: the datagram, or train of them, is of one that stayed, and on its way there. */
bool upgrade_stay_pass_on(struct upgrade_stay *s, const struct bk_datagram *in);

#endif
