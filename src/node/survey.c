/* SPDX-License-Identifier: MIT
 * Two steps: look around (it blocks, so in another thread), then ask the server. */
#include "node/survey.h"

#include "net/alloc.h"
#include "net/work.h"

/* Outlives the survey if that ends first. */
struct survey_look {
    struct survey *survey; /* NULL: nobody waits any more */
    struct bk_natcheck_config config;
};

uint8_t survey_opener_ttl(const struct bk_ip *hops, size_t count) {
    size_t inside = 0;
    for (size_t i = 0; i < count; i++)
        if (hops[i].family != BK_FAMILY_NONE && bk_ip_scope(&hops[i]) != BK_SCOPE_GLOBAL)
            inside = i + 1;
    return inside == 0 ? 0 : (uint8_t)(inside + 1);
}

static void on_found(void *ctx, enum bk_nat_attr attr) {
    (void)ctx;
    (void)attr;
}

static void on_done(void *ctx) {
    struct survey *s = ctx;
    s->events.on_known(s->events.ctx, nat_driver_record(s->driver), s->opener_ttl);
}

static void look(void *ctx) {
    struct survey_look *l = ctx;
    nat_driver_look_around(&l->config);
}

static void looked(void *ctx) {
    struct survey_look *l = ctx;
    struct survey *s = l->survey;
    if (s != NULL) {
        const struct nat_driver_events events = {on_found, on_done, s};
        s->look = NULL;
        s->opener_ttl = survey_opener_ttl(l->config.hops, l->config.hop_count);
        if (nat_driver_new(s->loop, &l->config, &events, &s->driver) != BK_OK)
            s->driver = NULL; /* nothing will be known: methods assume the worst */
    }
    net_alloc()->put(net_alloc()->ctx, l);
}

void survey_init(struct survey *s, struct net_loop *loop, const struct survey_events *events) {
    *s = (struct survey){.loop = loop, .events = *events};
}

void survey_fini(struct survey *s) {
    if (s->look != NULL)
        s->look->survey = NULL;
    s->look = NULL;
    nat_driver_free(s->driver);
    s->driver = NULL;
}

void survey_start(struct survey *s, const struct bk_addr *server, const struct bk_addr *server6) {
    survey_fini(s);
    struct survey_look *l = net_alloc()->get(net_alloc()->ctx, sizeof *l);
    if (l == NULL)
        return;
    *l = (struct survey_look){.survey = s, .config = bk_natcheck_config_default};
    l->config.server = *server;
    l->config.server6 = *server6;
    l->config.hide_locals = true; /* the home has no need to know them, and sessions none to ask */
    if (net_work(s->loop, look, looked, l) == BK_OK)
        s->look = l;
    else
        net_alloc()->put(net_alloc()->ctx, l);
}
