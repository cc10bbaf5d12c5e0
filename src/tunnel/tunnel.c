/* SPDX-License-Identifier: MIT */
#include "tunnel/tunnel_int.h"

#include "base/assert.h"
#include "base/text.h"
#include "base/wipe.h"
#include <string.h>

void tunnel_put_target(struct text *out, const char *host, uint16_t port) {
    bool bracket = strchr(host, ':') != NULL;
    text_str(out, bracket ? "[" : "");
    text_str(out, host);
    text_str(out, bracket ? "]:" : ":");
    text_u64(out, port);
}

enum bk_err tunnel_fail(struct tunnel *t, enum bk_err err, const char *what, bool name_target) {
    struct text text = text_in(t->reason, sizeof t->reason);
    text_str(&text, "the proxy ");
    tunnel_put_target(&text, t->proxy->host, t->proxy->port);
    text_char(&text, ' ');
    text_str(&text, what);
    if (name_target)
        tunnel_put_target(&text, t->host, t->port);
    t->state = TUNNEL_FAILED;
    return err;
}

enum bk_err tunnel_init(struct tunnel *t, const struct proxy *proxy, struct tunnel_memory *memory,
                        const char *host, uint16_t port, const struct bk_rng *rng) {
    size_t len = strlen(host);
    if (len >= PROXY_HOST_MAX)
        return BK_ERR_TOO_LONG;
    memset(t, 0, sizeof *t);
    t->proxy = proxy;
    t->memory = memory;
    t->rng = *rng;
    memcpy(t->host, host, len + 1);
    t->port = port;
    if (proxy->kind == PROXY_SOCKS5)
        tunnel_start_socks(t);
    else
        tunnel_start_http(t);
    return BK_OK;
}

size_t tunnel_next(struct tunnel *t, const uint8_t **out) {
    size_t len = t->out_len;
    t->out_len = 0;
    *out = t->out;
    return len;
}

enum bk_err tunnel_recv(struct tunnel *t, const uint8_t *data, size_t len, size_t *used) {
    *used = 0;
    switch (t->state) {
    case TUNNEL_HTTP:
        return tunnel_recv_http(t, data, len, used);
    case TUNNEL_SOCKS_METHOD:
    case TUNNEL_SOCKS_LOGIN:
    case TUNNEL_SOCKS_REPLY:
        return tunnel_recv_socks(t, data, len, used);
    case TUNNEL_OPEN:
    case TUNNEL_FAILED:
        return BK_ERR_STATE;
    }
    return BK_ERR_STATE;
}

void tunnel_fini(struct tunnel *t) {
    wipe(t, sizeof *t);
}
