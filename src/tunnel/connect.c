/* SPDX-License-Identifier: MIT
 * CONNECT: RFC 9110 section 9.3.6. A 407 ends the connection for us, whatever the proxy does with
 * it: the login goes out on a new one, so no body of an error page has to be read. */
#include "tunnel/tunnel_int.h"

#include "base/assert.h"
#include <string.h>

static void on_header(void *ctx, const char *name, const char *value) {
    struct tunnel *t = ctx;
    if (strcmp(name, "proxy-authenticate") == 0)
        login_challenge(&t->asked, value);
}

void tunnel_start_http(struct tunnel *t) {
    char target[PROXY_HOST_MAX + 16];
    struct text word = text_in(target, sizeof target);
    struct text out = text_in((char *)t->out, sizeof t->out);
    struct login *login = &t->memory->login;
    tunnel_put_target(&word, t->host, t->port);
    text_str(&out, "CONNECT ");
    text_str(&out, target);
    text_str(&out, " HTTP/1.1\r\nHost: "); /* RFC 9112 section 3.2: the same as the target */
    text_str(&out, target);
    text_str(&out, "\r\nUser-Agent: bodkin\r\n");
    if (t->proxy->has_login) {
        login_put(login, t->proxy, target, &t->rng, &out);
        t->logged_in = login->scheme >= LOGIN_BASIC;
    }
    text_str(&out, "\r\n");
    bk_assert(!out.cut);
    t->out_len = out.len;
    t->state = TUNNEL_HTTP;
    answer_init(&t->answer, on_header, t);
}

/* Also 401, which is an origin server's word, but what tinyproxy says of a wrong password. */
static enum bk_err login_refused(struct tunnel *t) {
    t->memory->login = (struct login){.scheme = LOGIN_NONE};
    return tunnel_fail(t, BK_ERR_AUTH, "refused the user name or the password", false);
}

/* 407: RFC 9110 section 15.5.8. */
static enum bk_err wants_login(struct tunnel *t) {
    bool known = t->asked.scheme >= LOGIN_BASIC;
    /* RFC 7616 section 3.3: `stale` means that only the nonce was wrong. */
    bool news = !t->logged_in || t->asked.stale || t->asked.scheme != t->memory->login.scheme;
    if (!t->proxy->has_login)
        return tunnel_fail(t, BK_ERR_AUTH,
                           "wants a user name and a password: give them in its URL, "
                           "http://USER:PASSWORD@HOST:PORT",
                           false);
    if (!known)
        return tunnel_fail(t, BK_ERR_UNSUPPORTED,
                           "wants a login of a kind that is not known here (only Basic and Digest "
                           "are)",
                           false);
    if (!news)
        return login_refused(t);
    t->memory->login = t->asked;
    t->again = true;
    return tunnel_fail(t, BK_ERR_AUTH, "wants a login", false);
}

static enum bk_err other_status(struct tunnel *t, unsigned status) {
    char what[64];
    struct text text = text_in(what, sizeof what);
    text_str(&text, "answered with status ");
    text_u64(&text, status);
    text_str(&text, " when asked for ");
    return tunnel_fail(t, BK_ERR_REFUSED, what, true);
}

static enum bk_err judge(struct tunnel *t) {
    unsigned status = t->answer.status;
    if (status >= 200 && status < 300) { /* RFC 9110 section 9.3.6: any of them */
        t->state = TUNNEL_OPEN;
        return BK_OK;
    }
    if (status == 407)
        return wants_login(t);
    if (status == 401 && t->logged_in)
        return login_refused(t);
    t->refused = true;
    switch (status) {
    case 401:
    case 403:
    case 451:
        return tunnel_fail(t, BK_ERR_REFUSED, "forbids connections to ", true);
    case 502:
    case 503:
    case 504:
        return tunnel_fail(t, BK_ERR_UNREACHABLE, "cannot reach ", true);
    case 400:
    case 405:
    case 501:
        return tunnel_fail(t, BK_ERR_UNSUPPORTED, "does not pass connections on (no CONNECT) to ",
                           true);
    default:
        return other_status(t, status);
    }
}

enum bk_err tunnel_recv_http(struct tunnel *t, const uint8_t *data, size_t len, size_t *used) {
    enum bk_err err = answer_recv(&t->answer, data, len, used);
    if (err == BK_OK)
        return judge(t);
    if (err == BK_ERR_SHORT)
        return err;
    return tunnel_fail(t, err,
                       err == BK_ERR_TOO_LONG ? "sends an endless answer"
                                              : "does not speak HTTP: something else listens there",
                       false);
}
