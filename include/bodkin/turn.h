/* SPDX-License-Identifier: MIT
 * A TURN client (RFC 8656): one allocation on one server, from one local socket or connection.
 * Peers send to its relayed address; what they send arrives here, and the other way round.
 *
 * It does no I/O and knows no sockets. Over UDP and DTLS messages are datagrams; over TCP and TLS
 * bytes go in through bk_turn_stream_recv(), and every outgoing "datagram" is whole messages,
 * padded as section 12.5 asks, to be written as they are.
 *
 *     bk_turn_new(&config, &alloc, &rng, now, &turn);
 *     ... BK_TURN_ALLOCATED: event.relayed is the address peers send to
 *     bk_turn_permit(turn, &peer, true, now);           permission, and a channel
 *     bk_turn_send(turn, &peer, data, len, &out);       send out.data to the server
 *     bk_turn_recv(turn, &in, now, &data);              data.peer, data.data, or a control message
 *     bk_turn_close(turn, now);                         refresh with lifetime 0
 *
 * Outgoing messages are made in a workspace of data_max bytes and some, which clients of one thread
 * may share (`work`); an idle client with a few peers then takes about 1.7 KB.
 *
 * Refreshes, new nonces, permissions and channels are renewed by themselves. A lost refresh is sent
 * again; an allocation is given up only when the server says that it is gone (437) or its lifetime
 * has passed, and is then made anew if `again` is set.
 *
 * When our address changes (another network, another socket, a connection that broke and was opened
 * again), bk_turn_move() names the new one. With `mobility` (RFC 8016) and a server that knows it,
 * the relayed address, permissions and channels stay; otherwise a new allocation is made.
 *
 * With `tcp` peers are reached by TCP (RFC 6062). The owner opens one more connection to the server
 * for each of them; the client says when, and makes and reads the messages at its beginning:
 *
 *     bk_turn_connect(turn, &peer, now);                we to them
 *     bk_turn_permit(turn, &peer, false, now);          they to us
 *     ... BK_TURN_CONNECTION: open a connection to the server, then
 *     bk_turn_bind(turn, event.connection, now);
 *     bk_turn_next_bind(turn, id, &out);                write out.data on that connection
 *     bk_turn_bind_recv(turn, id, data, len, now, &taken);
 *     ... BK_OK: from data + taken on, and both ways, these are the peer's bytes */
#ifndef BODKIN_TURN_H
#define BODKIN_TURN_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct bk_turn; /* opaque */

/* Copy bk_turn_config_default and change fields. The texts are copied. */
struct bk_turn_config {
    size_t size;                  /* sizeof(struct bk_turn_config) */
    struct bk_addr local, server; /* copied into datagrams; server: an address, not a name */
    const char *user, *password;  /* long-term credential; needed, but see `token` */
    bool stream; /* TCP or TLS to the server: no retransmission, framed by section 12.5 */
    enum bk_family
        family;         /* of the relayed address; BK_IPV4 asks for nothing special (section 7.1) */
    bool dont_fragment; /* DONT-FRAGMENT, section 18.9; dropped when the server does not know it */
    bool even_port;     /* EVEN-PORT, section 18.7 */
    bool again;         /* make a new allocation when the server lost it; on */
    uint32_t lifetime_s; /* asked for; 0: the server's default, 10 minutes */
    int64_t rto_us;      /* first retransmission; 1 ms..60 s; 500 ms, RFC 8489 section 6.2.1 */
    uint8_t tries;       /* sends of one request; 1..16; 7 */
    uint32_t peers_max;  /* permissions and channels; 1..4096; 64 */
    bool both;           /* an IPv6 relayed address besides the IPv4 one of `family`, if the server
                            has it (ADDITIONAL-ADDRESS-FAMILY, section 18.11); that one alone if it is all
                            there is */
    uint32_t data_max;   /* longest data of one message, either way on streams; 64..65000; 1500.
                            Longer ones that come in on a stream are skipped */
    uint32_t challenge_max; /* room for the server's realm, nonce and algorithms; 64..1600; 320 */
    void *work;             /* *keeps*: bk_turn_work_size() bytes that all clients of one thread may
                               share; then what one returned is valid until the next call on any of
                               them. NULL: a workspace of its own */
    bool mobility; /* MOBILITY-TICKET, RFC 8016; done without where the server will not have it */
    bool reserve;  /* EVEN-PORT, and the port after it is held for 30 s: BK_TURN_ALLOCATED has the
                      reservation for the client that is to have it. For RTP and RTCP */
    uint64_t
        reservation;    /* takes what another client had reserved (event.reservation). `family` must
                           be that one's. It is good for one allocation, so `again` is off. 0: none */
    bool secure;        /* TLS or DTLS to the server: the name in a redirection matters */
    bool tcp;           /* peers are reached by TCP (RFC 6062); needs `stream` */
    uint32_t links_max; /* tcp: connections in the making at a time; 1..64; 8; 1.5 KB each */
    /* An access token of RFC 7635 instead of a password: `user` is the name of the key it was made
     * with (kid), `token_key` the key that came with it, 16 to 32 bytes, as long as the server
     * takes it: coturn up to 4.6 takes the first 16 of 20 bytes. Copied; 1..1024 bytes of token. */
    const void *token, *token_key;
    size_t token_len, token_key_len;
};

enum { BK_TURN_TOKEN_MAX = 1024 };

BK_API extern const struct bk_turn_config bk_turn_config_default;
/* Names the first field out of range, or NULL. */
BK_API const char *bk_turn_config_check(const struct bk_turn_config *config);
/* What config->work must have room for: about data_max, or 900 bytes if that is more. */
BK_API size_t bk_turn_work_size(const struct bk_turn_config *config);

enum bk_turn_event_kind {
    BK_TURN_ALLOCATED, /* `relayed`, `mapped`, `lifetime_s`; again after a loss, if `again` */
    BK_TURN_PERMITTED, /* data from and to `peer` passes */
    BK_TURN_REFUSED,   /* the server does not permit `peer`: `code`; 403 by its rules */
    BK_TURN_REDIRECT, /* 300: `alternate` is the server to ask instead; bk_turn_follow() does. It is
                         no server that was asked already. RFC 8489 section 10 */
    BK_TURN_ICMP,     /* an ICMP error for `peer`: `icmp_type`, `icmp_code`; section 11.5 */
    BK_TURN_LOST,   /* the allocation is gone: `err`, `code`; with `again` a new one is under way */
    BK_TURN_FAILED, /* no allocation: `err` is BK_ERR_TIMEOUT, BK_ERR_AUTH, BK_ERR_REFUSED with
                       `code`, BK_ERR_MALFORMED. Final */
    BK_TURN_CLOSED, /* after bk_turn_close() */
    BK_TURN_MOVED,  /* the server knows our new address; `lifetime_s` */
    BK_TURN_CONNECTION,   /* `peer` is there: `connection`, for bk_turn_bind() within 30 s;
                             `incoming`:   it came to us, and to leave it alone is to refuse it */
    BK_TURN_NO_CONNECTION /* to `peer`: `err`, `code`: 447 it could not be reached, 446 there is
                             one, 403 by the server's rules */
};

struct bk_turn_event {
    enum bk_turn_event_kind kind;
    struct bk_addr relayed; /* ALLOCATED */
    struct bk_addr mapped;  /* ALLOCATED: our address as the server sees it */
    struct bk_addr peer;
    struct bk_addr alternate;
    uint32_t lifetime_s;
    int64_t rtt_us; /* ALLOCATED: of the last exchange; -1: not measured */
    enum bk_err err;
    uint16_t code; /* the server's STUN error code */
    uint8_t icmp_type, icmp_code;
    uint32_t icmp_data;      /* ICMP: the next hop's MTU, where the error is about that */
    struct bk_addr relayed6; /* ALLOCATED with `both`: the second one; family NONE: not given */
    bool mobile;             /* ALLOCATED: bk_turn_move() will keep it */
    bool incoming;           /* CONNECTION */
    uint64_t reservation;    /* ALLOCATED with `reserve`: for the other client; 0: none */
    uint32_t connection;
    const char *domain; /* REDIRECT with `secure`: the name that the certificate of `alternate` must
                           have; NULL: the one asked for so far. Valid until the client is freed */
};

/* Starts. BK_ERR_ARGUMENT: bk_turn_config_check() says which field. BK_ERR_NO_MEMORY. */
BK_API BK_MUST_USE enum bk_err bk_turn_new(const struct bk_turn_config *config,
                                           const struct bk_alloc *alloc, const struct bk_rng *rng,
                                           struct bk_time now, struct bk_turn **out);
/* Wipes. NULL is fine. The allocation stays until its lifetime ends; bk_turn_close() ends it. */
BK_API void bk_turn_free(struct bk_turn *turn);
/* Gives the allocation back (section 8.1); BK_TURN_CLOSED when the server agreed or is silent. */
BK_API void bk_turn_close(struct bk_turn *turn, struct bk_time now);

/* Our address is now `local`: datagrams leave from there, or over a connection that was opened
 * anew. The allocation is kept if the server gave a ticket for it (event.mobile), and BK_TURN_MOVED
 * says so; otherwise BK_TURN_LOST, and with `again` a new one. Until then data may be sent, and the
 * server may drop it. A move while another is under way is fine. RFC 8016 section 3.2. */
BK_API void bk_turn_move(struct bk_turn *turn, const struct bk_addr *local, struct bk_time now);
/* After BK_TURN_REDIRECT: asks `alternate`, from `local`, with the same credentials and over the
 * same transport, which the owner has opened. Over TLS and DTLS the certificate there MUST be
 * checked for event.domain, or else for the name used so far. BK_ERR_STATE: nothing to follow. */
BK_API BK_MUST_USE enum bk_err bk_turn_follow(struct bk_turn *turn, const struct bk_addr *local,
                                              struct bk_time now);
/* An access token of RFC 7635: what an authorization server gives. Views. */
struct bk_turn_token {
    const char *kid; /* as `user` of the configuration */
    const void *token, *key;
    size_t token_len, key_len;
};

/* Another access token before the old one expires; it is sent at once. BK_ERR_TOO_LONG: longer than
 * the first one by more than 256 bytes, or its kid by more than 64. BK_ERR_ARGUMENT: `key`, `kid`.
 * BK_ERR_STATE: there was none. */
BK_API BK_MUST_USE enum bk_err
bk_turn_set_token(struct bk_turn *turn, const struct bk_turn_token *token, struct bk_time now);

/* Installs a permission for this address (ports play no part), and with `channel` a channel for the
 * address and port; both are kept alive from then on. Before the allocation it waits for it.
 * BK_ERR_FULL: peers_max; a channel that was forgotten counts until 5 minutes after it ended, as
 * its number must not be used again before (section 12). BK_ERR_ARGUMENT: not the relayed address's
 * family. BK_ERR_EXISTS: is there already. BK_ERR_STATE: the client is done. */
BK_API BK_MUST_USE enum bk_err bk_turn_permit(struct bk_turn *turn, const struct bk_addr *peer,
                                              bool channel, struct bk_time now);
/* Asks the server now whether the allocation is still there: a path through it fell silent, say.
 * Otherwise a server that restarted is found out at the next renewal, minutes later. */
BK_API void bk_turn_refresh(struct bk_turn *turn, struct bk_time now);
/* No longer renews them. BK_ERR_NOT_FOUND. */
BK_API BK_MUST_USE enum bk_err bk_turn_forget(struct bk_turn *turn, const struct bk_addr *peer);

/* Wraps data for a peer: a channel where there is one, else a Send indication. *out is valid until
 * the next call. BK_ERR_STATE: no allocation. BK_ERR_NOT_FOUND: no permission was asked for.
 * BK_ERR_TOO_LONG. */
BK_API BK_MUST_USE enum bk_err bk_turn_send(struct bk_turn *turn, const struct bk_addr *peer,
                                            const void *data, size_t len, struct bk_datagram *out);

/* The same without a copy: `data` has BK_TURN_HEADROOM writable bytes before it and
 * BK_TURN_TAILROOM after it, and what is sent lies around it, in place. */
enum { BK_TURN_HEADROOM = 56, BK_TURN_TAILROOM = 4 };
BK_API BK_MUST_USE enum bk_err bk_turn_send_in_place(struct bk_turn *turn,
                                                     const struct bk_addr *peer, void *data,
                                                     size_t len, struct bk_datagram *out);
/* The number of the peer's channel, for callers that write the header of section 12.4 themselves
 * (batches, offloads): two bytes of number, two of length, the data. 0: has none now. */
BK_API uint16_t bk_turn_channel(const struct bk_turn *turn, const struct bk_addr *peer);

/* Data from a peer; a view into what was handed in, or valid until the next call. */
struct bk_turn_data {
    struct bk_addr peer;
    const uint8_t *data; /* NULL: there was none */
    size_t len;
};

/* The five verbs, and one for streams. recv: BK_OK with data, or without (a control message).
 * BK_ERR_NOT_OURS: not from the server, or neither STUN nor a channel of ours. BK_ERR_MALFORMED. */
BK_API BK_MUST_USE enum bk_err bk_turn_recv(struct bk_turn *turn, const struct bk_datagram *in,
                                            struct bk_time now, struct bk_turn_data *out);
/* Bytes of the connection, however cut; all are taken. *Keeps* a view of `data` until
 * bk_turn_next_data() has said false, which is due before the next call and before the bytes go.
 * BK_ERR_MALFORMED: the stream has lost its framing; close it, the client is done. */
BK_API BK_MUST_USE enum bk_err bk_turn_stream_recv(struct bk_turn *turn, const void *data,
                                                   size_t len, struct bk_time now);
BK_API bool bk_turn_next_data(struct bk_turn *turn, struct bk_turn_data *out);
BK_API void bk_turn_advance(struct bk_turn *turn, struct bk_time now);
BK_API struct bk_time bk_turn_deadline(const struct bk_turn *turn);
BK_API bool bk_turn_next_datagram(struct bk_turn *turn, struct bk_datagram *out);
BK_API bool bk_turn_next_event(struct bk_turn *turn, struct bk_turn_event *out);

/* ---- TCP allocations, RFC 6062 ------------------------------------------------------------- */

/* Has the server connect to a peer: BK_TURN_CONNECTION or BK_TURN_NO_CONNECTION says how it went.
 * BK_ERR_STATE: no allocation, or not `tcp`. BK_ERR_EXISTS: is being connected to. BK_ERR_FULL:
 * links_max. BK_ERR_ARGUMENT: not the relayed address's family. */
BK_API BK_MUST_USE enum bk_err bk_turn_connect(struct bk_turn *turn, const struct bk_addr *peer,
                                               struct bk_time now);
/* The owner has a new connection to the server's address for `connection`, from another port of
 * ours, over the same transport. Starts what joins the two. BK_ERR_NOT_FOUND: there is none, or the
 * server has given it up. */
BK_API BK_MUST_USE enum bk_err bk_turn_bind(struct bk_turn *turn, uint32_t connection,
                                            struct bk_time now);
/* What to write on it. false: nothing now. *out is valid until the next call. */
BK_API bool bk_turn_next_bind(struct bk_turn *turn, uint32_t connection, struct bk_datagram *out);
/* What was read from it. BK_OK: the peer is there; `taken` bytes were the server's, the rest and
 * all that follows are the peer's, and the client has forgotten it. BK_ERR_SHORT: not yet; look for
 * bk_turn_next_bind(). All else: close it; the client has forgotten it (BK_ERR_REFUSED,
 * BK_ERR_AUTH, BK_ERR_MALFORMED, BK_ERR_NOT_FOUND). Silence is BK_TURN_NO_CONNECTION. */
BK_API BK_MUST_USE enum bk_err bk_turn_bind_recv(struct bk_turn *turn, uint32_t connection,
                                                 const void *data, size_t len, struct bk_time now,
                                                 size_t *taken);
/* The owner gives it up. */
BK_API void bk_turn_unbind(struct bk_turn *turn, uint32_t connection);

/* Family NONE: not allocated. */
BK_API struct bk_addr bk_turn_relayed(const struct bk_turn *turn);

#ifdef __cplusplus
}
#endif
#endif
