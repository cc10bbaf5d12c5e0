/* SPDX-License-Identifier: MIT
 * Finding peers on the same link without telling anybody else: each side of a session calls out on
 * the local network, and the other one, if it is there, answers with its local addresses.
 *
 * What a stranger on the link sees is 128 random bytes: no constant, no name, nothing that two
 * beacons have in common, not even their first bytes. The key is of this session and these two
 * identities alone, so opening a stranger's packet costs one symmetric operation per session and
 * tells nobody that we are here. What a beacon says is only a hint: an address becomes a path by an
 * ICE check, like any other candidate.
 *
 *     seeker                                                  the others on its link
 *       seek: number, our addresses on this link  ──to all──►   opens it: one of our sessions?
 *       ◄──to the source of that seek, once── answer: that number, the addresses on this link
 *
 * Hostile input: packets must come from this link (hop limit 255, RFC 5082 section 3, and a source
 * within one of the link's prefixes); a number counts once; opened are at most
 * BEACON_OPENS_PER_S; an answer is as long as the question; addresses that are not of this link
 * are not told. A search is BEACON_SEEKS packets on each link, then silence.
 *
 * On the wire: 12 bytes nonce, 100 bytes AES-256-GCM, 16 bytes tag. Inside: u8 version 1, u8 kind,
 * u8 side, u8 count, u64 number, u64 echo, 4 times (u8 family, 16 bytes, u16 port), zeros. */
#ifndef PEER_BEACON_H
#define PEER_BEACON_H

#include <bodkin/addr.h>
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>

enum {
    BEACON_PORT = 27427, /* where seeks go; unassigned by IANA */
    BEACON_LEN = 128,
    BEACON_HOPS = 255, /* every beacon leaves with this hop limit, RFC 5082 section 3 */
    BEACON_ID_LEN = 16,
    BEACON_SECRET_LEN = 32,
    BEACON_LINKS_MAX = 8,
    BEACON_ADDRS_MAX = 4, /* of one link */
    BEACON_SESSIONS_MAX = 64,
    BEACON_SEEKS = 4,         /* of one search, on each link */
    BEACON_OPENS_PER_S = 100, /* packets that are tried */
    BEACON_SENDS_PER_S = 50,  /* seeks and answers together */
    BEACON_ANSWERS_MAX = 16,
    BEACON_EVENTS_MAX = 8
};

/* A network this machine is attached to. */
struct beacon_link {
    uint32_t index; /* the caller's number for it, the zone of link-local addresses */
    size_t count;
    struct bk_addr addrs[BEACON_ADDRS_MAX]; /* ours, with the ports that take ICE checks */
    uint8_t prefix_len[BEACON_ADDRS_MAX];
};

struct beacon_packet {
    uint32_t link;
    struct bk_addr to; /* family NONE: everybody on the link, port BEACON_PORT */
    const uint8_t *data;
    size_t len;
};

/* The peer of session `id` is on this link, and says that it can be reached there. */
struct beacon_event {
    uint8_t id[BEACON_ID_LEN];
    uint32_t link;
    size_t count;
    struct bk_addr addrs[BEACON_ADDRS_MAX]; /* link-local ones with `link` as their zone */
};

struct beacon_counts {
    uint64_t strange;   /* nobody's we know: other people's beacons, mostly */
    uint64_t off_link;  /* from elsewhere, or of the wrong length */
    uint64_t repeated;  /* replayed, or the same one by a second way */
    uint64_t malformed; /* sealed by the peer, and breaking the format */
    uint64_t too_many;  /* not tried: BEACON_OPENS_PER_S */
    uint64_t full;      /* answers and events there was no room for */
};

struct beacon {
    struct bk_rng rng;
    struct bk_time now;
    struct beacon_link links[BEACON_LINKS_MAX];
    size_t link_count;
    struct beacon_session {
        bool used, first; /* first: the side that began the session */
        uint8_t id[BEACON_ID_LEN], key[32];
        uint64_t number;        /* the last one used */
        uint64_t search_number; /* the last one used before this search */
        uint64_t heard_top, heard_mask;
        unsigned seeks;          /* sent in this search */
        unsigned pending;        /* links that this seek is still to go to, as bits */
        struct bk_time due;      /* the next seek */
        struct bk_time searched; /* when the search began; BK_NEVER: never */
    } sessions[BEACON_SESSIONS_MAX];
    size_t session_count;
    struct beacon_answer {
        uint8_t id[BEACON_ID_LEN];
        uint32_t link;
        struct bk_addr to;
        uint64_t echo;
    } answers[BEACON_ANSWERS_MAX];
    size_t answer_head, answer_count;
    struct beacon_event events[BEACON_EVENTS_MAX];
    size_t event_head, event_count;
    struct bk_time opens_paid, sends_paid; /* the limits: paid up to then */
    struct beacon_counts counts;
    uint8_t out[BEACON_LEN];
};

void beacon_init(struct beacon *b, const struct bk_rng *rng); /* rng's target is kept */
void beacon_fini(struct beacon *b);                           /* wipes the keys */

/* The links from now on; at most BEACON_LINKS_MAX count. Searches under way begin anew. */
void beacon_set_links(struct beacon *b, const struct beacon_link *links, size_t count,
                      struct bk_time now);
const struct beacon_link *beacon_find_link(const struct beacon *b, uint32_t index);

/* Answers the peer of this session from now on. `secret` is known to the two peers alone and need
 * not be of this session alone; `first`: we began the session. BK_ERR_EXISTS, BK_ERR_FULL. */
BK_MUST_USE enum bk_err beacon_watch(struct beacon *b, const uint8_t id[BEACON_ID_LEN],
                                     const uint8_t secret[BEACON_SECRET_LEN], bool first);
void beacon_forget(struct beacon *b, const uint8_t id[BEACON_ID_LEN]); /* unknown is fine */
/* Begins a search for the peer of a session that is watched; one that is under way goes on. */
void beacon_seek(struct beacon *b, const uint8_t id[BEACON_ID_LEN], struct bk_time now);
void beacon_stop(struct beacon *b, const uint8_t id[BEACON_ID_LEN]);
/* Is there a session to listen for? */
bool beacon_is_watching(const struct beacon *b);

/* A packet that came on `link`; in->ttl is the hop limit it came with. All but BK_OK is dropped and
 * counted: BK_ERR_NOT_OURS, BK_ERR_UNREACHABLE (not of this link), BK_ERR_FULL (too many),
 * BK_ERR_EXISTS (heard before), BK_ERR_MALFORMED. */
BK_MUST_USE enum bk_err beacon_recv(struct beacon *b, uint32_t link, const struct bk_datagram *in,
                                    struct bk_time now);
void beacon_advance(struct beacon *b, struct bk_time now);
struct bk_time beacon_deadline(const struct beacon *b);
/* out->data is valid until the next call. */
bool beacon_next_packet(struct beacon *b, struct beacon_packet *out);
bool beacon_next_event(struct beacon *b, struct beacon_event *out);

#endif
