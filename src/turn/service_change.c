/* SPDX-License-Identifier: MIT
 * Other limits while it runs. What was granted stays: quotas are asked when something new is, a
 * permission that is no longer allowed ends with its five minutes (RFC 8656 section 9). */
#include "turn/service_int.h"

#include "base/wipe.h"

#include <string.h>

/* The one place that allocates after creation: an operator asked for it. */
static bool copy_ranges(struct turn_service *s, const struct turn_range *from, size_t count,
                        const struct turn_range **out) {
    size_t size = (count == 0 ? 1 : count) * sizeof *from;
    struct turn_range *to = s->alloc.get(s->alloc.ctx, size);
    if (to == NULL)
        return false;
    if (count > 0)
        memcpy(to, from, count * sizeof *from);
    *out = to;
    return true;
}

static void put_back(struct turn_service *s, const struct turn_range *ranges) {
    if (ranges != NULL)
        s->alloc.put(s->alloc.ctx, (void *)(uintptr_t)ranges);
}

static void drop_tokens(struct turn_service *s, struct turn_tokens *t) {
    void *keys = (void *)(uintptr_t)t->keys, *server = (void *)(uintptr_t)t->server;
    if (keys != NULL) {
        wipe(keys, t->count * sizeof *t->keys);
        s->alloc.put(s->alloc.ctx, keys);
    }
    if (server != NULL)
        s->alloc.put(s->alloc.ctx, server);
    *t = (struct turn_tokens){.server = NULL};
}

/* `to` is a copy that has no memory yet. */
static bool copy_tokens(struct turn_service *s, struct turn_tokens *to) {
    const struct turn_tokens from = *to;
    size_t name = strlen(from.server) + 1, keys = from.count * sizeof *from.keys;
    char *server = s->alloc.get(s->alloc.ctx, name);
    struct turn_token_key *list = s->alloc.get(s->alloc.ctx, keys);
    to->server = server;
    to->keys = list;
    if (server == NULL || list == NULL) {
        to->count = 0;
        drop_tokens(s, to);
        return false;
    }
    memcpy(server, from.server, name);
    memcpy(list, from.keys, keys);
    return true;
}

enum bk_err turn_service_set_tokens(struct turn_service *s, const struct turn_tokens *tokens) {
    struct turn_service_config c = s->config;
    struct turn_tokens fresh = *tokens;
    c.realm = s->realm.realm;
    c.tokens = fresh;
    if (turn_service_config_check(&c) != NULL)
        return BK_ERR_ARGUMENT;
    if (fresh.server != NULL && !copy_tokens(s, &fresh))
        return BK_ERR_NO_MEMORY;
    drop_tokens(s, &s->config.tokens);
    s->config.tokens = fresh;
    return BK_OK;
}

enum bk_err turn_service_change(struct turn_service *s, const struct turn_service_config *config) {
    struct turn_service_config *c = &s->config;
    struct turn_filter filter = config->filter;
    if (turn_service_config_check(config) != NULL)
        return BK_ERR_ARGUMENT;
    if (!copy_ranges(s, config->filter.allow, config->filter.allow_count, &filter.allow))
        return BK_ERR_NO_MEMORY;
    if (!copy_ranges(s, config->filter.deny, config->filter.deny_count, &filter.deny)) {
        put_back(s, filter.allow);
        return BK_ERR_NO_MEMORY;
    }
    put_back(s, c->filter.allow);
    put_back(s, c->filter.deny);
    c->filter = filter;
    c->per_user_max = config->per_user_max;
    c->per_address_max = config->per_address_max;
    c->permissions_max = config->permissions_max;
    c->channels_max = config->channels_max;
    c->permissions_per_user = config->permissions_per_user;
    c->permissions_per_address = config->permissions_per_address;
    c->channels_per_user = config->channels_per_user;
    c->channels_per_address = config->channels_per_address;
    c->bytes_per_s = config->bytes_per_s;
    c->user_bytes_per_s = config->user_bytes_per_s;
    return BK_OK;
}
