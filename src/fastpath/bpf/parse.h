/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 * What of a frame matters here. Whatever is not a plain UDP datagram in one Ethernet frame is not
 * parsed, and so left to the system. */
#ifndef FASTPATH_BPF_PARSE_H
#define FASTPATH_BPF_PARSE_H

#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <stdbool.h>

#include "fastpath/shared.h"

#define INLINE static __attribute__((always_inline))

enum {
    UDP = 17,
    DONT_FRAGMENT = 0x4000, /* the two flags and the offset of RFC 791 */
    FRAGMENT_MASK = 0xbfff,
    CHANNEL_BYTES = 4
};

struct packet {
    struct fast_key key;
    __u16 first[2]; /* the first four bytes of the data, where there are so many */
    __u16 sport, dport, check, id, fragment;
    __u16 udp_len; /* host order, as is `payload` */
    __u16 payload;
    __u8 mac[ETH_ALEN]; /* whom the frame is for */
    __u8 family, tos, ttl;
};

INLINE bool parse_udp(struct packet *p, const void *at, const void *end, __u32 len) {
    const struct udphdr *udp = at;
    if ((const void *)(udp + 1) > end)
        return false;
    p->udp_len = bpf_ntohs(udp->len);
    if (p->udp_len != len || len < sizeof *udp)
        return false;
    p->sport = udp->source;
    p->dport = udp->dest;
    p->check = udp->check;
    p->payload = (__u16)(len - sizeof *udp);
    p->first[0] = p->first[1] = 0;
    const __u16 *words = (const void *)(udp + 1);
    if (p->payload >= CHANNEL_BYTES && (const void *)(words + 2) <= end) {
        p->first[0] = words[0];
        p->first[1] = words[1];
    }
    return true;
}

INLINE __u16 ip4_sum(const struct iphdr *ip) {
    const __u16 *w = (const void *)ip;
    __u32 sum = 0;
#pragma unroll
    for (int i = 0; i < 10; i++)
        sum += w[i];
    return fast_fold(sum);
}

INLINE bool parse_ip4(struct packet *p, const void *at, const void *end, __u32 room) {
    const struct iphdr *ip = at;
    if ((const void *)(ip + 1) > end || ip->version != 4 || ip->ihl != 5 || ip->protocol != UDP)
        return false;
    __u32 len = bpf_ntohs(ip->tot_len);
    if (len > room || len < sizeof *ip || ip4_sum(ip) != 0xffff ||
        (ip->frag_off & bpf_htons(FRAGMENT_MASK)) != 0)
        return false;
    p->family = 4;
    p->tos = ip->tos;
    p->ttl = ip->ttl;
    p->id = ip->id;
    p->fragment = ip->frag_off;
    p->key.words[0] = ip->saddr | (__u64)ip->daddr << 32;
    return parse_udp(p, ip + 1, end, len - sizeof *ip);
}

INLINE bool parse_ip6(struct packet *p, const void *at, const void *end, __u32 room) {
    const struct ipv6hdr *ip = at;
    if ((const void *)(ip + 1) > end || ip->version != 6 || ip->nexthdr != UDP)
        return false;
    __u32 len = bpf_ntohs(ip->payload_len);
    if (len + sizeof *ip > room)
        return false;
    p->family = 6;
    p->tos = (__u8)(ip->priority << 4 | ip->flow_lbl[0] >> 4);
    p->ttl = ip->hop_limit;
    p->id = 0;
    p->fragment = bpf_htons(DONT_FRAGMENT);
    const __u32 *s = ip->saddr.in6_u.u6_addr32, *d = ip->daddr.in6_u.u6_addr32;
    p->key.words[0] = fast_pair(s);
    p->key.words[1] = fast_pair(s + 2);
    p->key.words[2] = fast_pair(d);
    p->key.words[3] = fast_pair(d + 2);
    return parse_udp(p, ip + 1, end, len);
}

/* `len`: of the whole frame, of which the bytes up to `end` can be read here. */
INLINE bool parse(struct packet *p, const void *at, const void *end, __u32 len) {
    const struct ethhdr *eth = at;
    if ((const void *)(eth + 1) > end || len < sizeof *eth)
        return false;
    __builtin_memcpy(p->mac, eth->h_dest, ETH_ALEN);
    if (eth->h_proto == bpf_htons(ETH_P_IP))
        return parse_ip4(p, eth + 1, end, len - sizeof *eth);
    if (eth->h_proto == bpf_htons(ETH_P_IPV6))
        return parse_ip6(p, eth + 1, end, len - sizeof *eth);
    return false;
}

#endif
