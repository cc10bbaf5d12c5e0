/* SPDX-License-Identifier: MIT
 * Candidates are told from their table, before everything else, so that the end of candidates comes
 * after the last of them; all other events wait in a ring. */
#include "agent/agent.h"

#include <string.h>

void agent_tell(struct bk_ice *ice, enum bk_ice_event_kind kind, const struct agent_component *of,
                uint32_t pair) {
    struct agent_notes *n = &ice->notes;
    if (n->count == n->cap) { /* nobody fetches: the oldest news is worth least */
        n->head = (uint16_t)((n->head + 1) % n->cap);
        n->count--;
    }
    struct agent_note *at = &n->ring[(n->head + n->count) % n->cap];
    at->kind = (uint8_t)kind;
    at->component = of == NULL ? AGENT_NONE : (uint16_t)(of - ice->components);
    at->pair = pair;
    n->count++;
}

bool agent_is_untold(const struct bk_ice *ice, enum bk_ice_event_kind kind) {
    const struct agent_notes *n = &ice->notes;
    bool found = false;
    for (uint16_t i = 0; i < n->count; i++)
        found |= n->ring[(n->head + i) % n->cap].kind == kind;
    return found;
}

/* Idle agents have none. false: no memory, so no text. */
static bool has_text(struct bk_ice *ice) {
    if (ice->text == NULL)
        ice->text = ice->alloc.get(ice->alloc.ctx, SDP_LINE_MAX);
    return ice->text != NULL;
}

static bool next_candidate(struct bk_ice *ice, struct bk_ice_event *out) {
    for (uint16_t i = 0; i < ice->cand_count; i++) {
        struct agent_cand *c = &ice->cands[i];
        if (!c->used || c->told || !has_text(ice))
            continue;
        c->told = true;
        out->kind = BK_ICE_ON_CANDIDATE;
        out->stream = c->stream;
        out->component = c->component;
        agent_cand_export(c, &out->local);
        (void)agent_cand_write(ice, c, ice->text);
        out->text = ice->text;
        return true;
    }
    return false;
}

static void fill_path(const struct bk_ice *ice, uint32_t pair, struct bk_ice_event *out) {
    struct bk_ice_pair_info info = {.size = sizeof info};
    if (pair == 0 || bk_checker_pair(ice->checker, pair, &info) != BK_OK)
        return; /* it is gone already; another event says where to */
    out->local = info.local;
    out->remote = info.remote;
    out->rtt_us = info.rtt_us;
}

bool bk_ice_next_event(struct bk_ice *ice, struct bk_ice_event *out) {
    struct agent_notes *n = &ice->notes;
    memset(out, 0, sizeof *out);
    out->text = "";
    out->rtt_us = -1;
    if (next_candidate(ice, out))
        return true;
    if (n->count == 0)
        return false;
    const struct agent_note *note = &n->ring[n->head];
    out->kind = (enum bk_ice_event_kind)note->kind;
    if (note->component != AGENT_NONE) {
        out->stream = ice->components[note->component].stream;
        out->component = ice->components[note->component].component;
    }
    fill_path(ice, note->pair, out);
    if ((out->kind == BK_ICE_ON_FAILED || out->kind == BK_ICE_ON_DISCONNECTED) && has_text(ice))
        out->text = bk_ice_explain(ice, ice->text, SDP_LINE_MAX);
    n->head = (uint16_t)((n->head + 1) % n->cap);
    n->count--;
    return true;
}
