/* SPDX-License-Identifier: MIT
 * States: of each component, of each stream's checklist (RFC 8445 section 6.1.2.1) and of all
 * together (section 8.1.2). Kept per component, derived for the rest. */
#include "ice/checker.h"

uint16_t ice_comp_index(const struct bk_checker *ice, uint16_t stream, uint16_t component) {
    uint16_t id = component == 0 ? 1 : component;
    if (stream >= ice->config.streams || id > ice->config.components)
        return ICE_NONE;
    return (uint16_t)(stream * ice->config.components + id - 1);
}

/* ---- One component ------------------------------------------------------------------------ */

/* What its pairs say. */
struct outlook {
    bool any, valid, undecided;
};

/* A pair on its first attempt is undecided: failure is not certain yet. */
static struct outlook look(const struct bk_checker *ice, uint16_t comp) {
    struct outlook o = {.any = false};
    for (uint16_t i = 0; i < ice->list.top; i++) {
        const struct ice_pair *p = &ice->list.pairs[i];
        if (p->id == 0 || p->comp != comp)
            continue;
        o.any = true;
        o.valid |= ice_pair_is_valid(p);
        o.undecided |= !p->old && p->retries == 0 && p->state != BK_ICE_PAIR_FAILED;
    }
    return o;
}

/* RFC 8863 section 4: while the timer runs nothing has failed, even if no pair is left; the peer's
 * checks may still bring one. RFC 8838 section 8: nor while candidates may come. */
static bool is_patient(const struct bk_checker *ice) {
    return !bk_is_never(ice->patience_until) && bk_before(ice->now, ice->patience_until);
}

/* A lite agent cannot know what the peer has yet to check; it has lost what it had, or waits. */
static enum bk_ice_state lite_state(const struct bk_checker *ice, uint16_t comp) {
    bool late = !bk_is_never(ice->patience_until) && !is_patient(ice);
    return ice->comps[comp].had_selected || late ? BK_ICE_FAILED : BK_ICE_CHECKING;
}

static enum bk_ice_state comp_state(const struct bk_checker *ice, uint16_t comp) {
    if (ice->comps[comp].selected != 0)
        return BK_ICE_SELECTED;
    struct outlook o = look(ice, comp);
    if (o.valid)
        return BK_ICE_VALID;
    if (!ice_knows_peer(ice, ice->comps[comp].stream))
        return BK_ICE_IDLE;
    if (ice->config.lite)
        return lite_state(ice, comp);
    if (ice->locals_done && ice->remotes_done && !o.undecided && !is_patient(ice))
        return BK_ICE_FAILED;
    return o.any ? BK_ICE_CHECKING : BK_ICE_IDLE;
}

/* ---- Streams and all ---------------------------------------------------------------------- */

/* Two that both must work: the lesser of the two, but part of the way is on the way. */
static enum bk_ice_state both(enum bk_ice_state a, enum bk_ice_state b) {
    enum bk_ice_state low = a < b ? a : b, high = a < b ? b : a;
    return low == BK_ICE_IDLE && high != BK_ICE_IDLE ? BK_ICE_CHECKING : low;
}

/* Section 7.2.5.4: a checklist fails when one of its components can have no valid pair. */
enum bk_ice_state ice_stream_state(const struct bk_checker *ice, uint16_t stream) {
    const struct ice_comp *first = &ice->comps[(size_t)stream * ice->config.components];
    enum bk_ice_state state = (enum bk_ice_state)first->state;
    for (uint16_t i = 0; i < ice->config.components; i++) {
        enum bk_ice_state next = (enum bk_ice_state)first[i].state;
        if (next == BK_ICE_FAILED)
            return BK_ICE_FAILED;
        state = both(state, next);
    }
    return state;
}

/* Sections 7.2.5.4 and 8.1.2: ICE has failed when all checklists have; otherwise the failed ones
 * are left out. */
static enum bk_ice_state state_of_all(const struct bk_checker *ice) {
    enum bk_ice_state state = BK_ICE_FAILED;
    for (uint16_t s = 0; s < ice->config.streams; s++) {
        enum bk_ice_state next = ice_stream_state(ice, s);
        if (next != BK_ICE_FAILED)
            state = state == BK_ICE_FAILED ? next : both(state, next);
    }
    return state;
}

static void tell_stream(struct bk_checker *ice, uint16_t stream, enum bk_ice_state state) {
    struct bk_checker_event event = {.kind = BK_CHECKER_STREAM,
                                     .state = state,
                                     .controlling = ice->role.controlling,
                                     .stream = stream};
    ice_tell(ice, &event);
}

static void update_stream(struct bk_checker *ice, uint16_t stream) {
    struct ice_comp *first = &ice->comps[(size_t)stream * ice->config.components];
    enum bk_ice_state before = ice_stream_state(ice, stream);
    for (uint16_t i = 0; i < ice->config.components; i++) {
        uint16_t index = (uint16_t)(stream * ice->config.components + i);
        first[i].state = (uint8_t)comp_state(ice, index);
    }
    enum bk_ice_state after = ice_stream_state(ice, stream);
    if (after != before && ice->comp_count > 1)
        tell_stream(ice, stream, after);
}

static void trace_state(const struct bk_checker *ice) {
    if (!ice_trace_on(ice))
        return;
    char buf[48];
    struct text t = text_in(buf, sizeof buf);
    text_str(&t, "agent -> ");
    text_str(&t, bk_ice_state_text(ice->state));
    ice_trace(ice, &t);
}

void ice_update_states(struct bk_checker *ice) {
    for (uint16_t s = 0; s < ice->config.streams; s++)
        update_stream(ice, s);
    enum bk_ice_state state = state_of_all(ice);
    if (state == ice->state)
        return;
    ice->state = state;
    trace_state(ice);
    struct bk_checker_event event = {.kind = BK_CHECKER_STATE,
                                     .state = state,
                                     .controlling = ice->role.controlling,
                                     .pair = ice->comps[0].selected};
    ice_tell(ice, &event);
}
