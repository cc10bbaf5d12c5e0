/* SPDX-License-Identifier: MIT
 * What an ICE agent (bodkin/ice.h) asks of the world besides datagrams: addresses to send from,
 * connections, name lookups. For people who bring their own loop; bodkin/run.h does it all.
 *
 * UDP needs only the first part: bind sockets, tell the agent their addresses as bases, and hand
 * datagrams to and fro. Any number of agents may share a socket: offer a datagram to
 * bk_ice_recv() of one after the other, or look up its user name (bk_ice_peek_ufrag()) or, later,
 * its remote address. Requests are drained by bk_ice_next_request() after the datagrams, stream
 * data after the requests; whoever has no TCP answers BK_ERR_UNSUPPORTED and loses those
 * candidates, no more. */
#ifndef BODKIN_ICE_IO_H
#define BODKIN_ICE_IO_H

#include <bodkin/ice.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Bases -------------------------------------------------------------------------------- */

/* How much a local address is worth, RFC 8445 section 5.1.2.2, RFC 8421. */
struct bk_ice_base {
    size_t size;
    struct bk_addr addr; /* of a bound UDP socket, or of a TCP listener */
    enum bk_protocol protocol;
    uint16_t stream, component; /* component 0: 1 */
    uint16_t preference;        /* 16 bits, unique where the families' order matters; 0: chosen */
    bool vpn;                   /* a tunnel: ranked behind the others */
    bool simultaneous;          /* TCP: not for passive and active candidates, but for simultaneous
                                   open (RFC 6544): a listener, too, and connections that leave from
                                   its own port (bk_ice_request.reuse) */
};

/* A socket is there from now on; before bk_ice_gather() or at any time after: the network changed,
 * and its candidates are gathered and trickled. BK_ERR_EXISTS. BK_ERR_FULL: locals_max.
 * BK_ERR_ARGUMENT: not an address one can have, or a stream there is not. BK_ERR_UNSUPPORTED: its
 * family or TCP is switched off in the configuration. */
BK_API BK_MUST_USE enum bk_err bk_ice_add_base(struct bk_ice *ice, const struct bk_ice_base *base,
                                               struct bk_time now);
/* It is gone. Its pairs die at once; another path takes over, or BK_ICE_ON_RESTART asks for help.
 * BK_ERR_NOT_FOUND. */
BK_API BK_MUST_USE enum bk_err bk_ice_remove_base(struct bk_ice *ice, const struct bk_addr *addr,
                                                  enum bk_protocol protocol, struct bk_time now);
/* Something about the network changed (a route, the public address): every path is asked at once,
 * servers as well. Cheap: call it on every doubt. */
BK_API void bk_ice_network_changed(struct bk_ice *ice, struct bk_time now);

/* Is this a Binding request, and whose? The part of USERNAME before the colon, which is the agent's
 * own bk_ice_ufrag(). A view into `data`; not NUL-terminated. false: not a request with a user. */
BK_API bool bk_ice_peek_ufrag(const void *data, size_t len, const char **ufrag, size_t *ufrag_len);

/* ---- Requests ----------------------------------------------------------------------------- */

enum bk_ice_request_kind {
    BK_ICE_DIAL,    /* open connection `id`: answer bk_ice_dialled(), also after a failure; but not
                       after a HANG_UP, which may come before the answer */
    BK_ICE_HANG_UP, /* close connection `id`, which is then forgotten; no answer */
    BK_ICE_RESOLVE, /* look `name` up: answer bk_ice_resolved() */
    BK_ICE_PUBLISH  /* answer mDNS questions for `name` with `local.ip`; until the agent is freed */
};

enum bk_ice_security { BK_ICE_PLAIN, BK_ICE_TLS, BK_ICE_DTLS };

struct bk_ice_request {
    enum bk_ice_request_kind kind;
    uint32_t id;                   /* of the connection, or of the question; never 0 */
    enum bk_protocol protocol;     /* DIAL: BK_UDP only with BK_ICE_DTLS */
    enum bk_ice_security security; /* DIAL: with TLS and DTLS `name` is the server to be verified */
    struct bk_addr local;          /* DIAL: bind to this; port 0: any; the wildcard address: leave
                                      it to routing. PUBLISH: the address */
    struct bk_addr remote;         /* DIAL */
    bool reuse;                    /* DIAL: from the listener's own port (simultaneous open) */
    bool mdns;                     /* RESOLVE: a name in .local, for mDNS (RFC 6762) */
    char name[256];                /* NUL-terminated */
};

BK_API bool bk_ice_next_request(struct bk_ice *ice, struct bk_ice_request *out);

/* The connection is up (and, with TLS, verified) or it is not. `local`: our end, NULL on failure.
 * BK_ERR_NOT_FOUND: nobody wants it any more: close it. */
BK_API BK_MUST_USE enum bk_err bk_ice_dialled(struct bk_ice *ice, uint32_t id, enum bk_err err,
                                              const struct bk_addr *local, struct bk_time now);
/* Somebody connected to a TCP base. The agent names the connection in *id. BK_ERR_FULL,
 * BK_ERR_NOT_FOUND: close it. */
BK_API BK_MUST_USE enum bk_err bk_ice_accepted(struct bk_ice *ice, const struct bk_addr *local,
                                               const struct bk_addr *remote, struct bk_time now,
                                               uint32_t *id);
/* Bytes came in on a connection, however cut. Messages of data in them: drain bk_ice_next_data()
 * before the next call, and before `data` goes. BK_ERR_MALFORMED: not what such a connection
 * carries: close it, and bk_ice_hung_up(). For DTLS one call is one record's content. */
BK_API BK_MUST_USE enum bk_err bk_ice_stream_recv(struct bk_ice *ice, uint32_t id, const void *data,
                                                  size_t len, struct bk_time now);
BK_API bool bk_ice_next_data(struct bk_ice *ice, struct bk_ice_data *out);
/* The connection broke, or was closed by the other side. */
BK_API void bk_ice_hung_up(struct bk_ice *ice, uint32_t id, struct bk_time now);
/* Bytes to write on connection *id; valid until the next call. They are whole messages, framed. */
BK_API bool bk_ice_next_stream_data(struct bk_ice *ice, uint32_t *id, const uint8_t **data,
                                    size_t *len);
/* What a name means; count 0: nothing. At most 8 are used. An unknown `id` is fine. */
BK_API void bk_ice_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count,
                            struct bk_time now);

/* ---- Upkeep ------------------------------------------------------------------------------- */

/* Bytes this agent, with its checker, holds from its allocator now. (TURN clients take about 3 KB
 * each besides.) */
BK_API size_t bk_ice_size(const struct bk_ice *ice);

#ifdef __cplusplus
}
#endif
#endif
