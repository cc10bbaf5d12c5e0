/* SPDX-License-Identifier: MIT */
#include <base/text.h>
#include <bodkin/addr.h>
#include <peer/home_url.h>
#include <peer/scan.h>
#include <string.h>

enum {
    PIN_LETTERS = 43, /* base64url of 32 bytes without padding */
    HTTPS_PORT = 443,
    HTTP_PORT = 80,
    STUN_PORT = 3478
};

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool is_name_letter(char c) {
    c = scan_lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool is_name(const char *host, size_t len) {
    if (len == 0 || host[0] == '.' || host[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!is_name_letter(host[i]) || (i > 0 && host[i] == '.' && host[i - 1] == '.'))
            return false;
    return true;
}

static bool is_ipv6(const char *host, size_t len) {
    char text[BK_ADDR_TEXT_MAX];
    struct bk_ip ip;
    if (len >= sizeof text)
        return false;
    memcpy(text, host, len);
    text[len] = '\0';
    return memchr(text, ':', len) != NULL && bk_ip_parse(text, &ip) == BK_OK &&
           ip.family == BK_IPV6;
}

bool home_host_is_valid(const char *host, size_t len) {
    return len < HOME_HOST_MAX && (is_name(host, len) || is_ipv6(host, len));
}

static enum bk_err read_scheme(struct scan *s, struct home *h) {
    if (scan_take(s, "https://"))
        return BK_OK;
    h->plain = scan_take(s, "http://");
    if (h->plain)
        return BK_OK;
    for (size_t i = 0; i + 2 < s->left; i++)
        if (memcmp(s->at + i, "://", 3) == 0)
            return BK_ERR_NOT_OURS;
    return BK_OK; /* a bare host */
}

static enum bk_err read_host(struct scan *s, struct home *h) {
    bool bracket = scan_take(s, "[");
    size_t n = 0;
    while (n < s->left && (bracket ? s->at[n] != ']' : is_name_letter(s->at[n])))
        n++;
    if (n >= HOME_HOST_MAX)
        return BK_ERR_TOO_LONG;
    if (bracket ? n == s->left || !is_ipv6(s->at, n) : !is_name(s->at, n))
        return BK_ERR_MALFORMED;
    for (size_t i = 0; i < n; i++)
        h->host[i] = scan_lower(s->at[i]);
    h->host[n] = '\0';
    scan_skip(s, bracket ? n + 1 : n);
    return BK_OK;
}

static enum bk_err read_port(struct scan *s, uint16_t least, uint16_t *out) {
    uint32_t value = 0;
    size_t digits = 0;
    for (; s->left > 0 && s->at[0] >= '0' && s->at[0] <= '9'; scan_skip(s, 1)) {
        value = value * 10 + (uint32_t)(s->at[0] - '0');
        if (++digits > 5)
            return BK_ERR_ARGUMENT;
    }
    if (digits == 0 || value < least || value > 65535)
        return BK_ERR_ARGUMENT;
    *out = (uint16_t)value;
    return BK_OK;
}

static enum bk_err read_pin(struct scan *s, struct home *h) {
    uint32_t bits = 0;
    unsigned held = 0;
    size_t n = 0;
    if (s->left != PIN_LETTERS)
        return BK_ERR_AUTH;
    for (size_t i = 0; i < PIN_LETTERS; i++) {
        const char *at = s->at[i] == '\0' ? NULL : strchr(base64url, s->at[i]);
        if (at == NULL)
            return BK_ERR_AUTH;
        bits = (bits << 6 | (uint32_t)(at - base64url)) & 0xffff;
        held += 6;
        if (held >= 8) {
            held -= 8;
            h->pin[n++] = (uint8_t)(bits >> held);
        }
    }
    if ((bits & ((1u << held) - 1)) != 0)
        return BK_ERR_AUTH; /* one text per pin */
    h->has_pin = true;
    scan_skip(s, PIN_LETTERS);
    return BK_OK;
}

static enum bk_err read_rest(struct scan *s, struct home *h) {
    enum bk_err e = BK_OK;
    if (scan_take(s, ":"))
        e = read_port(s, 1, &h->https_port);
    (void)scan_take(s, "/");
    if (e == BK_OK && scan_take(s, "?")) {
        if (!scan_take(s, "stun="))
            return BK_ERR_MALFORMED;
        e = read_port(s, 0, &h->stun_port);
    }
    if (e == BK_OK && scan_take(s, "#"))
        e = read_pin(s, h);
    if (e == BK_OK && s->left > 0)
        e = BK_ERR_MALFORMED;
    return e;
}

enum bk_err home_url_parse(const char *text, size_t len, struct home *out) {
    struct home h = {.stun_port = STUN_PORT};
    struct scan s = scan_trimmed(text, len);
    enum bk_err e = read_scheme(&s, &h);
    h.https_port = h.plain ? HTTP_PORT : HTTPS_PORT;
    if (e == BK_OK)
        e = read_host(&s, &h);
    if (e == BK_OK)
        e = read_rest(&s, &h);
    if (e == BK_OK)
        *out = h;
    return e;
}

static void write_pin(struct text *t, const uint8_t pin[HOME_PIN_LEN]) {
    uint32_t bits = 0;
    unsigned held = 0;
    text_char(t, '#');
    for (size_t i = 0; i < HOME_PIN_LEN; i++) {
        bits = (bits << 8 | pin[i]) & 0xffff;
        for (held += 8; held >= 6; held -= 6)
            text_char(t, base64url[bits >> (held - 6) & 63]);
    }
    if (held > 0)
        text_char(t, base64url[bits << (6 - held) & 63]);
}

char *home_url_format(const struct home *home, char *out) {
    struct text t = text_in(out, HOME_URL_TEXT_MAX);
    bool bracket = strchr(home->host, ':') != NULL;
    text_str(&t, home->plain ? "http://" : "https://");
    text_str(&t, bracket ? "[" : "");
    text_str(&t, home->host);
    text_str(&t, bracket ? "]" : "");
    if (home->https_port != (home->plain ? HTTP_PORT : HTTPS_PORT)) {
        text_char(&t, ':');
        text_u64(&t, home->https_port);
    }
    if (home->stun_port != STUN_PORT) {
        text_str(&t, "?stun=");
        text_u64(&t, home->stun_port);
    }
    if (home->has_pin)
        write_pin(&t, home->pin);
    return out;
}

bool home_equal(const struct home *a, const struct home *b) {
    return strcmp(a->host, b->host) == 0 && a->https_port == b->https_port &&
           a->stun_port == b->stun_port && a->plain == b->plain && a->has_pin == b->has_pin &&
           (!a->has_pin || memcmp(a->pin, b->pin, HOME_PIN_LEN) == 0);
}
