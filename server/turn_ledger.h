/* SPDX-License-Identifier: MIT
 * The ledger of a server's TURN services (turn/ledger.h), for several threads: one book behind a
 * lock. What is asked for every datagram between two clients of this server, whether a relay port
 * is open, takes no lock. */
#ifndef SERVER_TURN_LEDGER_H
#define SERVER_TURN_LEDGER_H

#include "turn/ledger.h"

struct server_ledger; /* opaque */

/* As turn_book_new(). */
BK_MUST_USE enum bk_err server_ledger_new(uint16_t workers, uint32_t users_max,
                                          struct server_ledger **out);
/* After the services. NULL is fine. */
void server_ledger_free(struct server_ledger *l);
/* For the configuration of each service; valid as long as `l`. */
const struct turn_ledger *server_ledger_face(const struct server_ledger *l);

#endif
