/* SPDX-License-Identifier: MIT
 * Keeping the peer's picture of us current: see signal.h for the idea. */
#include "peer/session_inner.h"

#include "base/assert.h"
#include "base/wipe.h"

#include <string.h>

void session_stop_resending(struct session *s) {
    s->resend = BK_NEVER;
    s->owes_description = false;
}

void session_signal_advance(struct session *s, struct bk_time now) {
    if (!bk_due(s->resend, now))
        return;
    s->owes_description = true; /* until the relay takes it, which may be long */
    s->resend = BK_NEVER;
}

static void resend_now(struct session *s, struct bk_time now) {
    s->resend = now;
    s->resend_us = SESSION_RESEND_US;
}

void session_start_describing(struct session *s, struct bk_time now) {
    s->version = 1;
    resend_now(s, now);
}

/* `mine` has changed: a new version must reach the peer. */
void session_describe_anew(struct session *s, struct bk_time now) {
    s->version++;
    resend_now(s, now);
}

static enum session_end end_of_refusal(enum signal_refusal refusal) {
    switch (refusal) {
    case SIGNAL_REFUSED_TICKET:
        return SESSION_END_REFUSED_TICKET;
    case SIGNAL_REFUSED_PEER:
        return SESSION_END_REFUSED_PEER;
    case SIGNAL_REFUSED_BUSY:
        return SESSION_END_REFUSED_BUSY;
    }
    return SESSION_END_FAILED;
}

/* The peer's picture of us is current: no more repetitions, and the secret has done its work. */
static void acknowledged(struct session *s, uint32_t version) {
    if (version <= s->acked || version > s->version)
        return;
    s->acked = version;
    if (s->acked == s->version)
        session_stop_resending(s);
    s->mine.has_offer = false;
    wipe(&s->mine.offer, sizeof s->mine.offer);
}

static void described(struct session *s, const struct signal *in, struct bk_time now) {
    s->owes_ack = true;
    if (in->version <= s->peer_version)
        return; /* a repetition: our ack was lost */
    s->peer_version = in->version;
    s->theirs = in->description;
    s->peer_described = true;
    wipe(&s->theirs.offer, sizeof s->theirs.offer);
    if (s->state == SESSION_OFFERING) {
        session_set_state(s, SESSION_SECURING);
        if (s->secured) /* on the direct path, which was faster than the relay */
            session_set_state(s, SESSION_OPEN);
        s->give_up = BK_NEVER;
        quic_nudge(s->quic, now); /* its first packets may have been too early */
    }
    session_path_described(s, now);
}

/* Each side knows the other's candidates, and this side knows that. */
static void note_exchange(struct session *s) {
    if (s->exchanged || s->acked == 0 || !s->peer_described)
        return;
    s->exchanged = true;
    session_want_seek(s);
    session_push_event(s, (struct session_event){.type = SESSION_EXCHANGED, .reason = ""});
}

void session_signal_recv(struct session *s, const struct signal *in, struct bk_time now) {
    if (s->state == SESSION_OVER)
        return;
    if (s->peer_gone) {
        session_peer_is_back(s);
        quic_nudge(s->quic, now); /* what was sent while it was away is lost */
    }
    acknowledged(s, in->ack);
    switch (in->type) {
    case SIGNAL_DESCRIBE:
        described(s, in, now);
        break;
    case SIGNAL_ACK:
        break;
    case SIGNAL_REFUSE:
        if (s->state == SESSION_OFFERING)
            session_end(s, end_of_refusal(in->refusal), 0, "the peer refused");
        break;
    case SIGNAL_BYE:
        if (!s->secured)
            session_end(s, SESSION_END_CLOSED, 0, "the peer ended the session");
        break;
    }
    note_exchange(s);
    session_path_update(s, now);
}

/* What is due, most important first; false: nothing. */
static bool next_message(struct session *s, struct bk_time now, struct signal *out) {
    *out = (struct signal){.version = s->version, .ack = s->peer_version};
    memcpy(out->session, s->id, sizeof out->session);
    if (s->owes_bye) {
        s->owes_bye = false;
        out->type = SIGNAL_BYE;
        return true;
    }
    if (s->state == SESSION_OVER)
        return false;
    if (s->owes_description || bk_due(s->resend, now)) {
        out->type = SIGNAL_DESCRIBE;
        s->owes_description = false;
        out->description = s->mine;
        s->resend = bk_after(now, s->resend_us);
        if (s->resend_us < SESSION_RESEND_MAX_US)
            s->resend_us *= 2;
        s->owes_ack = false;
        return true;
    }
    if (s->owes_ack) {
        s->owes_ack = false;
        out->type = SIGNAL_ACK;
        return true;
    }
    return false;
}

bool session_next_signal(struct session *s, struct bk_time now, uint8_t *out, size_t *len) {
    struct signal message;
    if (!next_message(s, now, &message))
        return false;
    enum bk_err err = signal_seal(&message, s->env->identity, s->relay_key, &s->env->rng, out, len);
    wipe(&message, sizeof message);
    /* The key was tried when the session began, and SIGNAL_LEN_MAX holds every description. */
    bk_assert(err == BK_OK);
    return true;
}

/* Both sides may have lost the home, a restarted server for example, and come back one after the
 * other: the later one's word makes the earlier one send again. */
void session_relay_up(struct session *s, struct bk_time now) {
    s->owes_ack = s->owes_ack || s->peer_described;
    if (s->acked < s->version)
        resend_now(s, now);
    if (!path_is_direct(&s->path))
        quic_nudge(s->quic, now);
}
