/* SPDX-License-Identifier: MIT */
#include "ice/cred.h"

#include <string.h>

const struct bk_checker_config bk_checker_config_default = {
    .size = sizeof(struct bk_checker_config),
    .eager = true,
    .renominate = true,
    .retry = true,
    .ta_us = 50000,
    .burst = 8,
    .rto_min_us = 500000,
    .check_tries = 7,
    .check_wait = 16,
    .grace_us = 20000,
    .consent_us = 5000000,
    .consent_expiry_us = 30000000,
    .warm_us = 15000000,
    .probe_rto_us = 50000,
    .probe_tries = 3,
    .retry_us = {1000000, 2000000, 5000000, 15000000, 60000000},
    .retry_tries = 2,
    .mtu_sizes = {1200, 1232, 1352, 1392, 1432, 1452, 1472},
    .locals_max = 32,
    .remotes_max = 64,
    .prflx_max = 16,
    .pairs_max = 100,
    .early_max = 16,
    .events_max = 64,
    .streams = 1,
    .components = 1,
    .tcp_wait_us = 39500000,
};

static const uint32_t HOUR_US = UINT32_C(3600000000);

struct range {
    const char *name;
    uint32_t value, min, max;
};

static const char *first_outside(const struct range *ranges, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].value < ranges[i].min || ranges[i].value > ranges[i].max)
            return ranges[i].name;
    }
    return NULL;
}

static const char *check_times(const struct bk_checker_config *c) {
    const struct range ranges[] = {
        {"ta_us", c->ta_us, 1000, 10000000},
        {"burst", c->burst, 1, 1000},
        {"rto_min_us", c->rto_min_us, 10000, 60000000},
        {"check_tries", c->check_tries, 1, 10},
        {"check_wait", c->check_wait, 1, 64},
        {"grace_us", c->grace_us, 0, 60000000},
        {"consent_us", c->consent_us, 1000, HOUR_US},
        {"consent_expiry_us", c->consent_expiry_us, 1000, HOUR_US},
        {"warm_us", c->warm_us, 0, HOUR_US},
        {"probe_rto_us", c->probe_rto_us, 1000, 60000000},
        {"probe_tries", c->probe_tries, 1, 10},
        {"retry_us", c->retry_us[0], c->retry ? 1000 : 0, HOUR_US},
        {"retry_tries", c->retry_tries, 1, 10},
        {"patience_us", c->patience_us, 0, HOUR_US},
        {"tcp_wait_us", c->tcp_wait_us, 1000000, HOUR_US},
        {"doubt_us", c->doubt_us, c->doubt_us == 0 ? 0 : 50000, HOUR_US},
        {"silent_us", c->silent_us, 0, HOUR_US},
    };
    return first_outside(ranges, sizeof ranges / sizeof ranges[0]);
}

static const char *check_limits(const struct bk_checker_config *c) {
    const struct range ranges[] = {
        {"locals_max", c->locals_max, 1, 1024},
        {"remotes_max", c->remotes_max, 1, 4096},
        {"prflx_max", c->prflx_max, 0, 4096},
        {"pairs_max", c->pairs_max, 1, 4096},
        {"early_max", c->early_max, 0, 4096},
        {"events_max", c->events_max, 8, 65536},
        {"streams", c->streams, 1, 256},
        {"components", c->components, 1, 256},
        {"components", (uint32_t)c->streams * c->components, 1, 1024},
    };
    return first_outside(ranges, sizeof ranges / sizeof ranges[0]);
}

static const char *check_mtu_sizes(const struct bk_checker_config *c) {
    for (size_t i = 0; i < BK_CHECKER_MTU_SIZES && c->mtu_sizes[i] != 0; i++) {
        if (c->mtu_sizes[i] > 65507 || c->mtu_sizes[i] % 4 != 0 ||
            (i > 0 && c->mtu_sizes[i] <= c->mtu_sizes[i - 1]))
            return "mtu_sizes";
    }
    return NULL;
}

static const char *check_credentials(const struct bk_checker_config *c) {
    if (c->ufrag == NULL && c->pwd == NULL)
        return NULL;
    if (c->ufrag == NULL)
        return "ufrag";
    struct ice_cred cred = {.ufrag = ""};
    bool good = c->pwd != NULL && ice_cred_set(&cred, c->ufrag, c->pwd) == BK_OK;
    ice_cred_fini(&cred);
    return good ? NULL : "pwd";
}

const char *bk_checker_config_check(const struct bk_checker_config *config) {
    if (config->size != sizeof *config)
        return "size";
    if (config->rng == NULL || config->rng->fill == NULL)
        return "rng";
    const char *bad = check_times(config);
    if (bad == NULL)
        bad = check_limits(config);
    if (bad == NULL)
        bad = check_mtu_sizes(config);
    if (bad == NULL)
        bad = check_credentials(config);
    return bad;
}
