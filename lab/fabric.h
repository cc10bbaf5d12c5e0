/* SPDX-License-Identifier: MIT
 * The network between the hosts: links, NAT boxes and the routing between them. Packets come in
 * from a host's TUN with fabric_packet() and leave through `deliver`; time is an argument. No
 * system calls here, so the unit test drives it with packets it wrote itself.
 *
 * A packet's way: up the sender's link into its *segment* (the inside of a NAT box, or the
 * internet); hosts in the same segment talk directly; everything else goes through the box and up
 * its link, until a segment knows the destination; then down the links, through the boxes there.
 * Every NAT box and the internet itself count as one hop. */
#ifndef LAB_FABRIC_H
#define LAB_FABRIC_H

#include "base/heap.h"
#include "base/rng.h"
#include "base/table.h"
#include "lab/run.h"
#include "nat/nat.h"
#include "nat/packet.h"
#include "topology/topology.h"
#include <bodkin/env.h>
#include <bodkin/err.h>
#include <bodkin/time.h>

enum {
    FABRIC_VNET_LEN = 10,                         /* struct virtio_net_hdr */
    FABRIC_PACKET_MAX = FABRIC_VNET_LEN + 65575,  /* with an IPv6 superpacket behind it */
    FABRIC_PATH_MAX = 2 * TOPOLOGY_DEPTH_MAX + 4, /* nodes one packet can pass */
    FABRIC_CUTS_MAX = 64,                         /* at the same time */
    FABRIC_QUEUED_MAX = 512 * 1024 * 1024         /* bytes on all links together */
};

/* Where a packet is. */
enum fabric_place { FABRIC_AT_LINK, FABRIC_IN_SEGMENT, FABRIC_AT_NODE, FABRIC_GONE };

struct fragments; /* nat/fragment.h */

/* A packet on its way. On a queue it owns itself and its bytes. */
struct transit {
    struct transit *next;
    struct bk_time due;
    enum fabric_place place;
    int node; /* AT_LINK, AT_NODE: that node; IN_SEGMENT: the NAT box, or TOPOLOGY_NOWHERE */
    enum topology_direction direction; /* AT_LINK: across it; IN_SEGMENT: which way it was going */
    uint8_t *bytes;                    /* vnet header, then the packet */
    size_t len;
    bool owned;
    bool parsed;   /* false: a fragment or a protocol that no NAT forwards; `dst` is right anyway */
    bool fragment; /* `packet` is one, as nat/fragment.h wants it */
    struct packet packet;
    struct bk_ip dst;
    size_t wire_len; /* of the largest packet that it becomes on a wire */
    int path[FABRIC_PATH_MAX];
    size_t path_len;
    uint64_t sight; /* number of its last `sight`, 0: none */
};

/* Where a packet was seen: where it begins its way up a link, where it has come
 * down one (so both at the end of the node that the link belongs to), and where
 * it ends early. */
struct fabric_sight {
    const struct transit *packet;
    int link; /* the node whose link it was on last; TOPOLOGY_NOWHERE: none yet */
    enum topology_direction direction;
    enum lab_drop drop; /* LAB_DROP_NONE: it goes on */
    int by;             /* drop: the box or host where; TOPOLOGY_NOWHERE: the internet */
    enum nat_drop nat;  /* LAB_DROP_NAT: why */
};

/* Somebody who watches; all may be NULL. What is pointed to is valid during the
 * call. */
struct fabric_watcher {
    void (*sight)(void *ctx, const struct fabric_sight *sight);
    void (*mapping)(void *ctx, int box, const struct nat_mapping_view *mapping, bool made);
    void *ctx;
};

struct fabric_link {
    struct topology_link config;
    struct transit *first, *last;
    struct bk_time busy_until; /* the rate limit's clock */
    struct bk_time last_due;   /* keeps the order under jitter */
};

struct fabric_box {
    struct fabric *fabric;
    const struct topology_node *node;
    struct nat *nat;             /* NULL for hosts */
    struct fragments *fragments; /* NULL: none came yet, or they are dropped */
    struct bk_time armed;        /* what the heap holds for `nat` */
    int first_routed; /* the NAT boxes behind this one that route a network of theirs to it ... */
    int next_routed;  /* ... are chained; TOPOLOGY_NOWHERE ends the chain */
    struct fabric_link link[TOPOLOGY_DIRECTIONS];
};

struct fabric_cut {
    int node, other;
    unsigned protocols;
    bool flaps; /* dead and alive in turn, as `flap` says, since `since` */
    struct topology_change flap;
    struct bk_time since;
};

/* Gives bytes (vnet header and packet) to a host. Returns false when it was not taken. */
typedef bool fabric_deliver(void *ctx, int host, const uint8_t *bytes, size_t len);

struct fabric {
    const struct topology *topology;
    struct fabric_box *boxes;
    int first_routed;    /* of the internet */
    struct table routes; /* segment and address -> node */
    struct heap timers;  /* of links: 2 * node + direction; then of boxes, in order
                            of nodes */
    struct fabric_cut cuts[FABRIC_CUTS_MAX];
    size_t cut_count;
    size_t queued_bytes;
    struct transit *answers, *last_answer; /* made while a packet was carried: ICMP, fragments */
    const struct fabric_watcher *watcher;  /* or NULL */
    uint64_t sights;
    struct rng_seeded random;
    struct lab_counters counters;
    struct bk_time now; /* of the last call that had one */
    struct bk_alloc alloc;
    fabric_deliver *deliver;
    void *ctx;
    /* For fragment.c, and for payloads in box.c. */
    uint8_t segment[FABRIC_PACKET_MAX], fragment[FABRIC_PACKET_MAX], payload[FABRIC_PACKET_MAX];
};

/* Borrows `topology`; copies `alloc`. BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err fabric_init(struct fabric *f, const struct topology *topology,
                                    const struct bk_alloc *alloc, fabric_deliver *deliver,
                                    void *ctx);
void fabric_fini(struct fabric *f);

/* From now on `watcher` is told, until it is replaced; NULL: nobody is. Borrows
 * it. */
void fabric_watch(struct fabric *f, const struct fabric_watcher *watcher);

/* A packet left `host`: vnet header and packet, both may be changed. */
void fabric_packet(struct fabric *f, int host, uint8_t *bytes, size_t len, struct bk_time now);
/* Lets packets go on whose delay is over. */
void fabric_advance(struct fabric *f, struct bk_time now);
struct bk_time fabric_deadline(const struct fabric *f);

/* Call fabric_advance() before, for the time it happens at. BK_ERR_FULL: FABRIC_CUTS_MAX cuts.
 * BK_ERR_EXISTS: READDRESS to an address that somebody has; BK_ERR_NOT_FOUND: of a box without one
 * of that family. */
BK_MUST_USE enum bk_err fabric_change(struct fabric *f, const struct topology_change *change);
/* May hosts send superpackets? Not where packets are lost or a rate is kept: one superpacket would
 * stand for forty packets. */
bool fabric_wants_superpackets(const struct fabric *f);

#endif
