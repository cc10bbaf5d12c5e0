/* SPDX-License-Identifier: MIT
 * Where a checker's tables live. bk_checker_new() gives each its configured limit;
 * bk_checker_settle() shrinks them to what they hold; whoever needs one more element then calls
 * ice_grow_...(), which doubles the table up to the limit. Elements are named by index everywhere,
 * and a pointer to one is never held across a call that may add another to the same table. */
#include "ice/checker.h"

#include "base/assert.h"

#include <string.h>

enum {
    ONE_BY_ONE = 4,  /* small tables grow slowly: an idle agent needs one more, not many */
    CHECKS_KEPT = 2, /* consent needs one now and then, and its end wakes whoever found no memory */
    /* of a check or an answer, without the user name, RFC 8445 section 7.1 and RFC 8489 section 14
     */
    MESSAGE_LEN = 96
};

static uint16_t checks_max(const struct bk_checker_config *c) {
    /* A check on every pair, the MTU test, and some consent checks and probes beside. Where there
     * are more valid pairs than that, a consent check is left out now and then. */
    return (uint16_t)(c->pairs_max + BK_CHECKER_MTU_SIZES + 24);
}

static size_t buffer_max(const struct bk_checker_config *c) {
    size_t cap = ICE_MESSAGE_MAX;
    for (size_t i = 0; i < BK_CHECKER_MTU_SIZES && c->mtu_sizes[i] != 0; i++)
        cap = c->mtu_sizes[i] > cap ? c->mtu_sizes[i] : cap;
    return cap;
}

/* ---- Each table to a new size; false: no memory, and it is as before ------------------------ */

static bool size_pairs(struct bk_checker *ice, size_t cap) {
    struct ice_table t = {ice->list.pairs, sizeof *ice->list.pairs, ice->list.cap};
    bool moved = ice_room_move(&ice->room, &t, cap, ice->list.top);
    ice->list.pairs = t.memory;
    ice->list.cap = (uint16_t)t.cap;
    return moved;
}

static bool size_checks(struct bk_checker *ice, size_t cap) {
    struct ice_table t = {ice->checks.slots, sizeof *ice->checks.slots, ice->checks.cap};
    bool moved = ice_room_move(&ice->room, &t, cap, ice->checks.top);
    ice->checks.slots = t.memory;
    ice->checks.cap = (uint16_t)t.cap;
    return moved;
}

static bool size_cands(struct bk_checker *ice, struct ice_cands *cands, size_t cap) {
    struct ice_table t = {cands->slots, sizeof *cands->slots, cands->cap};
    bool moved = ice_room_move(&ice->room, &t, cap, cands->top);
    cands->slots = t.memory;
    cands->cap = (uint16_t)t.cap;
    return moved;
}

static bool size_early(struct bk_checker *ice, size_t cap) {
    struct ice_table t = {ice->early, sizeof *ice->early, ice->early_cap};
    bool moved = ice_room_move(&ice->room, &t, cap, ice->early_count);
    ice->early = t.memory;
    ice->early_cap = (uint32_t)t.cap;
    return moved;
}

static bool size_events(struct bk_checker *ice, size_t cap) {
    ice_events_straighten(&ice->events);
    struct ice_table t = {ice->events.ring, sizeof *ice->events.ring, ice->events.cap};
    bool moved = ice_room_move(&ice->room, &t, cap, ice->events.len);
    ice->events.ring = t.memory;
    ice->events.cap = (uint32_t)t.cap;
    return moved;
}

static bool size_answers(struct bk_checker *ice, size_t cap) {
    ice_answers_straighten(&ice->answers);
    struct ice_table t = {ice->answers.ring, sizeof *ice->answers.ring, ice->answers.cap};
    bool moved = ice_room_move(&ice->room, &t, cap, ice->answers.len);
    ice->answers.ring = t.memory;
    ice->answers.cap = (unsigned)t.cap;
    return moved;
}

static bool size_buffer(struct bk_checker *ice, size_t cap) {
    struct ice_table t = {ice->buf, 1, ice->buf_cap};
    bool moved = ice_room_move(&ice->room, &t, cap, 0);
    ice->buf = t.memory;
    ice->buf_cap = t.cap;
    return moved;
}

static bool size_secret(struct bk_checker *ice, struct ice_secret *s, size_t cap) {
    struct ice_table t = {s->text, 1, s->cap};
    bool moved = ice_room_move(&ice->room, &t, cap, ice_secret_len(s));
    s->text = t.memory;
    s->cap = (uint16_t)t.cap;
    return moved;
}

/* What the streams' own credentials need, RFC 8839 section 5.4. */
static bool take_of_streams(struct bk_checker *ice) {
    if (ice->config.streams == 1)
        return true;
    ice->of_streams =
        ice_room_get(&ice->room, 2 * (size_t)ice->config.streams, sizeof *ice->of_streams);
    bool all = ice->of_streams != NULL;
    for (size_t i = 0; all && i < ice_of_streams(ice); i++)
        all = size_secret(ice, &ice->of_streams[i], ICE_SECRET_MAX);
    return all;
}

static void give_secret(struct bk_checker *ice, struct ice_secret *secret) {
    ice_secret_clear(secret);
    (void)size_secret(ice, secret, 0);
}

/* ---- Everything at once -------------------------------------------------------------------- */

bool ice_take_memory(struct bk_checker *ice) {
    const struct bk_checker_config *c = &ice->config;
    bool all = size_pairs(ice, c->pairs_max) && size_checks(ice, checks_max(c)) &&
               size_cands(ice, &ice->locals, c->locals_max) &&
               size_cands(ice, &ice->remotes, c->remotes_max) && size_early(ice, c->early_max) &&
               size_events(ice, c->events_max) && size_answers(ice, ICE_ANSWERS_MAX) &&
               size_buffer(ice, buffer_max(c));
    for (size_t i = 0; all && i < ICE_SECRETS; i++)
        all = size_secret(ice, &ice->secrets[i], ICE_SECRET_MAX);
    all = all && take_of_streams(ice);
    ice->comp_count = (uint16_t)(c->streams * c->components);
    if (all)
        ice->comps = ice_room_get(&ice->room, ice->comp_count, sizeof *ice->comps);
    return all && ice->comps != NULL;
}

void ice_give_memory(struct bk_checker *ice) {
    ice->list.top = ice->checks.top = ice->locals.top = ice->remotes.top = 0;
    ice->early_count = ice->events.len = 0;
    ice->answers.len = 0;
    (void)size_pairs(ice, 0);
    (void)size_checks(ice, 0);
    (void)size_cands(ice, &ice->locals, 0);
    (void)size_cands(ice, &ice->remotes, 0);
    (void)size_early(ice, 0);
    (void)size_events(ice, 0);
    (void)size_answers(ice, 0);
    (void)size_buffer(ice, 0);
    for (size_t i = 0; i < ICE_SECRETS; i++)
        give_secret(ice, &ice->secrets[i]);
    for (size_t i = 0; i < ice_of_streams(ice); i++)
        give_secret(ice, &ice->of_streams[i]);
    ice_room_put(&ice->room, ice->of_streams, ice_of_streams(ice), sizeof *ice->of_streams);
    ice->of_streams = NULL;
    ice_room_put(&ice->room, ice->comps, ice->comp_count, sizeof *ice->comps);
}

/* What messages with the present credentials need. */
static size_t buffer_needed(const struct bk_checker *ice) {
    size_t len = MESSAGE_LEN;
    for (size_t i = 0; i < ICE_SECRETS; i++)
        len += strlen(ice_secret_view(&ice->secrets[i]).ufrag);
    size_t longest = 0;
    for (size_t i = 0; i < ice_of_streams(ice); i++) {
        size_t ufrag = strlen(ice_secret_view(&ice->of_streams[i]).ufrag);
        longest = ufrag > longest ? ufrag : longest;
    }
    return len + longest;
}

void bk_checker_settle(struct bk_checker *ice, struct bk_time now) {
    ice_touch(ice, now);
    size_t checks = ice->checks.top < CHECKS_KEPT ? CHECKS_KEPT : ice->checks.top;
    (void)size_pairs(ice, ice->list.top); /* without memory to move to, a table stays as it is */
    (void)size_checks(ice, checks);
    (void)size_cands(ice, &ice->locals, ice->locals.top);
    (void)size_cands(ice, &ice->remotes, ice->remotes.top);
    (void)size_early(ice, ice->early_count);
    (void)size_events(ice, ice->events.len);
    (void)size_answers(ice, ice->answers.len);
    if (!ice->mtu.running) /* its checks are as large as they come */
        (void)size_buffer(ice, buffer_needed(ice));
    for (size_t i = 0; i < ICE_SECRETS; i++)
        (void)size_secret(ice, &ice->secrets[i], ice_secret_len(&ice->secrets[i]));
    for (size_t i = 0; i < ice_of_streams(ice); i++)
        (void)size_secret(ice, &ice->of_streams[i], ice_secret_len(&ice->of_streams[i]));
}

size_t bk_checker_size(const struct bk_checker *ice) {
    return sizeof *ice + ice->room.held;
}

/* ---- One more ------------------------------------------------------------------------------ */

/* The next size of a full table, or 0: the limit is reached. */
static size_t next_cap(size_t cap, size_t max) {
    size_t more = cap < ONE_BY_ONE ? cap + 1 : 2 * cap;
    if (cap >= max)
        return 0;
    return more < max ? more : max;
}

static void count_refusals(struct bk_checker *ice) {
    ice->stats.memory_full = ice->room.refusals;
}

bool ice_grow_pairs(struct bk_checker *ice) {
    size_t cap = next_cap(ice->list.cap, ice->config.pairs_max);
    bool grown = cap != 0 && size_pairs(ice, cap);
    count_refusals(ice);
    return grown;
}

bool ice_grow_checks(struct bk_checker *ice) {
    size_t cap = next_cap(ice->checks.cap, checks_max(&ice->config));
    bool grown = cap != 0 && size_checks(ice, cap);
    count_refusals(ice);
    return grown;
}

bool ice_has_check_room(const struct bk_checker *ice) {
    if (ice_checks_count(&ice->checks, ICE_CHECK_ACTIVE) < ice->checks.cap)
        return true;
    return ice->checks.cap < checks_max(&ice->config) && !ice->room.starved;
}

bool ice_grow_cands(struct bk_checker *ice, struct ice_cands *cands) {
    size_t max = cands == &ice->locals ? ice->config.locals_max : ice->config.remotes_max;
    size_t cap = next_cap(cands->cap, max);
    bool grown = cap != 0 && size_cands(ice, cands, cap);
    count_refusals(ice);
    return grown;
}

bool ice_grow_early(struct bk_checker *ice) {
    size_t cap = next_cap(ice->early_cap, ice->config.early_max);
    bool grown = cap != 0 && size_early(ice, cap);
    count_refusals(ice);
    return grown;
}

bool ice_grow_events(struct bk_checker *ice) {
    size_t cap = next_cap(ice->events.cap, ice->config.events_max);
    bool grown = cap != 0 && size_events(ice, cap);
    count_refusals(ice);
    return grown;
}

bool ice_grow_answers(struct bk_checker *ice) {
    size_t cap = next_cap(ice->answers.cap, ICE_ANSWERS_MAX);
    bool grown = cap != 0 && size_answers(ice, cap);
    count_refusals(ice);
    return grown;
}

bool ice_fit_secret(struct bk_checker *ice, struct ice_secret *secret) {
    bool grown =
        size_secret(ice, secret, ICE_SECRET_MAX) && size_buffer(ice, buffer_max(&ice->config));
    count_refusals(ice);
    return grown;
}

bool ice_fit_buffer(struct bk_checker *ice) {
    bool grown = size_buffer(ice, buffer_max(&ice->config));
    count_refusals(ice);
    return grown;
}
