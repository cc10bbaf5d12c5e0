/* SPDX-License-Identifier: MIT
 * What the ways through hard NATs need of a checker: checks that belong to no pair, because a guess
 * among a thousand ports deserves none, and first checks that open our own NAT without reaching the
 * peer's. */
#include "ice/checker.h"

#include "base/rng.h"

enum { LOOSE_PREFERENCE = 0 }; /* the least: any path that was signalled is liked better */

/* As build_check() does it for pairs; RFC 8445 section 7.1.1: PRIORITY is that of the
 * peer-reflexive candidate the peer will learn. */
enum bk_err bk_checker_loose_check(struct bk_checker *ice, const struct bk_addr *local,
                                   const struct bk_addr *remote, struct bk_datagram *out) {
    uint8_t txid[STUN_TXID_LEN];
    if (!ice_knows_peer(ice, 0) || ice->config.lite)
        return BK_ERR_STATE;
    if (!ice_fit_buffer(ice))
        return BK_ERR_FULL;
    rng_fill(ice->config.rng, txid, sizeof txid);
    struct ice_check_message m = {.txid = txid,
                                  .local = ice_secret_view(&ice->secrets[ICE_LOCAL]),
                                  .remote = ice_remote_cred(ice, 0, false),
                                  .priority =
                                      ice_priority(BK_ICE_PRFLX, BK_ICE_UDP, LOOSE_PREFERENCE, 1),
                                  .role = ice->role};
    size_t len = 0;
    enum bk_err err = ice_build_check(&m, ice->buf, ice->buf_cap, &len);
    if (err != BK_OK)
        return err;
    ice->stats.requests_sent++;
    *out = (struct bk_datagram){.local = *local, .remote = *remote, .data = ice->buf, .len = len};
    return BK_OK;
}

void bk_checker_set_opener(struct bk_checker *ice, uint8_t ttl, uint32_t hold_us) {
    ice->opener_ttl = ttl;
    uint32_t ms = hold_us / (uint32_t)BK_US_PER_MS;
    ice->opener_hold_ms = ms < UINT16_MAX ? (uint16_t)ms : UINT16_MAX;
}

bool ice_needs_opener(const struct bk_checker *ice, const struct ice_pair *pair) {
    return ice->opener_ttl != 0 && !pair->tcp && pair->to.ip.family == BK_IPV4 &&
           bk_ip_scope(&pair->to.ip) == BK_SCOPE_GLOBAL && bk_is_never(pair->heard_at) &&
           bk_is_never(pair->answered_at);
}
