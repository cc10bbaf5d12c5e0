/* SPDX-License-Identifier: MIT
 * Does the mapping let packets in? A STUN server of RFC 5780 is asked from the mapped port: first
 * where it sees us (another address than the router told: another NAT is outside), then to answer
 * from an address that we never sent to (CHANGE-REQUEST, RFC 5780 section 7.2), which only a
 * mapping or an open NAT lets in. A server with one address answers from its other port.
 *
 * TCP cannot be tried: no server connects to whoever asks it to. What it can see is the address. */
#include "portmap/state.h"

#include "base/assert.h"
#include "base/rng.h"

#include <string.h>

enum {
    SENDS_MAX = 4,
    CHANGE_IP = 4,
    CHANGE_PORT = 2,
    REQUEST_LEN = 84 /* as natcheck: servers answer no more than 1.6 times what they got */
};
#define FIRST_WAIT_US (200 * BK_US_PER_MS)

static const struct bk_addr *server_for(const struct bk_portmap *pm, size_t router) {
    return is_v4(pm, router) ? &pm->config.stun : &pm->config.stun6;
}

static void set_proof(struct want *w, size_t router, enum bk_portmap_proof proof) {
    struct entry *e = &w->at[router];
    if (e->verify.proof != proof)
        e->events |= 1U << BK_PORTMAP_TRIED;
    e->verify.proof = proof;
}

void verify_stop(struct verify *v) {
    v->step = VERIFY_IDLE;
    v->proof = BK_PORTMAP_UNTRIED;
    repeat_stop(&v->repeat);
}

static void go(struct bk_portmap *pm, struct verify *v, enum verify_step step) {
    v->step = step;
    rng_fill(&pm->rng, v->txid, sizeof v->txid);
    v->repeat = (struct repeat){.on = true, .want_send = true, .first = pm->now, .due = BK_NEVER};
    v->repeat.wait_us = FIRST_WAIT_US;
}

static void end(struct want *w, size_t router, enum bk_portmap_proof proof) {
    struct verify *v = &w->at[router].verify;
    v->step = VERIFY_IDLE;
    repeat_stop(&v->repeat);
    set_proof(w, router, proof);
}

void verify_start(struct bk_portmap *pm, struct want *w, size_t router) {
    struct verify *v = &w->at[router].verify;
    verify_stop(v);
    v->server = *server_for(pm, router);
    v->seen = (struct bk_addr){.port = 0};
    if (!w->want.verify || v->server.ip.family == BK_FAMILY_NONE ||
        w->want.peer.ip.family != BK_FAMILY_NONE)
        return;
    set_proof(w, router, BK_PORTMAP_TRYING);
    go(pm, v, VERIFY_SEE);
}

static void timed_out(struct bk_portmap *pm, struct want *w, size_t router) {
    struct verify *v = &w->at[router].verify;
    switch (v->step) {
    case VERIFY_IDLE:
        return;
    case VERIFY_SEE:
        end(w, router, BK_PORTMAP_NO_SERVER);
        return;
    case VERIFY_BOTH:
        go(pm, v, VERIFY_PORT); /* is it shut, or is the server's other address dead? */
        return;
    case VERIFY_PORT:
        end(w, router, BK_PORTMAP_SHUT);
        return;
    }
}

void verify_advance(struct bk_portmap *pm, struct want *w, size_t router) {
    struct verify *v = &w->at[router].verify;
    if (v->step == VERIFY_IDLE || !bk_due(v->repeat.due, pm->now))
        return;
    if (v->repeat.sends >= SENDS_MAX) {
        timed_out(pm, w, router);
        return;
    }
    v->repeat.wait_us *= 2;
    v->repeat.want_send = true;
    v->repeat.due = BK_NEVER;
}

bool verify_next(struct bk_portmap *pm, struct want *w, size_t router, struct bk_datagram *out) {
    static const char filler[] = "bodkin portmap                                                ";
    struct verify *v = &w->at[router].verify;
    size_t len = 0;
    if (v->step == VERIFY_IDLE || !repeat_take_send(pm, &v->repeat))
        return false;
    struct stun_builder b =
        stun_start(pm->out, sizeof pm->out, STUN_REQUEST, STUN_BINDING, v->txid);
    if (v->step != VERIFY_SEE)
        stun_put_u32(&b, STUN_CHANGE_REQUEST,
                     v->step == VERIFY_BOTH ? CHANGE_IP | CHANGE_PORT : CHANGE_PORT);
    stun_put_bytes(&b, STUN_SOFTWARE, filler, REQUEST_LEN - b.w.len - 4);
    enum bk_err err = stun_finish(&b, &len);
    bk_assert(err == BK_OK);
    *out = (struct bk_datagram){.remote = v->server, .data = pm->out, .len = len};
    out->local.ip = pm->routers[router].local;
    out->local.port = w->want.protocol == BK_TCP ? 0 : w->want.internal_port;
    return true;
}

static void seen(struct bk_portmap *pm, struct want *w, size_t router,
                 const struct bk_addr *mapped) {
    struct entry *e = &w->at[router];
    const struct bk_addr *external = &e->told_external;
    e->verify.seen = *mapped;
    if (!bk_ip_equal(&mapped->ip, &external->ip))
        end(w, router, BK_PORTMAP_ELSEWHERE);
    else if (w->want.protocol == BK_TCP || mapped->port != external->port)
        end(w, router,
            BK_PORTMAP_SEEN); /* the server answers to another port than the mapped one */
    else
        go(pm, &e->verify, VERIFY_BOTH);
}

static void changed(struct bk_portmap *pm, struct want *w, size_t router,
                    const struct bk_datagram *in, enum stun_class cls) {
    struct verify *v = &w->at[router].verify;
    bool other_ip = !bk_ip_equal(&in->remote.ip, &v->server.ip);
    bool other_port = in->remote.port != v->server.port;
    if (cls == STUN_SUCCESS && other_ip)
        end(w, router, BK_PORTMAP_PROVED);
    else if (cls == STUN_SUCCESS && other_port)
        end(w, router, BK_PORTMAP_HALF);
    else if (v->step == VERIFY_BOTH)
        go(pm, v, VERIFY_PORT); /* 420: it has no other address */
    else
        end(w, router, BK_PORTMAP_SEEN);
}

static enum bk_err answered(struct bk_portmap *pm, struct want *w, size_t router,
                            const struct bk_datagram *in, const struct stun_msg *m) {
    struct verify *v = &w->at[router].verify;
    struct bk_addr mapped;
    if (v->step != VERIFY_SEE) {
        changed(pm, w, router, in, m->cls);
        return BK_OK;
    }
    if (!bk_addr_equal(&in->remote, &v->server))
        return BK_ERR_NOT_OURS;
    if (m->cls == STUN_SUCCESS && stun_get_addr(m, STUN_XOR_MAPPED_ADDRESS, &mapped) == BK_OK)
        seen(pm, w, router, &mapped);
    else
        end(w, router, BK_PORTMAP_NO_SERVER);
    return BK_OK;
}

enum bk_err verify_recv(struct bk_portmap *pm, const struct bk_datagram *in) {
    struct stun_msg m;
    if (!stun_is_message(in->data, in->len) || stun_parse(&m, in->data, in->len) != BK_OK ||
        m.method != STUN_BINDING || (m.cls != STUN_SUCCESS && m.cls != STUN_ERROR))
        return BK_ERR_NOT_OURS;
    for (uint32_t i = 0; i < pm->config.wants_max; i++)
        for (size_t router = 0; router < pm->router_count && pm->wants[i].used; router++) {
            const struct verify *v = &pm->wants[i].at[router].verify;
            if (v->step != VERIFY_IDLE && memcmp(v->txid, m.txid, sizeof v->txid) == 0)
                return answered(pm, &pm->wants[i], router, in, &m);
        }
    return BK_ERR_NOT_OURS;
}
