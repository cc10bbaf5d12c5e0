/* SPDX-License-Identifier: MIT
 * A session's way through hard NATs: gives src/punch what it asks for (sockets, STUN questions,
 * checks), tells it what is known of both NATs, and carries its notes inside the descriptions. */
#include "peer/session_inner.h"

#include "base/rng.h"
#include "peer/signal_nat.h"

enum {
    ASK_RTO_US = 80 * 1000, /* a prediction ages while it waits */
    HOLD_MIN_US = 100 * 1000,
    SURVEY_US = 2500 * 1000 /* a survey takes one and a half seconds */
};

/* --- what both sides know --- */

/* Until the NAT has been looked at, what two STUN answers say. */
static struct bk_nat_traits own_nat(const struct session *s) {
    struct bk_nat_traits nat = s->env->nat;
    if (nat.udp_blocked == BK_UNKNOWN && s->env->udp != SIGNAL_UDP_UNKNOWN)
        nat.udp_blocked = s->env->udp == SIGNAL_UDP_BLOCKED ? BK_YES : BK_NO;
    if (nat.mapping == BK_NAT_DEP_UNKNOWN && s->env->mapping != SIGNAL_MAPPING_UNKNOWN)
        nat.mapping = s->env->mapping == SIGNAL_MAPPING_VARIES ? BK_NAT_APD : BK_NAT_EI;
    return nat;
}

bool session_punch_tell_nat(struct session *s) {
    struct bk_nat_traits nat = own_nat(s);
    bool same = s->mine.has_nat && s->mine.nat_is_final == s->env->nat_is_final;
    if (same && signal_nat_equal(&nat, &s->mine.nat))
        return false;
    s->mine.nat = nat;
    s->mine.nat_is_final = s->env->nat_is_final;
    s->mine.has_nat = true;
    return true;
}

/* Server- and peer-reflexive addresses of one description. */
static size_t outside_addrs(const struct signal_description *d, struct bk_addr *out, size_t max) {
    size_t n = 0;
    for (size_t i = 0; i < d->candidate_count && n < max; i++)
        if (d->candidates[i].kind == BK_ICE_SRFLX && d->candidates[i].addr.ip.family == BK_IPV4)
            out[n++] = d->candidates[i].addr;
    return n;
}

static int64_t signal_rtt_us(const struct session *s) {
    int64_t srtt_us = 0, rttvar_us = 0;
    if (s->quic != NULL)
        quic_rtt(s->quic, &srtt_us, &rttvar_us);
    return srtt_us;
}

/* A peer behind a box that early packets spoil gets its first check from us when it has opened its
 * door; a box that is not known to be of that kind gets it at once. */
static void set_opener(struct session *s) {
    bool spoilt = s->theirs.has_nat && s->theirs.nat.inbound_first == BK_YES;
    int64_t hold_us = signal_rtt_us(s);
    hold_us = hold_us < HOLD_MIN_US ? HOLD_MIN_US : hold_us;
    bk_checker_set_opener(s->ice, spoilt ? s->env->opener_ttl : 0, (uint32_t)hold_us);
}

void session_punch_learn(struct session *s, struct bk_time now) {
    struct bk_addr addrs[PUNCH_PEER_MAX];
    if (s->punch == NULL)
        return;
    punch_set_ttl(s->punch, s->env->opener_ttl);
    punch_set_rtt(s->punch, 0, signal_rtt_us(s));
    if (outside_addrs(&s->mine, addrs, 1) > 0)
        punch_set_mapped(s->punch, &addrs[0]);
    if (!s->peer_described)
        return;
    set_opener(s);
    punch_set_peer(s->punch, addrs, outside_addrs(&s->theirs, addrs, PUNCH_PEER_MAX));
    punch_set_traits(s->punch, &s->mine.nat, &s->theirs.nat, now);
}

/* --- life --- */

enum bk_err session_punch_init(struct session *s) {
    struct punch_config config = punch_config_default;
    if (s->env->relay_only)
        return BK_OK;
    config.leader = s->offerer;
    config.rng = s->env->rng;
    config.trace = s->env->trace;
    return punch_new(&config, &s->env->alloc, &s->punch);
}

/* The leader chooses methods by what both NATs do. A machine that has just come up does not know
 * its own yet: plain checks and the relay serve until it does. */
static void start_when_known(struct session *s, struct bk_time now) {
    bool known = s->mine.nat_is_final && s->theirs.nat_is_final;
    if (bk_is_never(s->punch_at) || (!known && !bk_due(s->punch_at, now)))
        return;
    s->punch_at = BK_NEVER;
    session_punch_learn(s, now);
    if (s->path.state == PATH_RELAYED)
        punch_start(s->punch, s->mine.generation, now);
}

void session_punch_start(struct session *s, struct bk_time now) {
    bool same = s->punching && s->punch_generation == s->mine.generation;
    if (s->punch == NULL || same || s->path.state != PATH_RELAYED)
        return;
    s->punching = true;
    s->punch_generation = s->mine.generation;
    s->began = now;
    s->sent_before = bk_checker_stats(s->ice)->requests_sent;
    s->punch_at = s->offerer ? bk_after(now, SURVEY_US) : now;
    start_when_known(s, now);
}

/* The socket with this port; PUNCH_SHARED: not one of ours. */
static uint16_t socket_of(const struct session *s, uint16_t port) {
    for (size_t i = 1; i < PUNCH_SOCKETS_MAX; i++)
        if (s->fresh[i].port == port && port != 0)
            return (uint16_t)i;
    return PUNCH_SHARED;
}

/* A path that no step of the punch found was found by checks between known addresses. */
static enum bk_oracle_method plain_method(const struct session *s) {
    const struct bk_ice_candidate *local = &s->pair.local, *remote = &s->pair.remote;
    if (remote->addr.ip.family == BK_IPV6)
        return BK_ORACLE_IPV6;
    if (local->kind == BK_ICE_HOST && remote->kind == BK_ICE_HOST)
        return bk_ip_scope(&remote->addr.ip) == BK_SCOPE_GLOBAL ? BK_ORACLE_DIRECT
                                                                : BK_ORACLE_INNER;
    if (bk_ip_equal(&local->addr.ip, &remote->addr.ip))
        return BK_ORACLE_HAIRPIN;
    return remote->kind == BK_ICE_PRFLX ? BK_ORACLE_PRFLX : BK_ORACLE_PUNCH;
}

static void remember(struct session *s, struct bk_time now) {
    const struct punch_step *steps;
    size_t count = s->punch == NULL ? 0 : punch_steps(s->punch, &steps);
    s->method = plain_method(s);
    if (count > 0 && steps[count - 1].hit)
        s->method = (enum bk_oracle_method)steps[count - 1].method;
    s->probes = bk_checker_stats(s->ice)->requests_sent - s->sent_before;
    s->took_us = bk_is_never(s->began) ? 0 : bk_elapsed_us(s->began, now);
    s->began = BK_NEVER;
}

bool session_punch_is_over(const struct session *s) {
    return s->punch == NULL || (bk_is_never(s->punch_at) && punch_is_over(s->punch));
}

void session_punch_hit(struct session *s, struct bk_time now) {
    targets_proved(s->env->targets, &s->pair.remote.addr.ip);
    uint16_t keep = socket_of(s, s->pair.local.base.port);
    bool fresh = keep != PUNCH_SHARED || s->pair.remote.kind == BK_ICE_PRFLX;
    if (s->punch != NULL && !punch_is_over(s->punch))
        punch_stop(s->punch, fresh, keep, now);
    if (!bk_is_never(s->began))
        remember(s, now);
}

void session_story(const struct session *s, struct story *out) {
    struct session_path path;
    session_path(s, &path);
    *out = (struct story){.direct = path.direct,
                          .why = path.why,
                          .method = s->method,
                          .probes = s->probes,
                          .took_us = s->took_us,
                          .here = s->mine.nat,
                          .there = s->theirs.nat};
    if (s->punch == NULL)
        return;
    out->step_count = punch_steps(s->punch, &out->steps);
    if (!path.direct)
        out->method = punch_verdict(s->punch)->method;
}

void session_punch_note(struct session *s, struct bk_time now) {
    if (s->punch != NULL && s->theirs.has_punch)
        punch_note_recv(s->punch, &s->theirs.punch, now);
}

/* --- STUN questions from fresh sockets --- */

static void ask(struct session *s, uint16_t socket, struct bk_time now) {
    static const struct bk_addr nowhere = {.port = 0};
    struct stun_client_config config = stun_client_config_default;
    size_t i = 0;
    while (i < SESSION_ASKS && s->asks[i].used)
        i++;
    config.local = (struct bk_addr){.ip = {.family = BK_IPV4}, .port = s->fresh[socket].port};
    config.server = s->env->stun;
    config.txn.rto_us = ASK_RTO_US;
    config.txn.rc = 4;
    config.txn.rm = 4;
    config.tailnode = true;
    if (i == SESSION_ASKS ||
        stun_client_init(&s->asks[i].client, &config, &s->env->rng, now) != BK_OK) {
        punch_mapped(s->punch, socket, &nowhere, now);
        return;
    }
    s->asks[i].used = true;
    s->asks[i].socket = socket;
}

static void read_answer(struct session *s, struct session_ask *a, struct bk_time now) {
    static const struct bk_addr nowhere = {.port = 0};
    struct stun_client_event event;
    if (!a->used || !stun_client_next_event(&a->client, &event))
        return;
    a->used = false;
    punch_mapped(s->punch, a->socket, event.kind == STUN_CLIENT_MAPPED ? &event.mapped : &nowhere,
                 now);
}

static enum bk_err ask_recv(struct session *s, const struct bk_datagram *in, struct bk_time now) {
    for (size_t i = 0; i < SESSION_ASKS; i++) {
        struct session_ask *a = &s->asks[i];
        if (!a->used || stun_client_recv(&a->client, in, now) == BK_ERR_NOT_OURS)
            continue;
        read_answer(s, a, now);
        return BK_OK;
    }
    return BK_ERR_NOT_OURS;
}

/* --- sockets --- */

/* What the endpoint has to do next is kept here until it asks; questions are our own affair. */
static const struct punch_action *next_action(struct session *s, struct bk_time now) {
    while (s->punch != NULL && !s->has_action) {
        if (!punch_next_action(s->punch, &s->action))
            return NULL;
        if (s->action.kind == PUNCH_ASK)
            ask(s, s->action.socket, now);
        else
            s->has_action = true;
    }
    return s->has_action ? &s->action : NULL;
}

/* A port far from those in use. A NAT that keeps ports and has given the shared socket's away takes
 * the next ones for its other destinations, so neighbours of it are not what they seem. */
static uint16_t far_port(const struct session *s) {
    enum { FIRST = 20000, PORTS = 40000 };
    return (uint16_t)(FIRST + rng_below(&s->env->rng, PORTS));
}

bool session_next_socket(struct session *s, struct bk_time now, struct session_socket *out) {
    const struct punch_action *a;
    if (s->state == SESSION_OVER)
        return false;
    while ((a = next_action(s, now)) != NULL && a->kind != PUNCH_CHECK) {
        struct session_fresh *f = &s->fresh[a->socket];
        s->has_action = false;
        if (a->kind == PUNCH_CLOSE && (f->port == 0 || f->proved)) {
            *f = (struct session_fresh){.port = 0};
            continue; /* proved: a path may lead through it, it stays as long as the session */
        }
        *out = (struct session_socket){.open = a->kind == PUNCH_OPEN,
                                       .index = a->socket,
                                       .port = a->kind == PUNCH_CLOSE ? f->port
                                               : a->port != 0         ? a->port
                                                                      : far_port(s)};
        if (a->kind == PUNCH_CLOSE)
            *f = (struct session_fresh){.port = 0};
        return true;
    }
    return false;
}

void session_opened(struct session *s, uint16_t index, enum bk_err err, uint16_t port,
                    struct bk_time now) {
    if (s->punch == NULL || index == PUNCH_SHARED || index >= PUNCH_SOCKETS_MAX)
        return;
    s->fresh[index] = (struct session_fresh){.port = err == BK_OK ? port : 0};
    if (err == BK_OK)
        punch_bound(s->punch, index, port);
    punch_opened(s->punch, index, err, now);
    session_punch_advance(s, now);
}

/* A check of the peer on a fresh socket makes that socket a base, if it is signed as it must be. */
static enum bk_err check_recv(struct session *s, uint16_t index, const struct bk_datagram *in,
                              struct bk_time now) {
    struct bk_ice_candidate c = {.kind = BK_ICE_HOST, .addr = in->local, .base = in->local};
    enum bk_err err = bk_checker_recv(s->ice, in, now);
    if (err != BK_ERR_NOT_FOUND)
        return err;
    if (bk_checker_add_local_candidate(s->ice, &c, now, NULL) != BK_OK)
        return err;
    s->fresh[index].proved = true;
    return bk_checker_recv(s->ice, in, now);
}

enum bk_err session_fresh_recv(struct session *s, uint16_t index, const struct bk_datagram *in,
                               struct bk_time now) {
    if (s->state == SESSION_OVER || s->punch == NULL)
        return BK_ERR_NOT_OURS;
    enum bk_err err = ask_recv(s, in, now);
    if (err == BK_ERR_NOT_OURS)
        err = check_recv(s, index, in, now);
    if (err != BK_ERR_NOT_OURS)
        session_path_update(s, now);
    return err;
}

/* --- packets, time --- */

bool session_punch_next_datagram(struct session *s, struct bk_time now, struct bk_datagram *out) {
    for (size_t i = 0; i < SESSION_ASKS; i++)
        if (s->asks[i].used && stun_client_next_datagram(&s->asks[i].client, out))
            return true;
    const struct punch_action *a;
    while ((a = next_action(s, now)) != NULL && a->kind == PUNCH_CHECK) {
        const struct punch_action check = *a;
        struct bk_addr local = {.ip = {.family = check.remote.ip.family}};
        s->has_action = false;
        local.port = check.socket == PUNCH_SHARED ? s->env->port4 : s->fresh[check.socket].port;
        if (local.port == 0 || !targets_take(s->env->targets, &check.remote.ip, now) ||
            bk_checker_loose_check(s->ice, &local, &check.remote, out) != BK_OK)
            continue;
        out->ttl = check.ttl;
        return true;
    }
    return false;
}

static void take_note(struct session *s, struct bk_time now) {
    struct punch_note note;
    if (!punch_take_note(s->punch, &note))
        return;
    s->mine.punch = note;
    s->mine.has_punch = true;
    session_describe_anew(s, now);
}

void session_punch_advance(struct session *s, struct bk_time now) {
    if (s->punch == NULL)
        return;
    for (size_t i = 0; i < SESSION_ASKS; i++)
        if (s->asks[i].used) {
            stun_client_advance(&s->asks[i].client, now);
            read_answer(s, &s->asks[i], now);
        }
    start_when_known(s, now);
    punch_advance(s->punch, now);
    take_note(s, now);
}

struct bk_time session_punch_deadline(const struct session *s) {
    if (s->punch == NULL)
        return BK_NEVER;
    struct bk_time t = bk_earlier(punch_deadline(s->punch), s->punch_at);
    for (size_t i = 0; i < SESSION_ASKS; i++)
        if (s->asks[i].used)
            t = bk_earlier(t, stun_client_deadline(&s->asks[i].client));
    return t;
}
