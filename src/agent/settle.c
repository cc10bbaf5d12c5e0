/* SPDX-License-Identifier: MIT
 * When a session has become quiet, its memory goes back: what gathering needed, and the room that
 * tables have beyond what is in them. A path's own checks keep its NAT mappings open from then on
 * (RFC 8445 section 11). */
#include "agent/agent.h"

#include <string.h>

enum { QUIET_US = 3000000 };

static bool is_quiet(const struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->component_count; i++)
        if (ice->components[i].link != AGENT_CONNECTED || ice->components[i].selected == 0)
            return false;
    return ice->gathered && !ice->closing;
}

void agent_unsettle(struct bk_ice *ice) {
    ice->settled = false;
    ice->settle_at = BK_NEVER;
}

/* To exactly what is in it. When there is no memory it stays as it is. */
static void shrink(struct bk_ice *ice, void *rows, uint16_t *cap, uint16_t count, size_t row) {
    void *old, *small = NULL;
    memcpy(&old, rows, sizeof old);
    if (*cap == count)
        return;
    if (count > 0) {
        small = ice->alloc.get(ice->alloc.ctx, count * row);
        if (small == NULL)
            return;
        memcpy(small, old, count * row);
    }
    ice->alloc.put(ice->alloc.ctx, old);
    memcpy(rows, &small, sizeof small);
    *cap = count;
}

/* Relays that gave nothing keep no place at the end of their table. */
static uint16_t relays_used(const struct bk_ice *ice) {
    uint16_t n = ice->relay_count;
    while (n > 0 && ice->relays[n - 1].turn == NULL && ice->relays[n - 1].conn == 0 &&
           ice->relays[n - 1].state != RELAY_RESTING && ice->relays[n - 1].state != RELAY_PLANNED)
        n--;
    return n;
}

static void settle(struct bk_ice *ice) {
    ice->settled = true;
    agent_gather_free(ice);
    ice->alloc.put(ice->alloc.ctx, ice->text);
    ice->text = NULL;
    ice->relay_count = relays_used(ice);
    shrink(ice, &ice->bases, &ice->base_cap, ice->base_count, sizeof *ice->bases);
    shrink(ice, &ice->cands, &ice->cand_cap, ice->cand_count, sizeof *ice->cands);
    const size_t name = sizeof(struct agent_name *); // NOLINT(bugprone-sizeof-expression): pointers
    shrink(ice, &ice->names, &ice->name_cap, ice->name_count, name);
    shrink(ice, &ice->relays, &ice->relay_cap, ice->relay_count, sizeof *ice->relays);
    bk_checker_settle(ice->checker, ice->now);
}

void agent_settle_turn(struct bk_ice *ice) {
    if (ice->settled)
        return;
    if (!is_quiet(ice))
        ice->settle_at = BK_NEVER;
    else if (bk_is_never(ice->settle_at))
        ice->settle_at = bk_after(ice->now, QUIET_US);
    else if (bk_due(ice->settle_at, ice->now))
        settle(ice);
    if (ice->settled)
        ice->settle_at = BK_NEVER;
}
