/* SPDX-License-Identifier: MIT */
#include "server/users_url.h"

#include "net/alloc.h"
#include <bodkin/addr.h>
#include <stdlib.h>
#include <string.h>

enum { HTTP_PORT = 80, HTTPS_PORT = 443, PORT_DIGITS = 5 };

/* After the scheme. NULL: it is another one. */
static const char *read_scheme(const char *text, struct users_url *url) {
    static const char plain[] = "http://", sealed[] = "https://";
    url->tls = strncmp(text, sealed, sizeof sealed - 1) == 0;
    url->port = url->tls ? HTTPS_PORT : HTTP_PORT;
    if (url->tls)
        return text + sizeof sealed - 1;
    return strncmp(text, plain, sizeof plain - 1) == 0 ? text + sizeof plain - 1 : NULL;
}

/* ":8080", or nothing. */
static bool read_port(const char *text, struct users_url *url) {
    if (*text == '\0')
        return true;
    size_t digits = strspn(text + 1, "0123456789");
    if (*text != ':' || digits == 0 || digits > PORT_DIGITS || text[1 + digits] != '\0')
        return false;
    long port = strtol(text + 1, NULL, 10);
    url->port = (uint16_t)port;
    return port > 0 && port <= UINT16_MAX;
}

static bool is_name(const char *text) {
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    return text[0] != '\0' && text[0] != '-' && text[strspn(text, letters)] == '\0';
}

/* `text`, which is changed: host and port. */
static bool read_authority(char *text, struct users_url *url) {
    struct bk_ip ip;
    bool brackets = text[0] == '[';
    char *host = text + brackets, *end = strchr(text, brackets ? ']' : ':');
    if (brackets && end == NULL)
        return false;
    if (!read_port(end == NULL ? "" : end + brackets, url))
        return false;
    if (end != NULL)
        *end = '\0';
    bool address = bk_ip_parse(host, &ip) == BK_OK;
    url->is_name = !address;
    if (address ? brackets != (ip.family == BK_IPV6) : brackets || !is_name(host))
        return false;
    memcpy(url->host, host, strlen(host) + 1);
    return true;
}

enum bk_err users_url_parse(const char *text, struct users_url *out) {
    struct users_url url = {.port = 0};
    char authority[USERS_URL_HOST_MAX] = "";
    const char *host = read_scheme(text, &url);
    if (host == NULL)
        return BK_ERR_MALFORMED;
    size_t len = strcspn(host, "/");
    const char *path = host[len] == '\0' ? "/" : host + len;
    if (len >= sizeof authority || strlen(path) >= sizeof url.path ||
        strcspn(path, " \r\n\t") != strlen(path))
        return BK_ERR_MALFORMED;
    memcpy(authority, host, len);
    memcpy(url.path, path, strlen(path));
    if (!read_authority(authority, &url))
        return BK_ERR_MALFORMED;
    *out = url;
    return BK_OK;
}

struct users_target *users_target_new(const struct users_url *url, struct net_tls *tls) {
    struct users_target *t = net_alloc()->get(NULL, sizeof *t);
    if (t == NULL)
        return NULL;
    t->url = *url;
    t->tls = tls == NULL ? NULL : net_tls_ref(tls);
    return t;
}

void users_target_free(struct users_target *t) {
    if (t == NULL)
        return;
    net_tls_unref(t->tls);
    net_alloc()->put(NULL, t);
}
