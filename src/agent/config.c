/* SPDX-License-Identifier: MIT */
#include "agent/agent.h"

const struct bk_ice_config bk_ice_config_default = {
    .size = sizeof(struct bk_ice_config),
    .role = BK_ICE_CONTROLLING,
    .ipv4 = true,
    .ipv6 = true,
    .keep_warm = true,
    .policy = BK_ICE_ALL,
    .trickle = BK_ICE_TRICKLE,
    .streams = 1,
    .components = 1,
    .ta_us = 50000,
    .gather_us = 5000000,
    .patience_us = 39500000,
    .consent_us = 5000000,
    .consent_expiry_us = 30000000,
    .disconnected_us = 2000000,
    .locals_max = 32,
    .remotes_max = 64,
    .pairs_max = 100,
};

static const uint32_t HOUR_US = UINT32_C(3600000000);

struct range {
    const char *name;
    uint32_t value, min, max;
};

static const char *check_numbers(const struct bk_ice_config *c) {
    const struct range ranges[] = {
        {"role", (uint32_t)c->role, BK_ICE_CONTROLLING, BK_ICE_CONTROLLED},
        {"policy", (uint32_t)c->policy, BK_ICE_ALL, BK_ICE_RELAYED_ONLY},
        {"trickle", (uint32_t)c->trickle, BK_ICE_TRICKLE, BK_ICE_NO_TRICKLE},
        {"streams", c->streams, 1, BK_ICE_STREAMS_MAX},
        {"components", c->components, 1, BK_ICE_COMPONENTS_MAX},
        {"ta_us", c->ta_us, 5000, 10000000}, /* RFC 8445 section 14.2: at least 5 ms */
        {"gather_us", c->gather_us, 1000, HOUR_US},
        {"patience_us", c->patience_us, 0, HOUR_US},
        {"consent_us", c->consent_us, 1000, HOUR_US},
        {"consent_expiry_us", c->consent_expiry_us, 1000, HOUR_US},
        {"disconnected_us", c->disconnected_us, 0, HOUR_US},
        {"locals_max", c->locals_max, 1, 1024},
        {"remotes_max", c->remotes_max, 1, 1024},
        {"pairs_max", c->pairs_max, 1, 4096},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return ranges[i].name;
    return NULL;
}

/* TURN has no use for a server without its credential, RFC 8656 section 5. */
static bool server_is_fine(const struct bk_ice_server *s) {
    struct server_uri uri;
    if (s->uri == NULL || uri_read(s->uri, &uri) != BK_OK)
        return false;
    return !uri.turn || (s->user != NULL && s->password != NULL && s->user[0] != '\0');
}

const char *bk_ice_config_check(const struct bk_ice_config *config) {
    if (config->size != sizeof *config)
        return "size";
    const char *bad = check_numbers(config);
    if (bad != NULL)
        return bad;
    if (!config->ipv4 && !config->ipv6)
        return "ipv4";
    if (config->rng == NULL)
        return "rng";
    if (config->server_count > BK_ICE_SERVERS_MAX)
        return "server_count";
    for (size_t i = 0; i < config->server_count; i++)
        if (!server_is_fine(&config->servers[i]))
            return "servers";
    return NULL;
}
