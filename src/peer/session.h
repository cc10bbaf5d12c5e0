/* SPDX-License-Identifier: MIT
 * One session with one peer: signalling through the home relay, ICE looking for a direct path, and
 * a QUIC connection that runs over whatever is best. The endpoint (endpoint.h) owns sessions and
 * feeds them; programs talk to a session through session_quic() and its events.
 *
 * The actors and the order of things:
 *
 *     offerer (QUIC client, ICE controlling)          answerer (QUIC server, ICE controlled)
 *       description with offer, first QUIC packet ──relay──►  secret or key checked
 *       ◄──relay── description, QUIC handshake, first data (0.5-RTT)
 *       ◄═════════ ICE checks both ways ═════════►
 *       QUIC packets move to the direct path; each side moves by itself and both accept either way
 *
 * QUIC sees one virtual path and never migrates, so a move costs nothing. When the direct path goes
 * silent (path.h) packets take the relay again and the search goes on for ever, at a falling pace.
 *
 * Teardown: session_close() lets QUIC say goodbye; SESSION_ENDED is the last event; the endpoint
 * frees the session when the program says so. */
#ifndef PEER_SESSION_H
#define PEER_SESSION_H

#include "peer/path.h"
#include "peer/quic.h"
#include "peer/signal.h"
#include "peer/story.h"
#include "peer/targets.h"
#include "peer/why.h"
#include "wire/nat64.h"

#include <bodkin/checker.h>

/* What all sessions of an endpoint share; borrowed for their whole life. */
struct session_env {
    const struct identity *identity;
    struct bk_rng rng;
    struct bk_alloc alloc;
    struct bk_trace trace;
    bool relay_only;             /* never look for a direct path */
    struct nat64_prefix nat64;   /* how IPv4 is reached from here; length 0: as itself */
    bool private_addresses;      /* host candidates are told to neighbours only, session_reveal() */
    enum signal_udp udp;         /* what the endpoint found out about this machine's network */
    enum signal_mapping mapping; /* the same */
    struct bk_nat_traits nat;    /* the same, once it was looked at closely ... */
    bool nat_is_final;           /* ... which it has been */
    uint8_t opener_ttl;          /* with it a packet passes our NAT and dies soon; 0: not known */
    struct bk_addr stun;         /* an IPv4 STUN server; family 0: none */
    uint16_t port4;              /* of the shared IPv4 socket; 0: there is none */
    struct targets *targets;     /* who was probed how often */
};

/* A socket beside the shared ones, that a way through a hard NAT wants. */
struct session_socket {
    bool open;      /* true: to be opened, session_opened() answers; false: to be closed */
    uint16_t index; /* the session's name for it */
    uint16_t port;  /* of one to be closed; the one wanted by one to be opened, 0: any */
};

enum session_state {
    SESSION_OFFERING, /* our offer is out, no answer yet (offerer only) */
    SESSION_SECURING, /* descriptions are exchanged, QUIC shakes hands */
    SESSION_OPEN,     /* data flows */
    SESSION_CLOSING,  /* QUIC says goodbye */
    SESSION_OVER,     /* nothing more will happen */
    SESSION_STATES
};

enum session_end {
    SESSION_END_CLOSED,         /* one side closed; `code` and `reason` are the closer's */
    SESSION_END_REFUSED_TICKET, /* the secret is wrong or used */
    SESSION_END_REFUSED_PEER,   /* the peer does not know us */
    SESSION_END_REFUSED_BUSY,   /* the peer has as many sessions as it wants */
    SESSION_END_NOT_HOME,       /* the peer is not connected to its home server */
    SESSION_END_NO_ANSWER,      /* it is, but it does not answer */
    SESSION_END_IMPOSTOR,       /* somebody without the peer's key answered */
    SESSION_END_LOST,           /* the peer has been silent on every path for too long */
    SESSION_END_FAILED          /* a protocol error; `reason` */
};

enum session_event_type {
    SESSION_SECURED,   /* the peer has proved its key: data flows both ways */
    SESSION_EXCHANGED, /* both sides know each other's candidates: checks run */
    SESSION_PATH,      /* the path, or why it is relayed, is new: session_path() */
    SESSION_QUIC,      /* `quic`: something about a stream or datagram */
    SESSION_ENDED      /* `end`, `code`, `reason` */
};

struct session_event {
    enum session_event_type type;
    struct quic_event quic;
    enum session_end end;
    uint64_t code;
    const char *reason; /* never NULL; valid as long as the session */
};

/* The present path, for people. */
struct session_path {
    bool direct;
    enum why why;                 /* if relayed */
    struct bk_addr local, remote; /* if direct: both ends as the other side sees them */
    int64_t rtt_us;               /* of the path if known, else of QUIC; 0: not yet known */
    uint64_t doubts;              /* how often the direct path was silent and had to be probed */
};

struct session_offer {
    struct peer_key peer;
    enum signal_purpose purpose;
    const uint8_t *secret; /* TICKET_SECRET_LEN bytes, or NULL; copied */
};

struct session;

/* Starts a session by offering. BK_ERR_ARGUMENT: the peer's key is unusable. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err session_offer(const struct session_env *env,
                                      const struct session_offer *offer, struct bk_time now,
                                      struct session **out);
/* Starts a session by answering `first`, a description with an offer that the endpoint accepts. */
BK_MUST_USE enum bk_err session_answer(const struct session_env *env, const struct signal *first,
                                       struct bk_time now, struct session **out);
void session_free(struct session *s);

/* --- for the endpoint --- */

const uint8_t *session_id(const struct session *s);        /* SIGNAL_SESSION_LEN bytes */
const uint8_t *session_relay_key(const struct session *s); /* the peer's relay address */
uint32_t session_tag(const struct session *s);             /* of our QUIC connection IDs */

/* A local address of this machine that can send and receive UDP, or what a STUN server saw of it.
 */
void session_add_local(struct session *s, const struct bk_ice_candidate *c, struct bk_time now);
void session_remove_local(struct session *s, const struct bk_addr *base, struct bk_time now);
/* Candidates on this base that were kept from the peer (env->private_addresses, link-local ones)
 * may be told from now on: it is on that link, or knows them already. */
void session_reveal(struct session *s, const struct bk_addr *base, struct bk_time now);
/* The peer is on one of our links and says, by beacon (beacon.h), that it has this address there.
 */
void session_add_heard(struct session *s, const struct bk_addr *addr, struct bk_time now);
/* Our links have changed: look for the peer there. */
void session_want_seek(struct session *s);
/* true once when the local network should be searched for the peer: both sides know the session, an
 * attempt at a direct path begins, or session_want_seek(). */
bool session_take_seek(struct session *s);
/* env->nat64 is new. */
void session_nat64_changed(struct session *s, struct bk_time now);
/* env->udp or env->mapping is new, or gathering ended (`complete`). */
void session_network_changed(struct session *s, bool complete, struct bk_time now);

void session_signal_recv(struct session *s, const struct signal *in, struct bk_time now);
/* A train of QUIC packets (segment 0: one packet), by either way. */
void session_quic_recv(struct session *s, const uint8_t *data, size_t len, size_t segment,
                       bool direct, struct bk_time now);
/* A STUN datagram. BK_ERR_NOT_OURS: not for this session's ICE agent. */
BK_MUST_USE enum bk_err session_stun_recv(struct session *s, const struct bk_datagram *in,
                                          struct bk_time now);
/* The next socket to open (IPv4, any port) or to close. Until all are served,
 * session_next_datagram() may hold packets back. */
bool session_next_socket(struct session *s, struct bk_time now, struct session_socket *out);
/* The answer to one that was to be opened. */
void session_opened(struct session *s, uint16_t index, enum bk_err err, uint16_t port,
                    struct bk_time now);
/* A STUN datagram on such a socket; otherwise as session_stun_recv(). */
BK_MUST_USE enum bk_err session_fresh_recv(struct session *s, uint16_t index,
                                           const struct bk_datagram *in, struct bk_time now);
/* The home relay says that the peer is no longer, or (`not_here`) not at all, connected there. */
void session_peer_gone(struct session *s, bool not_here, struct bk_time now);
/* The home relay works again after an interruption. */
void session_relay_up(struct session *s, struct bk_time now);
/* ICE should look again now: the network has changed. */
void session_retry(struct session *s, struct bk_time now);
/* true once when another attempt at a direct path begins: the endpoint asks its STUN servers anew.
 */
bool session_take_attempt(struct session *s);

/* true once when something suggests that the connection to the home server is dead, too: the direct
 * path has broken, or nothing has come over the relay for some seconds after it was busy. */
bool session_take_home_doubt(struct session *s);

void session_advance(struct session *s, struct bk_time now);
struct bk_time session_deadline(const struct session *s);
/* The next sealed signalling message for the peer, if one is due. `out` has room for
 * SIGNAL_LEN_MAX. */
bool session_next_signal(struct session *s, struct bk_time now, uint8_t *out, size_t *len);
/* The next QUIC train for the relay; false also when packets go the direct way. */
bool session_next_relayed(struct session *s, uint8_t *buf, size_t cap, struct bk_time now,
                          size_t *len, size_t *segment);
/* The next datagram or train for the network, valid until the next call. `buf` is scratch memory of
 * at least QUIC_TRAIN_MAX. */
bool session_next_datagram(struct session *s, uint8_t *buf, size_t cap, struct bk_time now,
                           struct bk_datagram *out);
bool session_next_event(struct session *s, struct session_event *out);

/* --- for programs --- */

const struct peer_key *session_peer(const struct session *s);
enum signal_purpose session_purpose(const struct session *s);
bool session_is_offerer(const struct session *s);
enum session_state session_get_state(const struct session *s);
/* Streams and datagrams. NULL only after SESSION_ENDED. Drain the endpoint after using it. */
struct quic *session_quic(struct session *s);
const struct bk_checker *session_ice(const struct session *s);
/* How it came to its present path, and why. */
void session_story(const struct session *s, struct story *out);
void session_path(const struct session *s, struct session_path *out);
/* Says goodbye: `code` 0 is a normal end. SESSION_ENDED follows. */
void session_close(struct session *s, uint64_t code, const char *reason, struct bk_time now);

#endif
