/* SPDX-License-Identifier: MIT
 * A check came in, RFC 8445 section 7.3: prove who sent it, answer, and learn from it. A request
 * that is not signed with our password is dropped in silence; answering it with 401 (RFC 8489
 * section 9.1.3) would tell strangers that an agent lives here. */
#include "ice/checker.h"

#include "base/rng.h"
#include "stun/seal.h"

#include <string.h>

/* ---- Answering ---------------------------------------------------------------------------- */

static enum bk_err answer(struct bk_checker *ice, const struct bk_datagram *in, const uint8_t *txid,
                          uint16_t code, const struct stun_types *unknown, bool old) {
    struct ice_answer *a = ice_answers_push(&ice->answers);
    if (a == NULL && ice_grow_answers(ice))
        a = ice_answers_push(&ice->answers);
    if (a == NULL) {
        ice->stats.answers_full++;
        return BK_ERR_FULL;
    }
    a->local = in->local;
    a->tcp = in->protocol == BK_TCP;
    if (bk_ip_is_any(&a->local.ip)) /* answer from where the checks leave, not from anywhere */
        a->local = ice->locals.slots[ice_cands_find_base(&ice->locals, &in->local, a->tcp)].base;
    a->remote = in->remote;
    a->code = code;
    a->old = old;
    memcpy(a->txid, txid, STUN_TXID_LEN);
    for (size_t i = 0; unknown != NULL && i < unknown->count && i < ICE_ANSWER_UNKNOWN_MAX; i++)
        a->unknown[a->unknown_count++] = unknown->types[i];
    return BK_OK;
}

/* ---- Roles, RFC 8445 sections 6.1.1 and 7.3.1.1 -------------------------------------------- */

void ice_switch_role(struct bk_checker *ice, bool controlling) {
    ice->role.controlling = controlling;
    ice->stats.role_switches++;
    ice_checklist_rerank(&ice->list, &ice->locals, &ice->remotes, controlling);
    /* What was nominated under the other role binds nobody; the selected pair stays in use. */
    for (uint16_t i = 0; i < ice->list.top; i++)
        ice->list.pairs[i].nomination = 0;
    for (uint16_t i = 0; i < ice->comp_count; i++)
        ice->comps[i].last_nomination = 0;
    struct bk_checker_event event = {
        .kind = BK_CHECKER_ROLE, .state = ice->state, .controlling = controlling};
    ice_tell(ice, &event);
}

/* true: the sender must change its role, so it is told 487. */
static bool settle_roles(struct bk_checker *ice, const struct ice_request *r) {
    if (!r->has_role || r->role.controlling != ice->role.controlling)
        return false;
    if (ice->config.lite) /* section 6.1.1: the full one must control, whatever the dice say */
        return true;
    bool ours_is_larger = ice->role.tie_breaker >= r->role.tie_breaker;
    if (ours_is_larger == ice->role.controlling)
        return true;
    ice_switch_role(ice, !ice->role.controlling);
    return false;
}

/* ---- Learning ----------------------------------------------------------------------------- */

static void tell_remote_prflx(struct bk_checker *ice, const struct ice_cand *remote) {
    struct bk_checker_event event = {.kind = BK_CHECKER_REMOTE_PRFLX,
                                     .state = ice->state,
                                     .addr = remote->addr,
                                     .stream = remote->stream,
                                     .component = remote->component};
    ice_tell(ice, &event);
}

/* Who connects to a passive candidate is active; the others are what they meet, RFC 6544 section
 * 7.2. */
static enum bk_ice_transport transport_of_peer(const struct ice_cand *local) {
    switch ((enum bk_ice_transport)local->transport) {
    case BK_ICE_UDP:
    case BK_ICE_TCP_SO:
        return (enum bk_ice_transport)local->transport;
    case BK_ICE_TCP_ACTIVE:
        return BK_ICE_TCP_PASSIVE;
    case BK_ICE_TCP_PASSIVE:
        return BK_ICE_TCP_ACTIVE;
    }
    return BK_ICE_UDP;
}

/* Section 7.3.1.3: an unknown source is a new remote candidate. ICE_NONE: the limits say no. */
static uint16_t learn_remote(struct bk_checker *ice, const struct bk_addr *remote, uint16_t local,
                             uint32_t priority) {
    const struct ice_cand *l = &ice->locals.slots[local];
    const struct ice_cand_key key = {.addr = remote, .tcp = ice_cand_is_tcp(l), .comp = l->comp};
    uint16_t known = ice_cands_find(&ice->remotes, &key);
    if (known != ICE_NONE)
        return known;
    bool too_many = ice_cands_count(&ice->remotes, BK_ICE_PRFLX) >= ice->config.prflx_max;
    if (!ice_addr_is_usable(remote) || (too_many && !ice_make_remote_room(ice, true))) {
        ice->stats.prflx_full++;
        return ICE_NONE;
    }
    struct bk_ice_candidate c = {.kind = BK_ICE_PRFLX,
                                 .transport = transport_of_peer(l),
                                 .stream = l->stream,
                                 .component = l->component,
                                 .addr = *remote,
                                 .priority = priority};
    uint16_t at = ice_add_remote(ice, &c, l->comp);
    if (at == ICE_NONE) {
        ice->stats.remotes_full++;
        return at;
    }
    /* "arbitrary, different from the foundations of all other remote candidates" */
    struct text t = text_in(ice->remotes.slots[at].foundation, BK_ICE_FOUNDATION_MAX + 1);
    text_str(&t, "prflx+");
    text_u64(&t, ++ice->remotes.next_foundation);
    tell_remote_prflx(ice, &ice->remotes.slots[at]);
    return at;
}

/* The pair a check came on, made if need be. A connection of ours belongs to the pair it was opened
 * for: nothing new can come in on it. */
static uint16_t pair_of_path(struct bk_checker *ice, uint16_t local, const struct ice_path *path,
                             uint32_t priority, bool old) {
    const struct ice_cand *l = &ice->locals.slots[local];
    const struct bk_addr base = l->base;
    const struct ice_path exact = {&base, path->to, path->tcp};
    uint16_t at = ice_checklist_find(&ice->list, &exact, old);
    if (at != ICE_NONE || old || l->transport == BK_ICE_TCP_ACTIVE)
        return at;
    uint16_t r = learn_remote(ice, path->to, local, priority);
    return r == ICE_NONE ? ICE_NONE : ice_pair_up(ice, local, r);
}

bool ice_learn(struct bk_checker *ice, const struct ice_path *path,
               const struct ice_request *request, bool old) {
    uint16_t l = ice_cands_find_base(&ice->locals, path->base, path->tcp);
    if (l == ICE_NONE)
        return false;
    uint16_t at = pair_of_path(ice, l, path, request->priority, old);
    if (at == ICE_NONE) {
        ice->stats.stale_ufrag += old;
        return false;
    }
    struct ice_pair *p = ice_pair_at(ice, at);
    p->heard_at = ice->now;
    p->checks_received++;
    ice_doubt_heard(ice, p);
    if (ice->config.lite) {
        ice_lite_checked(ice, at, request);
        return true;
    }
    if (!old)
        ice_trigger(ice, at);
    if (request->use_candidate && !ice->role.controlling)
        ice_take_nomination(ice, p, request->nomination);
    return true;
}

/* Sections 5.3 and 7.3: before the remote credentials no check of ours can leave; remember what to
 * do. The same path again replaces what was known of it. false: no room. */
static bool keep_early(struct bk_checker *ice, const struct bk_datagram *in,
                       const struct ice_request *request) {
    struct ice_early e = {.local = in->local,
                          .remote = in->remote,
                          .tcp = in->protocol == BK_TCP,
                          .request = *request};
    e.request.txid = NULL; /* it points into the datagram */
    for (uint32_t i = 0; i < ice->early_count; i++) {
        if (ice->early[i].tcp == e.tcp && bk_addr_equal(&ice->early[i].local, &e.local) &&
            bk_addr_equal(&ice->early[i].remote, &e.remote)) {
            e.request.use_candidate |= ice->early[i].request.use_candidate;
            if (e.request.nomination < ice->early[i].request.nomination)
                e.request.nomination = ice->early[i].request.nomination;
            ice->early[i] = e;
            return true;
        }
    }
    if (ice->early_count == ice->early_cap && !ice_grow_early(ice)) {
        ice->stats.early_full++;
        return false;
    }
    ice->early[ice->early_count++] = e;
    return true;
}

/* Is it one of the paths that data may still take, RFC 8445 section 9? */
static bool is_path_in_use(struct bk_checker *ice, const struct ice_path *path, uint16_t local,
                           bool old) {
    const struct ice_path exact = {&ice->locals.slots[local].base, path->to, path->tcp};
    uint16_t at = ice_checklist_find(&ice->list, &exact, old);
    return at != ICE_NONE && ice_pair_is_valid(ice_pair_at(ice, at));
}

/* ---- One request -------------------------------------------------------------------------- */

/* Of which generation it is, as its user name says. */
struct claim {
    struct wire_span username;
    bool old;
};

/* Whose is it? BK_ERR_NOT_OURS: no generation of ours is addressed. */
static enum bk_err authenticate(struct bk_checker *ice, const struct stun_msg *msg,
                                struct claim *claim) {
    if (stun_get_bytes(msg, STUN_USERNAME, &claim->username) != BK_OK)
        return BK_ERR_NOT_OURS;
    const struct ice_cred_view ours = ice_secret_view(&ice->secrets[ICE_LOCAL]);
    const struct ice_cred_view former = ice_secret_view(&ice->secrets[ICE_OLD_LOCAL]);
    bool current = ice_cred_is_addressed(ours, claim->username);
    if (!current && !ice_cred_is_addressed(former, claim->username))
        return BK_ERR_NOT_OURS;
    const char *pwd = current ? ours.pwd : former.pwd;
    /* a FINGERPRINT may be missing (RFC 8489 section 7.1), but not wrong */
    if (stun_check_fingerprint(msg) == BK_ERR_NOT_OURS ||
        stun_check_integrity(msg, pwd, strlen(pwd)) != BK_OK)
        return BK_ERR_AUTH;
    claim->old = !current;
    return BK_OK;
}

/* During a restart, one side's new name meets the other's old one: the check is under our former
 * credentials, or the peer calls itself what its description has not told us yet (while there is
 * none, that is as it must be, section 7.3). Such names belong to no generation. On a path in use
 * nothing comes of an answer; on a new one it would have the peer believe in what leads nowhere:
 * libwebrtc then keeps it, stops gathering, and answers our checks on it with 401. */
static bool is_astray(struct bk_checker *ice, const struct claim *claim,
                      const struct ice_path *path, uint16_t local) {
    const struct ice_cred_view ours = ice_secret_view(&ice->secrets[ICE_LOCAL]);
    uint16_t stream = ice->locals.slots[local].stream;
    if (!claim->old &&
        (!ice_knows_peer(ice, stream) ||
         ice_cred_is_from(ours, ice_remote_cred(ice, stream, false), claim->username)))
        return false;
    return !is_path_in_use(ice, path, local, claim->old);
}

enum bk_err ice_request_recv(struct bk_checker *ice, const struct bk_datagram *in,
                             const struct stun_msg *msg) {
    struct claim claim = {.old = false};
    enum bk_err err = authenticate(ice, msg, &claim);
    const bool old = claim.old;
    if (err != BK_OK) {
        *(err == BK_ERR_AUTH ? &ice->stats.bad_integrity : &ice->stats.not_ours) += 1;
        return err;
    }
    ice->stats.requests_received++;
    const struct ice_path path = ice_path_of(in);
    uint16_t local = ice_cands_find_base(&ice->locals, path.base, path.tcp);
    if (local == ICE_NONE) {
        ice->stats.unknown_local++;
        return BK_ERR_NOT_FOUND;
    }
    if (is_astray(ice, &claim, &path, local)) {
        ice->stats.stale_ufrag++;
        return BK_OK;
    }
    struct stun_types unknown;
    stun_unknown_required(msg, STUN_USE_BASE | STUN_USE_ICE, &unknown);
    if (unknown.count > 0)
        return answer(ice, in, msg->txid, STUN_CODE_UNKNOWN_ATTRIBUTE, &unknown, old);
    struct ice_request request;
    err = ice_read_request(msg, &request);
    if (err != BK_OK || !request.has_priority) { /* section 7.1.1: PRIORITY MUST be there */
        ice->stats.malformed++;
        err = answer(ice, in, msg->txid, STUN_CODE_BAD_REQUEST, NULL, old);
        return err == BK_OK ? BK_ERR_MALFORMED : err;
    }
    if (settle_roles(ice, &request))
        return answer(ice, in, msg->txid, STUN_CODE_ROLE_CONFLICT, NULL, old);
    err = answer(ice, in, msg->txid, 0, NULL, old); /* whatever was nominated, section 8.1.2 */
    if (err != BK_OK)
        return err; /* unanswered is unlearned: the peer sends it again */
    bool early = !old && !ice_knows_peer(ice, ice->locals.slots[local].stream);
    bool has_room = early ? keep_early(ice, in, &request) : ice_learn(ice, &path, &request, old);
    if (has_room || !request.use_candidate)
        return BK_OK;
    ice_answers_unpush(&ice->answers); /* it would say that the pair is nominated */
    return BK_ERR_FULL;
}
