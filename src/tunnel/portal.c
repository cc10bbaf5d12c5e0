/* SPDX-License-Identifier: MIT */
#include "tunnel/portal.h"

#include "base/assert.h"
#include "base/rng.h"
#include <string.h>

static void put_host(struct text *out, const char *host) {
    bool bracket = strchr(host, ':') != NULL;
    text_str(out, bracket ? "[" : "");
    text_str(out, host);
    text_str(out, bracket ? "]" : "");
}

/* Scheme, host and path, without the query: that may be long, and any page leads to the portal. A
 * terminal shows it, so it is cut at the first letter a URL cannot have (RFC 3986 section 2). */
static void keep_location(struct portal *p, const char *value) {
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                  "-._~:/[]@!$&'()*+,;=%";
    size_t len = strspn(value, letters);
    if (strncmp(value, "http://", 7) != 0 && strncmp(value, "https://", 8) != 0)
        return;
    if (len >= sizeof p->location)
        len = strcspn(value + 8, "/?#") + 8; /* the host alone */
    if (len >= sizeof p->location)
        return;
    memcpy(p->location, value, len);
    p->location[len] = '\0';
}

/* The two that Go's clients and servers agreed upon. */
static void on_header(void *ctx, const char *name, const char *value) {
    static const char prefix[] = "response ";
    struct portal *p = ctx;
    if (strcmp(name, "location") == 0)
        keep_location(p, value);
    else if (strcmp(name, "x-tailscale-response") == 0)
        p->answered = strncmp(value, prefix, sizeof prefix - 1) == 0 &&
                      strcmp(value + sizeof prefix - 1, p->challenge) == 0;
}

size_t portal_init(struct portal *p, const char *host, const struct bk_rng *rng, char *request) {
    uint8_t random[PORTAL_CHALLENGE_LEN / 2];
    size_t len = strlen(host);
    bk_assert(len < sizeof p->host);
    memset(p, 0, sizeof *p);
    memcpy(p->host, host, len + 1);
    rng_fill(rng, random, sizeof random);
    struct text t = text_in(p->challenge, sizeof p->challenge);
    text_hex(&t, random, sizeof random);
    t = text_in(request, PORTAL_REQUEST_MAX);
    text_str(&t, "GET /generate_204 HTTP/1.1\r\nHost: ");
    put_host(&t, host);
    text_str(&t, "\r\nUser-Agent: bodkin\r\nConnection: close\r\nX-Tailscale-Challenge: ");
    text_str(&t, p->challenge);
    text_str(&t, "\r\n\r\n");
    bk_assert(!t.cut);
    answer_init(&p->answer, on_header, p);
    return t.len;
}

/* Does the redirection stay on the home's own name? Web servers send http to https like that. */
static bool stays(const struct portal *p) {
    char own[300];
    struct text t = text_in(own, sizeof own);
    const char *at = strstr(p->location, "://") + 3;
    put_host(&t, p->host);
    return strncmp(at, own, t.len) == 0 && (at[t.len] == '\0' || strchr("/:", at[t.len]) != NULL);
}

static enum portal_verdict judge(struct portal *p) {
    unsigned status = p->answer.status;
    bool redirect =
        status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
    struct text url = text_in(p->url, sizeof p->url);
    if (p->answered)
        return PORTAL_NONE;
    if (redirect && p->location[0] != '\0' && !stays(p)) {
        text_str(&url, p->location);
        return PORTAL_THERE;
    }
    /* RFC 6585 section 6: 511 says it outright. 200 is a page, where a relay has none. */
    if (status != 511 && status != 200)
        return PORTAL_UNKNOWN;
    text_str(&url, "http://");
    put_host(&url, p->host);
    text_str(&url, "/");
    return PORTAL_THERE;
}

enum bk_err portal_recv(struct portal *p, const uint8_t *data, size_t len,
                        enum portal_verdict *verdict) {
    size_t used = 0;
    enum bk_err err = answer_recv(&p->answer, data, len, &used);
    if (err == BK_OK)
        *verdict = judge(p);
    return err;
}
