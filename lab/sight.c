/* SPDX-License-Identifier: MIT */
#include "lab/sight.h"

#include <stdio.h>

/* `where` is in front of a name: the link's, the box's or the host's. */
static const struct {
    const char *word, *sentence;
    bool names_link;
} drops[LAB_DROPS] = {
    [LAB_DROP_NONE] = {"none", "not dropped; seen at", true},
    [LAB_DROP_LOST] = {"lost", "lost on the link of", true},
    [LAB_DROP_QUEUE_FULL] = {"queue-full", "the queue is full on the link of", true},
    [LAB_DROP_CUT] = {"cut", "cut on the link of", true},
    [LAB_DROP_NAT] = {"nat", "refused by", false},
    [LAB_DROP_NO_ROUTE] = {"no-route", "nobody has the address, says", false},
    [LAB_DROP_TOO_BIG] = {"too-big", "larger than the next link takes, says", false},
    [LAB_DROP_HOPS] = {"hops", "no hops left at", false},
    [LAB_DROP_FRAGMENT] = {"fragment", "a fragment, refused by", false},
    [LAB_DROP_PROTOCOL] = {"protocol", "neither UDP, TCP nor ICMP, refused by", false},
    [LAB_DROP_NO_SERVICE] = {"no-service", "sent to the box itself:", false},
    [LAB_DROP_HOST_BUSY] = {"host-busy", "not taken by", false},
    [LAB_DROP_MALFORMED] = {"malformed", "not an IP packet, from", true},
};

static const char *name_of(const struct topology *topology, int node) {
    return node == TOPOLOGY_NOWHERE ? "the internet" : topology->nodes[node].name;
}

const char *sight_reason(const struct fabric_sight *sight) {
    return sight->drop == LAB_DROP_NAT ? nat_drop_text(sight->nat) : drops[sight->drop].word;
}

char *sight_describe(const struct topology *topology, const struct fabric_sight *sight,
                     char out[SIGHT_TEXT_MAX]) {
    bool nat = sight->drop == LAB_DROP_NAT;
    int node = drops[sight->drop].names_link ? sight->link : sight->by;
    bool acted = sight->nat == NAT_DROP_FILTERED || sight->nat == NAT_DROP_BLOCKED;
    snprintf(out, SIGHT_TEXT_MAX, "%s%s %s", nat ? nat_drop_text(sight->nat) : "",
             !nat    ? drops[sight->drop].sentence
             : acted ? " by"
                     : " at",
             name_of(topology, node));
    return out;
}

static struct fabric_sight sight_of(const struct transit *t) {
    return (struct fabric_sight){.packet = t,
                                 .link =
                                     t->path_len > 0 ? t->path[t->path_len - 1] : TOPOLOGY_NOWHERE,
                                 .direction = t->direction,
                                 .by = TOPOLOGY_NOWHERE};
}

void sight_crossed(struct fabric *f, struct transit *t) {
    if (f->watcher == NULL || f->watcher->sight == NULL)
        return;
    t->sight = ++f->sights;
    struct fabric_sight sight = sight_of(t);
    f->watcher->sight(f->watcher->ctx, &sight);
}

static void drop(struct fabric *f, struct fabric_sight *sight) {
    f->counters.dropped[sight->drop]++;
    if (f->watcher != NULL && f->watcher->sight != NULL)
        f->watcher->sight(f->watcher->ctx, sight);
}

void sight_dropped(struct fabric *f, const struct transit *t, enum lab_drop why, int by) {
    struct fabric_sight sight = sight_of(t);
    sight.drop = why;
    sight.by = by;
    drop(f, &sight);
}

void sight_refused(struct fabric *f, const struct transit *t, enum nat_drop why, int by) {
    struct fabric_sight sight = sight_of(t);
    sight.drop = LAB_DROP_NAT;
    sight.nat = why;
    sight.by = by;
    drop(f, &sight);
}

void sight_malformed(struct fabric *f) {
    f->counters.dropped[LAB_DROP_MALFORMED]++;
}
