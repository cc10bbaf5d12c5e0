/* SPDX-License-Identifier: MIT
 * A round is one transaction; `next_round` says when the next one starts. The two never run
 * together: whichever is set, the other is off. */
#include "stun/client.h"

#include "base/assert.h"
#include "base/rng.h"
#include "stun/seal.h"

#include <string.h>

const struct stun_client_config stun_client_config_default = {
    .txn =
        {
            .rto_us = 500 * BK_US_PER_MS,
            .rc = 7,
            .rm = 16,
            .ti_us = 39500 * BK_US_PER_MS,
        },
};

static bool config_is_valid(const struct stun_client_config *c) {
    return (c->server.ip.family == BK_IPV4 || c->server.ip.family == BK_IPV6) &&
           c->server.port != 0 && (c->every_us == 0 || c->every_us >= BK_US_PER_S) &&
           (c->retry_us == 0 || c->retry_us >= BK_US_PER_S) &&
           stun_txn_config_check(&c->txn) == NULL;
}

static struct bk_time see(struct stun_client *c, struct bk_time now) {
    c->now = bk_later(c->now, now);
    return c->now;
}

/* Every round has a transaction id of its own: an answer to an old one says nothing about now. */
static void start_round(struct stun_client *c, struct bk_time now) {
    uint8_t txid[STUN_TXID_LEN];
    rng_fill(&c->rng, txid, sizeof txid);
    c->next_round = BK_NEVER;
    stun_txn_start(&c->txn, &c->config.txn, txid, now);
}

/* Until the next round. An answer may have been lost though the server is there: ask again soon,
 * but a dead one ever more rarely. */
static int64_t pause_us(struct stun_client *c, const struct stun_client_event *event) {
    int64_t us = c->config.every_us;
    if (event->kind == STUN_CLIENT_FAILED && event->err == BK_ERR_TIMEOUT && c->retry_us > 0 &&
        c->retry_us < us) {
        us = c->retry_us;
        c->retry_us *= 2;
    } else if (event->kind == STUN_CLIENT_MAPPED) {
        c->retry_us = c->config.retry_us;
    }
    return us;
}

static void end_round(struct stun_client *c, const struct stun_client_event *event) {
    bool unseen_change = c->has_event && c->event.changed;
    c->event = *event;
    c->event.local = c->config.local;
    c->event.server = c->config.server;
    if (event->kind == STUN_CLIENT_MAPPED && unseen_change)
        c->event.changed = true; /* the caller has not been told yet */
    c->has_event = true;
    int64_t us = pause_us(c, event);
    c->next_round = us == 0 ? BK_NEVER : bk_after(c->now, us);
}

enum bk_err stun_client_init(struct stun_client *c, const struct stun_client_config *config,
                             const struct bk_rng *rng, struct bk_time now) {
    if (!config_is_valid(config))
        return BK_ERR_ARGUMENT;
    memset(c, 0, sizeof *c);
    c->config = *config;
    c->rng = *rng;
    c->now = now;
    c->retry_us = config->retry_us;
    start_round(c, now);
    return BK_OK;
}

void stun_client_stop(struct stun_client *c) {
    stun_txn_stop(&c->txn);
    c->next_round = BK_NEVER;
    c->has_event = false;
}

void stun_client_ask_now(struct stun_client *c, struct bk_time now) {
    start_round(c, see(c, now));
}

/* RFC 8489 section 6.3.3; MAPPED-ADDRESS alone comes from servers older than XOR-MAPPED-ADDRESS. */
static enum bk_err read_mapped(const struct stun_msg *m, struct bk_addr *out) {
    struct stun_types unknown;
    stun_unknown_required(m, STUN_USE_BASE, &unknown);
    if (unknown.count > 0)
        return BK_ERR_MALFORMED;
    enum bk_err err = stun_get_addr(m, STUN_XOR_MAPPED_ADDRESS, out);
    if (err == BK_ERR_NOT_FOUND)
        err = stun_get_addr(m, STUN_MAPPED_ADDRESS, out);
    if (err != BK_OK || out->port == 0 || bk_ip_is_any(&out->ip))
        return BK_ERR_MALFORMED;
    return BK_OK;
}

static enum bk_err take_success(struct stun_client *c, const struct stun_msg *m) {
    struct stun_client_event event = {.kind = STUN_CLIENT_MAPPED};
    enum bk_err err = read_mapped(m, &event.mapped);
    if (err != BK_OK)
        return err;
    event.rtt = stun_txn_answer(&c->txn, c->now);
    event.changed = !bk_addr_equal(&event.mapped, &c->mapped);
    c->mapped = event.mapped;
    c->counts.answered++;
    end_round(c, &event);
    return BK_OK;
}

static enum bk_err take_error(struct stun_client *c, const struct stun_msg *m) {
    struct stun_client_event event = {.kind = STUN_CLIENT_FAILED, .err = BK_ERR_REFUSED};
    if (stun_get_error(m, &event.code, NULL) != BK_OK)
        return BK_ERR_MALFORMED;
    if (event.code == STUN_CODE_TRY_ALTERNATE &&
        stun_get_addr(m, STUN_ALTERNATE_SERVER, &event.alternate) != BK_OK)
        event.alternate.ip.family = BK_FAMILY_NONE;
    (void)stun_txn_answer(&c->txn, c->now);
    c->counts.refused++;
    end_round(c, &event);
    return BK_OK;
}

/* Is it an answer to what we asked? Nothing is counted or changed. */
static enum bk_err recognise(const struct stun_client *c, const struct bk_datagram *in,
                             struct stun_msg *out) {
    if (!bk_addr_equal(&in->remote, &c->config.server))
        return BK_ERR_NOT_OURS;
    enum bk_err err = stun_parse(out, in->data, in->len);
    if (err != BK_OK)
        return err;
    if (!stun_txn_matches(&c->txn, out) || stun_check_fingerprint(out) == BK_ERR_NOT_OURS)
        return BK_ERR_NOT_OURS;
    return out->method == STUN_BINDING ? BK_OK : BK_ERR_MALFORMED;
}

enum bk_err stun_client_recv(struct stun_client *c, const struct bk_datagram *in,
                             struct bk_time now) {
    struct stun_msg m;
    (void)see(c, now);
    enum bk_err err = recognise(c, in, &m);
    if (err == BK_OK)
        err = m.cls == STUN_SUCCESS ? take_success(c, &m) : take_error(c, &m);
    if (err == BK_ERR_NOT_OURS)
        c->counts.not_ours++;
    else if (err != BK_OK)
        c->counts.malformed++;
    return err;
}

void stun_client_advance(struct stun_client *c, struct bk_time now) {
    now = see(c, now);
    if (bk_due(c->next_round, now)) {
        start_round(c, now);
        return;
    }
    enum stun_txn_state before = c->txn.state;
    stun_txn_advance(&c->txn, now);
    if (before == STUN_TXN_WAITING && c->txn.state == STUN_TXN_TIMED_OUT) {
        const struct stun_client_event event = {.kind = STUN_CLIENT_FAILED, .err = BK_ERR_TIMEOUT};
        c->counts.timed_out++;
        end_round(c, &event);
    }
}

struct bk_time stun_client_deadline(const struct stun_client *c) {
    return bk_earlier(stun_txn_deadline(&c->txn), c->next_round);
}

bool stun_client_next_datagram(struct stun_client *c, struct bk_datagram *out) {
    static const char software[] = "tailnode";
    size_t len = 0;
    if (!stun_txn_take_send(&c->txn))
        return false;
    struct stun_builder b =
        stun_start(c->buf, sizeof c->buf, STUN_REQUEST, STUN_BINDING, c->txn.txid);
    if (c->config.tailnode) {
        stun_put_bytes(&b, STUN_SOFTWARE, software, sizeof software - 1);
        stun_put_fingerprint(&b);
    }
    enum bk_err err = stun_finish(&b, &len);
    bk_assert(err == BK_OK);
    const struct bk_datagram d = {
        .local = c->config.local, .remote = c->config.server, .data = c->buf, .len = len};
    *out = d;
    return true;
}

bool stun_client_next_event(struct stun_client *c, struct stun_client_event *out) {
    if (!c->has_event)
        return false;
    *out = c->event;
    c->has_event = false;
    return true;
}
