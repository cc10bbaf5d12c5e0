/* SPDX-License-Identifier: MIT
 * libuv asks the resolver on a thread of its own. A request answers in two steps: the answer is
 * kept, and told by a deferred call, so that also an address as text never answers at once. */
#define _GNU_SOURCE /* NOLINT: struct addrinfo needs it */
#include "net/resolve.h"

#include "net/interfaces.h"
#include "net/loop_private.h"
#include "net/sockaddr.h"
#include "wire/nat64.h"
#include <netdb.h>
#include <string.h>

enum { HOST_MAX = 253 };

struct net_resolve {
    uv_getaddrinfo_t request;
    struct net_loop *loop;
    struct net_deferred tell;
    void (*on_done)(void *ctx, enum bk_err err, const struct bk_addr *addrs, size_t n);
    void *ctx;
    enum bk_err err;
    size_t count;
    struct bk_addr addrs[NET_RESOLVE_MAX];
    uint16_t port;
    enum bk_family family; /* NONE: whatever this machine can reach */
    bool asking;           /* libuv still holds the request: it must not be freed */
    bool cancelled;
};

static void on_tell(void *ctx) {
    struct net_resolve *r = ctx;
    if (!r->cancelled)
        r->on_done(r->ctx, r->err, r->addrs, r->count);
    loop_put(r->loop, r);
}

static bool known(const struct net_resolve *r, const struct bk_addr *addr) {
    for (size_t i = 0; i < r->count; i++)
        if (bk_addr_equal(&r->addrs[i], addr))
            return true;
    return false;
}

static void keep(struct net_resolve *r, const struct addrinfo *info) {
    union net_sockaddr sa;
    struct bk_addr addr;
    if (info->ai_addrlen > sizeof sa)
        return;
    memcpy(&sa, info->ai_addr, info->ai_addrlen);
    sockaddr_to(&sa, &addr);
    addr.port = r->port;
    if (addr.ip.family != BK_FAMILY_NONE && r->count < NET_RESOLVE_MAX && !known(r, &addr))
        r->addrs[r->count++] = addr;
}

/* --- where there is no IPv4 --- */

/* IPv4 addresses only, and no way to reach them: on an IPv6-only network they are behind a NAT64.
 */
static bool needs_nat64(const struct net_resolve *r) {
    struct bk_ip source;
    if (r->family != BK_FAMILY_NONE)
        return false;
    for (size_t i = 0; i < r->count; i++)
        if (r->addrs[i].ip.family == BK_IPV6)
            return false;
    return r->count > 0 && net_source_for(&r->addrs[0], &source) != BK_OK;
}

/* Each address twice: first as the NAT64 knows it, then, in case there is none after all, itself.
 */
static void translate(struct net_resolve *r, const struct nat64_prefix *prefix) {
    struct bk_addr made[NET_RESOLVE_MAX] = {{.port = 0}};
    size_t n = 0;
    for (size_t i = 0; i < r->count; i++) {
        struct bk_addr addr = {.port = r->addrs[i].port};
        if (nat64_embed(prefix, &r->addrs[i].ip, &addr.ip))
            made[n++] = addr;
    }
    for (size_t i = 0; i < r->count && n < NET_RESOLVE_MAX; i++)
        made[n++] = r->addrs[i];
    memcpy(r->addrs, made, n * sizeof *made);
    r->count = n;
}

static void on_prefix(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct net_resolve *r = request->data;
    struct nat64_prefix prefix = {.len = 0};
    r->asking = false;
    for (const struct addrinfo *i = list; status == 0 && i != NULL && prefix.len == 0;
         i = i->ai_next) {
        union net_sockaddr sa = {.v6 = {.sin6_family = 0}};
        struct bk_addr addr;
        memcpy(&sa, i->ai_addr, i->ai_addrlen < sizeof sa ? i->ai_addrlen : sizeof sa);
        sockaddr_to(&sa, &addr);
        (void)nat64_find(&addr.ip, &prefix);
    }
    uv_freeaddrinfo(list);
    translate(r, &prefix);
    net_defer(&r->tell);
}

static struct addrinfo hints_for(enum bk_family family) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (family == BK_FAMILY_NONE)
        hints.ai_flags = AI_ADDRCONFIG;
    else
        hints.ai_family = family == BK_IPV6 ? AF_INET6 : AF_INET;
    return hints;
}

/* RFC 7050 section 3. */
static bool ask_for_prefix(struct net_resolve *r) {
    const struct addrinfo hints = hints_for(BK_IPV6);
    r->asking = !r->cancelled && needs_nat64(r) &&
                uv_getaddrinfo(r->loop->uv, &r->request, on_prefix, NAT64_NAME, NULL, &hints) == 0;
    return r->asking;
}

/* --- the answer --- */

static void on_answer(uv_getaddrinfo_t *request, int status, struct addrinfo *list) {
    struct net_resolve *r = request->data;
    r->asking = false;
    for (const struct addrinfo *info = list; status == 0 && info != NULL; info = info->ai_next)
        keep(r, info);
    uv_freeaddrinfo(list);
    if (r->count > 0)
        r->err = BK_OK;
    else if (status == UV_EAI_AGAIN)
        r->err = BK_ERR_TIMEOUT;
    else if (status == 0 || status == UV_EAI_NONAME || status == UV_EAI_NODATA)
        r->err = BK_ERR_NOT_FOUND;
    else
        r->err = BK_ERR_IO;
    if (!ask_for_prefix(r))
        net_defer(&r->tell);
}

static enum bk_err make(struct net_loop *loop,
                        void (*on_done)(void *ctx, enum bk_err err, const struct bk_addr *addrs,
                                        size_t n),
                        void *ctx, struct net_resolve **out) {
    struct net_resolve *r = loop_get(loop, sizeof *r);
    if (r == NULL)
        return BK_ERR_NO_MEMORY;
    r->loop = loop;
    r->on_done = on_done;
    r->ctx = ctx;
    r->request.data = r;
    net_deferred_init(&r->tell, loop, on_tell, r);
    *out = r;
    return BK_OK;
}

static bool is_name(const char *host) {
    size_t len = strlen(host);
    return len > 0 && len <= HOST_MAX;
}

static void ask(struct net_resolve *r, const char *host) {
    const struct addrinfo hints = hints_for(r->family);
    struct bk_ip ip;
    if (bk_ip_parse(host, &ip) == BK_OK) {
        r->addrs[r->count++] = bk_addr(ip, r->port);
        if (!ask_for_prefix(r))
            net_defer(&r->tell);
    } else if (uv_getaddrinfo(r->loop->uv, &r->request, on_answer, host, NULL, &hints) == 0) {
        r->asking = true;
    } else {
        r->err = BK_ERR_IO;
        net_defer(&r->tell);
    }
}

enum bk_err net_resolve(struct net_loop *loop, const char *host, uint16_t port,
                        void (*on_done)(void *ctx, enum bk_err err, const struct bk_addr *addrs,
                                        size_t n),
                        void *ctx, struct net_resolve **out) {
    struct net_resolve *r;
    enum bk_err err = is_name(host) ? make(loop, on_done, ctx, &r) : BK_ERR_ARGUMENT;
    if (err != BK_OK)
        return err;
    r->port = port;
    ask(r, host);
    *out = r;
    return BK_OK;
}

enum bk_err net_resolve_family(struct net_loop *loop, enum bk_family family, const char *host,
                               void (*on_done)(void *ctx, enum bk_err err,
                                               const struct bk_addr *addrs, size_t n),
                               void *ctx, struct net_resolve **out) {
    struct net_resolve *r;
    enum bk_err err = is_name(host) ? make(loop, on_done, ctx, &r) : BK_ERR_ARGUMENT;
    if (err != BK_OK)
        return err;
    r->family = family;
    ask(r, host);
    *out = r;
    return BK_OK;
}

void net_resolve_cancel(struct net_resolve *r) {
    if (r == NULL)
        return;
    r->cancelled = true; /* freed by on_tell, which follows on_answer if that is still to come */
    if (r->asking)
        (void)uv_cancel((uv_req_t *)&r->request);
}
