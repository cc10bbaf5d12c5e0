/* SPDX-License-Identifier: MIT
 * What is done when a path is lost, or the network changes.
 *
 * Every path is asked, and every server: a NAT that gave us another address is noticed, and the new
 * candidates are told. Where the peer can be reached, its checks teach both sides the new path (RFC
 * 8445 section 7.3.1.3) before any of that is over. When the network changed on our side and that
 * did not help soon, we restart (section 9): the peer then hears of the candidates by signalling.
 * A break alone, without a change of ours, is no reason to: the old path may come back, and a
 * program that does not signal restarts would lose it. */
#include "agent/agent.h"

enum {
    PATIENCE_US = 400000,  /* learning by checks takes two round trips */
    RELATED_US = 10000000, /* a loss this long after a change, or before, has to do with it */
    AGAIN_US = 300000      /* changes come in showers */
};

void agent_changed(struct bk_ice *ice) {
    bool shower =
        !bk_is_never(ice->changed_at) && bk_elapsed_us(ice->changed_at, ice->now) < AGAIN_US;
    ice->changed_at = ice->now;
    agent_unsettle(ice);
    (void)bk_checker_probe(ice->checker, ice->now);
    bk_checker_retry(ice->checker, ice->now);
    if (shower)
        return;
    agent_relays_refresh(ice);
    agent_gather_again(ice);
}

static bool is_missed(const struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->component_count; i++) {
        const struct agent_component *c = &ice->components[i];
        if (c->link == AGENT_DISCONNECTED || (c->link == AGENT_FAILED && c->was_connected))
            return true;
    }
    return false;
}

/* When our restart is due; BK_NEVER: there is no reason for one. */
static struct bk_time restart_at(const struct bk_ice *ice) {
    if (bk_is_never(ice->lost_at) || bk_is_never(ice->changed_at) || ice->begged ||
        !ice->remote_set || ice->cand_count == 0 || ice->config.lite)
        return BK_NEVER;
    int64_t apart = bk_elapsed_us(ice->changed_at, ice->lost_at);
    if (apart > RELATED_US || apart < -RELATED_US)
        return BK_NEVER;
    return bk_after(bk_later(ice->lost_at, ice->changed_at), PATIENCE_US);
}

void agent_watch_turn(struct bk_ice *ice) {
    if (!is_missed(ice)) {
        ice->lost_at = BK_NEVER;
        ice->begged = false;
        return;
    }
    if (bk_is_never(ice->lost_at)) {
        ice->lost_at = ice->now;
        agent_unsettle(ice);
        bk_checker_retry(ice->checker, ice->now);
        agent_relays_refresh(ice);
        agent_gather_again(ice);
    }
    if (!bk_due(restart_at(ice), ice->now))
        return;
    ice->begged = true;
    if (agent_restart(ice) == BK_OK)
        agent_tell(ice, BK_ICE_ON_RESTART, NULL, 0);
}

struct bk_time agent_watch_deadline(const struct bk_ice *ice) {
    return restart_at(ice);
}
