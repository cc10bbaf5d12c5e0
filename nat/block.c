/* SPDX-License-Identifier: MIT
 * Port blocks: a subscriber of a carrier gets a run of ports for itself, and another one when it is
 * used up, so that a log line per block is enough: RFC 7422, RFC 6888 section 4. A block is its
 * host's while a mapping uses it. One block serves all protocols. */
#include "nat/state.h"

static uint32_t per_address(const struct nat_config *c) {
    return ((uint32_t)c->port_max - c->port_min + 1) / c->block_size;
}

uint32_t nat_blocks_max(const struct nat_config *c) {
    if (c->port_space != NAT_SPACE_BLOCKS)
        return 1;
    return per_address(c) * (uint32_t)(c->external_count > 0 ? c->external_count : 1);
}

void nat_blocks_reset(struct nat *nat) {
    uint32_t max = nat_blocks_max(&nat->config);
    for (uint32_t i = 0; i < max; i++)
        nat->blocks[i] = (struct nat_block){.host = NAT_NONE, .next = NAT_NONE};
}

static uint32_t address_index(const struct nat *nat, const struct bk_ip *ip) {
    uint32_t i = 0;
    while (i + 1 < nat->config.external_count && !bk_ip_equal(&nat->config.external[i], ip))
        i++;
    return i;
}

/* The block a port belongs to; NAT_NONE: it is in none, as some may be left over at the end. */
static uint32_t block_of(const struct nat *nat, const struct bk_addr *external) {
    const struct nat_config *c = &nat->config;
    if (external->port < c->port_min || external->port > c->port_max)
        return NAT_NONE;
    uint32_t n = (uint32_t)(external->port - c->port_min) / c->block_size;
    if (n >= per_address(c))
        return NAT_NONE;
    return address_index(nat, &external->ip) * per_address(c) + n;
}

struct nat_space nat_block_space(struct nat *nat, uint32_t block) {
    const struct nat_config *c = &nat->config;
    uint32_t first = c->port_min + block % per_address(c) * c->block_size;
    return (struct nat_space){.first = first,
                              .run = c->block_size,
                              .gap = c->block_size,
                              .len = c->block_size,
                              .next = &nat->blocks[block].next_port};
}

uint32_t nat_block_next(const struct nat *nat, const struct bk_ip *inside, const struct bk_ip *ip,
                        uint32_t after) {
    uint32_t host = nat_host_find(nat, inside), index = address_index(nat, ip);
    if (host == NAT_NONE)
        return NAT_NONE;
    uint32_t at = after == NAT_NONE ? nat->hosts[host].first_block : nat->blocks[after].next;
    while (at != NAT_NONE && at / per_address(&nat->config) != index)
        at = nat->blocks[at].next;
    return at;
}

/* Appended, so that a host fills its blocks in the order it got them. */
static void give(struct nat *nat, uint32_t block, uint32_t host) {
    struct nat_host *h = &nat->hosts[host];
    uint32_t *link = &h->first_block;
    while (*link != NAT_NONE)
        link = &nat->blocks[*link].next;
    *link = block;
    nat->blocks[block] = (struct nat_block){.host = host, .next = NAT_NONE};
    h->blocks++;
    nat->counters.blocks_taken++;
}

uint32_t nat_block_take(struct nat *nat, const struct bk_ip *inside, const struct bk_ip *ip) {
    const struct nat_config *c = &nat->config;
    uint32_t known = nat_host_find(nat, inside), count = per_address(c);
    if (known != NAT_NONE && c->blocks_per_host > 0 &&
        nat->hosts[known].blocks >= c->blocks_per_host)
        return NAT_NONE;
    uint32_t start = rng_below(&nat->rng, count), base = address_index(nat, ip) * count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t block = base + (start + i) % count;
        if (nat->blocks[block].host != NAT_NONE)
            continue;
        give(nat, block, nat_host_make(nat, inside));
        return block;
    }
    return NAT_NONE;
}

void nat_block_enter(struct nat *nat, const struct nat_mapping *m) {
    bool blocks = nat->config.port_space == NAT_SPACE_BLOCKS && m->mode == NAT_MODE_TRANSLATE;
    uint32_t block = blocks ? block_of(nat, &m->external) : NAT_NONE;
    if (block != NAT_NONE)
        nat->blocks[block].used++;
}

void nat_block_leave(struct nat *nat, const struct nat_mapping *m) {
    bool blocks = nat->config.port_space == NAT_SPACE_BLOCKS && m->mode == NAT_MODE_TRANSLATE;
    uint32_t block = blocks ? block_of(nat, &m->external) : NAT_NONE;
    if (block != NAT_NONE && --nat->blocks[block].used == 0)
        nat_block_drop(nat, block);
}

void nat_block_drop(struct nat *nat, uint32_t block) {
    struct nat_block *b = &nat->blocks[block];
    uint32_t host = b->host, *link = &nat->hosts[host].first_block;
    while (*link != block)
        link = &nat->blocks[*link].next;
    *link = b->next;
    nat->hosts[host].blocks--;
    *b = (struct nat_block){.host = NAT_NONE, .next = NAT_NONE};
    nat_host_release(nat, host);
}
