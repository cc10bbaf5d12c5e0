/* SPDX-License-Identifier: MIT
 * Options that several threads read: never changed, replaced whole, wiped with the last reader. */
#ifndef SERVER_OPTIONS_COPY_H
#define SERVER_OPTIONS_COPY_H

#include "server/options.h"
#include <stdatomic.h>

struct options_copy {
    atomic_uint refs;
    struct server_options options;
};

/* The defaults, to be filled in before anybody else sees it. NULL: no memory. */
struct options_copy *options_copy_new(void);
struct options_copy *options_copy_ref(struct options_copy *c);
void options_copy_unref(struct options_copy *c); /* NULL is fine */

#endif
