/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 * Which flow a packet belongs to, and whether and where it is carried: all decisions, before a byte
 * of the packet is changed. */
#ifndef FASTPATH_BPF_FLOW_H
#define FASTPATH_BPF_FLOW_H

#include "parse.h"

/* The process sets the sizes when it loads this. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct fast_settings);
} settings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct fast_bucket);
} buckets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct fast_flow);
} flows SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct fast_limit);
} limits SEC(".maps");

/* Next hops, for a moment: each core's own, so that nobody writes what another reads. */
struct hop {
    __u64 until_ns;
    __u64 from[2], to[2]; /* addresses; IPv4 in the first half of the first word */
    __u32 out;
    __u16 mtu;
    __u8 family, tos;
    __u8 dmac[ETH_ALEN], smac[ETH_ALEN];
    __u32 unused;
};

enum { HOPS = 1024, HOP_NS = 50 * 1000 * 1000 };

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, HOPS);
    __type(key, __u32);
    __type(value, struct hop);
} hops SEC(".maps");

enum {
    LOOPBACK = 1, /* its number, in every network namespace */
    CHARGE_TRIES = 16,
    COST_SHIFT = 12, /* from 2^-20 ns to 2^-8 ns */
    ROUND_UP = 4095,
    INET = 2,
    INET6 = 10
};

enum verdict { LEAVE, DROP, CARRY };

/* How a packet leaves. */
struct plan {
    struct fast_flow *flow;
    const struct fast_sums *sums;
    __u64 now;
    __u32 way;       /* enum fast_way */
    __u32 out;       /* interface */
    __u16 data, pad; /* bytes: what is relayed, and what followed it */
    __u16 udp_len, ip_len;
    __u16 check;
    __u16 may; /* of the interface it leaves by */
    __u8 family;
    __u8 to[ETH_ALEN], from[ETH_ALEN];
};

INLINE __u32 slot_of(const struct fast_bucket *b, __u32 tag) {
    __u32 place = 0;
#pragma unroll
    for (int i = 0; i < FAST_SLOTS; i++) {
        __u64 slot = *(const volatile __u64 *)&b->slots[i];
        if ((__u32)(slot >> 32) == tag && (__u32)slot != 0)
            place = (__u32)slot;
    }
    return place;
}

INLINE __u32 place_of(const struct fast_settings *s, const struct fast_key *key, int words) {
    __u64 hash = fast_hash(s->seed, key, words);
    __u32 at = fast_first(hash, s->bucket_mask), place = 0;
    const struct fast_bucket *b = bpf_map_lookup_elem(&buckets, &at);
    if (b)
        place = slot_of(b, fast_tag(hash));
    if (place)
        return place;
    at = fast_second(hash, s->bucket_mask);
    b = bpf_map_lookup_elem(&buckets, &at);
    return b ? slot_of(b, fast_tag(hash)) : 0;
}

INLINE __u32 look_up(const struct fast_settings *s, struct packet *p, __u16 channel) {
    __u64 ports = fast_ports(p->sport, p->dport, channel, p->family);
    if (p->family == 4) {
        p->key.words[1] = ports;
        return place_of(s, &p->key, 2);
    }
    p->key.words[4] = ports;
    return place_of(s, &p->key, 5);
}

INLINE bool is_channel(__u16 first) {
    return (bpf_ntohs(first) & 0xc000) == 0x4000; /* RFC 8656 section 12, and RFC 5766 section 11 */
}

/* The flow a packet may belong to: the index is not the last word. */
INLINE struct fast_flow *find(struct packet *p, __u32 *way) {
    __u32 zero = 0, place = 0;
    const struct fast_settings *s = bpf_map_lookup_elem(&settings, &zero);
    if (!s)
        return NULL;
    if (is_channel(p->first[0]))
        place = look_up(s, p, p->first[0]);
    if (!place)
        place = look_up(s, p, 0);
    if (!place)
        return NULL;
    place--;
    *way = place & 1;
    place >>= 1;
    return bpf_map_lookup_elem(&flows, &place);
}

INLINE bool same_ip(const __u8 *ip, const struct packet *p, bool destination) {
    if (p->family == 4)
        return *(const __u32 *)ip == (__u32)(p->key.words[0] >> (destination ? 32 : 0));
    const __u32 *words = (const __u32 *)ip;
    return fast_pair(words) == p->key.words[destination ? 2 : 0] &&
           fast_pair(words + 2) == p->key.words[destination ? 3 : 1];
}

INLINE bool belongs(const struct fast_flow *f, __u32 way, const struct packet *p) {
    if (way == FAST_UP)
        return p->family == f->client_family && p->sport == f->client_port &&
               p->dport == f->server_port && p->first[0] == f->channel &&
               same_ip(f->client, p, false) && same_ip(f->server, p, true);
    return p->family == f->peer_family && p->sport == f->peer_port && p->dport == f->relay_port &&
           same_ip(f->peer, p, false) && same_ip(f->relay, p, true);
}

/* RFC 8656 section 12.5: over UDP the data may be padded to four bytes, and what pads it is not
 * data. Any other length is for the server to judge. */
INLINE bool measure(struct plan *plan, const struct packet *p) {
    __u32 data = p->payload, pad = 0;
    if (plan->way == FAST_UP) {
        if (data < CHANNEL_BYTES)
            return false;
        __u32 all = data - CHANNEL_BYTES;
        data = bpf_ntohs(p->first[1]);
        if (all != data && all != ((data + 3) & ~3U))
            return false;
        pad = all - data;
    }
    __u32 udp_len = sizeof(struct udphdr) + data + (plan->way == FAST_UP ? 0 : CHANNEL_BYTES);
    __u32 head = plan->family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
    if (udp_len + head > 0xffff)
        return false;
    plan->data = (__u16)data;
    plan->pad = (__u16)pad;
    plan->udp_len = (__u16)udp_len;
    plan->ip_len = (__u16)(udp_len + head);
    return true;
}

/* The next hop, as for a packet of this machine's own (it comes from loopback), so that it does not
 * matter whether the interfaces forward. Anything but a neighbour that is known and a packet that
 * fits is left alone. */
INLINE bool ask_route(void *ctx, struct hop *hop, const struct plan *plan, const struct hop *key) {
    struct bpf_fib_lookup fib = {0};
    const struct fast_flow *f = plan->flow;
    bool up = plan->way == FAST_UP;
    fib.family = key->family == 4 ? INET : INET6;
    fib.l4_protocol = UDP;
    fib.sport = up ? f->relay_port : f->server_port;
    fib.dport = up ? f->peer_port : f->client_port;
    fib.tot_len = plan->ip_len;
    fib.ifindex = LOOPBACK;
    if (key->family == 4) {
        fib.tos = key->tos;
        fib.ipv4_src = (__u32)key->from[0];
        fib.ipv4_dst = (__u32)key->to[0];
    } else {
        __builtin_memcpy(fib.ipv6_src, key->from, sizeof fib.ipv6_src);
        __builtin_memcpy(fib.ipv6_dst, key->to, sizeof fib.ipv6_dst);
    }
    hop->until_ns = 0;
    if (bpf_fib_lookup(ctx, &fib, sizeof fib, 0) != BPF_FIB_LKUP_RET_SUCCESS)
        return false;
    hop->from[0] = key->from[0];
    hop->from[1] = key->from[1];
    hop->to[0] = key->to[0];
    hop->to[1] = key->to[1];
    hop->family = key->family;
    hop->tos = key->tos;
    hop->out = fib.ifindex;
    hop->mtu = fib.tot_len; /* before Linux 5.12 what was asked for; then the route's */
    __builtin_memcpy(hop->dmac, fib.dmac, ETH_ALEN);
    __builtin_memcpy(hop->smac, fib.smac, ETH_ALEN);
    hop->until_ns = plan->now + HOP_NS;
    return true;
}

INLINE bool route(void *ctx, struct plan *plan, const struct packet *p) {
    const struct fast_flow *f = plan->flow;
    bool up = plan->way == FAST_UP;
    const __u64 *from = (const __u64 *)(up ? f->relay : f->server);
    const __u64 *to = (const __u64 *)(up ? f->peer : f->client);
    const struct hop key = {.from = {from[0], from[1]},
                            .to = {to[0], to[1]},
                            .family = plan->family,
                            .tos = plan->family == 4 ? p->tos & 0xfc : 0}; /* without ECN */
    __u64 mix = (to[0] ^ to[1] * 31) * 0x9e3779b97f4a7c15ULL;
    __u32 at = (__u32)(mix >> 32) % HOPS;
    struct hop *hop = bpf_map_lookup_elem(&hops, &at);
    if (!hop)
        return false;
    bool known = hop->until_ns > plan->now && hop->to[0] == key.to[0] && hop->to[1] == key.to[1] &&
                 hop->from[0] == key.from[0] && hop->from[1] == key.from[1] &&
                 hop->family == key.family && hop->tos == key.tos && plan->ip_len <= hop->mtu;
    if (!known && !ask_route(ctx, hop, plan, &key))
        return false;
    plan->out = hop->out;
    __builtin_memcpy(plan->to, hop->dmac, ETH_ALEN);
    __builtin_memcpy(plan->from, hop->smac, ETH_ALEN);
    return true;
}

INLINE const struct fast_interface *interface(const struct fast_settings *s, __u32 index) {
    const struct fast_interface *found = NULL;
#pragma unroll
    for (int i = FAST_INTERFACES - 1; i >= 0; i--)
        if (s->interfaces[i].index == index)
            found = &s->interfaces[i];
    return found;
}

/* A frame for this machine, and an interface that may send it. */
INLINE bool doors(struct plan *plan, const struct packet *p, __u32 in) {
    __u32 zero = 0, other = 0;
    const struct fast_settings *s = bpf_map_lookup_elem(&settings, &zero);
    if (!s)
        return false;
    const struct fast_interface *i = interface(s, in);
    if (!i)
        return false;
#pragma unroll
    for (int k = 0; k < ETH_ALEN; k++)
        other |= (__u32)(i->mac[k] ^ p->mac[k]);
    if (other)
        return false;
    if (plan->out != in)
        i = interface(s, plan->out);
    if (!i)
        return false;
    plan->may = i->may;
    return true;
}

/* Takes the packet's time off the bandwidth, or finds it used up. LEAVE: too many at once. */
INLINE enum verdict charge(const struct plan *plan) {
    __u32 zero = 0, place = plan->flow->limit;
    if (place == 0)
        return CARRY;
    place--;
    const struct fast_settings *s = bpf_map_lookup_elem(&settings, &zero);
    struct fast_limit *limit = bpf_map_lookup_elem(&limits, &place);
    if (!limit || !s)
        return LEAVE;
    __u64 now = (plan->now - s->epoch_ns) << 8;
    __u64 cost = (plan->data * limit->per_byte + ROUND_UP) >> COST_SHIFT;
#pragma unroll
    for (int i = 0; i < CHARGE_TRIES; i++) {
        __u64 old = *(volatile __u64 *)&limit->next;
        __u64 next = (old > now ? old : now) + cost;
        if (next - now > limit->burst)
            return DROP;
        if (__sync_val_compare_and_swap(&limit->next, old, next) == old)
            return CARRY;
    }
    return LEAVE;
}

/* Results that are used make these full barriers (shared.h). */
INLINE void enter(struct fast_flow *f) {
    __u32 was = __sync_fetch_and_add(&f->users, 1);
    asm volatile("" : : "r"(was) : "memory");
}

INLINE void leave(struct fast_flow *f) {
    __u32 was = __sync_fetch_and_add(&f->users, -1);
    asm volatile("" : : "r"(was) : "memory");
}

INLINE bool alive(const struct fast_flow *f) {
    return *(const volatile __u32 *)&f->alive != 0;
}

INLINE void count(struct plan *plan) {
    __sync_fetch_and_add(&plan->flow->packets[plan->way & 1], 1);
    __sync_fetch_and_add(&plan->flow->bytes[plan->way & 1], plan->data);
}

/* What changes with lengths and the channel's header, for a checksum that was right. RFC 1624. */
INLINE __u64 difference(const struct plan *plan, const struct packet *p) {
    __u64 sum = plan->sums->change;
    sum += 2 * (__u64)bpf_htons(plan->udp_len) + 2 * (__u64)(__u16)~bpf_htons(p->udp_len);
    if (plan->way == FAST_UP)
        return sum + (__u16)~p->first[0] + (__u16)~p->first[1];
    return sum + plan->flow->channel + bpf_htons(plan->data);
}

/* Of the pseudo header as it came in: what a checksum that is still to be made holds (a sender on
 * this machine leaves it to the network card, which with a virtual one nobody is). */
INLINE __u16 unmade(const struct plan *plan, const struct packet *p) {
    return fast_fold((__u64)plan->sums->before + bpf_htons(p->udp_len));
}

/* 0 means none, so a sum of 0 is sent as its other form (RFC 768). */
INLINE __u16 finish(__u64 sum) {
    __u16 check = (__u16)~fast_fold(sum);
    return check ? check : 0xffff;
}

/* How long the process has promised to be there; forever where the kernel tells us of its end. */
INLINE __u64 lease_ns(void) {
    __u32 zero = 0;
    const struct fast_settings *s = bpf_map_lookup_elem(&settings, &zero);
    return s ? *(const volatile __u64 *)&s->lease_ns : 0;
}

INLINE bool plan_for(void *ctx, struct plan *plan, const struct packet *p, __u32 in) {
    const struct fast_flow *f = plan->flow;
    bool up = plan->way == FAST_UP;
    plan->family = up ? f->peer_family : f->client_family;
    plan->sums = up ? &f->sums[0] : &f->sums[1];
    plan->now = bpf_ktime_get_ns();
    if (plan->now >= lease_ns())
        return false;
    if (plan->now >= f->expires_ns || p->ttl <= 1 || (p->family == 6 && p->check == 0))
        return false;
    return measure(plan, p) && route(ctx, plan, p) && doors(plan, p, in);
}

#endif
