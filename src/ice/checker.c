/* SPDX-License-Identifier: MIT */
#include "ice/checker.h"

#include "base/assert.h"
#include "base/rng.h"
#include "base/wipe.h"

#include <string.h>

enum { TCP_DISCARD_PORT = 9 };

/* ---- Life --------------------------------------------------------------------------------- */

static void start_state(struct bk_checker *ice) {
    const struct bk_rng *rng = ice->config.rng;
    ice->now.us = INT64_MIN;
    ice->pace_at.us = INT64_MIN / 2; /* room for the burst to be subtracted */
    ice->patience_until = BK_NEVER;
    ice->state = BK_ICE_IDLE;
    for (uint16_t i = 0; i < ice->comp_count; i++) {
        ice->comps[i].select_at = BK_NEVER;
        ice->comps[i].doubted_at = ice->comps[i].suspected_at = BK_NEVER;
        ice->comps[i].stream = (uint16_t)(i / ice->config.components);
        ice->comps[i].component = (uint16_t)(i % ice->config.components + 1);
    }
    ice->role.controlling = ice->config.controlling && !ice->config.lite; /* section 6.1.1 */
    ice->role.tie_breaker = rng_u64(rng);
    struct ice_cred cred = {.ufrag = ""};
    if (ice->config.ufrag == NULL)
        ice_cred_make(&cred, rng);
    else
        bk_assert(ice_cred_set(&cred, ice->config.ufrag, ice->config.pwd) == BK_OK);
    ice_secret_put(&ice->secrets[ICE_LOCAL], &cred);
    ice_cred_fini(&cred);
    ice->config.ufrag = ice->config.pwd = NULL; /* copied */
}

enum bk_err bk_checker_new(const struct bk_checker_config *config, const struct bk_alloc *alloc,
                           struct bk_checker **out) {
    if (bk_checker_config_check(config) != NULL)
        return BK_ERR_ARGUMENT;
    struct bk_checker *ice = alloc->get(alloc->ctx, sizeof *ice);
    if (ice == NULL)
        return BK_ERR_NO_MEMORY;
    ice->config = *config;
    ice->room.alloc = *alloc;
    if (!ice_take_memory(ice)) {
        bk_checker_free(ice);
        return BK_ERR_NO_MEMORY;
    }
    start_state(ice);
    *out = ice;
    return BK_OK;
}

void bk_checker_free(struct bk_checker *ice) {
    if (ice == NULL)
        return;
    const struct bk_alloc alloc = ice->room.alloc;
    ice_give_memory(ice);
    wipe(ice, sizeof *ice);
    alloc.put(alloc.ctx, ice);
}

/* ---- The turn: what follows from the time and from what came in ----------------------------- */

static void turn_checks(struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->checks.top; i++) {
        struct ice_check *c = &ice->checks.slots[i];
        struct ice_pair *p = ice_pair_at(ice, c->plan.pair);
        switch (ice_check_advance(&ice->checks, c, ice->now)) {
        case ICE_CHECK_QUIET:
            break;
        case ICE_CHECK_RESENT:
            ice->stats.retransmissions += !c->plan.reliable;
            p->overdue |= c->plan.purpose == ICE_CHECK_CONNECT;
            if (c->plan.purpose == ICE_CHECK_DOUBT)
                ice_doubt_repeated(ice, p);
            break;
        case ICE_CHECK_ENDED:
            ice_check_timed_out(ice, c);
            break;
        }
    }
}

/* New checks are not started here but when datagrams are fetched: a caller that adds ten candidates
 * or hands in ten packets before it does so gets the best order of all of them. */
void ice_turn(struct bk_checker *ice, struct bk_time now) {
    ice_touch(ice, now);
    turn_checks(ice);
    ice_consent_turn(ice);
    ice_doubt_turn(ice);
    ice_lite_turn(ice);
    ice_select_turn(ice);
    ice_mtu_turn(ice);
}

void bk_checker_advance(struct bk_checker *ice, struct bk_time now) {
    if (ice->quiet && bk_before(now, ice->deadline))
        return;
    ice->room.starved = false; /* there may be memory again */
    ice_turn(ice, now);
    ice_pace_turn(ice);
}

struct bk_time ice_deadline(const struct bk_checker *ice) {
    struct bk_time t = ice_checks_deadline(&ice->checks);
    for (uint16_t i = 0; i < ice->comp_count; i++)
        t = bk_earlier(t, ice->comps[i].select_at);
    if (!bk_due(ice->patience_until, ice->now))
        t = bk_earlier(t, ice->patience_until);
    t = bk_earlier(t, ice_consent_deadline(ice));
    t = bk_earlier(t, ice_doubt_deadline(ice));
    return bk_earlier(t, ice_pace_deadline(ice));
}

struct bk_time bk_checker_deadline(const struct bk_checker *ice) {
    return ice->quiet ? ice->deadline : ice_deadline(ice);
}

/* ---- Datagrams ---------------------------------------------------------------------------- */

static enum bk_err recv_message(struct bk_checker *ice, const struct bk_datagram *in,
                                const struct stun_msg *msg) {
    if (msg->method != STUN_BINDING) {
        ice->stats.not_ours++;
        return BK_ERR_NOT_OURS;
    }
    switch (msg->cls) {
    case STUN_REQUEST:
        return ice_request_recv(ice, in, msg);
    case STUN_SUCCESS:
    case STUN_ERROR:
        return ice_response_recv(ice, in, msg);
    case STUN_INDICATION: /* a keepalive, RFC 8445 section 11: says nothing, wants nothing */
        break;
    }
    const struct ice_path path = ice_path_of(in);
    bool known = ice_checklist_find(&ice->list, &path, false) != ICE_NONE;
    return known ? BK_OK : BK_ERR_NOT_OURS;
}

enum bk_err bk_checker_recv(struct bk_checker *ice, const struct bk_datagram *in,
                            struct bk_time now) {
    struct stun_msg msg;
    enum bk_err err = stun_parse(&msg, in->data, in->len);
    if (err == BK_ERR_NOT_OURS)
        ice->stats.not_ours++;
    else if (err != BK_OK)
        ice->stats.malformed++;
    if (err != BK_OK)
        return err;
    ice->now = bk_later(ice->now, now);
    err = recv_message(ice, in, &msg);
    if (err != BK_ERR_NOT_OURS && err != BK_ERR_AUTH) /* strangers cause no turn */
        ice_turn(ice, now);
    return err;
}

static struct ice_cred_view secret(const struct bk_checker *ice, enum ice_secret_of whose) {
    return ice_secret_view(&ice->secrets[whose]);
}

static size_t build_answer(struct bk_checker *ice, const struct ice_answer *a) {
    struct stun_types unknown = {.count = a->unknown_count};
    memcpy(unknown.types, a->unknown, sizeof a->unknown);
    struct ice_answer_message m = {.txid = a->txid,
                                   .local = secret(ice, a->old ? ICE_OLD_LOCAL : ICE_LOCAL),
                                   .code = a->code,
                                   .mapped = a->remote,
                                   .unknown = &unknown};
    m.mapped.ip.zone = 0;
    size_t len = 0;
    enum bk_err err = ice_build_answer(&m, ice->buf, ice->buf_cap, &len);
    bk_assert(err == BK_OK);
    *(a->code == 0 ? &ice->stats.responses_sent : &ice->stats.errors_sent) += 1;
    return len;
}

static size_t build_check(struct bk_checker *ice, const struct ice_check *c) {
    struct ice_pair *p = ice_pair_at(ice, c->plan.pair);
    struct ice_check_message m = {.txid = c->txid,
                                  .local = secret(ice, c->plan.old ? ICE_OLD_LOCAL : ICE_LOCAL),
                                  .remote = ice_remote_cred(ice, p->stream, c->plan.old),
                                  .priority = ice_prflx_priority(&ice->locals.slots[p->local]),
                                  .role = {c->plan.controlling, c->plan.tie_breaker},
                                  .use_candidate = c->plan.use_candidate,
                                  .nomination = c->plan.nomination,
                                  .pad_to = c->plan.pad_to};
    size_t len = 0;
    enum bk_err err = ice_build_check(&m, ice->buf, ice->buf_cap, &len);
    bk_assert(err == BK_OK);
    p->checks_sent++;
    ice->stats.requests_sent++;
    return len;
}

bool bk_checker_next_datagram(struct bk_checker *ice, struct bk_datagram *out) {
    if (ice->quiet)
        return false;
    struct bk_datagram d = {.data = ice->buf};
    const struct ice_answer *a = ice_answers_pop(&ice->answers);
    if (a != NULL) {
        d.local = a->local;
        d.remote = a->remote;
        d.protocol = a->tcp ? BK_TCP : BK_UDP;
        d.len = build_answer(ice, a);
        *out = d;
        return true;
    }
    struct ice_check *c = ice_checks_take_send(&ice->checks);
    if (c == NULL) {
        ice_pace_turn(ice);
        c = ice_checks_take_send(&ice->checks);
    }
    if (c == NULL) {
        ice->deadline = ice_deadline(ice);
        ice->quiet = true;
        return false;
    }
    d.local = ice_pair_at(ice, c->plan.pair)->base;
    d.remote = ice_pair_at(ice, c->plan.pair)->to;
    d.protocol = ice_pair_at(ice, c->plan.pair)->tcp ? BK_TCP : BK_UDP;
    if (c->plan.opener && c->sent == 1)
        d.ttl = ice->opener_ttl;
    d.len = build_check(ice, c);
    *out = d;
    return true;
}

bool bk_checker_next_event(struct bk_checker *ice, struct bk_checker_event *out) {
    return ice_events_pop(&ice->events, out);
}

/* ---- Candidates ---------------------------------------------------------------------------------
 */

static void trace_candidate(const struct bk_checker *ice, const char *side,
                            const struct bk_ice_candidate *c) {
    if (!ice_trace_on(ice))
        return;
    char buf[48 + BK_ADDR_TEXT_MAX];
    struct text t = text_in(buf, sizeof buf);
    text_str(&t, side);
    text_char(&t, ' ');
    text_str(&t, bk_ice_kind_text(c->kind));
    text_char(&t, ' ');
    text_addr(&t, &c->addr);
    ice_trace(ice, &t);
}

/* Everything an embedder can get wrong about a candidate. */
static bool is_sane(const struct bk_checker *ice, const struct bk_ice_candidate *c) {
    /* Seen through a NAT64 an IPv6 base has an IPv4 address. */
    bool base_fits = c->base.ip.family == BK_FAMILY_NONE ||
                     c->base.ip.family == c->addr.ip.family || c->kind == BK_ICE_SRFLX;
    return (unsigned)c->kind < BK_ICE_KINDS && (unsigned)c->transport <= BK_ICE_TCP_SO &&
           ice_addr_is_usable(&c->addr) && base_fits &&
           ice_comp_index(ice, c->stream, c->component) != ICE_NONE &&
           memchr(c->foundation, '\0', sizeof c->foundation) != NULL;
}

/* RFC 8445 section 5.2: host candidates only; and of TCP what needs no opening of connections. */
static bool may_be_lite(const struct bk_ice_candidate *c) {
    return c->kind == BK_ICE_HOST &&
           (c->transport == BK_ICE_UDP || c->transport == BK_ICE_TCP_PASSIVE);
}

/* RFC 6544 section 4.5: an active candidate has no port of its own; it is written as 9. */
static void set_discard_port(struct bk_ice_candidate *c) {
    if (c->transport != BK_ICE_TCP_ACTIVE)
        return;
    if (c->addr.port == 0)
        c->addr.port = TCP_DISCARD_PORT;
    if (c->base.ip.family != BK_FAMILY_NONE && c->base.port == 0)
        c->base.port = TCP_DISCARD_PORT;
}

/* A check does not say which component it is for: its base must. Nobody connects to an active
 * candidate's. */
static bool serves_another(const struct bk_checker *ice, const struct bk_ice_candidate *c,
                           uint16_t comp) {
    bool tcp = c->transport != BK_ICE_UDP;
    for (uint16_t i = 0; i < ice->locals.top; i++) {
        const struct ice_cand *l = &ice->locals.slots[i];
        bool both_active = l->transport == BK_ICE_TCP_ACTIVE && c->transport == BK_ICE_TCP_ACTIVE;
        bool differs = l->comp != comp ? !both_active : l->transport != c->transport;
        if (l->used && ice_cand_is_tcp(l) == tcp && differs && ice_addr_same(&l->base, &c->base))
            return true;
    }
    return false;
}

static bool is_redundant(const struct bk_checker *ice, const struct bk_ice_candidate *c,
                         uint16_t comp) {
    const struct ice_cand_key key = {&c->addr, &c->base, c->transport != BK_ICE_UDP, comp};
    uint16_t known = ice_cands_find(&ice->locals, &key);
    return known != ICE_NONE && ice->locals.slots[known].kind != BK_ICE_PRFLX;
}

enum bk_err bk_checker_add_local_candidate(struct bk_checker *ice,
                                           const struct bk_ice_candidate *candidate,
                                           struct bk_time now,
                                           struct bk_ice_candidate *as_signalled) {
    struct bk_ice_candidate c = *candidate;
    set_discard_port(&c);
    if (!is_sane(ice, &c) || c.kind == BK_ICE_PRFLX || (ice->config.lite && !may_be_lite(&c)))
        return BK_ERR_ARGUMENT;
    if (c.base.ip.family == BK_FAMILY_NONE || c.kind == BK_ICE_RELAYED)
        c.base = c.addr;
    uint16_t comp = ice_comp_index(ice, c.stream, c.component);
    if (serves_another(ice, &c, comp) || is_redundant(ice, &c, comp))
        return BK_ERR_EXISTS; /* redundant, RFC 8445 section 5.1.3 */
    uint16_t at = ice_add_local(ice, &c, comp);
    if (at == ICE_NONE) {
        ice->stats.locals_full++;
        return BK_ERR_FULL;
    }
    trace_candidate(ice, "local", &c);
    if (as_signalled != NULL) {
        ice_cand_export(&ice->locals.slots[at], as_signalled);
        as_signalled->server = c.server;
    }
    ice_touch(ice, now);
    ice_pair_up_local(ice, at);
    ice_turn(ice, now);
    return BK_OK;
}

static void remove_pairs_of_base(struct bk_checker *ice, const struct bk_addr *base, bool tcp) {
    for (uint16_t i = ice->list.top; i-- > 0;) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id == 0 || p->tcp != tcp || !ice_addr_same(&p->base, base))
            continue;
        uint32_t id = p->id;
        ice_fail_pair(ice, i, BK_ICE_FAILURE_REMOVED);
        if (p->id == id) /* an old pair is gone already */
            ice_remove_pair(ice, i);
    }
}

static bool remove_base(struct bk_checker *ice, const struct bk_addr *base, bool tcp) {
    if (ice_cands_find_base(&ice->locals, base, tcp) == ICE_NONE)
        return false;
    remove_pairs_of_base(ice, base, tcp);
    for (uint16_t i = ice->locals.top; i-- > 0;) {
        const struct ice_cand *c = &ice->locals.slots[i];
        if (c->used && ice_cand_is_tcp(c) == tcp && ice_addr_same(&c->base, base))
            ice_cands_remove(&ice->locals, i);
    }
    return true;
}

enum bk_err bk_checker_remove_base(struct bk_checker *ice, const struct bk_addr *base,
                                   enum bk_protocol protocol, struct bk_time now) {
    const struct bk_addr gone = *base;
    ice_touch(ice, now);
    if (!remove_base(ice, &gone, protocol == BK_TCP))
        return BK_ERR_NOT_FOUND;
    ice_turn(ice, now);
    return BK_OK;
}

enum bk_err bk_checker_remove_local(struct bk_checker *ice, const struct bk_addr *base,
                                    struct bk_time now) {
    const struct bk_addr gone = *base;
    ice_touch(ice, now);
    bool udp = remove_base(ice, &gone, false), tcp = remove_base(ice, &gone, true);
    if (!udp && !tcp)
        return BK_ERR_NOT_FOUND;
    ice_turn(ice, now);
    return BK_OK;
}

/* RFC 8838 section 11.4: what was discovered is now signalled; it keeps its pairs. */
static enum bk_err upgrade_remote(struct bk_checker *ice, uint16_t at,
                                  const struct bk_ice_candidate *c) {
    struct ice_cand *known = &ice->remotes.slots[at];
    if (known->kind != BK_ICE_PRFLX || c->kind == BK_ICE_PRFLX) {
        ice->stats.candidates_refused++;
        return BK_ERR_EXISTS;
    }
    known->kind = (uint8_t)c->kind;
    if (c->priority != 0)
        known->priority = c->priority;
    if (c->foundation[0] != '\0')
        memcpy(known->foundation, c->foundation, sizeof known->foundation);
    ice_checklist_rerank(&ice->list, &ice->locals, &ice->remotes, ice->role.controlling);
    return BK_OK;
}

enum bk_err bk_checker_add_remote_candidate(struct bk_checker *ice,
                                            const struct bk_ice_candidate *candidate,
                                            struct bk_time now) {
    struct bk_ice_candidate c = *candidate;
    set_discard_port(&c);
    if (!is_sane(ice, &c)) {
        ice->stats.candidates_refused++;
        return BK_ERR_ARGUMENT;
    }
    memset(&c.base, 0, sizeof c.base);
    c.addr.ip.zone = 0; /* the peer's zone index means nothing here */
    ice_touch(ice, now);
    uint16_t comp = ice_comp_index(ice, c.stream, c.component);
    const struct ice_cand_key key = {
        .addr = &c.addr, .tcp = c.transport != BK_ICE_UDP, .comp = comp};
    uint16_t at = ice_cands_find(&ice->remotes, &key);
    if (at != ICE_NONE) {
        enum bk_err err = upgrade_remote(ice, at, &c);
        ice_turn(ice, now);
        return err;
    }
    at = ice_add_remote(ice, &c, comp);
    if (at == ICE_NONE) {
        ice->stats.remotes_full++;
        return BK_ERR_FULL;
    }
    trace_candidate(ice, "remote", &c);
    ice_pair_up_remote(ice, at);
    ice_turn(ice, now);
    return BK_OK;
}

void bk_checker_set_renominate(struct bk_checker *ice, bool on, struct bk_time now) {
    ice->config.renominate = on;
    ice_turn(ice, now);
}

void bk_checker_set_ta(struct bk_checker *ice, uint32_t ta_us, struct bk_time now) {
    const uint32_t least = 1000, most = 10000000; /* as config.c has it */
    ta_us = ta_us < least ? least : ta_us;
    ice->config.ta_us = ta_us > most ? most : ta_us;
    ice_turn(ice, now);
}

void bk_checker_end_of_local_candidates(struct bk_checker *ice, struct bk_time now) {
    ice->locals_done = true;
    ice_turn(ice, now);
}

void bk_checker_end_of_remote_candidates(struct bk_checker *ice, struct bk_time now) {
    ice->remotes_done = true;
    ice_turn(ice, now);
}

void bk_checker_retry(struct bk_checker *ice, struct bk_time now) {
    ice_touch(ice, now);
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id == 0 || p->old || p->state != BK_ICE_PAIR_FAILED)
            continue;
        p->retries = 1; /* again, but not as new: failure was certain once */
        p->retry_at = ice->now;
    }
    ice_turn(ice, now);
}
