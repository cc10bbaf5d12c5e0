/* SPDX-License-Identifier: MIT */
#include "server/options_copy.h"

#include "base/wipe.h"
#include "net/alloc.h"

struct options_copy *options_copy_new(void) {
    const struct bk_alloc *alloc = net_alloc();
    struct options_copy *c = alloc->get(alloc->ctx, sizeof *c);
    if (c == NULL)
        return NULL;
    atomic_init(&c->refs, 1);
    c->options = server_options_default;
    return c;
}

struct options_copy *options_copy_ref(struct options_copy *c) {
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void options_copy_unref(struct options_copy *c) {
    const struct bk_alloc *alloc = net_alloc();
    if (c == NULL || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    wipe(c, sizeof *c);
    alloc->put(alloc->ctx, c);
}
