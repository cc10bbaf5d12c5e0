/* SPDX-License-Identifier: MIT
 * The agent's invariants, for tests and fuzzing. */
#include "agent/agent.h"

#include "base/assert.h"

static void check_tables(const struct bk_ice *ice) {
    bk_assert(ice->base_count <= ice->base_cap && ice->base_cap <= ice->config.locals_max);
    bk_assert(ice->cand_count <= ice->cand_cap && ice->cand_cap <= ice->config.locals_max);
    bk_assert(ice->relay_count <= ice->relay_cap && ice->relay_cap <= AGENT_RELAYS_MAX);
    bk_assert(ice->conn_count <= ice->conn_cap && ice->conn_cap <= AGENT_CONNS_MAX);
    bk_assert(ice->name_count <= ice->name_cap && ice->name_cap <= AGENT_NAMES_MAX);
    bk_assert(ice->notes.count <= ice->notes.cap);
    bk_assert(ice->queue.head <= ice->queue.tail && ice->queue.tail <= ice->queue.cap);
}

static void check_cands(const struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->cand_count; i++) {
        const struct agent_cand *c = &ice->cands[i];
        bk_assert(c->base < ice->base_count && ice->bases[c->base].used);
        bk_assert(agent_component(ice, c->stream, c->component) != NULL);
        bk_assert(ice->config.policy != BK_ICE_RELAYED_ONLY || c->kind == BK_ICE_RELAYED);
    }
}

static void check_relays(const struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->relay_count; i++) {
        const struct agent_relay *r = &ice->relays[i];
        bool asks = r->state == RELAY_ASKING || r->state == RELAY_UP || r->state == RELAY_CLOSING;
        bk_assert((r->turn != NULL) == asks);
        bk_assert(r->state != RELAY_DIALLING || r->conn != 0);
        bk_assert(r->relayed.ip.family == BK_FAMILY_NONE || r->state == RELAY_UP);
        if (r->state == RELAY_FREE || r->state == RELAY_OVER || r->state == RELAY_CLOSING)
            continue;
        bk_assert(r->base < ice->base_count && ice->bases[r->base].used);
        if (r->conn == 0)
            continue;
        uint16_t conn = agent_conn_find(ice, r->conn);
        bk_assert(conn != AGENT_NONE && ice->conns[conn].relay == i);
    }
}

static void check_conns(const struct bk_ice *ice) {
    for (uint16_t i = 0; i < ice->conn_count; i++) {
        const struct agent_conn *c = &ice->conns[i];
        if (c->state == CONN_FREE)
            continue;
        bk_assert(c->id != 0 && agent_conn_find(ice, c->id) == i && c->in_len <= c->in_cap);
        if (c->state != CONN_ENDING && c->relay != AGENT_NONE)
            bk_assert(c->relay < ice->relay_count && ice->relays[c->relay].conn == c->id);
        if (c->state != CONN_ENDING && c->query)
            bk_assert(agent_gather_server_of(ice, c->id) != AGENT_NONE);
    }
    for (uint16_t i = 0; ice->gather != NULL && i < ice->gather->query_count; i++) {
        const struct agent_query *q = &ice->gather->queries[i];
        uint16_t conn = q->conn == 0 ? AGENT_NONE : agent_conn_find(ice, q->conn);
        bk_assert(q->state != QUERY_DIALLING || q->conn != 0);
        bk_assert(q->conn == 0 || (conn != AGENT_NONE && ice->conns[conn].query));
    }
    bk_assert(ice->reading == AGENT_NONE || ice->reading < ice->conn_count);
}

static void check_components(const struct bk_ice *ice) {
    struct bk_ice_pair_info p = {.size = sizeof p};
    for (uint16_t i = 0; i < ice->component_count; i++) {
        const struct agent_component *c = &ice->components[i];
        if (c->pair == 0)
            continue;
        bk_assert(c->link == AGENT_CONNECTED || c->link == AGENT_DISCONNECTED);
        bk_assert(c->relay == AGENT_NONE || c->relay < ice->relay_count);
        bk_assert(bk_checker_pair(ice->checker, c->pair, &p) == BK_OK);
        bk_assert(ice->config.policy != BK_ICE_RELAYED_ONLY || c->relay != AGENT_NONE);
    }
}

void agent_check(const struct bk_ice *ice) {
    check_tables(ice);
    check_cands(ice);
    check_relays(ice);
    check_conns(ice);
    check_components(ice);
}
