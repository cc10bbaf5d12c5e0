/* SPDX-License-Identifier: MIT
 * ICE restart, RFC 8445 section 9; the role stays (section 6.1.1). There are at most two
 * generations: the current one, and the old one whose valid pairs carry data until the current one
 * has a selected pair. */
#include "ice/checker.h"

#include <string.h>

static void remove_pairs(struct bk_checker *ice, bool old) {
    for (uint16_t i = ice->list.top; i-- > 0;) {
        const struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id != 0 && p->old == old)
            ice_remove_pair(ice, i);
    }
}

static bool has_pair_with(const struct bk_checker *ice, uint16_t remote) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        if (ice->list.pairs[i].id != 0 && ice->list.pairs[i].remote == remote)
            return true;
    }
    return false;
}

static void remove_unused_remotes(struct bk_checker *ice) {
    for (uint16_t i = ice->remotes.top; i-- > 0;) {
        struct ice_cand *c = &ice->remotes.slots[i];
        if (c->used && !has_pair_with(ice, i))
            ice_cands_remove(&ice->remotes, i);
    }
}

/* The current generation's valid pairs become the old ones, with their consent checks (RFC 7675
 * section 5.1); the rest is forgotten. */
static void age_pairs(struct bk_checker *ice) {
    for (uint16_t i = ice->list.top; i-- > 0;) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id == 0)
            continue;
        if (!ice_pair_is_valid(p)) {
            ice_remove_pair(ice, i);
            continue;
        }
        p->old = true;
        p->nomination = 0;
        ice->remotes.slots[p->remote].old = true;
    }
    for (uint16_t i = 0; i < ice->checks.top; i++) {
        ice->checks.slots[i].plan.old = true;
        ice->checks.slots[i].plan.nomination = 0; /* its answer chooses nothing any more */
    }
}

/* Where there are valid pairs, this generation's credentials become the old ones. A generation that
 * has no valid pair yet is of no use; the one before it may be. */
static void age(struct bk_checker *ice, bool keep) {
    struct ice_secret *s = ice->secrets;
    if (!keep) {
        remove_pairs(ice, false);
        return;
    }
    for (uint16_t i = 0; i < ice->comp_count; i++)
        ice_drop_old(ice, i);
    age_pairs(ice);
    const struct ice_secret local = s[ICE_OLD_LOCAL];
    s[ICE_OLD_LOCAL] = s[ICE_LOCAL];
    s[ICE_LOCAL] = local; /* its memory, for the new ones */
}

static void begin_generation(struct bk_checker *ice, const struct ice_cred *local) {
    ice_secret_put(&ice->secrets[ICE_LOCAL], local);
    ice->early_count = 0;
    ice->locals_done = ice->remotes_done = false;
    ice->patience_until = BK_NEVER;
    for (uint16_t i = 0; i < ice->comp_count; i++)
        ice->comps[i].last_nomination = 0;
}

enum bk_err bk_checker_restart(struct bk_checker *ice, const char *ufrag, const char *pwd,
                               struct bk_time now) {
    struct ice_cred fresh = {.ufrag = ""};
    if ((ufrag == NULL) != (pwd == NULL))
        return BK_ERR_ARGUMENT;
    if (ufrag == NULL)
        ice_cred_make(&fresh, ice->config.rng);
    else if (ice_cred_set(&fresh, ufrag, pwd) != BK_OK)
        return BK_ERR_ARGUMENT;
    bool keep = ice_checklist_count_state(&ice->list, BK_ICE_PAIR_SUCCEEDED) > 0;
    if (!ice_fit_secret(ice, &ice->secrets[keep ? ICE_OLD_LOCAL : ICE_LOCAL])) {
        ice_cred_fini(&fresh);
        return BK_ERR_FULL;
    }
    ice_touch(ice, now);
    age(ice, keep);
    ice_remote_age(ice, keep);
    remove_unused_remotes(ice);
    begin_generation(ice, &fresh);
    ice_cred_fini(&fresh);
    if (ice_trace_on(ice)) {
        char buf[32];
        struct text t = text_in(buf, sizeof buf);
        text_str(&t, "restart");
        ice_trace(ice, &t);
    }
    ice_select_turn(ice);
    return BK_OK;
}

void ice_retire_old(struct bk_checker *ice, uint16_t comp) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id != 0 && p->old && p->comp == comp)
            ice_retire_pair(ice, i);
    }
}

void ice_drop_old(struct bk_checker *ice, uint16_t comp) {
    bool more = false;
    for (uint16_t i = ice->list.top; i-- > 0;) {
        const struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id == 0 || !p->old)
            continue;
        if (p->comp == comp)
            ice_remove_pair(ice, i);
        else
            more = true;
    }
    for (uint16_t i = ice->remotes.top; i-- > 0;) {
        const struct ice_cand *c = &ice->remotes.slots[i];
        if (c->used && c->old && c->comp == comp)
            ice_cands_remove(&ice->remotes, i);
    }
    /* old_local stays: late checks under it are known for what they are */
    if (!more)
        ice_remote_forget_old(ice);
}
