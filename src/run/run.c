/* SPDX-License-Identifier: MIT
 * Life of the driver. Its sockets are opened with the first agent and stay: agents come and go, a
 * port in somebody's firewall rule does not. The order of teardown: thread, agents, listeners and
 * what they accepted, sockets, loop. */
#include "run/driver.h"
#include "run/loop.h"
#include "run/pool.h"

#include "net/alloc.h"
#include "net/mdns.h"
#include "net/tls.h"
#include <gnutls/crypto.h>
#include <string.h>

#if defined __SANITIZE_ADDRESS__
enum { WATCHED = 1 };
#elif defined __has_feature
enum { WATCHED = __has_feature(address_sanitizer) };
#else
enum { WATCHED = 0 };
#endif

const struct bk_run_config bk_run_config_default = {
    .size = sizeof(struct bk_run_config),
    .agents_max = 100000,
};

/* Under AddressSanitizer it is the C library's, so that each block is watched. */
const struct bk_alloc *bk_run_alloc(void) {
    return WATCHED ? net_alloc() : pool_alloc();
}

static void rng_fill_bytes(void *ctx, void *out, size_t len) {
    (void)ctx;
    if (gnutls_rnd(GNUTLS_RND_RANDOM, out, len) != 0)
        __builtin_trap(); /* the interface has no failure, and weak secrets would be one */
}

const struct bk_rng *bk_run_rng(void) {
    static const struct bk_rng rng = {rng_fill_bytes, NULL};
    return &rng;
}

struct bk_time bk_run_now(const struct bk_run *run) {
    (void)run; /* the loop's own is as old as its last turn, for callers outside of one */
    return net_clock();
}

/* A copy of a text that may be NULL. false: no memory. */
static bool copy_text(const char **text) {
    if (*text == NULL)
        return true;
    size_t len = strlen(*text) + 1;
    char *copy = run_get(len);
    if (copy != NULL)
        memcpy(copy, *text, len);
    *text = copy;
    return copy != NULL;
}

/* The caller's configuration, which may be of an older, shorter kind. */
static enum bk_err take_config(struct bk_run *run, const struct bk_run_config *config) {
    struct bk_run_config *to = &run->config;
    *to = bk_run_config_default;
    if (config->size < sizeof config->size || config->size > sizeof *to)
        return BK_ERR_ARGUMENT;
    memcpy(to, config, config->size);
    const char *ca_file = to->ca_file;
    to->ca_file = NULL;
    if (!copy_text(&to->interfaces))
        return BK_ERR_NO_MEMORY;
    to->ca_file = ca_file;
    if (!copy_text(&to->ca_file))
        return BK_ERR_NO_MEMORY;
    return to->agents_max == 0 ? BK_ERR_ARGUMENT : BK_OK;
}

static void put_texts(struct bk_run *run) {
    union { /* copies of ours, that the configuration shows as somebody's */
        const char *in;
        char *out;
    } interfaces = {.in = run->config.interfaces}, ca_file = {.in = run->config.ca_file};
    run_put(interfaces.out);
    run_put(ca_file.out);
}

static enum bk_err start(struct bk_run *run) {
    grid_init(&run->grid, net_now(run->loop));
    net_timer_init(&run->grid_timer, run->loop, driven_on_grid, run);
    return run_calls_start(run);
}

enum bk_err bk_run_new(const struct bk_run_config *config, struct bk_run **out) {
    struct bk_run *run = run_get(sizeof *run);
    if (run == NULL)
        return BK_ERR_NO_MEMORY;
    demux_init(&run->demux, bk_run_rng(), bk_run_alloc());
    multimap_init(&run->by_ice, bk_run_alloc());
    for (size_t i = 0; i < RUN_PORTS_MAX; i++)
        run->ports[i].run = run;
    enum bk_err err = take_config(run, config);
    if (err == BK_OK && run->config.uv_loop != NULL)
        err = net_loop_new_on(run->config.uv_loop, net_alloc(), &run->loop);
    else if (err == BK_OK)
        err = net_loop_new(net_alloc(), &run->loop);
    if (err == BK_OK)
        err = start(run);
    if (err != BK_OK) {
        bk_run_free(run);
        return err;
    }
    *out = run;
    return BK_OK;
}

struct net_loop *run_loop_of(struct bk_run *run) {
    return run->loop;
}

void bk_run_free(struct bk_run *run) {
    if (run == NULL)
        return;
    run_calls_stop(run);
    for (uint32_t i = 0; i < run->agent_cap; i++)
        if (run->agents[i] != NULL)
            bk_run_remove(run, run->agents[i]->ice);
    if (run->loop != NULL)
        net_timer_set(&run->grid_timer, BK_NEVER);
    run_bases_stop(run);
    run_guest_end_all(run);
    for (size_t i = 0; i < RUN_PORTS_MAX; i++)
        run_port_close(&run->ports[i]);
    net_mdns_free(run->mdns);
    net_loop_free(run->loop);
    net_tls_unref(run->tls);
    demux_fini(&run->demux);
    multimap_fini(&run->by_ice);
    run_put(run->agents);
    put_texts(run);
    run_put(run);
}

void bk_run_loop(struct bk_run *run) {
    if (run->config.uv_loop == NULL)
        net_loop_run(run->loop);
}

void bk_run_stop(struct bk_run *run) {
    if (run->config.uv_loop == NULL)
        net_loop_stop(run->loop);
}
