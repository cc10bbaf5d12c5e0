/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

#include "base/wipe.h"

#include <string.h>

enum { CLOSE_US = 2000000, DOUBT_MIN_US = 50000 };

/* ---- Memory ------------------------------------------------------------------------------- */

/* `rows` points to the table's pointer, of whatever type. */
bool agent_grow(struct bk_ice *ice, void *rows, uint16_t *cap, size_t row, size_t max) {
    size_t want = *cap == 0 ? 2 : (size_t)*cap * 2;
    want = want > max ? max : want;
    if (want <= *cap)
        return false;
    void *old, *bigger = ice->alloc.get(ice->alloc.ctx, want * row);
    if (bigger == NULL)
        return false;
    memcpy(&old, rows, sizeof old);
    if (old != NULL)
        memcpy(bigger, old, *cap * row);
    memcpy(rows, &bigger, sizeof bigger);
    ice->alloc.put(ice->alloc.ctx, old);
    *cap = (uint16_t)want;
    return true;
}

/* ---- Life --------------------------------------------------------------------------------- */

static size_t text_size(const char *s) {
    return s == NULL ? 0 : strlen(s) + 1;
}

static const char *copy_text(char **at, const char *s) {
    if (s == NULL)
        return NULL;
    char *copy = *at;
    size_t n = text_size(s);
    memcpy(copy, s, n);
    *at += n;
    return copy;
}

static bool copy_servers(struct bk_ice *ice) {
    size_t total = 0;
    for (size_t i = 0; i < ice->config.server_count; i++) {
        const struct bk_ice_server *s = &ice->config.servers[i];
        total += text_size(s->uri) + text_size(s->user) + text_size(s->password);
    }
    if (total == 0)
        return true;
    ice->texts = ice->alloc.get(ice->alloc.ctx, total);
    if (ice->texts == NULL)
        return false;
    ice->texts_len = total;
    char *at = ice->texts;
    for (size_t i = 0; i < ice->config.server_count; i++) {
        struct bk_ice_server *s = &ice->config.servers[i];
        s->uri = copy_text(&at, s->uri);
        s->user = copy_text(&at, s->user);
        s->password = copy_text(&at, s->password);
    }
    return true;
}

/* The rest of the time is for the question, and its repetition. */
static uint32_t doubt_us(uint32_t disconnected_us) {
    uint32_t us = disconnected_us / 5 * 3;
    return us == 0 || us >= DOUBT_MIN_US ? us : DOUBT_MIN_US;
}

static enum bk_err make_checker(struct bk_ice *ice) {
    const struct bk_ice_config *from = &ice->config;
    struct bk_checker_config c = bk_checker_config_default;
    c.controlling = from->role == BK_ICE_CONTROLLING;
    c.renominate = false; /* until the peer announces that it knows it */
    c.lite = from->lite;
    c.streams = from->streams;
    c.components = from->components;
    c.patience_us = from->patience_us;
    c.doubt_us = doubt_us(from->disconnected_us);
    c.silent_us = from->disconnected_us;
    c.ta_us = from->ta_us;
    c.rto_min_us = 200000;
    c.consent_us = from->consent_us;
    c.consent_expiry_us = from->consent_expiry_us;
    c.warm_us = from->keep_warm ? c.warm_us : 0;
    c.locals_max = from->locals_max;
    c.remotes_max = from->remotes_max;
    c.prflx_max *= (uint32_t)from->streams * from->components;
    c.prflx_max = c.prflx_max < c.remotes_max ? c.prflx_max : c.remotes_max;
    c.pairs_max = from->pairs_max;
    c.rng = from->rng;
    c.trace = from->trace;
    return bk_checker_new(&c, &ice->alloc, &ice->checker);
}

static bool make_components(struct bk_ice *ice) {
    uint16_t count = (uint16_t)(ice->config.streams * ice->config.components);
    ice->components = ice->alloc.get(ice->alloc.ctx, count * sizeof *ice->components);
    ice->notes.cap = (uint16_t)(AGENT_EVENTS_MIN + 4 * count);
    ice->notes.ring = ice->alloc.get(ice->alloc.ctx, ice->notes.cap * sizeof *ice->notes.ring);
    if (ice->components == NULL || ice->notes.ring == NULL)
        return false;
    ice->component_count = count;
    for (uint16_t i = 0; i < count; i++) {
        ice->components[i].stream = i / ice->config.components;
        ice->components[i].component = (uint16_t)(i % ice->config.components + 1);
        ice->components[i].heard = BK_NEVER;
        ice->components[i].relay = AGENT_NONE;
    }
    return true;
}

enum bk_err bk_ice_new(const struct bk_ice_config *config, const struct bk_alloc *alloc,
                       struct bk_ice **out) {
    if (bk_ice_config_check(config) != NULL)
        return BK_ERR_ARGUMENT;
    struct bk_ice *ice = alloc->get(alloc->ctx, sizeof *ice);
    if (ice == NULL)
        return BK_ERR_NO_MEMORY;
    ice->config = *config;
    ice->alloc = *alloc;
    ice->now.us = INT64_MIN;
    ice->closed_by = ice->changed_at = ice->lost_at = ice->settle_at = BK_NEVER;
    ice->reading = AGENT_NONE;
    enum bk_err err = BK_ERR_NO_MEMORY;
    if (copy_servers(ice) && make_components(ice))
        err = make_checker(ice);
    if (err != BK_OK) {
        bk_ice_free(ice);
        return err;
    }
    *out = ice;
    return BK_OK;
}

void bk_ice_free(struct bk_ice *ice) {
    if (ice == NULL)
        return;
    const struct bk_alloc alloc = ice->alloc;
    agent_gather_free(ice);
    agent_relays_free(ice);
    agent_conns_free(ice);
    agent_remote_free(ice);
    bk_checker_free(ice->checker);
    if (ice->texts != NULL)
        wipe(ice->texts, ice->texts_len);
    void *const parts[] = {ice->texts,      ice->bases,      ice->cands, ice->text,
                           ice->components, ice->notes.ring, ice->names};
    wipe(ice, sizeof *ice);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        alloc.put(alloc.ctx, parts[i]);
    alloc.put(alloc.ctx, ice);
}

void bk_ice_close(struct bk_ice *ice, struct bk_time now) {
    (void)agent_see(ice, now);
    if (ice->closing)
        return;
    ice->closing = true;
    ice->gathering = false;
    ice->closed_by = bk_after(ice->now, CLOSE_US);
    agent_gather_free(ice);
    agent_relays_close(ice);
    agent_conns_drop_base(ice, NULL);
    agent_turn(ice, now);
}

static void close_turn(struct bk_ice *ice) {
    if (!ice->closing || ice->closed ||
        (!agent_relays_are_closed(ice) && !bk_due(ice->closed_by, ice->now)))
        return;
    ice->closed = true;
    ice->closed_by = BK_NEVER;
    agent_tell(ice, BK_ICE_ON_CLOSED, NULL, 0);
}

/* ---- The verbs; bk_ice_recv() is in send.c ------------------------------------------------- */

/* What one part finds out is another's input: the checker's events may send us to the servers, and
 * what those say is news for the checker. Twice round is enough; more can wait for the next turn.
 */
void agent_turn(struct bk_ice *ice, struct bk_time now) {
    (void)agent_see(ice, now);
    bool more = true;
    for (int round = 0; more && round < 2; round++) {
        more = agent_paths_turn(ice);
        agent_watch_turn(ice);
        agent_gather_turn(ice);
        agent_relays_turn(ice);
        agent_gather_end_turn(ice);
        agent_conns_turn(ice);
    }
    (void)agent_paths_turn(ice);
    agent_settle_turn(ice);
    close_turn(ice);
}

void bk_ice_advance(struct bk_ice *ice, struct bk_time now) {
    bk_checker_advance(ice->checker, agent_see(ice, now));
    agent_turn(ice, now);
    if (!bk_due(bk_checker_deadline(ice->checker), ice->now))
        return;
    bk_checker_advance(ice->checker, ice->now); /* new pairs: their checks start at once */
    (void)agent_paths_turn(ice);
}

struct bk_time bk_ice_deadline(const struct bk_ice *ice) {
    if (ice->closed)
        return BK_NEVER;
    struct bk_time t = bk_checker_deadline(ice->checker);
    t = bk_earlier(t, agent_gather_deadline(ice));
    t = bk_earlier(t, agent_relays_deadline(ice));
    t = bk_earlier(t, agent_conns_deadline(ice));
    t = bk_earlier(t, agent_watch_deadline(ice));
    t = bk_earlier(t, ice->settle_at);
    return bk_earlier(t, ice->closed_by);
}

bool bk_ice_next_datagram(struct bk_ice *ice, struct bk_datagram *out) {
    struct bk_datagram d;
    if (agent_gather_next_datagram(ice, out) || agent_relays_next_datagram(ice, out))
        return true;
    while (!ice->closing && bk_checker_next_datagram(ice->checker, &d))
        if (agent_route(ice, &d, out))
            return true;
    return agent_relays_next_datagram(ice, out); /* permissions that were found missing */
}

const char *bk_ice_ufrag(const struct bk_ice *ice) {
    return bk_checker_ufrag(ice->checker);
}

const char *bk_ice_pwd(const struct bk_ice *ice) {
    return bk_checker_pwd(ice->checker);
}

size_t bk_ice_size(const struct bk_ice *ice) {
    size_t n = sizeof *ice + ice->texts_len + bk_checker_size(ice->checker);
    n += ice->base_cap * sizeof *ice->bases + ice->cand_cap * sizeof *ice->cands;
    n += ice->relay_cap * sizeof *ice->relays + ice->conn_cap * sizeof *ice->conns;
    n += ice->component_count * sizeof *ice->components + ice->notes.cap * sizeof *ice->notes.ring;
    n += ice->queue.cap + ice->name_count * sizeof *ice->names[0];
    n += ice->text == NULL ? 0 : SDP_LINE_MAX;
    if (ice->gather != NULL)
        n += sizeof *ice->gather + ice->gather->query_cap * sizeof *ice->gather->queries;
    return n;
}
