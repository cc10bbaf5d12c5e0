/* SPDX-License-Identifier: MIT
 * Host names to addresses, through the system's resolver, without blocking. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "net/loop.h"
#include <bodkin/addr.h>

enum { NET_RESOLVE_MAX = 16 }; /* addresses told at most */

struct net_resolve;

/* Looks `host` up; an address as text is its own answer. `on_done` is called once, from the loop,
 * never from inside this call, with addresses in the system's order of preference (RFC 6724), all
 * with `port`, none twice. Where IPv4 cannot be reached but through a NAT64 its addresses come
 * first as that one writes them (RFC 7050, RFC 6052). err: BK_OK with n >= 1, BK_ERR_NOT_FOUND: no
 * such name, BK_ERR_TIMEOUT: the resolver does not answer, BK_ERR_IO. The request is gone after
 * on_done. BK_ERR_ARGUMENT: `host` is empty or longer than 253 characters. */
BK_MUST_USE enum bk_err net_resolve(struct net_loop *loop, const char *host, uint16_t port,
                                    void (*on_done)(void *ctx, enum bk_err err,
                                                    const struct bk_addr *addrs, size_t n),
                                    void *ctx, struct net_resolve **out);
/* The same for addresses of one family, whether this machine has it or not: port 0, and no NAT64 is
 * asked for. */
BK_MUST_USE enum bk_err net_resolve_family(struct net_loop *loop, enum bk_family family,
                                           const char *host,
                                           void (*on_done)(void *ctx, enum bk_err err,
                                                           const struct bk_addr *addrs, size_t n),
                                           void *ctx, struct net_resolve **out);
/* on_done will not be called. Not after on_done. NULL is fine. */
void net_resolve_cancel(struct net_resolve *r);

#endif
