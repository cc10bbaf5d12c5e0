/* SPDX-License-Identifier: MIT
 * Data out. A datagram is queued until the end of the turn, so that neighbours to one destination
 * leave with one system call and, by UDP segmentation offload, as one train; one that is expected
 * to stay alone leaves at once (net_udp_config.prompt). */
#include "run/driver.h"

/* Sends what bk_ice_send() made of a message, and what it put into connections instead. */
static enum bk_err put_out(struct driven *a, const struct bk_datagram *out) {
    if (out->data == NULL)
        return run_conn_drain(a);
    struct net_udp *udp = run_port_of(a, &out->local);
    return udp == NULL ? BK_ERR_STATE : net_udp_send(udp, out);
}

enum bk_err bk_run_send(struct bk_run *run, struct bk_ice *ice, uint16_t stream, uint16_t component,
                        const void *data, size_t len) {
    struct bk_datagram out = {.len = 0};
    struct driven *a = driven_find_again(run, ice);
    if (a == NULL)
        return BK_ERR_NOT_FOUND;
    enum bk_err err = bk_ice_send(ice, stream, component, data, len, &out);
    return err == BK_OK ? put_out(a, &out) : err;
}

/* From `at` on, one by one, each framed by the agent: the socket's queue joins them again. */
static enum bk_err send_each(struct driven *a, uint16_t stream, uint16_t component,
                             const struct bk_datagram *train, size_t at) {
    enum bk_err err = BK_OK;
    for (; at < train->len && err == BK_OK; at += train->segment) {
        struct bk_datagram out = {.len = 0};
        size_t left = train->len - at;
        err = bk_ice_send(a->ice, stream, component, train->data + at,
                          left < train->segment ? left : train->segment, &out);
        if (err == BK_OK)
            err = put_out(a, &out);
    }
    return err;
}

/* NOLINTNEXTLINE(readability-function-size): the parameters of bk_run_send(), and one more */
enum bk_err bk_run_send_train(struct bk_run *run, struct bk_ice *ice, uint16_t stream,
                              uint16_t component, const void *data, size_t len, size_t segment) {
    struct bk_datagram first = {.len = 0};
    const struct bk_datagram train = {.data = data, .len = len, .segment = segment};
    struct driven *a = driven_find_again(run, ice);
    if (a == NULL)
        return BK_ERR_NOT_FOUND;
    if (segment == 0)
        return BK_ERR_ARGUMENT;
    if (len <= segment)
        return bk_run_send(run, ice, stream, component, data, len);
    enum bk_err err = bk_ice_send(ice, stream, component, data, segment, &first);
    if (err != BK_OK)
        return err;
    if (first.data != train.data || first.len != segment) { /* a relay or a connection */
        err = put_out(a, &first);
        return err == BK_OK ? send_each(a, stream, component, &train, segment) : err;
    }
    struct net_udp *udp = run_port_of(a, &first.local);
    if (udp == NULL)
        return BK_ERR_STATE;
    first.len = len;
    first.segment = segment;
    return net_udp_send(udp, &first);
}
