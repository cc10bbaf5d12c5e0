/* SPDX-License-Identifier: MIT
 * The inside of a session, shared by its files: session.c (life and verbs), session_signal.c
 * (descriptions), session_path.c (ICE and the choice of path), session_punch.c (hard NATs). */
#ifndef PEER_SESSION_INNER_H
#define PEER_SESSION_INNER_H

#include "peer/session.h"
#include "punch/punch.h"
#include "stun/client.h"

enum {
    SESSION_EVENTS = 8,                      /* of our own; QUIC's wait in QUIC */
    SESSION_RESEND_US = 250 * 1000,          /* first repetition of a description */
    SESSION_RESEND_MAX_US = 4 * 1000 * 1000, /* doubled up to this */
    SESSION_ANSWER_US = 15 * 1000 * 1000,    /* an offer without answer ends then */
    SESSION_NOT_HOME_US = 3 * 1000 * 1000,   /* the peer may just be reconnecting */
    SESSION_GONE_US = 20 * 1000 * 1000, /* the peer left its home and is silent: it had this long to
                                           notice that its link was dead and come back */
    SESSION_AWAY_US =
        40 * 1000 * 1000, /* the home does not know it, having been restarted perhaps */
    SESSION_LOOK_US = 2 * 1000 * 1000,    /* between two such looks */
    SESSION_CONSENT_US = 8 * 1000 * 1000, /* consent checks leave every 4..6 s */
    SESSION_COLD_US = 500 * 1000,         /* a relay connection warms up for so long */
    SESSION_COLD_TRAIN = 12000,         /* fits the initial window of TCP, RFC 6928: 10 segments */
    SESSION_QUIET_US = 3 * 1000 * 1000, /* silence of a relay that was busy */
    SESSION_CLOSE_US = 3 * 1000 * 1000, /* goodbye takes at most this long */
    SESSION_ATTEMPTS = 4,
    SESSION_REPAIR_US = 1200 * 1000,
    SESSION_WITHHELD_MAX = 16, /* candidates that the peer is not told */
    SESSION_HEARD_MAX = 8,     /* its addresses that beacons told */
    SESSION_ASKS = 4           /* STUN questions at once, for predictions */
};

/* A socket that the punch asked for. */
struct session_fresh {
    uint16_t port; /* 0: not open */
    bool proved;   /* a check of the peer arrived on it: it is one of ICE's bases */
};

struct session_ask {
    bool used;
    uint16_t socket;
    struct stun_client client;
};

struct session {
    const struct session_env *env;
    enum session_state state;
    bool offerer;
    enum signal_purpose purpose;
    struct peer_key peer;
    uint8_t relay_key[PEER_KEY_LEN];
    uint8_t id[SIGNAL_SESSION_LEN];
    uint32_t tag;

    /* Signalling. `mine` is what the peer must know; `version` counts its changes. */
    struct signal_description mine;
    uint32_t version, acked;                   /* ours; the newest the peer confirmed */
    uint32_t peer_version;                     /* the newest of theirs that arrived */
    bool owes_ack, owes_bye, owes_description; /* as soon as the relay takes them */
    struct bk_time resend;
    int64_t resend_us;
    struct bk_time give_up; /* the offer, or the goodbye, ends then */
    int64_t gone_us;        /* patience with a peer that is gone */
    bool peer_gone;         /* the home relay has lost the peer, and nothing came since */
    bool peer_described, exchanged;
    struct signal_description theirs;

    /* Paths. */
    struct bk_checker *ice;
    struct path path;
    struct bk_ice_pair_info pair; /* the pair to use; id 0: none */
    uint16_t payload;             /* what the direct path is known to carry */
    uint32_t payload_pair;        /* the pair it is known for */
    bool was_direct;
    bool had_pair;              /* there was something to check */
    bool explained;             /* checks have ended once: from then on an obstacle is named */
    unsigned attempt;           /* attempts at a direct path since the last one worked */
    struct bk_time retry;       /* the next attempt */
    bool want_attempt;          /* session_take_attempt() */
    struct bk_time look;        /* at whether the selected pair still answers consent checks */
    struct bk_time relay_cold;  /* until then the relay gets short trains */
    struct bk_time relay_quiet; /* the relay, busy until lately, is worth a question then */
    bool home_doubt;            /* session_take_home_doubt() */
    struct session_path told;   /* the last SESSION_PATH */
    struct bk_time began; /* this attempt: the peer's addresses are known; BK_NEVER: not yet */
    uint64_t sent_before; /* checks, until then */
    enum bk_oracle_method method; /* that found the direct path, with so many checks and so long */
    uint64_t probes;
    int64_t took_us;
    bool told_any;

    /* The local network, session_lan.c. */
    struct bk_ice_candidate withheld[SESSION_WITHHELD_MAX];
    size_t withheld_count;
    struct bk_addr heard[SESSION_HEARD_MAX];
    size_t heard_count;
    bool want_seek; /* session_take_seek() */
    /* Hard NATs; punch is NULL where no direct path is wanted. */
    struct punch *punch;
    struct punch_action action; /* what the endpoint fetches next */
    bool has_action;
    bool punching;           /* in punch_generation, an attempt has begun, or waits: */
    struct bk_time punch_at; /* begins at the latest, when both NATs are known before that;
                                BK_NEVER: it has begun */
    uint8_t punch_generation;
    struct session_fresh fresh[PUNCH_SOCKETS_MAX];
    struct session_ask asks[SESSION_ASKS];

    struct quic *quic;
    bool secured;
    struct session_event events[SESSION_EVENTS];
    size_t event_head, event_count;
    bool ended; /* SESSION_ENDED is queued or told */
};

/* session.c */
void session_push_event(struct session *s, struct session_event event);
void session_end(struct session *s, enum session_end end, uint64_t code, const char *reason);
void session_set_state(struct session *s, enum session_state state);

void session_peer_is_back(struct session *s);

/* session_signal.c */
void session_describe_anew(struct session *s, struct bk_time now);
void session_signal_advance(struct session *s, struct bk_time now);
void session_stop_resending(struct session *s);
void session_start_describing(struct session *s, struct bk_time now);

/* session_path.c */
BK_MUST_USE enum bk_err session_path_init(struct session *s);
/* Takes over the candidates and credentials of a new description of the peer's. */
void session_path_described(struct session *s, struct bk_time now);
/* Reads ICE's events, advances the path, tells the user what is new. */
void session_path_update(struct session *s, struct bk_time now);
void session_path_advance(struct session *s, struct bk_time now);
struct bk_time session_path_deadline(const struct session *s);
bool session_may_go_direct(const struct session *s);

/* session_lan.c */
/* Is this local candidate to be kept from the peer for now? Then it is remembered. */
bool session_withhold(struct session *s, const struct bk_ice_candidate *c);
void session_forget_withheld(struct session *s, const struct bk_addr *base);
/* A candidate of the peer's, and with env->nat64 also as our NAT64 writes it. */
void session_add_remote(struct session *s, const struct bk_ice_candidate *c, struct bk_time now);
/* After a restart ICE has forgotten what beacons told. */
void session_heard_again(struct session *s, struct bk_time now);

/* session_punch.c */
BK_MUST_USE enum bk_err session_punch_init(struct session *s);
/* Brings what we say about our NAT up to date; true: it is new. */
bool session_punch_tell_nat(struct session *s);
/* What is known of either side has changed. */
void session_punch_learn(struct session *s, struct bk_time now);
/* The peer's description has come. */
void session_punch_note(struct session *s, struct bk_time now);
/* Both sides check: an attempt begins. */
void session_punch_start(struct session *s, struct bk_time now);
/* There is nothing left to try in this attempt. */
bool session_punch_is_over(const struct session *s);
/* s->pair works, for the first time in this attempt: how it was found is remembered. */
void session_punch_hit(struct session *s, struct bk_time now);
bool session_punch_next_datagram(struct session *s, struct bk_time now, struct bk_datagram *out);
void session_punch_advance(struct session *s, struct bk_time now);
struct bk_time session_punch_deadline(const struct session *s);

#endif
