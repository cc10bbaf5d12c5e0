/* SPDX-License-Identifier: MIT
 * libuv asks the resolver on a thread of its own. A request answers in two steps: the answer is
 * kept, and told by a deferred call, so that also an address as text never answers at once. */
#define _GNU_SOURCE /* NOLINT: struct addrinfo needs it */
#include "net/resolve.h"

#include "net/loop_private.h"
#include "net/sockaddr.h"
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
    bool asking; /* libuv still holds the request: it must not be freed */
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
    net_defer(&r->tell);
}

enum bk_err net_resolve(struct net_loop *loop, const char *host, uint16_t port,
                        void (*on_done)(void *ctx, enum bk_err err, const struct bk_addr *addrs,
                                        size_t n),
                        void *ctx, struct net_resolve **out) {
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct bk_ip ip;
    size_t len = strlen(host);
    if (len == 0 || len > HOST_MAX)
        return BK_ERR_ARGUMENT;
    struct net_resolve *r = loop_get(loop, sizeof *r);
    if (r == NULL)
        return BK_ERR_NO_MEMORY;
    r->loop = loop;
    r->on_done = on_done;
    r->ctx = ctx;
    r->port = port;
    r->request.data = r;
    net_deferred_init(&r->tell, loop, on_tell, r);
    if (bk_ip_parse(host, &ip) == BK_OK) {
        r->addrs[r->count++] = bk_addr(ip, port);
        net_defer(&r->tell);
    } else if (uv_getaddrinfo(loop->uv, &r->request, on_answer, host, NULL, &hints) == 0) {
        r->asking = true;
    } else {
        r->err = BK_ERR_IO;
        net_defer(&r->tell);
    }
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
