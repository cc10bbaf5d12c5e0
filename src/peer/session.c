/* SPDX-License-Identifier: MIT
 * A session's life and verbs. The order of teardown: QUIC's goodbye (SESSION_CLOSING), then
 * SESSION_OVER, where every verb is a no-op and only events are left to fetch, then session_free(),
 * by the endpoint. */
#include "peer/session_inner.h"

#include "base/assert.h"
#include "base/rng.h"
#include "base/wipe.h"

#include <string.h>

/* May a session go from [row] to [column]? */
static const bool may[SESSION_STATES][SESSION_STATES] = {
    [SESSION_OFFERING] =
        {[SESSION_SECURING] = true, [SESSION_CLOSING] = true, [SESSION_OVER] = true},
    [SESSION_SECURING] = {[SESSION_OPEN] = true, [SESSION_CLOSING] = true, [SESSION_OVER] = true},
    [SESSION_OPEN] = {[SESSION_CLOSING] = true, [SESSION_OVER] = true},
    [SESSION_CLOSING] = {[SESSION_OVER] = true},
};

void session_set_state(struct session *s, enum session_state state) {
    bk_assert(may[s->state][state]);
    s->state = state;
}

void session_push_event(struct session *s, struct session_event event) {
    if (event.type == SESSION_PATH) /* only the latest path counts: one such event is enough */
        for (size_t i = 0; i < s->event_count; i++)
            if (s->events[(s->event_head + i) % SESSION_EVENTS].type == SESSION_PATH)
                return;
    bk_assert(s->event_count < SESSION_EVENTS); /* every other kind comes once */
    s->events[(s->event_head + s->event_count++) % SESSION_EVENTS] = event;
}

void session_end(struct session *s, enum session_end end, uint64_t code, const char *reason) {
    if (s->state != SESSION_OVER)
        session_set_state(s, SESSION_OVER);
    session_stop_resending(s);
    s->retry = BK_NEVER;
    s->give_up = BK_NEVER;
    if (s->ended)
        return;
    s->ended = true;
    session_push_event(s, (struct session_event){
                              .type = SESSION_ENDED, .end = end, .code = code, .reason = reason});
}

/* --- beginning and end --- */

static enum bk_err make_quic(struct session *s, uint32_t remote_tag, struct bk_time now) {
    struct quic_config config = quic_config_default;
    config.server = !s->offerer;
    config.identity = s->env->identity;
    config.peer = s->peer;
    config.rng = s->env->rng;
    config.alloc = s->env->alloc;
    config.local_tag = s->tag;
    config.remote_tag = remote_tag;
    config.early_server_data = true;     /* the sealed offer has proved the client's key */
    config.handshake_timeout_ms = 60000; /* both ways may be out in just that moment */
    config.keep_alive_ms = 20000;
    config.idle_timeout_ms = 180000; /* an outage of both ways may last that long */
    config.initial_rtt_ms = 100;
    memcpy(config.binding, s->id, QUIC_BINDING_LEN);
    return quic_new(&config, now, &s->quic);
}

static enum bk_err make(const struct session_env *env, bool offerer, struct session **out) {
    struct session *s = env->alloc.get(env->alloc.ctx, sizeof *s);
    if (s == NULL)
        return BK_ERR_NO_MEMORY;
    s->env = env;
    s->offerer = offerer;
    s->state = offerer ? SESSION_OFFERING : SESSION_SECURING;
    s->resend = BK_NEVER;
    s->give_up = BK_NEVER;
    s->relay_quiet = BK_NEVER;
    s->look = BK_NEVER;
    s->began = BK_NEVER;
    s->punch_at = BK_NEVER;
    *out = s;
    return BK_OK;
}

enum bk_err session_offer(const struct session_env *env, const struct session_offer *offer,
                          struct bk_time now, struct session **out) {
    struct session *s;
    uint8_t relay_key[PEER_KEY_LEN];
    if (peer_key_relay(&offer->peer, relay_key) != BK_OK)
        return BK_ERR_ARGUMENT;
    enum bk_err err = make(env, true, &s);
    if (err != BK_OK)
        return err;
    s->peer = offer->peer;
    s->purpose = offer->purpose;
    memcpy(s->relay_key, relay_key, sizeof relay_key);
    rng_fill(&env->rng, s->id, sizeof s->id);
    s->tag = rng_u32(&env->rng);
    s->mine.has_offer = true;
    s->mine.offer = (struct signal_offer){
        .key = env->identity->key,
        .purpose = offer->purpose,
        .has_secret = offer->secret != NULL,
        .tag_offerer = s->tag,
        .tag_answerer = rng_u32(&env->rng),
    };
    if (offer->secret != NULL)
        memcpy(s->mine.offer.secret, offer->secret, TICKET_SECRET_LEN);
    s->give_up = bk_after(now, SESSION_ANSWER_US);
    err = session_path_init(s);
    if (err == BK_OK)
        err = make_quic(s, s->mine.offer.tag_answerer, now);
    if (err != BK_OK) {
        session_free(s);
        return err;
    }
    session_start_describing(s, now);
    *out = s;
    return BK_OK;
}

enum bk_err session_answer(const struct session_env *env, const struct signal *first,
                           struct bk_time now, struct session **out) {
    struct session *s;
    const struct signal_offer *offer = &first->description.offer;
    enum bk_err err = make(env, false, &s);
    if (err != BK_OK)
        return err;
    s->peer = offer->key;
    s->purpose = offer->purpose;
    s->tag = offer->tag_answerer;
    memcpy(s->id, first->session, sizeof s->id);
    err = peer_key_relay(&offer->key, s->relay_key);
    if (err == BK_OK)
        err = session_path_init(s);
    if (err == BK_OK)
        err = make_quic(s, offer->tag_offerer, now);
    if (err != BK_OK) {
        session_free(s);
        return err;
    }
    session_start_describing(s, now);
    session_signal_recv(s, first, now);
    *out = s;
    return BK_OK;
}

void session_free(struct session *s) {
    if (s == NULL)
        return;
    struct bk_alloc alloc = s->env->alloc;
    quic_free(s->quic);
    bk_checker_free(s->ice);
    punch_free(s->punch);
    wipe(s, sizeof *s);
    alloc.put(alloc.ctx, s);
}

void session_close(struct session *s, uint64_t code, const char *reason, struct bk_time now) {
    if (s->state == SESSION_CLOSING || s->state == SESSION_OVER)
        return;
    s->owes_bye = !s->secured; /* QUIC cannot say it yet */
    session_set_state(s, SESSION_CLOSING);
    s->give_up = bk_after(now, SESSION_CLOSE_US);
    quic_close(s->quic, code, reason, now);
}

/* --- verbs --- */

static enum session_end end_of_quic(enum bk_err cause) {
    if (cause == BK_OK)
        return SESSION_END_CLOSED;
    if (cause == BK_ERR_AUTH)
        return SESSION_END_IMPOSTOR;
    if (cause == BK_ERR_REFUSED)
        return SESSION_END_REFUSED_PEER;
    return cause == BK_ERR_TIMEOUT ? SESSION_END_LOST : SESSION_END_FAILED;
}

/* Takes what concerns the session out of QUIC's events; true: `out` is for the program. */
static bool next_quic_event(struct session *s, struct session_event *out) {
    struct quic_event event;
    while (s->quic != NULL && quic_next_event(s->quic, &event)) {
        if (event.type == QUIC_HANDSHAKE_DONE) {
            s->secured = true;
            if (s->state == SESSION_SECURING)
                session_set_state(s, SESSION_OPEN);
            *out = (struct session_event){.type = SESSION_SECURED, .reason = ""};
            return true;
        }
        if (event.type == QUIC_CLOSED && s->state == SESSION_CLOSING && !event.remote)
            continue; /* our own goodbye: it is still to be sent, see session_advance() */
        if (event.type == QUIC_CLOSED) {
            session_end(s, end_of_quic(event.cause), event.code, event.reason);
            return false;
        }
        *out = (struct session_event){.type = SESSION_QUIC, .quic = event, .reason = ""};
        return true;
    }
    return false;
}

bool session_next_event(struct session *s, struct session_event *out) {
    if (s->state != SESSION_OVER && next_quic_event(s, out))
        return true;
    if (s->event_count == 0)
        return false;
    *out = s->events[s->event_head];
    s->event_head = (s->event_head + 1) % SESSION_EVENTS;
    s->event_count--;
    return true;
}

void session_quic_recv(struct session *s, const uint8_t *data, size_t len, size_t segment,
                       bool direct, struct bk_time now) {
    if (s->state == SESSION_OVER)
        return;
    enum bk_err err = quic_recv_train(s->quic, data, len, segment, now);
    if (err == BK_ERR_NOT_OURS)
        return; /* proves nothing about the path */
    int64_t srtt_us, rttvar_us;
    quic_rtt(s->quic, &srtt_us, &rttvar_us);
    path_measured(&s->path, srtt_us, rttvar_us);
    if (direct) {
        path_heard_direct(&s->path, now);
    } else {
        path_heard_relay(&s->path, now);
        s->relay_quiet = bk_after(now, SESSION_QUIET_US);
    }
    if (s->peer_gone)
        session_peer_is_back(s);
    session_path_update(s, now);
}

enum bk_err session_stun_recv(struct session *s, const struct bk_datagram *in, struct bk_time now) {
    if (s->state == SESSION_OVER)
        return BK_ERR_NOT_OURS;
    enum bk_err err = bk_checker_recv(s->ice, in, now);
    if (err != BK_ERR_NOT_OURS)
        session_path_update(s, now);
    return err;
}

/* The home server has lost the peer. Before the first answer that means it is not there. Later it
 * may be reconnecting, or need no home while the direct path works; only when that is silent, too,
 * patience is limited. */
void session_peer_gone(struct session *s, bool not_here, struct bk_time now) {
    if (s->state == SESSION_OVER || s->state == SESSION_CLOSING || s->peer_gone)
        return;
    s->peer_gone = true;
    s->gone_us = not_here ? SESSION_AWAY_US : SESSION_GONE_US;
    if (s->state == SESSION_OFFERING)
        s->give_up = bk_earlier(s->give_up, bk_after(now, SESSION_NOT_HOME_US));
    else if (s->path.state == PATH_RELAYED)
        s->give_up = bk_after(now, s->gone_us);
}

void session_peer_is_back(struct session *s) {
    s->peer_gone = false;
    if (s->state == SESSION_SECURING || s->state == SESSION_OPEN)
        s->give_up = BK_NEVER;
}

static void give_up(struct session *s) {
    if (s->state == SESSION_CLOSING)
        session_end(s, SESSION_END_CLOSED, 0, "closed");
    else if (s->state != SESSION_OFFERING)
        session_end(s, SESSION_END_LOST, 0, "the peer has left");
    else
        session_end(s, s->peer_gone ? SESSION_END_NOT_HOME : SESSION_END_NO_ANSWER, 0, "no answer");
}

void session_advance(struct session *s, struct bk_time now) {
    if (s->state == SESSION_OVER)
        return;
    if (bk_due(s->give_up, now)) {
        give_up(s);
        return;
    }
    session_signal_advance(s, now);
    if (bk_due(quic_deadline(s->quic), now))
        quic_advance(s->quic, now);
    if (s->state == SESSION_CLOSING && quic_is_finished(s->quic))
        session_end(s, SESSION_END_CLOSED, 0, "closed");
    else
        session_path_advance(s, now);
}

struct bk_time session_deadline(const struct session *s) {
    if (s->state == SESSION_OVER)
        return BK_NEVER;
    struct bk_time t = bk_earlier(s->resend, s->give_up);
    t = bk_earlier(t, quic_deadline(s->quic));
    return bk_earlier(t, session_path_deadline(s));
}

/* A relay passes a packet on when it has all of it. Its TCP connections have carried little while
 * the path was direct and their windows are small: a long train would take several round trips to
 * each side of the relay, and with it the first data after a break. */
bool session_next_relayed(struct session *s, uint8_t *buf, size_t cap, struct bk_time now,
                          size_t *len, size_t *segment) {
    if (s->state == SESSION_OVER || path_is_direct(&s->path))
        return false;
    if (bk_before(now, s->relay_cold) && cap > SESSION_COLD_TRAIN)
        cap = SESSION_COLD_TRAIN;
    return quic_next_train(s->quic, buf, cap, QUIC_PAYLOAD_MAX, now, len, segment);
}

bool session_next_datagram(struct session *s, uint8_t *buf, size_t cap, struct bk_time now,
                           struct bk_datagram *out) {
    size_t len, segment;
    if (s->state == SESSION_OVER)
        return false;
    if (bk_checker_next_datagram(s->ice, out) || session_punch_next_datagram(s, now, out))
        return true;
    if (!path_is_direct(&s->path) || s->pair.id == 0 ||
        !quic_next_train(s->quic, buf, cap, s->payload, now, &len, &segment))
        return false;
    path_sent_direct(&s->path, now);
    *out = (struct bk_datagram){
        .local = s->pair.local.base,
        .remote = s->pair.remote.addr,
        .data = buf,
        .len = len,
        .segment = segment,
    };
    return true;
}

/* --- questions --- */

const uint8_t *session_id(const struct session *s) {
    return s->id;
}

const uint8_t *session_relay_key(const struct session *s) {
    return s->relay_key;
}

uint32_t session_tag(const struct session *s) {
    return s->tag;
}

const struct peer_key *session_peer(const struct session *s) {
    return &s->peer;
}

enum signal_purpose session_purpose(const struct session *s) {
    return s->purpose;
}

bool session_is_offerer(const struct session *s) {
    return s->offerer;
}

enum session_state session_get_state(const struct session *s) {
    return s->state;
}

struct quic *session_quic(struct session *s) {
    return s->quic;
}

const struct bk_checker *session_ice(const struct session *s) {
    return s->ice;
}
