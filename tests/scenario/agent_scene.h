/* SPDX-License-Identifier: MIT
 * What the scenarios of the whole ICE agent share: a world with a STUN server (and, where asked
 * for, a TURN server) and two agents; memory that is counted; a failure that can be replayed. */
#ifndef TESTS_SCENARIO_AGENT_SCENE_H
#define TESTS_SCENARIO_AGENT_SCENE_H

#include "../unit/test.h"

#include "sim/actor_agent.h"
#include "sim/actor_turn.h"

#include <stdio.h>

/* ---- memory ---- */

struct counted {
    size_t live, bytes, bytes_most;
};

static inline void *counted_get(void *ctx, size_t size) {
    struct counted *c = ctx;
    size_t *memory = calloc(1, size + 2 * sizeof(size_t));
    c->live++;
    c->bytes += size;
    c->bytes_most = c->bytes > c->bytes_most ? c->bytes : c->bytes_most;
    memory[0] = size;
    return memory + 2;
}

static inline void counted_put(void *ctx, void *memory) {
    struct counted *c = ctx;
    if (memory == NULL)
        return;
    c->live--;
    c->bytes -= ((size_t *)memory - 2)[0];
    free((size_t *)memory - 2);
}

/* ---- the scene ---- */

enum { SCENE_PORT = 3478 };

struct scene {
    struct world *w;
    struct sim_turn server; /* STUN as well */
    struct sim_names names;
    struct sim_agent agent[2];
    struct counted memory[2];
    bool loud; /* traces go to stderr */
};

static inline struct bk_addr scene_server(void) {
    return bk_addr(bk_ipv4(198, 51, 100, 1), SCENE_PORT);
}

static inline void scene_print(void *ctx, const char *text) {
    print_error("  %s%s\n", (const char *)ctx, text);
}

static char scene_prefix[3][4] = {"A: ", "B: ", ""};

static inline struct world *scene_world(struct scene *s, uint64_t seed,
                                        const struct world_link *link) {
    struct world_config c = world_config_default;
    c.seed = seed;
    c.packets_max = 1024;
    c.streams_max = 32;
    c.sockets_max = 512;
    c.trace_max = 16;
    assert_int_equal(world_new(&c, &test_alloc, &s->w), BK_OK);
    node_id server = world_add_host(s->w, "server", WORLD_CORE, scene_server().ip, link);
    assert_int_equal(sim_turn_init(&s->server, s->w, server, SCENE_PORT, 0, &test_alloc), BK_OK);
    sim_names_add(&s->names, "server.example", scene_server().ip, WORLD_CORE);
    s->names.delay_us = 15 * BK_US_PER_MS;
    if (s->loud)
        world_watch(s->w, scene_print, scene_prefix[2]);
    return s->w;
}

static inline void scene_add(struct scene *s, size_t i, struct sim_agent_config *config) {
    const struct bk_alloc alloc = {counted_get, counted_put, &s->memory[i]};
    config->names = &s->names;
    if (s->loud)
        config->ice.trace = (struct bk_trace){scene_print, scene_prefix[i]};
    sim_agent_init(&s->agent[i], s->w, config, &alloc);
}

static inline void scene_fini(struct scene *s) {
    sim_agent_fini(&s->agent[0]);
    sim_agent_fini(&s->agent[1]);
    sim_turn_fini(&s->server);
    world_free(s->w);
    assert_int_equal(s->memory[0].live, 0);
    assert_int_equal(s->memory[1].live, 0);
}

/* One more of the servers an agent asks. */
static inline void scene_ask(struct sim_agent_config *c, const char *uri) {
    c->ice.servers[c->ice.server_count++] =
        (struct bk_ice_server){.uri = uri, .user = "u", .password = "p"};
    if (c->servers == 0)
        c->server[c->servers++] = scene_server();
}

/* What became of an agent, for failures. */
static inline void scene_tell(struct scene *s) {
    for (size_t i = 0; i < 2; i++) {
        struct sim_agent *a = &s->agent[i];
        char why[256] = "freed";
        if (a->ice != NULL)
            (void)bk_ice_explain(a->ice, why, sizeof why);
        print_error("  %c: %s\n", 'A' + (int)i, why);
        for (size_t k = 0; k < sim_agent_components(a); k++) {
            const struct sim_agent_path *p = sim_agent_path_at(a, k);
            struct bk_ice_pair_info info = {.size = sizeof info};
            char local[BK_ADDR_TEXT_MAX] = "-", remote[BK_ADDR_TEXT_MAX] = "-";
            if (a->ice != NULL &&
                bk_ice_path(a->ice, (uint16_t)(k / a->config.ice.components),
                            (uint16_t)(k % a->config.ice.components + 1), &info) == BK_OK) {
                (void)bk_addr_format(&info.local.addr, local);
                (void)bk_addr_format(&info.remote.addr, remote);
            }
            print_error("     %zu: %s %s > %s, %u selections, %llu sent, %llu heard\n", k,
                        p->connected ? "connected" : "not connected", local, remote, p->selections,
                        (unsigned long long)p->sent, (unsigned long long)p->heard);
        }
    }
}

static inline uint64_t scene_env(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL && *text != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

#endif
