/* SPDX-License-Identifier: MIT
 * Looking for a direct path (ICE), choosing between it and the relay (path.h), and saying why. */
#include "peer/session_inner.h"

#include <string.h>

/* Pauses before another full attempt: new STUN answers, new credentials, checks from scratch. */
static const int64_t attempt_pause_us[SESSION_ATTEMPTS] = {5 * BK_US_PER_S, 15 * BK_US_PER_S,
                                                           60 * BK_US_PER_S, 300 * BK_US_PER_S};

enum bk_err session_path_init(struct session *s) {
    struct bk_checker_config config = bk_checker_config_default;
    config.controlling = s->offerer;
    config.ta_us = 5000; /* both ends are ours and probes are few: RFC 8445 section 14.2 allows
                            5 ms */
    /* Departs from RFC 8445 section 14.3 (500 ms): the first check of a punch is expected to be
     * lost, and waiting half a second for it is what users feel. Over 80 ms from peer to peer and
     * back, at 5 % loss, 60 ms instead of 100 ms brings 95 of 100 sessions to the direct path
     * within 180 ms instead of 280 ms, for one packet more a check (bench/session.c). */
    config.rto_min_us = 60000;
    config.check_tries = 6; /* unanswered after two seconds: the user is told why; pairs are tried
                               again and again all the same (`retry`, attempts) */
    config.check_wait = 4;
    config.rng = &s->env->rng;
    config.trace = s->env->trace;
    path_init(&s->path, &path_config_default);
    s->payload = QUIC_PAYLOAD_MIN;
    s->retry = BK_NEVER;
    enum bk_err err = bk_checker_new(&config, &s->env->alloc, &s->ice);
    if (err != BK_OK)
        return err;
    memcpy(s->mine.ufrag, bk_checker_ufrag(s->ice), strlen(bk_checker_ufrag(s->ice)) + 1);
    memcpy(s->mine.pwd, bk_checker_pwd(s->ice), strlen(bk_checker_pwd(s->ice)) + 1);
    s->mine.relay_only = s->env->relay_only;
    s->mine.udp = s->env->udp;
    s->mine.mapping = s->env->mapping;
    session_punch_tell_nat(s);
    return session_punch_init(s);
}

bool session_may_go_direct(const struct session *s) {
    return !s->env->relay_only && !(s->peer_described && s->theirs.relay_only);
}

/* --- candidates --- */

/* Room for one more: the oldest server-reflexive candidate is the most likely to be stale. */
static bool make_room(struct signal_description *d) {
    for (size_t i = 0; i < d->candidate_count; i++)
        if (d->candidates[i].kind == BK_ICE_SRFLX) {
            memmove(&d->candidates[i], &d->candidates[i + 1],
                    (d->candidate_count - i - 1) * sizeof d->candidates[0]);
            d->candidate_count--;
            return true;
        }
    return false;
}

void session_add_local(struct session *s, const struct bk_ice_candidate *c, struct bk_time now) {
    struct bk_ice_candidate signalled;
    if (c->kind == BK_ICE_SRFLX && bk_addr_equal(&c->addr, &c->base))
        session_reveal(s, &c->base, now); /* no NAT: the STUN server has seen this very address */
    if (s->env->relay_only || bk_checker_add_local_candidate(s->ice, c, now, &signalled) != BK_OK)
        return; /* redundant or full: ICE has counted it */
    if (session_withhold(s, &signalled))
        return;
    struct signal_description *mine = &s->mine;
    if (mine->candidate_count == SIGNAL_CANDIDATES_MAX && !make_room(mine))
        return;
    mine->candidates[mine->candidate_count++] = signalled;
    if (s->version > 0)
        session_describe_anew(s, now);
}

void session_remove_local(struct session *s, const struct bk_addr *base, struct bk_time now) {
    if (bk_checker_remove_local(s->ice, base, now) != BK_OK)
        return;
    session_forget_withheld(s, base);
    struct signal_description *mine = &s->mine;
    size_t kept = 0;
    for (size_t i = 0; i < mine->candidate_count; i++)
        if (!bk_addr_equal(&mine->candidates[i].base, base))
            mine->candidates[kept++] = mine->candidates[i];
    mine->candidate_count = kept;
    session_describe_anew(s, now);
    session_path_update(s, now);
}

void session_network_changed(struct session *s, bool complete, struct bk_time now) {
    bool changed = s->mine.udp != s->env->udp || s->mine.mapping != s->env->mapping ||
                   (complete && !s->mine.end_of_candidates);
    s->mine.udp = s->env->udp;
    s->mine.mapping = s->env->mapping;
    changed = session_punch_tell_nat(s) || changed;
    session_punch_learn(s, now);
    if (complete && !s->mine.end_of_candidates) {
        s->mine.end_of_candidates = true;
        bk_checker_end_of_local_candidates(s->ice, now);
    }
    if (changed && s->version > 0)
        session_describe_anew(s, now);
    session_path_update(s, now);
}

/* RFC 8445 section 9: new credentials on our side, to be followed by the peer's. */
static void restart_ice(struct session *s, uint8_t generation, struct bk_time now) {
    if (bk_checker_restart(s->ice, NULL, NULL, now) != BK_OK)
        return;
    s->mine.generation = generation;
    memcpy(s->mine.ufrag, bk_checker_ufrag(s->ice), strlen(bk_checker_ufrag(s->ice)) + 1);
    memcpy(s->mine.pwd, bk_checker_pwd(s->ice), strlen(bk_checker_pwd(s->ice)) + 1);
    if (s->mine.end_of_candidates)
        bk_checker_end_of_local_candidates(s->ice, now);
    session_describe_anew(s, now);
}

void session_path_described(struct session *s, struct bk_time now) {
    const struct signal_description *theirs = &s->theirs;
    /* Generations count in a circle; the peer is ahead when the difference is small and positive.
     */
    uint8_t ahead = (uint8_t)(theirs->generation - s->mine.generation);
    if (ahead > 0 && ahead < 128)
        restart_ice(s, theirs->generation, now);
    if (theirs->generation != s->mine.generation || !session_may_go_direct(s))
        return; /* the peer is behind: our restart is on its way to it */
    if (bk_checker_set_remote_credentials(s->ice, theirs->ufrag, theirs->pwd, now) != BK_OK)
        return;
    session_punch_learn(s, now); /* before the first check leaves */
    for (size_t i = 0; i < theirs->candidate_count; i++)
        session_add_remote(s, &theirs->candidates[i], now);
    session_heard_again(s, now);
    if (theirs->end_of_candidates)
        bk_checker_end_of_remote_candidates(s->ice, now);
    session_punch_start(s, now);
    session_punch_note(s, now);
}

/* --- why --- */

/* Has every pair failed at least once? */
static bool checks_over(const struct session *s) {
    if (!s->mine.end_of_candidates || !s->peer_described || !s->theirs.end_of_candidates)
        return false;
    for (size_t i = 0; i < bk_checker_pairs(s->ice); i++) {
        struct bk_ice_pair_info info = {.size = sizeof info};
        if (bk_checker_pair_at(s->ice, i, &info) != BK_OK || info.old)
            continue;
        if (info.last_failure == BK_ICE_FAILURE_NONE)
            return false;
    }
    return true;
}

static enum why session_why(const struct session *s) {
    struct why_facts facts = {
        .relay_only_here = s->env->relay_only,
        .relay_only_there = s->peer_described && s->theirs.relay_only,
        .udp_blocked_here = s->env->udp == SIGNAL_UDP_BLOCKED,
        .udp_blocked_there = s->peer_described && s->theirs.udp == SIGNAL_UDP_BLOCKED,
        .mapping_varies_here = s->env->mapping == SIGNAL_MAPPING_VARIES,
        .mapping_varies_there = s->peer_described && s->theirs.mapping == SIGNAL_MAPPING_VARIES,
        .was_direct = s->was_direct,
        .any_pair = s->had_pair,
        .checks_over = s->explained,
    };
    return why_relayed(&facts);
}

void session_path(const struct session *s, struct session_path *out) {
    int64_t srtt_us = 0, rttvar_us = 0;
    if (s->quic != NULL)
        quic_rtt(s->quic, &srtt_us, &rttvar_us);
    *out = (struct session_path){
        .direct = s->path.state != PATH_RELAYED, .rtt_us = srtt_us, .doubts = s->path.doubts};
    if (!out->direct) {
        out->why = session_why(s);
        return;
    }
    out->local = s->pair.local.addr;
    out->remote = s->pair.remote.addr;
    if (s->pair.rtt_us > 0)
        out->rtt_us = s->pair.rtt_us;
}

static void tell_path(struct session *s) {
    struct session_path path;
    session_path(s, &path);
    bool same = s->told_any && path.direct == s->told.direct;
    if (same && path.direct)
        same = bk_addr_equal(&path.local, &s->told.local) &&
               bk_addr_equal(&path.remote, &s->told.remote);
    else if (same)
        same = path.why == s->told.why;
    if (same)
        return;
    s->told = path;
    s->told_any = true;
    session_push_event(s, (struct session_event){.type = SESSION_PATH, .reason = ""});
}

/* --- the choice --- */

/* QUIC is nudged as well: its timers were learnt on the relay, and what a bad relay or a dead path
 * swallowed should not wait for them. */
static void direct_works(struct session *s, int64_t rtt_us, struct bk_time now) {
    int64_t srtt_us, rttvar_us;
    quic_rtt(s->quic, &srtt_us, &rttvar_us);
    /* Measured over retransmissions it may be seconds; by the relay is a way round. */
    if (srtt_us > 0 && rtt_us > srtt_us)
        rtt_us = srtt_us;
    if (!path_is_direct(&s->path))
        quic_nudge(s->quic, now);
    session_punch_hit(s, now);
    path_up(&s->path, rtt_us > 0 ? rtt_us : 0, now);
    s->was_direct = true;
    s->attempt = 0;
    s->retry = BK_NEVER;
}

/* What the direct path carries is tested once for each pair; until then the least that must fit. */
static void test_payload(struct session *s, struct bk_time now) {
    if (s->pair.id == s->payload_pair || !s->pair.selected)
        return;
    if (bk_checker_test_mtu(s->ice, now) == BK_OK)
        s->payload_pair = s->pair.id;
}

/* Reads which pair is best now. Returns false when there is none. */
static bool refresh_pair(struct session *s) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    if (!session_may_go_direct(s) || bk_checker_best_valid(s->ice, &info) != BK_OK) {
        s->pair.id = 0;
        return false;
    }
    if (info.id != s->pair.id && info.id != s->payload_pair)
        s->payload = QUIC_PAYLOAD_MIN;
    s->pair = info;
    return true;
}

static void on_ice_event(struct session *s, const struct bk_checker_event *event,
                         struct bk_time now) {
    switch (event->kind) {
    case BK_CHECKER_PAIR_VALID:
    case BK_CHECKER_PROBE_ALIVE:
        if (refresh_pair(s) && (event->pair == s->pair.id || s->path.state == PATH_RELAYED))
            direct_works(s, s->pair.rtt_us, now);
        break;
    case BK_CHECKER_SELECTED:
        if (refresh_pair(s) && event->pair != 0 && s->path.state == PATH_RELAYED)
            direct_works(s, s->pair.rtt_us, now);
        break;
    case BK_CHECKER_PAIR_DIED:
    case BK_CHECKER_PROBE_DEAD:
        if (!refresh_pair(s))
            path_down(&s->path);
        else if (!path_is_direct(&s->path))
            (void)bk_checker_probe(s->ice, now); /* is the next best one alive? */
        break;
    case BK_CHECKER_MTU:
        if (event->pair == s->payload_pair && event->mtu >= QUIC_PAYLOAD_MIN)
            s->payload = event->mtu > QUIC_PAYLOAD_MAX ? QUIC_PAYLOAD_MAX : event->mtu;
        break;
    case BK_CHECKER_STATE:
    case BK_CHECKER_ROLE:
    case BK_CHECKER_LOCAL_PRFLX:
    case BK_CHECKER_REMOTE_PRFLX:
    case BK_CHECKER_STREAM:
    case BK_CHECKER_SILENT:
    case BK_CHECKER_BACK:
        break;
    }
}

bool session_take_home_doubt(struct session *s) {
    bool doubt = s->home_doubt;
    s->home_doubt = false;
    return doubt;
}

/* A relay that was busy and fell silent is asked once; if the path is direct, silence is normal. */
static void watch_relay(struct session *s, struct bk_time now) {
    if (!bk_due(s->relay_quiet, now))
        return;
    s->relay_quiet = BK_NEVER;
    s->home_doubt = s->home_doubt || s->path.state == PATH_RELAYED;
}

/* An idle direct path sends nothing that could raise a doubt. Consent (RFC 7675) would expire after
 * 30 s; one check without an answer is reason enough to probe. On the relay, a pair that ICE calls
 * valid deserves another chance: its answer may have come too late to end the last doubt. */
static void watch_consent(struct session *s, struct bk_time now) {
    if (!bk_due(s->look, now))
        return;
    s->look = bk_after(now, SESSION_LOOK_US);
    if (!refresh_pair(s))
        return;
    bool unanswered = bk_is_never(s->pair.answered_at) ||
                      bk_elapsed_us(s->pair.answered_at, now) > SESSION_CONSENT_US;
    if (unanswered || s->path.state == PATH_RELAYED)
        (void)bk_checker_probe(s->ice, now);
}

/* A path that has just broken is worth another attempt soon: a NAT has forgotten us, perhaps. Not
 * at once, for most breaks are short, and then the old pair is back before. Afterwards the pace
 * falls. */
static int64_t attempt_pause(const struct session *s) {
    if (s->attempt == 0 && s->was_direct)
        return SESSION_REPAIR_US;
    return attempt_pause_us[s->was_direct ? s->attempt - 1 : s->attempt];
}

/* A move to the relay resends what the dead path swallowed, at once. */
static void after_move(struct session *s, bool was_direct, struct bk_time now) {
    if (was_direct && !path_is_direct(&s->path)) {
        quic_nudge(s->quic, now);
        s->relay_cold = bk_after(now, SESSION_COLD_US);
        s->home_doubt =
            true; /* what broke the path, a rebooted NAT, may have broken that as well */
    }
    if (path_take_probe(&s->path) && bk_checker_probe(s->ice, now) == 0)
        path_down(&s->path);
    if (s->exchanged && bk_is_never(s->look))
        s->look = bk_after(now, SESSION_LOOK_US);
    if (s->path.state == PATH_RELAYED && s->peer_gone && bk_is_never(s->give_up))
        s->give_up = bk_after(now, s->gone_us);
    if (s->path.state == PATH_RELAYED && s->exchanged && session_may_go_direct(s) &&
        bk_is_never(s->retry))
        s->retry = bk_after(now, attempt_pause(s));
}

void session_path_update(struct session *s, struct bk_time now) {
    struct bk_checker_event event;
    bool was_direct = path_is_direct(&s->path);
    if (s->state == SESSION_OVER)
        return;
    while (bk_checker_next_event(s->ice, &event))
        on_ice_event(s, &event, now);
    if (s->pair.id != 0)
        test_payload(s, now);
    after_move(s, was_direct, now);
    s->had_pair = s->had_pair || bk_checker_pairs(s->ice) > 0;
    if (s->path.state == PATH_RELAYED &&
        !s->explained) /* it walks all pairs: not for each packet */
        s->explained = checks_over(s) && session_punch_is_over(s);
    if (s->peer_described && s->state != SESSION_CLOSING) /* a goodbye makes every path silent */
        tell_path(s);
}

/* Another attempt: the offerer restarts ICE and the answerer follows, so both punch together. */
static void attempt(struct session *s, struct bk_time now) {
    s->want_attempt = true;
    session_want_seek(s);
    if (s->attempt + 1 < SESSION_ATTEMPTS)
        s->attempt++;
    s->retry = BK_NEVER;
    if (s->offerer)
        restart_ice(s, (uint8_t)(s->mine.generation + 1), now);
    else
        bk_checker_retry(s->ice, now);
}

void session_retry(struct session *s, struct bk_time now) {
    s->attempt = 0;
    if (s->path.state == PATH_RELAYED && s->exchanged && session_may_go_direct(s))
        attempt(s, now);
    else
        bk_checker_retry(s->ice, now);
    session_path_update(s, now);
}

bool session_take_attempt(struct session *s) {
    bool want = s->want_attempt;
    s->want_attempt = false;
    return want;
}

void session_path_advance(struct session *s, struct bk_time now) {
    bool was_direct = path_is_direct(&s->path);
    bk_checker_advance(s->ice, now);
    session_punch_advance(s, now);
    path_advance(&s->path, now);
    watch_relay(s, now);
    watch_consent(s, now);
    if (bk_due(s->retry, now))
        attempt(s, now);
    after_move(s, was_direct, now);
    session_path_update(s, now);
}

struct bk_time session_path_deadline(const struct session *s) {
    struct bk_time ours = bk_earlier(path_deadline(&s->path), s->retry);
    ours = bk_earlier(bk_earlier(ours, s->relay_quiet), s->look);
    ours = bk_earlier(ours, session_punch_deadline(s));
    return bk_earlier(ours, bk_checker_deadline(s->ice));
}
