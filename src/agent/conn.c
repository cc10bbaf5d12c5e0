/* SPDX-License-Identifier: MIT
 * Connections: TCP candidates, and servers reached by TCP, TLS or DTLS. */
#include "agent/agent.h"

bool bk_ice_next_request(struct bk_ice *ice, struct bk_ice_request *out) {
    (void)ice;
    (void)out;
    return false;
}

enum bk_err bk_ice_dialled(struct bk_ice *ice, uint32_t id, enum bk_err err,
                           const struct bk_addr *local, struct bk_time now) {
    (void)ice;
    (void)id;
    (void)err;
    (void)local;
    (void)now;
    return BK_ERR_NOT_FOUND;
}

enum bk_err bk_ice_accepted(struct bk_ice *ice, const struct bk_addr *local,
                            const struct bk_addr *remote, struct bk_time now, uint32_t *id) {
    (void)ice;
    (void)local;
    (void)remote;
    (void)now;
    (void)id;
    return BK_ERR_NOT_FOUND;
}

enum bk_err bk_ice_stream_recv(struct bk_ice *ice, uint32_t id, const void *data, size_t len,
                               struct bk_time now) {
    (void)ice;
    (void)id;
    (void)data;
    (void)len;
    (void)now;
    return BK_ERR_NOT_FOUND;
}

bool bk_ice_next_data(struct bk_ice *ice, struct bk_ice_data *out) {
    (void)ice;
    (void)out;
    return false;
}

void bk_ice_hung_up(struct bk_ice *ice, uint32_t id, struct bk_time now) {
    (void)ice;
    (void)id;
    (void)now;
}

bool bk_ice_next_stream_data(struct bk_ice *ice, uint32_t *id, const uint8_t **data, size_t *len) {
    (void)ice;
    (void)id;
    (void)data;
    (void)len;
    return false;
}

void bk_ice_resolved(struct bk_ice *ice, uint32_t id, const struct bk_ip *ips, size_t count,
                     struct bk_time now) {
    (void)ice;
    (void)id;
    (void)ips;
    (void)count;
    (void)now;
}
