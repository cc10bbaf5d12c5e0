/* SPDX-License-Identifier: MIT
 * Mobility, RFC 8016: a client whose address has changed brings its ticket from the new one, and
 * finds its relay ports, permissions and channels as it left them. */
#include "turn/service_int.h"

#include "base/rng.h"

/* Section 3.1.1: an Allocate asks with an empty attribute; 405 where mobility is not allowed. */
uint16_t turn_read_mobility(const struct turn_service *s, const struct stun_msg *m, bool *out) {
    struct wire_span ticket;
    *out = stun_get_bytes(m, TURN_MOBILITY_TICKET, &ticket) == BK_OK;
    if (!*out)
        return 0;
    if (!s->config.mobility)
        return TURN_CODE_MOBILITY_FORBIDDEN;
    return ticket.len == 0 ? 0 : STUN_CODE_BAD_REQUEST;
}

void turn_put_ticket(struct turn_service *s, struct turn_ask *ask, uint32_t alloc) {
    uint8_t bytes[TURN_TICKET_LEN];
    const struct turn_alloc *a = turn_service_alloc(s, alloc);
    const struct turn_ticket t = {s->config.worker, alloc, a->ticket};
    if (a->ticket == 0)
        return;
    turn_ticket_seal(&s->ticket_keys, &t, &s->rng, bytes);
    stun_put_bytes(&ask->b, TURN_MOBILITY_TICKET, bytes, sizeof bytes);
}

/* Section 3.2.2. 0: *out is the allocation, here. */
static uint16_t find(const struct turn_service *s, const struct turn_ask *ask,
                     const struct turn_ticket *t, uint32_t *out) {
    if (!turn_alloc_is(&s->allocs, t->alloc) || turn_service_alloc(s, t->alloc)->ticket != t->id)
        return STUN_CODE_BAD_REQUEST; /* it has ended */
    if (turn_service_alloc(s, t->alloc)->user != ask->user.id)
        return TURN_CODE_WRONG_CREDENTIALS;
    *out = t->alloc;
    return 0;
}

bool turn_do_move(struct turn_service *s, struct turn_ask *ask) {
    struct wire_span bytes;
    struct turn_ticket t;
    uint32_t i = TURN_NONE;
    uint16_t code = STUN_CODE_BAD_REQUEST;
    if (!s->config.mobility)
        code = TURN_CODE_MOBILITY_FORBIDDEN;
    else if (stun_get_bytes(&ask->m, TURN_MOBILITY_TICKET, &bytes) == BK_OK &&
             turn_ticket_open(&s->ticket_keys, bytes.data, bytes.len, &t)) {
        if (t.worker != s->config.worker && t.worker < s->config.workers && !s->stays) {
            turn_service_pass(s, t.worker);
            return false;
        }
        if (t.worker == s->config.worker)
            code = find(s, ask, &t, &i);
    }
    if (code != 0) {
        turn_answer_error(s, ask, code);
        return false;
    }
    turn_flows_end(s, i, BK_FAMILY_NONE); /* of the old address */
    turn_allocs_move(&s->allocs, i, ask->in);
    turn_service_alloc(s, i)->via = s->via;
    turn_service_alloc(s, i)->adrift = false;
    ask->alloc = i;
    s->counts[TURN_COUNT_MOVED]++;
    return true;
}
