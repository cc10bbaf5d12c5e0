/* SPDX-License-Identifier: MIT */
#include "server/options.h"

#include "base/wipe.h"
#include "server/nonce_keys.h"
#include "server/token_keys.h"
#include "server/users_hook.h"

#include <stdio.h>
#include <string.h>

bool turn_options_on(const struct turn_options *o) {
    return o->users.count > 0 || o->secrets.count > 0 || o->token_keys.count > 0 ||
           o->users_db.text[0] != '\0' || o->users_url.text[0] != '\0';
}

const struct server_option *server_option_find(const char *name) {
    for (const struct server_option *row = server_option_table; row->name != NULL; row++)
        if (strcmp(row->name, name) == 0)
            return row;
    return NULL;
}

/* RFC 5780 section 6 knows two addresses, and IPv4 and IPv6 apart; a relay has one of each. */
static bool addresses_are_fine(const struct server_listen *list, size_t most) {
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
    return count[0] <= most && count[1] <= most;
}

static enum bk_err say(char *reason, const char *sentence) {
    snprintf(reason, SERVER_TEXT_MAX, "%s", sentence);
    return BK_ERR_MALFORMED;
}

enum bk_err server_options_check(const struct server_options *o, char *reason) {
    if (o->key.text[0] != '\0' && o->cert.text[0] == '\0')
        return say(reason, "key: a key without --cert is of no use");
    if (!addresses_are_fine(&o->stun_address, 2))
        return say(reason,
                   "stun-address: two different addresses of each family at most, no wildcard");
    if (!addresses_are_fine(&o->turn.relay, 1))
        return say(reason, "relay-address: one address of each family at most, no wildcard");
    struct users_url url;
    struct token_keys keys;
    if (o->turn.users_url.text[0] != '\0' && users_url_parse(o->turn.users_url.text, &url) != BK_OK)
        return say(reason, "users-url: not http://HOST[:PORT]/PATH or https://...");
    bool readable = token_keys_read(&o->turn.token_keys, &keys);
    wipe(&keys, sizeof keys);
    if (!readable)
        return say(reason, "turn-token-key: not KID:KEY, the base64 of 16 or 32 bytes (a newline "
                           "after them may be)");
    struct nonce_keys nonces;
    readable = nonce_keys_read(&o->turn.nonce_keys, &nonces);
    wipe(&nonces, sizeof nonces);
    if (!readable)
        return say(reason, "turn-nonce-key: not one or two texts of at least 16 bytes");
    if (o->plain_http_port > 0 && o->plain_http_port == o->https_port)
        return say(reason, "plain-http: the port is the one of https");
    if (o->turn.turns_port > 0 && o->turn.turns_port == o->https_port)
        return say(reason, "turns: the port is the one of https");
    if (o->turn.turns_port > 0 && o->turn.turns_port == o->stun_port)
        return say(reason, "turns: the port is the one of stun");
    return BK_OK;
}

char *server_options_help(enum server_option_group group, char *out) {
    const int width = group == SERVER_GROUP_TURN ? 29 : 20;
    size_t len = 0;
    out[0] = '\0';
    for (const struct server_option *row = server_option_table; row->name != NULL; row++) {
        char left[48];
        if (row->group != group)
            continue;
        snprintf(left, sizeof left, "--%s%s%s", row->name, row->value == NULL ? "" : " ",
                 row->value == NULL ? "" : row->value);
        int n = snprintf(out + len, SERVER_HELP_MAX - len, "  %-*s %s\n", width, left, row->help);
        if (n < 0 || (size_t)n >= SERVER_HELP_MAX - len)
            break;
        len += (size_t)n;
    }
    return out;
}
