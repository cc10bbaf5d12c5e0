/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct server_options server_options_default = {
    .https_port = -1,
    .stun_port = 3478,
    .plain_http_port = -1,
    .connections_max = 20000,
    .per_address_max = 1024, /* a campus behind one NAT fits; one host cannot take it all */
    .log_level = LOG_INFO,
};

#define AT(field) offsetof(struct server_options, field)

const struct server_option server_option_table[] = {
    {"listen", SERVER_LISTEN, AT(listen), 0, 0, "ADDR",
     "address to serve on, repeatable (default: all)"},
    {"https", SERVER_NUMBER, AT(https_port), 0, 65535, "PORT",
     "relay over HTTPS (default 443; 8443 if not permitted)"},
    {"stun", SERVER_NUMBER, AT(stun_port), 0, 65535, "PORT", "STUN, UDP and TCP (default 3478)"},
    {"stun-address", SERVER_OUTSIDE, AT(stun_address), 0, 0, "ADDR",
     "one of two per family for NAT tests; ADDR=OUTSIDE"},
    {"plain-http", SERVER_NUMBER, AT(plain_http_port), 0, 65535, "PORT",
     "relay without TLS, for reverse proxies (off)"},
    {"name", SERVER_TEXT, AT(name), 0, 0, "HOST",
     "what clients are told (default: an address of this host)"},
    {"cert", SERVER_TEXT, AT(cert), 0, 0, "FILE", "certificate chain, PEM (default: self-signed)"},
    {"key", SERVER_TEXT, AT(key), 0, 0, "FILE", "its private key, PEM (default: in --cert)"},
    {"state", SERVER_TEXT, AT(state_dir), 0, 0, "DIR",
     "own keys (~/.local/state/bodkin; root: /var/lib/bodkin)"},
    {"user", SERVER_TEXT, AT(user), 0, 0, "NAME", "become NAME after binding (root: nobody)"},
    {"workers", SERVER_NUMBER, AT(workers), 0, SERVER_WORKERS_MAX, "N",
     "threads (default 0: one per core)"},
    {"connections-max", SERVER_NUMBER, AT(connections_max), 1, 1000000, "N",
     "TCP connections in all (default 20000)"},
    {"per-address-max", SERVER_NUMBER, AT(per_address_max), 0, 1000000, "N",
     "of one address or IPv6 /64, 0: any (default 1024)"},
    {"log-level", SERVER_LEVEL, AT(log_level), 0, 0, "LEVEL", "debug, info, warn, error (info)"},
    {"log-json", SERVER_FLAG, AT(log_json), 0, 0, NULL, "one JSON object per line"},
    {NULL, SERVER_FLAG, 0, 0, 0, NULL, NULL},
};

const struct server_option *server_option_find(const char *name) {
    for (const struct server_option *row = server_option_table; row->name != NULL; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

static enum bk_err wrong(char *reason, const struct server_option *row, const char *value,
                         const char *wanted) {
    snprintf(reason, SERVER_TEXT_MAX, "%s: \"%.200s\" is not %s", row->name, value, wanted);
    return BK_ERR_MALFORMED;
}

static enum bk_err set_number(int64_t *to, const struct server_option *row, const char *value,
                              char *reason) {
    char wanted[64], *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    snprintf(wanted, sizeof wanted, "a number from %lld to %lld", (long long)row->min,
             (long long)row->max);
    if (end == value || *end != '\0' || errno != 0 || number < row->min || number > row->max)
        return wrong(reason, row, value, wanted);
    *to = number;
    return BK_OK;
}

static enum bk_err set_text(struct server_text *to, const struct server_option *row,
                            const char *value, char *reason) {
    size_t len = strlen(value);
    if (len == 0 || len >= sizeof to->text)
        return wrong(reason, row, value, "a text of reasonable length");
    memcpy(to->text, value, len + 1);
    return BK_OK;
}

static enum bk_err add_listen(struct server_listen *to, const struct server_option *row,
                              const char *value, char *reason) {
    struct bk_ip ip;
    if (bk_ip_parse(value, &ip) != BK_OK)
        return wrong(reason, row, value, "an IP address");
    if (to->count == SERVER_LISTEN_MAX)
        return wrong(reason, row, value, "one of at most 16 addresses");
    to->ips[to->count++] = ip;
    return BK_OK;
}

/* "10.0.0.4" or, behind a one-to-one NAT, "10.0.0.4=203.0.113.4". */
static enum bk_err add_outside(struct server_listen *to, const struct server_option *row,
                               const char *value, char *reason) {
    char inside[BK_ADDR_TEXT_MAX];
    const char *equals = strchr(value, '=');
    size_t len = equals == NULL ? strlen(value) : (size_t)(equals - value);
    struct bk_ip outside = {.family = BK_FAMILY_NONE};
    if (len >= sizeof inside || (equals != NULL && bk_ip_parse(equals + 1, &outside) != BK_OK))
        return wrong(reason, row, value, "an IP address, or ADDR=OUTSIDE");
    memcpy(inside, value, len);
    inside[len] = '\0';
    enum bk_err err = add_listen(to, row, inside, reason);
    if (err != BK_OK)
        return err;
    to->outside[to->count - 1] = outside;
    return BK_OK;
}

static enum bk_err set_flag(bool *to, const struct server_option *row, const char *value,
                            char *reason) {
    bool yes = value == NULL || strcmp(value, "yes") == 0 || strcmp(value, "true") == 0;
    if (!yes && strcmp(value, "no") != 0 && strcmp(value, "false") != 0)
        return wrong(reason, row, value, "yes or no");
    *to = yes;
    return BK_OK;
}

enum bk_err server_option_set(struct server_options *o, const struct server_option *row,
                              const char *value, char *reason) {
    void *field = (char *)o + row->offset;
    if (row->type != SERVER_FLAG && value == NULL) {
        snprintf(reason, SERVER_TEXT_MAX, "%s needs a value", row->name);
        return BK_ERR_MALFORMED;
    }
    switch (row->type) {
    case SERVER_FLAG:
        return set_flag(field, row, value, reason);
    case SERVER_NUMBER:
        return set_number(field, row, value, reason);
    case SERVER_TEXT:
        return set_text(field, row, value, reason);
    case SERVER_LISTEN:
        return add_listen(field, row, value, reason);
    case SERVER_OUTSIDE:
        return add_outside(field, row, value, reason);
    case SERVER_LEVEL:
        if (!log_level_parse(value, field))
            return wrong(reason, row, value, "debug, info, warn or error");
        return BK_OK;
    }
    return BK_ERR_ARGUMENT;
}

/* RFC 5780 section 6 knows two addresses, and IPv4 and IPv6 apart. */
static bool stun_addresses_are_fine(const struct server_listen *list) {
    size_t count[2] = {0, 0};
    for (size_t i = 0; i < list->count; i++) {
        count[list->ips[i].family == BK_IPV6]++;
        for (size_t k = 0; k < i; k++)
            if (bk_ip_equal(&list->ips[i], &list->ips[k]))
                return false;
        if (bk_ip_is_any(&list->ips[i]) || (list->outside[i].family != BK_FAMILY_NONE &&
                                            list->outside[i].family != list->ips[i].family))
            return false;
    }
    return count[0] <= 2 && count[1] <= 2;
}

enum bk_err server_options_check(const struct server_options *o, char *reason) {
    if (o->key.text[0] != '\0' && o->cert.text[0] == '\0') {
        snprintf(reason, SERVER_TEXT_MAX, "key: a key without --cert is of no use");
        return BK_ERR_MALFORMED;
    }
    if (!stun_addresses_are_fine(&o->stun_address)) {
        snprintf(reason, SERVER_TEXT_MAX,
                 "stun-address: two different addresses of each family at most, no wildcard");
        return BK_ERR_MALFORMED;
    }
    if (o->plain_http_port > 0 && o->plain_http_port == o->https_port) {
        snprintf(reason, SERVER_TEXT_MAX, "plain-http: the port is the one of https");
        return BK_ERR_MALFORMED;
    }
    return BK_OK;
}

char *server_options_help(char *out, size_t cap) {
    size_t len = 0;
    out[0] = '\0';
    for (const struct server_option *row = server_option_table; row->name != NULL; row++) {
        char left[40];
        snprintf(left, sizeof left, "--%s%s%s", row->name, row->value == NULL ? "" : " ",
                 row->value == NULL ? "" : row->value);
        int n = snprintf(out + len, cap - len, "  %-20s %s\n", left, row->help);
        if (n < 0 || (size_t)n >= cap - len)
            break;
        len += (size_t)n;
    }
    return out;
}
