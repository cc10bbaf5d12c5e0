/* SPDX-License-Identifier: MIT
 * SOCKS5: RFC 1928, with the login of RFC 1929. */
#include "tunnel/tunnel_int.h"

#include "base/assert.h"
#include <bodkin/addr.h>
#include <string.h>

enum {
    SOCKS_VERSION = 5,
    METHOD_OPEN = 0,
    METHOD_LOGIN = 2,
    LOGIN_VERSION = 1,
    COMMAND_CONNECT = 1,
    TYPE_IPV4 = 1,
    TYPE_NAME = 3,
    TYPE_IPV6 = 4
};

static void put(struct tunnel *t, uint8_t byte) {
    bk_assert(t->out_len < sizeof t->out);
    t->out[t->out_len++] = byte;
}

static void put_bytes(struct tunnel *t, const void *bytes, size_t len) {
    bk_assert(len <= sizeof t->out - t->out_len);
    memcpy(t->out + t->out_len, bytes, len);
    t->out_len += len;
}

/* One byte of length and the word. */
static void put_word(struct tunnel *t, const char *word) {
    size_t len = strlen(word);
    put(t, (uint8_t)len);
    put_bytes(t, word, len);
}

void tunnel_start_socks(struct tunnel *t) {
    put(t, SOCKS_VERSION);
    put(t, t->proxy->has_login ? 2 : 1);
    put(t, METHOD_OPEN);
    if (t->proxy->has_login)
        put(t, METHOD_LOGIN);
    t->state = TUNNEL_SOCKS_METHOD;
}

/* RFC 1928 section 4. Names are the proxy's to look up: there may be no DNS here. */
static enum bk_err ask(struct tunnel *t) {
    struct bk_ip ip;
    put(t, SOCKS_VERSION);
    put(t, COMMAND_CONNECT);
    put(t, 0);
    if (bk_ip_parse(t->host, &ip) == BK_OK) {
        put(t, ip.family == BK_IPV4 ? TYPE_IPV4 : TYPE_IPV6);
        put_bytes(t, ip.bytes, ip.family == BK_IPV4 ? 4 : 16);
    } else {
        put(t, TYPE_NAME);
        put_word(t, t->host);
    }
    put(t, (uint8_t)(t->port >> 8));
    put(t, (uint8_t)t->port);
    t->state = TUNNEL_SOCKS_REPLY;
    return BK_ERR_SHORT;
}

static enum bk_err take_method(struct tunnel *t) {
    if (t->in[1] == METHOD_OPEN)
        return ask(t);
    if (t->in[1] == METHOD_LOGIN && t->proxy->has_login) {
        put(t, LOGIN_VERSION); /* RFC 1929 section 2 */
        put_word(t, t->proxy->user);
        put_word(t, t->proxy->password);
        t->state = TUNNEL_SOCKS_LOGIN;
        return BK_ERR_SHORT;
    }
    if (t->proxy->has_login)
        return tunnel_fail(t, BK_ERR_UNSUPPORTED,
                           "wants a login of a kind that is not known here (only user name and "
                           "password are)",
                           false);
    return tunnel_fail(t, BK_ERR_AUTH,
                       "wants a user name and a password: give them in its URL, "
                       "socks5://USER:PASSWORD@HOST:PORT",
                       false);
}

static enum bk_err take_login(struct tunnel *t) {
    if (t->in[1] == 0)
        return ask(t);
    return tunnel_fail(t, BK_ERR_AUTH, "refused the user name or the password", false);
}

/* RFC 1928 section 6. */
static enum bk_err take_reply(struct tunnel *t) {
    static const struct {
        uint8_t reply;
        enum bk_err err;
        const char *what;
    } replies[] = {
        {2, BK_ERR_REFUSED, "forbids connections to "},
        {3, BK_ERR_UNREACHABLE, "has no network to reach "},
        {4, BK_ERR_UNREACHABLE, "cannot reach "},
        {5, BK_ERR_REFUSED, "was refused the connection to "},
        {6, BK_ERR_UNREACHABLE, "cannot reach in time "},
        {7, BK_ERR_UNSUPPORTED, "does not pass connections on to "},
        {8, BK_ERR_UNSUPPORTED, "does not know this kind of address: "},
    };
    uint8_t reply = t->in[1];
    if (reply == 0) {
        t->state = TUNNEL_OPEN;
        return BK_OK;
    }
    t->refused = true;
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++)
        if (replies[i].reply == reply)
            return tunnel_fail(t, replies[i].err, replies[i].what, true);
    return tunnel_fail(t, BK_ERR_REFUSED, "failed to connect to ", true);
}

/* How long the message that is being read is, as far as what is there tells. */
static size_t message_len(const struct tunnel *t) {
    if (t->state != TUNNEL_SOCKS_REPLY)
        return 2;
    if (t->in_len < 5)
        return 5;
    if (t->in[1] != 0)
        return 5; /* a failure: its address says nothing */
    switch (t->in[3]) {
    case TYPE_IPV4:
        return 6 + 4;
    case TYPE_IPV6:
        return 6 + 16;
    case TYPE_NAME:
        return 6 + 1 + (size_t)t->in[4];
    default:
        return 0;
    }
}

static enum bk_err take_message(struct tunnel *t) {
    uint8_t version = t->state == TUNNEL_SOCKS_LOGIN ? LOGIN_VERSION : SOCKS_VERSION;
    t->in_len = 0;
    if (t->in[0] != version)
        return tunnel_fail(t, BK_ERR_MALFORMED,
                           "does not speak SOCKS5: something else listens there", false);
    if (t->state == TUNNEL_SOCKS_METHOD)
        return take_method(t);
    return t->state == TUNNEL_SOCKS_LOGIN ? take_login(t) : take_reply(t);
}

enum bk_err tunnel_recv_socks(struct tunnel *t, const uint8_t *data, size_t len, size_t *used) {
    size_t at = 0;
    enum bk_err err = BK_ERR_SHORT;
    while (err == BK_ERR_SHORT && at < len) {
        t->in[t->in_len++] = data[at++];
        size_t whole = message_len(t);
        if (whole == 0)
            err =
                tunnel_fail(t, BK_ERR_MALFORMED, "answers with an address of no known kind", false);
        else if (t->in_len == whole)
            err = take_message(t);
    }
    *used = at;
    return err;
}
