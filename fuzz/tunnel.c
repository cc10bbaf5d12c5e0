/* SPDX-License-Identifier: MIT
 * links: tunnel
 * What a proxy or a captive portal answers, whole and in pieces: the same result, a sentence for
 * every failure, and a request that still fits after every challenge. The first byte chooses who
 * answers and the size of the pieces; URLs and lists of exceptions are read as well. */
#include "tunnel/tunnel.h"
#include "base/assert.h"
#include "fuzz/fuzz.h"
#include "tunnel/portal.h"

#include <string.h>

static void fill(void *ctx, void *out, size_t len) {
    (void)ctx;
    memset(out, 7, len);
}
static const struct bk_rng rng = {fill, NULL};

static enum bk_err feed(struct tunnel *t, const uint8_t *data, size_t len, size_t step,
                        size_t *total) {
    enum bk_err err = BK_ERR_SHORT;
    const uint8_t *out;
    *total = 0;
    while (err == BK_ERR_SHORT && *total < len) {
        size_t used = 0, n = len - *total < step ? len - *total : step;
        bk_assert(tunnel_next(t, &out) <= TUNNEL_OUT_MAX);
        err = tunnel_recv(t, data + *total, n, &used);
        bk_assert(used <= n && (err != BK_ERR_SHORT || used == n));
        *total += used;
    }
    bool failed = err != BK_OK && err != BK_ERR_SHORT;
    bk_assert(failed == (t->reason[0] != '\0'));
    return err;
}

static void proxy(const char *url, const uint8_t *data, size_t len, size_t step) {
    static struct tunnel whole, parts;
    struct tunnel_memory memory_a = {0}, memory_b = {0};
    struct proxy p;
    size_t a, b;
    bk_assert(proxy_parse(url, strlen(url), &p) == BK_OK);
    for (int round = 0; round < 3; round++) {
        bk_assert(tunnel_init(&whole, &p, &memory_a, "home.example", 443, &rng) == BK_OK);
        bk_assert(tunnel_init(&parts, &p, &memory_b, "home.example", 443, &rng) == BK_OK);
        enum bk_err err = feed(&whole, data, len, len + 1, &a);
        bk_assert(err == feed(&parts, data, len, step, &b));
        bk_assert(strcmp(whole.reason, parts.reason) == 0 && whole.again == parts.again);
        if (err == BK_OK)
            bk_assert(a == b);
        if (!whole.again)
            return;
    }
}

static void portal(const uint8_t *data, size_t len, size_t step) {
    struct portal p;
    char request[PORTAL_REQUEST_MAX];
    enum portal_verdict verdict = PORTAL_UNKNOWN;
    enum bk_err err = BK_ERR_SHORT;
    (void)portal_init(&p, "home.example", &rng, request);
    for (size_t at = 0; err == BK_ERR_SHORT && at < len; at += step)
        err = portal_recv(&p, data + at, len - at < step ? len - at : step, &verdict);
    if (verdict == PORTAL_THERE)
        for (const char *c = p.url; *c != '\0'; c++)
            bk_assert(*c > ' ' && *c < 0x7f);
}

static void words(const uint8_t *data, size_t len) {
    char text[1024], out[PROXY_TEXT_MAX];
    struct proxy p;
    if (len >= sizeof text)
        return;
    memcpy(text, data, len);
    text[len] = '\0';
    if (proxy_parse(text, len, &p) == BK_OK) {
        struct proxy again;
        proxy_format(&p, out);
        bk_assert(proxy_parse(out, strlen(out), &again) == BK_OK && again.port == p.port &&
                  again.kind == p.kind && strcmp(again.host, p.host) == 0);
    }
    (void)proxy_is_bypassed(text, "home.example", 443);
    (void)proxy_is_bypassed(text, "10.1.2.3", 443);
    (void)proxy_is_bypassed(text, "2001:db8::1", 443);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 1)
        return 0;
    size_t step = 1 + (size_t)(data[0] >> 3);
    switch (data[0] & 7) {
    case 0:
    case 1:
        proxy("http://user:word@proxy:3128", data + 1, len - 1, step);
        break;
    case 2:
        proxy("http://proxy:3128", data + 1, len - 1, step);
        break;
    case 3:
        proxy("socks5://user:word@proxy", data + 1, len - 1, step);
        break;
    case 4:
        proxy("socks5://proxy", data + 1, len - 1, step);
        break;
    case 5:
        words(data + 1, len - 1);
        break;
    default:
        portal(data + 1, len - 1, step);
    }
    return 0;
}
