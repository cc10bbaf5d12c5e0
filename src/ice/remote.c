/* SPDX-License-Identifier: MIT
 * The peer's credentials. RFC 8445 section 5.3 has one pair for all streams or one for each; a
 * stream's own come before those for all, RFC 8839 section 5.4. That a check of the peer's names
 * them proves nothing; that it names others says that the peer has restarted (request.c). */
#include "ice/checker.h"

/* A stream's own, whether set or not. */
static struct ice_secret *own(const struct bk_checker *ice, uint16_t stream, bool old) {
    return &ice->of_streams[(old ? ice->config.streams : 0) + stream];
}

struct ice_cred_view ice_remote_cred(const struct bk_checker *ice, uint16_t stream, bool old) {
    if (ice->of_streams != NULL && ice_secret_is_set(own(ice, stream, old)))
        return ice_secret_view(own(ice, stream, old));
    return ice_secret_view(&ice->secrets[old ? ICE_OLD_REMOTE : ICE_REMOTE]);
}

bool ice_knows_peer(const struct bk_checker *ice, uint16_t stream) {
    return ice_remote_cred(ice, stream, false).ufrag[0] != '\0';
}

bool ice_knows_any_peer(const struct bk_checker *ice) {
    for (uint16_t s = 0; s < ice->config.streams; s++) {
        if (ice_knows_peer(ice, s))
            return true;
    }
    return false;
}

const char *bk_checker_remote_ufrag(const struct bk_checker *ice, uint16_t stream) {
    return stream < ice->config.streams ? ice_remote_cred(ice, stream, false).ufrag : "";
}

/* ---- Generations -------------------------------------------------------------------------- */

static void age(struct ice_secret *now, struct ice_secret *old, bool keep) {
    if (keep) {
        const struct ice_secret memory = *old;
        *old = *now;
        *now = memory; /* for the new ones */
    }
    ice_secret_clear(now);
}

void ice_remote_age(struct bk_checker *ice, bool keep) {
    age(&ice->secrets[ICE_REMOTE], &ice->secrets[ICE_OLD_REMOTE], keep);
    for (uint16_t s = 0; ice->of_streams != NULL && s < ice->config.streams; s++)
        age(own(ice, s, false), own(ice, s, true), keep);
}

void ice_remote_forget_old(struct bk_checker *ice) {
    ice_secret_clear(&ice->secrets[ICE_OLD_REMOTE]);
    for (uint16_t s = 0; ice->of_streams != NULL && s < ice->config.streams; s++)
        ice_secret_clear(own(ice, s, true));
}

/* ---- New ones ----------------------------------------------------------------------------- */

/* What came before the credentials, on streams that have them now. */
static void learn_early(struct bk_checker *ice) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < ice->early_count; i++) {
        const struct ice_early e = ice->early[i];
        uint16_t local = ice_cands_find_base(&ice->locals, &e.local, e.tcp);
        const struct ice_path path = {&e.local, &e.remote, e.tcp};
        if (local == ICE_NONE)
            continue;
        if (ice_knows_peer(ice, ice->locals.slots[local].stream))
            (void)ice_learn(ice, &path, &e.request, false);
        else
            ice->early[kept++] = e;
    }
    ice->early_count = kept;
}

/* Pairs of streams that have credentials now can be checked. */
static void unmute(struct bk_checker *ice) {
    for (uint16_t i = 0; i < ice->list.top; i++) {
        struct ice_pair *p = ice_pair_at(ice, i);
        if (p->id != 0 && p->mute && ice_knows_peer(ice, p->stream))
            p->mute = false;
    }
}

static enum bk_err put(struct bk_checker *ice, struct ice_secret *secret, const char *ufrag,
                       const char *pwd, struct bk_time now) {
    struct ice_cred cred = {.ufrag = ""};
    enum bk_err err = ice_cred_set(&cred, ufrag, pwd);
    if (err == BK_OK && !ice_fit_secret(ice, secret))
        err = BK_ERR_FULL;
    if (err == BK_OK)
        ice_secret_put(secret, &cred);
    ice_cred_fini(&cred);
    if (err != BK_OK)
        return err;
    ice_touch(ice, now);
    if (ice->config.patience_us != 0) /* RFC 8863 section 4: both sides have begun */
        ice->patience_until = bk_after(ice->now, ice->config.patience_us);
    unmute(ice);
    learn_early(ice);
    ice_turn(ice, now);
    return BK_OK;
}

/* Does this stream have other ones? */
static bool differs(const struct bk_checker *ice, uint16_t stream, const char *ufrag,
                    const char *pwd) {
    return ice_knows_peer(ice, stream) &&
           !ice_cred_equal(ice_remote_cred(ice, stream, false), ufrag, pwd);
}

enum bk_err bk_checker_set_remote_credentials(struct bk_checker *ice, const char *ufrag,
                                              const char *pwd, struct bk_time now) {
    for (uint16_t s = 0; s < ice->config.streams; s++) {
        if (differs(ice, s, ufrag, pwd))
            return BK_ERR_STATE;
    }
    struct ice_secret *secret = &ice->secrets[ICE_REMOTE];
    return ice_secret_is_set(secret) ? BK_OK : put(ice, secret, ufrag, pwd, now);
}

enum bk_err bk_checker_set_remote_credentials_of(struct bk_checker *ice, uint16_t stream,
                                                 const char *ufrag, const char *pwd,
                                                 struct bk_time now) {
    if (stream >= ice->config.streams)
        return BK_ERR_ARGUMENT;
    if (ice->of_streams == NULL)
        return bk_checker_set_remote_credentials(ice, ufrag, pwd, now);
    if (differs(ice, stream, ufrag, pwd))
        return BK_ERR_STATE;
    return ice_knows_peer(ice, stream) ? BK_OK : put(ice, own(ice, stream, false), ufrag, pwd, now);
}
