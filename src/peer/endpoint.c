/* SPDX-License-Identifier: MIT
 * Tells packets apart and hands each to the one object it is for: RFC 7983 and RFC 9443 by the
 * first byte, ICE by credentials, QUIC by the tag in the connection ID. */
#include "peer/endpoint.h"

#include "peer/door.h"
#include "peer/gather.h"
#include "peer/lan.h"
#include "peer/refusals.h"

#include "base/assert.h"

#include <string.h>

enum {
    RELAYED_QUIC = 'Q',
    RELAYED_HEADER = 3, /* 'Q', u16 segment */
    OFFERS_REMEMBERED = 64
};

const struct endpoint_config endpoint_config_default = {.sessions_max = 64};

struct endpoint {
    struct endpoint_config config;
    struct identity identity;
    struct session_env env;
    struct door door;
    struct gather gather;
    struct endpoint_mapped mapped[ENDPOINT_MAPPED_MAX];
    size_t mapped_count;
    struct lan lan;
    struct sockets sockets;
    struct targets targets;
    bool relay_up;
    struct session *sessions[ENDPOINT_SESSIONS_MAX];
    bool incoming[ENDPOINT_SESSIONS_MAX]; /* ENDPOINT_INCOMING is still to be told */
    size_t next_session;                  /* where the round for packets goes on, for fairness */
    /* Ids of ended sessions: a late repetition of their offer must not begin them again. */
    uint8_t ended[OFFERS_REMEMBERED][SIGNAL_SESSION_LEN];
    size_t ended_next;
    struct refusals refusals;
    struct endpoint_counts counts;
    uint8_t out[ENDPOINT_RELAY_MAX];
};

/* --- life --- */

enum bk_err endpoint_new(const struct endpoint_config *config, struct endpoint **out) {
    if (config->identity == NULL || config->sessions_max < 1 ||
        config->sessions_max > ENDPOINT_SESSIONS_MAX)
        return BK_ERR_ARGUMENT;
    struct endpoint *ep = config->alloc.get(config->alloc.ctx, sizeof *ep);
    if (ep == NULL)
        return BK_ERR_NO_MEMORY;
    ep->config = *config;
    ep->identity = *config->identity;
    ep->config.identity = &ep->identity;
    ep->env = (struct session_env){
        .identity = &ep->identity,
        .rng = config->rng,
        .alloc = config->alloc,
        .trace = config->trace,
        .relay_only = config->relay_only,
        .targets = &ep->targets,
        .private_addresses = config->private_addresses,
    };
    door_init(&ep->door);
    gather_init(&ep->gather, &ep->config.rng);
    lan_init(&ep->lan, &ep->config.rng, config->no_beacons || config->relay_only);
    *out = ep;
    return BK_OK;
}

void endpoint_free(struct endpoint *ep) {
    if (ep == NULL)
        return;
    struct bk_alloc alloc = ep->config.alloc;
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        session_free(ep->sessions[i]);
    identity_fini(&ep->identity);
    door_fini(&ep->door);
    lan_fini(&ep->lan);
    alloc.put(alloc.ctx, ep);
}

enum bk_err endpoint_add_secret(struct endpoint *ep, const uint8_t secret[TICKET_SECRET_LEN]) {
    return door_add_secret(&ep->door, secret);
}

enum bk_err endpoint_add_peer(struct endpoint *ep, const struct peer_key *peer) {
    return door_add_peer(&ep->door, peer);
}

/* --- sessions --- */

/* A free place, or sessions_max. */
static size_t free_place(const struct endpoint *ep) {
    size_t i = 0;
    while (i < ep->config.sessions_max && ep->sessions[i] != NULL)
        i++;
    return i;
}

static void add_mapped(struct endpoint *ep, struct session *s, struct bk_time now) {
    struct bk_ice_candidate c;
    for (size_t i = 0; i < gather_mapped_count(&ep->gather); i++) {
        gather_mapped(&ep->gather, i, &c);
        session_add_local(s, &c, now);
    }
    for (size_t i = 0; i < ep->mapped_count; i++) {
        const struct endpoint_mapped *m = &ep->mapped[i];
        c = (struct bk_ice_candidate){
            .kind = BK_ICE_SRFLX, .addr = m->external, .base = m->base, .server = m->router};
        session_add_local(s, &c, now);
    }
}

static void add_hosts(struct endpoint *ep, struct session *s, struct bk_time now) {
    for (size_t i = 0; i < ep->gather.base_count; i++) {
        struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = ep->gather.bases[i]};
        c.base = c.addr;
        session_add_local(s, &c, now);
    }
}

static void take_in(struct endpoint *ep, size_t place, struct session *s, bool incoming,
                    struct bk_time now) {
    ep->sessions[place] = s;
    ep->incoming[place] = incoming;
    lan_watch(&ep->lan, &ep->identity, s);
    add_hosts(ep, s, now);
    add_mapped(ep, s, now);
    session_network_changed(s, gather_is_complete(&ep->gather), now);
}

enum bk_err endpoint_connect(struct endpoint *ep, const struct session_offer *offer,
                             struct bk_time now, struct session **out) {
    struct session *s;
    size_t place = free_place(ep);
    if (place == ep->config.sessions_max)
        return BK_ERR_FULL;
    if (peer_key_equal(&offer->peer, &ep->identity.key))
        return BK_ERR_ARGUMENT;
    enum bk_err err = session_offer(&ep->env, offer, now, &s);
    if (err != BK_OK)
        return err;
    take_in(ep, place, s, false, now);
    *out = s;
    return BK_OK;
}

void endpoint_release(struct endpoint *ep, struct session *s) {
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] == s && s != NULL) {
            memcpy(ep->ended[ep->ended_next++ % OFFERS_REMEMBERED], session_id(s),
                   SIGNAL_SESSION_LEN);
            ep->sessions[i] = NULL;
            lan_forget(&ep->lan, s);
            session_free(s);
            sockets_drop_all(&ep->sockets, (uint16_t)i);
            return;
        }
}

bool endpoint_close_all(struct endpoint *ep, uint64_t code, const char *reason,
                        struct bk_time now) {
    bool any = false;
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL) {
            session_close(ep->sessions[i], code, reason, now);
            any = true;
        }
    return any;
}

static struct session *find_by_id(struct endpoint *ep, const uint8_t *id, const uint8_t *from) {
    for (size_t i = 0; i < ep->config.sessions_max; i++) {
        struct session *s = ep->sessions[i];
        if (s != NULL && memcmp(session_id(s), id, SIGNAL_SESSION_LEN) == 0 &&
            memcmp(session_relay_key(s), from, PEER_KEY_LEN) == 0)
            return s;
    }
    return NULL;
}

static struct session *find_by_tag(struct endpoint *ep, uint32_t tag) {
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL && session_tag(ep->sessions[i]) == tag)
            return ep->sessions[i];
    return NULL;
}

static bool has_ended(const struct endpoint *ep, const uint8_t *id) {
    for (size_t i = 0; i < OFFERS_REMEMBERED; i++)
        if (memcmp(ep->ended[i], id, SIGNAL_SESSION_LEN) == 0)
            return true;
    return false;
}

/* --- surroundings --- */

static void network_changed(struct endpoint *ep, struct bk_time now) {
    bool complete = gather_is_complete(&ep->gather);
    ep->env.udp = gather_udp(&ep->gather);
    ep->env.mapping = gather_mapping(&ep->gather);
    for (size_t i = 0; i < ep->config.sessions_max; i++) {
        struct session *s = ep->sessions[i];
        if (s == NULL)
            continue;
        add_mapped(ep, s, now);
        session_network_changed(s, complete, now);
    }
}

static bool is_among(const struct bk_addr *addrs, size_t count, const struct bk_addr *addr) {
    for (size_t i = 0; i < count; i++)
        if (bk_addr_equal(&addrs[i], addr))
            return true;
    return false;
}

static uint16_t port_of(const struct bk_addr *bases, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (bases[i].ip.family == BK_IPV4)
            return bases[i].port;
    return 0;
}

void endpoint_set_bases(struct endpoint *ep, const struct bk_addr *bases, size_t count,
                        struct bk_time now) {
    struct bk_addr before[GATHER_BASES_MAX];
    size_t before_count = ep->gather.base_count;
    memcpy(before, ep->gather.bases, sizeof before);
    gather_set_bases(&ep->gather, bases, count, now);
    ep->env.port4 = port_of(bases, count);
    for (size_t i = 0; i < ep->config.sessions_max; i++) {
        struct session *s = ep->sessions[i];
        if (s == NULL)
            continue;
        for (size_t k = 0; k < before_count; k++)
            if (!is_among(bases, count, &before[k]))
                session_remove_local(s, &before[k], now);
        add_hosts(ep, s, now);
        session_retry(s, now);
    }
}

void endpoint_set_stun(struct endpoint *ep, const struct bk_addr *servers, size_t count,
                       struct bk_time now) {
    gather_set_servers(&ep->gather, servers, count, now);
    ep->env.stun = (struct bk_addr){.port = 0};
    for (size_t i = 0; i < count && ep->env.stun.port == 0; i++)
        if (servers[i].ip.family == BK_IPV4)
            ep->env.stun = servers[i];
}

void endpoint_set_nat(struct endpoint *ep, const struct bk_nat_traits *nat, uint8_t opener_ttl,
                      struct bk_time now) {
    ep->env.nat = *nat;
    ep->env.nat_is_final = true;
    ep->env.opener_ttl = opener_ttl;
    network_changed(ep, now);
}

/* --- sockets beside the shared ones --- */

static void ask_sessions(struct endpoint *ep, struct bk_time now) {
    for (size_t i = 0; i < ep->config.sessions_max; i++) {
        struct session_socket want;
        while (ep->sessions[i] != NULL && session_next_socket(ep->sessions[i], now, &want))
            if (!want.open)
                sockets_drop(&ep->sockets, (uint16_t)i, want.port);
            else if (sockets_want(&ep->sockets, (uint16_t)i, want.index, want.port) != BK_OK)
                session_opened(ep->sessions[i], want.index, BK_ERR_FULL, 0, now);
    }
}

bool endpoint_next_socket(struct endpoint *ep, struct bk_time now, struct endpoint_socket *out) {
    struct sockets_action action;
    ask_sessions(ep, now);
    if (!sockets_next(&ep->sockets, &action))
        return false;
    *out = (struct endpoint_socket){.open = action.open, .id = action.id, .port = action.port};
    return true;
}

void endpoint_opened(struct endpoint *ep, uint16_t id, uint16_t port, struct bk_time now) {
    uint16_t place;
    uint16_t index;
    if (sockets_opened(&ep->sockets, id, port, &place, &index) && ep->sessions[place] != NULL)
        session_opened(ep->sessions[place], index, port == 0 ? BK_ERR_FULL : BK_OK, port, now);
}

void endpoint_set_mapped(struct endpoint *ep, const struct endpoint_mapped *list, size_t count,
                         struct bk_time now) {
    ep->mapped_count = count < ENDPOINT_MAPPED_MAX ? count : ENDPOINT_MAPPED_MAX;
    for (size_t i = 0; i < ep->mapped_count; i++)
        ep->mapped[i] = list[i];
    network_changed(ep, now);
}

void endpoint_set_nat64(struct endpoint *ep, const struct nat64_prefix *prefix,
                        struct bk_time now) {
    if (nat64_prefix_equal(&ep->env.nat64, prefix))
        return;
    ep->env.nat64 = *prefix;
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL)
            session_nat64_changed(ep->sessions[i], now);
}

void endpoint_relay_up(struct endpoint *ep, bool up, struct bk_time now) {
    ep->relay_up = up;
    for (size_t i = 0; up && i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL)
            session_relay_up(ep->sessions[i], now);
}

void endpoint_set_links(struct endpoint *ep, const struct beacon_link *links, size_t count,
                        struct bk_time now) {
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL)
            lan_leave(&ep->lan, ep->sessions[i], links, count, now);
    beacon_set_links(&ep->lan.beacon, links, count, now);
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL)
            lan_look(&ep->lan, ep->sessions[i], now);
}

/* --- packets in --- */

static void refuse(struct endpoint *ep, const struct signal *in, const uint8_t *from,
                   enum signal_refusal why) {
    ep->counts.offers_refused++;
    refusals_add(&ep->refusals, in, from, why);
}

/* Is the offer really its sender's? Its Ed25519 key must be the one behind the relay key. */
static bool offer_fits(const struct signal_offer *offer, const uint8_t *from) {
    uint8_t relay_key[PEER_KEY_LEN];
    return peer_key_relay(&offer->key, relay_key) == BK_OK &&
           memcmp(relay_key, from, PEER_KEY_LEN) == 0;
}

static void on_offer(struct endpoint *ep, const struct signal *in, const uint8_t *from,
                     struct bk_time now) {
    const struct signal_offer *offer = &in->description.offer;
    enum signal_refusal why;
    struct session *s;
    if (!offer_fits(offer, from) || has_ended(ep, in->session) ||
        find_by_tag(ep, offer->tag_answerer) != NULL) {
        ep->counts.signal_stray++;
        return;
    }
    size_t place = free_place(ep);
    if (door_admit(&ep->door, offer, &why) != BK_OK)
        refuse(ep, in, from, why);
    else if (place == ep->config.sessions_max || session_answer(&ep->env, in, now, &s) != BK_OK)
        refuse(ep, in, from, SIGNAL_REFUSED_BUSY);
    else
        take_in(ep, place, s, true, now);
}

static void on_signal(struct endpoint *ep, const uint8_t *from, const uint8_t *data, size_t len,
                      struct bk_time now) {
    struct signal in;
    if (signal_open(&in, &ep->identity, from, data, len) != BK_OK) {
        ep->counts.signal_refused++;
        return;
    }
    struct session *s = find_by_id(ep, in.session, from);
    if (s != NULL) {
        session_signal_recv(s, &in, now);
        lan_look(&ep->lan, s, now);
    } else if (in.type == SIGNAL_DESCRIBE && in.description.has_offer) {
        on_offer(ep, &in, from, now);
    } else {
        ep->counts.signal_stray++;
    }
}

static void on_relayed_quic(struct endpoint *ep, const uint8_t *from, const uint8_t *data,
                            size_t len, struct bk_time now) {
    uint32_t tag;
    size_t segment = (size_t)data[1] << 8 | data[2];
    const uint8_t *quic = data + RELAYED_HEADER;
    size_t quic_len = len - RELAYED_HEADER;
    struct session *s = quic_tag(quic, quic_len, &tag) ? find_by_tag(ep, tag) : NULL;
    if (s == NULL || memcmp(session_relay_key(s), from, PEER_KEY_LEN) != 0) {
        ep->counts.quic_stray++;
        return;
    }
    session_quic_recv(s, quic, quic_len, segment, false, now);
}

void endpoint_relay_recv(struct endpoint *ep, const uint8_t from[PEER_KEY_LEN], const uint8_t *data,
                         size_t len, struct bk_time now) {
    if (signal_is_signal(data, len))
        on_signal(ep, from, data, len, now);
    else if (len > RELAYED_HEADER && data[0] == RELAYED_QUIC)
        on_relayed_quic(ep, from, data, len, now);
    else
        ep->counts.relay_unknown++;
}

void endpoint_peer_gone(struct endpoint *ep, const uint8_t key[PEER_KEY_LEN], bool not_here,
                        struct bk_time now) {
    for (size_t i = 0; i < ep->config.sessions_max; i++) {
        struct session *s = ep->sessions[i];
        if (s != NULL && memcmp(session_relay_key(s), key, PEER_KEY_LEN) == 0)
            session_peer_gone(s, not_here, now);
    }
}

static void on_stun(struct endpoint *ep, const struct bk_datagram *in, struct bk_time now) {
    uint16_t place;
    uint16_t index;
    if (sockets_find(&ep->sockets, in->local.port, &place, &index)) {
        if (ep->sessions[place] == NULL ||
            session_fresh_recv(ep->sessions[place], index, in, now) == BK_ERR_NOT_OURS)
            ep->counts.stun_stray++;
        return;
    }
    if (gather_recv(&ep->gather, in, now) != BK_ERR_NOT_OURS)
        return;
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL &&
            session_stun_recv(ep->sessions[i], in, now) != BK_ERR_NOT_OURS)
            return;
    ep->counts.stun_stray++;
}

static bool looks_like_stun(const uint8_t *data, size_t len) {
    return len >= 20 && data[0] < 4; /* RFC 9443 section 3; QUIC's fixed bit is 0x40 */
}

static void on_quic(struct endpoint *ep, const struct bk_datagram *in, struct bk_time now) {
    uint32_t tag;
    if (!quic_tag(in->data, in->len, &tag)) {
        ep->counts.datagram_unknown++;
        return;
    }
    struct session *s = find_by_tag(ep, tag);
    if (s == NULL)
        ep->counts.quic_stray++;
    else
        session_quic_recv(s, in->data, in->len, in->segment, true, now);
}

/* How much of a train, from its start, is of one kind. The kernel joins what has one source and
 * fits in size: a STUN message may stand among QUIC packets. */
static size_t run_of_one_kind(const uint8_t *data, size_t len, size_t segment, bool stun) {
    size_t at = 0;
    while (at < len && (at == 0 || !stun)) {
        size_t n = len - at < segment ? len - at : segment;
        if (looks_like_stun(data + at, n) != stun)
            break;
        at += n;
    }
    return at;
}

void endpoint_recv(struct endpoint *ep, const struct bk_datagram *in, struct bk_time now) {
    struct bk_datagram part = *in;
    size_t segment = in->segment > 0 ? in->segment : in->len;
    for (size_t at = 0; at < in->len; at += part.len) {
        size_t first = in->len - at < segment ? in->len - at : segment;
        bool stun = looks_like_stun(in->data + at, first);
        part.data = in->data + at;
        part.len = run_of_one_kind(part.data, in->len - at, segment, stun);
        part.segment = part.len > segment ? segment : 0;
        if (stun)
            on_stun(ep, &part, now);
        else
            on_quic(ep, &part, now);
    }
    if (gather_take_change(&ep->gather))
        network_changed(ep, now);
}

/* --- the local network --- */

bool endpoint_wants_beacons(const struct endpoint *ep) {
    return beacon_is_watching(&ep->lan.beacon);
}

void endpoint_beacon_recv(struct endpoint *ep, uint32_t link, const struct bk_datagram *in,
                          struct bk_time now) {
    struct beacon_event event;
    if (beacon_recv(&ep->lan.beacon, link, in, now) != BK_OK)
        return; /* counted there */
    while (beacon_next_event(&ep->lan.beacon, &event))
        for (size_t i = 0; i < ep->config.sessions_max; i++)
            if (ep->sessions[i] != NULL &&
                memcmp(session_id(ep->sessions[i]), event.id, sizeof event.id) == 0)
                lan_heard(&ep->lan, ep->sessions[i], &event, now);
}

bool endpoint_next_beacon(struct endpoint *ep, struct bk_time now, struct beacon_packet *out) {
    beacon_advance(&ep->lan.beacon, now);
    return beacon_next_packet(&ep->lan.beacon, out);
}

/* --- time --- */

void endpoint_advance(struct endpoint *ep, struct bk_time now) {
    gather_advance(&ep->gather, now);
    for (size_t i = 0; i < ep->config.sessions_max; i++) {
        struct session *s = ep->sessions[i];
        if (s == NULL)
            continue;
        session_advance(s, now);
        if (session_take_attempt(s))
            gather_ask_now(&ep->gather, now);
        lan_look(&ep->lan, s, now);
    }
    beacon_advance(&ep->lan.beacon, now);
    if (gather_take_change(&ep->gather))
        network_changed(ep, now);
}

struct bk_time endpoint_deadline(const struct endpoint *ep) {
    struct bk_time t = bk_earlier(gather_deadline(&ep->gather), beacon_deadline(&ep->lan.beacon));
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL)
            t = bk_earlier(t, session_deadline(ep->sessions[i]));
    return t;
}

/* --- packets out --- */

bool endpoint_next_datagram(struct endpoint *ep, struct bk_time now, struct bk_datagram *out) {
    if (gather_next_datagram(&ep->gather, out))
        return true;
    for (size_t n = 0; n < ep->config.sessions_max; n++) {
        size_t i = (ep->next_session + n) % ep->config.sessions_max;
        if (ep->sessions[i] == NULL ||
            !session_next_datagram(ep->sessions[i], ep->out, QUIC_TRAIN_MAX, now, out))
            continue;
        ep->next_session = i + 1;
        return true;
    }
    return false;
}

/* One that cannot be sealed is passed over. */
static bool next_refusal(struct endpoint *ep, struct endpoint_relay_packet *out) {
    struct signal message;
    while (refusals_next(&ep->refusals, &message, &out->to)) {
        out->data = ep->out;
        if (signal_seal(&message, &ep->identity, out->to, &ep->config.rng, ep->out, &out->len) ==
            BK_OK)
            return true;
    }
    return false;
}

static bool next_quic(struct endpoint *ep, struct session *s, struct bk_time now, size_t *len) {
    size_t quic_len, segment;
    if (!session_next_relayed(s, ep->out + RELAYED_HEADER, QUIC_TRAIN_MAX, now, &quic_len,
                              &segment))
        return false;
    ep->out[0] = RELAYED_QUIC;
    ep->out[1] = (uint8_t)(segment >> 8);
    ep->out[2] = (uint8_t)segment;
    *len = RELAYED_HEADER + quic_len;
    return true;
}

bool endpoint_next_relay(struct endpoint *ep, struct bk_time now,
                         struct endpoint_relay_packet *out) {
    if (!ep->relay_up)
        return false;
    if (next_refusal(ep, out))
        return true;
    for (size_t n = 0; n < ep->config.sessions_max; n++) {
        size_t i = (ep->next_session + n) % ep->config.sessions_max;
        struct session *s = ep->sessions[i];
        if (s == NULL ||
            (!session_next_signal(s, now, ep->out, &out->len) && !next_quic(ep, s, now, &out->len)))
            continue;
        ep->next_session = i + 1;
        out->to = session_relay_key(s);
        out->data = ep->out;
        return true;
    }
    return false;
}

/* --- events --- */

bool endpoint_next_event(struct endpoint *ep, struct endpoint_event *out) {
    *out = (struct endpoint_event){.type = ENDPOINT_REFUSED};
    if (refusals_next_told(&ep->refusals, &out->peer, &out->refusal))
        return true;
    for (size_t i = 0; i < ep->config.sessions_max; i++) {
        struct session *s = ep->sessions[i];
        if (s == NULL)
            continue;
        *out = (struct endpoint_event){.type = ENDPOINT_INCOMING, .session = s};
        if (ep->incoming[i]) {
            ep->incoming[i] = false;
            return true;
        }
        out->type = ENDPOINT_SESSION;
        if (session_next_event(s, &out->event))
            return true;
    }
    return false;
}

bool endpoint_take_home_doubt(struct endpoint *ep) {
    bool doubt = false;
    for (size_t i = 0; i < ep->config.sessions_max; i++)
        if (ep->sessions[i] != NULL && session_take_home_doubt(ep->sessions[i]))
            doubt = true;
    return doubt;
}

const struct endpoint_counts *endpoint_counts(const struct endpoint *ep) {
    return &ep->counts;
}

enum signal_udp endpoint_udp(const struct endpoint *ep) {
    return ep->env.udp;
}

enum signal_mapping endpoint_mapping(const struct endpoint *ep) {
    return ep->env.mapping;
}
