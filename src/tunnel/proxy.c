/* SPDX-License-Identifier: MIT */
#include "tunnel/proxy.h"

#include "base/text.h"
#include "base/wipe.h"
#include <bodkin/addr.h>
#include <string.h>

enum { HTTP_PROXY_PORT = 80, SOCKS_PORT = 1080 /* RFC 1928 section 3 */ };

struct part {
    const char *at;
    size_t len;
};

static char lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct part trimmed(struct part p) {
    while (p.len > 0 && is_space(p.at[0]))
        p.at++, p.len--;
    while (p.len > 0 && is_space(p.at[p.len - 1]))
        p.len--;
    return p;
}

/* Takes `word`, which is in lower case, off the front. */
static bool take(struct part *p, const char *word) {
    size_t n = strlen(word);
    if (p->len < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lower(p->at[i]) != word[i])
            return false;
    p->at += n;
    p->len -= n;
    return true;
}

static const char *find(struct part p, char c) {
    return p.len == 0 ? NULL : memchr(p.at, c, p.len);
}

/* --- the URL --- */

static enum bk_err read_kind(struct part *p, struct proxy *out) {
    out->kind = PROXY_HTTP;
    out->port = HTTP_PROXY_PORT;
    if (take(p, "http://"))
        return BK_OK;
    if (take(p, "socks5://") || take(p, "socks5h://")) {
        out->kind = PROXY_SOCKS5;
        out->port = SOCKS_PORT;
        return BK_OK;
    }
    for (size_t i = 0; i + 2 < p->len; i++)
        if (memcmp(p->at + i, "://", 3) == 0)
            return BK_ERR_UNSUPPORTED;
    return BK_OK; /* a bare host */
}

static int hex_digit(char c) {
    c = lower(c);
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 section 2.1. A NUL would end the word early: refused. */
static enum bk_err read_word(struct part p, char out[PROXY_WORD_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < p.len; i++) {
        int c = (unsigned char)p.at[i];
        if (c == '%') {
            int high = i + 2 < p.len ? hex_digit(p.at[i + 1]) : -1;
            int low = i + 2 < p.len ? hex_digit(p.at[i + 2]) : -1;
            if (high < 0 || low < 0)
                return BK_ERR_MALFORMED;
            c = high << 4 | low;
            i += 2;
        }
        if (c == 0)
            return BK_ERR_MALFORMED;
        if (n + 1 == PROXY_WORD_MAX)
            return BK_ERR_TOO_LONG;
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return BK_OK;
}

/* The login ends at the last '@': passwords with a bare one in them are common. */
static enum bk_err read_login(struct part *p, struct proxy *out) {
    size_t at = p->len;
    while (at > 0 && p->at[at - 1] != '@')
        at--;
    if (at == 0)
        return BK_OK;
    struct part login = {p->at, at - 1}, password = {"", 0};
    const char *colon = find(login, ':');
    if (colon != NULL) {
        password = (struct part){colon + 1, login.len - (size_t)(colon + 1 - login.at)};
        login.len = (size_t)(colon - login.at);
    }
    out->has_login = true;
    p->at += at;
    p->len -= at;
    enum bk_err err = read_word(login, out->user);
    return err == BK_OK ? read_word(password, out->password) : err;
}

static bool is_name(struct part p) {
    for (size_t i = 0; i < p.len; i++) {
        char c = lower(p.at[i]);
        bool fits =
            (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
        if (!fits)
            return false;
    }
    return p.len > 0 && p.at[0] != '.' && p.at[0] != '-';
}

static bool parse_ip(struct part p, struct bk_ip *out) {
    char text[BK_ADDR_TEXT_MAX];
    if (p.len == 0 || p.len >= sizeof text)
        return false;
    memcpy(text, p.at, p.len);
    text[p.len] = '\0';
    return bk_ip_parse(text, out) == BK_OK;
}

static bool read_number(struct part p, uint32_t max, uint32_t *out) {
    uint32_t value = 0;
    if (p.len == 0 || p.len > 5)
        return false;
    for (size_t i = 0; i < p.len; i++) {
        if (p.at[i] < '0' || p.at[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(p.at[i] - '0');
    }
    *out = value;
    return value <= max;
}

static enum bk_err read_host(struct part *p, struct proxy *out) {
    struct part host = *p;
    struct bk_ip ip;
    bool bracket = p->len > 0 && p->at[0] == '[';
    if (bracket) {
        const char *end = find(*p, ']');
        if (end == NULL)
            return BK_ERR_MALFORMED;
        host = (struct part){p->at + 1, (size_t)(end - p->at) - 1};
    } else {
        host.len = 0;
        while (host.len < p->len && p->at[host.len] != ':' && p->at[host.len] != '/')
            host.len++;
    }
    if (host.len >= PROXY_HOST_MAX)
        return BK_ERR_TOO_LONG;
    if (bracket ? !parse_ip(host, &ip) || ip.family != BK_IPV6 : !is_name(host))
        return BK_ERR_MALFORMED;
    for (size_t i = 0; i < host.len; i++)
        out->host[i] = lower(host.at[i]);
    size_t used = host.len + (bracket ? 2 : 0);
    p->at += used;
    p->len -= used;
    return BK_OK;
}

static enum bk_err read_port(struct part *p, struct proxy *out) {
    uint32_t port;
    if (p->len > 0 && p->at[p->len - 1] == '/')
        p->len--;
    if (p->len == 0)
        return BK_OK;
    struct part digits = {p->at + 1, p->len - 1};
    if (p->at[0] != ':')
        return BK_ERR_MALFORMED;
    if (!read_number(digits, 65535, &port) || port == 0)
        return BK_ERR_ARGUMENT;
    out->port = (uint16_t)port;
    return BK_OK;
}

enum bk_err proxy_parse(const char *text, size_t len, struct proxy *out) {
    struct part p = trimmed((struct part){text, len});
    struct proxy proxy;
    memset(&proxy, 0, sizeof proxy);
    enum bk_err err = read_kind(&p, &proxy);
    if (err == BK_OK)
        err = read_login(&p, &proxy);
    if (err == BK_OK)
        err = read_host(&p, &proxy);
    if (err == BK_OK)
        err = read_port(&p, &proxy);
    if (err == BK_OK)
        *out = proxy;
    wipe(&proxy, sizeof proxy);
    return err;
}

char *proxy_format(const struct proxy *p, char *out) {
    struct text t = text_in(out, PROXY_TEXT_MAX);
    bool bracket = strchr(p->host, ':') != NULL;
    text_str(&t, p->kind == PROXY_SOCKS5 ? "socks5://" : "http://");
    text_str(&t, bracket ? "[" : "");
    text_str(&t, p->host);
    text_str(&t, bracket ? "]:" : ":");
    text_u64(&t, p->port);
    return out;
}

void proxy_fini(struct proxy *p) {
    wipe(p, sizeof *p);
}

/* --- who goes without --- */

static bool same(struct part a, struct part b) {
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (lower(a.at[i]) != lower(b.at[i]))
            return false;
    return true;
}

/* Is `host` this name or one below it? */
static bool is_below(struct part host, struct part name) {
    if (name.len > 0 && name.at[0] == '.')
        name.at++, name.len--;
    if (name.len == 0 || host.len < name.len)
        return false;
    struct part tail = {host.at + (host.len - name.len), name.len};
    return same(tail, name) && (tail.at == host.at || tail.at[-1] == '.');
}

static bool share_bits(const struct bk_ip *a, const struct bk_ip *b, uint32_t bits) {
    const size_t whole = bits / 8;
    const uint8_t mask = (uint8_t)(0xff00u >> bits % 8);
    if (a->family != b->family || bits > (a->family == BK_IPV4 ? 32u : 128u))
        return false;
    return memcmp(a->bytes, b->bytes, whole) == 0 &&
           (bits % 8 == 0 || ((a->bytes[whole] ^ b->bytes[whole]) & mask) == 0);
}

static bool entry_is_ip(struct part entry, const struct bk_ip *ip) {
    struct bk_ip net;
    uint32_t bits = ip->family == BK_IPV4 ? 32 : 128;
    const char *slash = find(entry, '/');
    if (slash != NULL) {
        struct part digits = {slash + 1, entry.len - (size_t)(slash + 1 - entry.at)};
        entry.len = (size_t)(slash - entry.at);
        if (!read_number(digits, 128, &bits))
            return false;
    }
    return parse_ip(entry, &net) && share_bits(&net, ip, bits);
}

/* Takes ":PORT" off the end, and brackets off an IPv6 address. false: not for this port. */
static bool entry_port_fits(struct part *entry, uint16_t port) {
    const char *end = entry->len > 0 && entry->at[0] == '[' ? find(*entry, ']') : NULL;
    const char *colon = end != NULL ? end + 1 : find(*entry, ':');
    uint32_t only = port;
    if (colon != NULL && colon < entry->at + entry->len && *colon == ':') {
        struct part digits = {colon + 1, entry->len - (size_t)(colon + 1 - entry->at)};
        if (end != NULL || find(digits, ':') == NULL) { /* else: an IPv6 address without brackets */
            if (!read_number(digits, 65535, &only))
                return false;
            entry->len = (size_t)(colon - entry->at);
        }
    }
    if (end != NULL) {
        entry->at++;
        entry->len = (size_t)(end - entry->at);
    }
    return only == port;
}

static bool entry_names(struct part entry, const char *host, uint16_t port) {
    struct part name = {host, strlen(host)};
    struct bk_ip ip;
    if (entry.len == 1 && entry.at[0] == '*')
        return true;
    if (!entry_port_fits(&entry, port))
        return false;
    return parse_ip(name, &ip) ? entry_is_ip(entry, &ip) : is_below(name, entry);
}

bool proxy_is_bypassed(const char *list, const char *host, uint16_t port) {
    while (*list != '\0') {
        size_t len = strcspn(list, ", \t\r\n");
        if (len > 0 && entry_names((struct part){list, len}, host, port))
            return true;
        list += len;
        list += *list != '\0';
    }
    return false;
}
