/* SPDX-License-Identifier: MIT
 * Looks at the NAT in front of this machine, in the background: the routers on the way, then a run
 * of bodkin/natcheck.h against the home's STUN server. Again after each change of the network. */
#ifndef NODE_SURVEY_H
#define NODE_SURVEY_H

#include "node/nat_driver.h"

struct survey_events {
    /* Something is known now. `opener_ttl`: with it a packet passes our outermost NAT and dies at
     * the next router; 0: the routers did not tell. */
    void (*on_known)(void *ctx, const struct bk_nat_record *record, uint8_t opener_ttl);
    void *ctx;
};

struct survey {
    struct net_loop *loop;
    struct survey_events events;
    struct nat_driver *driver;
    struct survey_look *look; /* under way in another thread; NULL: none */
    struct bk_addr server, server6;
    uint8_t opener_ttl;
};

void survey_init(struct survey *s, struct net_loop *loop, const struct survey_events *events);
/* No event follows. */
void survey_fini(struct survey *s);
/* Begins, or begins again: family 0: that family is not looked at. */
void survey_start(struct survey *s, const struct bk_addr *server, const struct bk_addr *server6);

/* How far a packet may go to pass the outermost NAT and no farther, from the addresses of the first
 * routers: one hop beyond the last that has an address of no public network. 0: cannot be told. */
uint8_t survey_opener_ttl(const struct bk_ip *hops, size_t count);

#endif
