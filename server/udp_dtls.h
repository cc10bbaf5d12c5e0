/* SPDX-License-Identifier: MIT
 * STUN and TURN over DTLS (RFC 7350) on a worker's UDP doors. */
#ifndef SERVER_UDP_DTLS_H
#define SERVER_UDP_DTLS_H

#include "net/dtls_server.h"

struct worker;
struct udp_dtls; /* opaque */

/* Takes the worker's DTLS records from now on. */
BK_MUST_USE enum bk_err udp_dtls_new(struct worker *w, struct net_tls *tls, struct udp_dtls **out);
/* Ends the sessions, before the doors and TURN. NULL is fine. */
void udp_dtls_free(struct udp_dtls *d);
/* Later sessions show this certificate. */
/* Tells of each session that is open: its 5-tuple. */
void udp_dtls_each(const struct udp_dtls *d,
                   void (*each)(void *ctx, const struct bk_datagram *client), void *ctx);
void udp_dtls_set_tls(struct udp_dtls *d, struct net_tls *tls);
const struct net_dtls_server_counters *udp_dtls_counters(const struct udp_dtls *d);

#endif
