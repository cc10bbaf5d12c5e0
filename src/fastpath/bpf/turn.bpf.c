/* SPDX-License-Identifier: MIT OR GPL-2.0-only
 * TURN's channels, carried by the kernel: one program for XDP, one for tc. ../fastpath.h says what
 * they promise, ../shared.h how they and the process share memory. */
#ifdef __bpf__
#include "flow.h"

/* BPF_FIB_LOOKUP may only be used by programs under a license compatible with the kernel's. */
char licence[] SEC("license") = "Dual MIT/GPL";

enum {
    BYTES_MAX = 2048, /* of data that is summed or moved by us */
    CHUNK = 512,      /* older kernels sum no more at once */
    HEADS_MAX = 72,   /* Ethernet, IPv6, UDP, channel: 66 */
    HOLD_NS = 20 * 1000 * 1000,
    TC_NEXT = -1, /* whatever else is attached, and then up */
    TC_SHOT = 2
};

struct scratch {
    __u8 heads[HEADS_MAX];
    __u8 bytes[BYTES_MAX + CHUNK];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct scratch);
} scratches SEC(".maps");

INLINE __u32 head_len(__u8 family) {
    return sizeof(struct ethhdr) + sizeof(struct udphdr) +
           (family == 4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
}

/* The sum of the first `len` bytes of the scratch; writes up to three zeros behind them. */
INLINE __u64 sum_scratch(struct scratch *s, __u32 len) {
    __u64 sum = 0;
    if (len > BYTES_MAX)
        return 0;
    __builtin_memset(s->bytes + len, 0, 4);
    len = (len + 3) & ~3U;
#pragma unroll
    for (int i = 0; i < BYTES_MAX / CHUNK; i++) {
        __u32 at = (__u32)i * CHUNK, n = len > at ? len - at : 0;
        if (n > CHUNK)
            n = CHUNK;
        if (n > 0)
            sum = (__u32)bpf_csum_diff(NULL, 0, (void *)(s->bytes + at), n, (__u32)sum);
    }
    return sum;
}

/* A number that the compiler cannot know anything of, so that it leaves in place the comparisons
 * from which the verifier knows it. */
INLINE __u32 opaque(__u32 n) {
    asm volatile("" : "+r"(n));
    return n;
}

/* What takes up to three bytes (as loaded, at an offset of `data` in what is summed) off a sum. */
INLINE __u64 without_pad(__u64 pad, __u32 data) {
    if ((data & 1) != 0)
        pad = bpf_htons(1) == 1 ? pad >> 8 : pad << 8;
    return (__u16)~fast_fold(pad);
}

/* ---- XDP ------------------------------------------------------------------------------------ */

INLINE bool sum_xdp(struct xdp_md *ctx, __u32 at, __u32 len, __u64 *sum) {
    __u32 zero = 0;
    struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);
    *sum = 0;
    if (len == 0)
        return true;
    if (!s || len > BYTES_MAX || bpf_xdp_load_bytes(ctx, at, s->bytes, len) != 0)
        return false;
    *sum = sum_scratch(s, len);
    return true;
}

/* A checksum that is right when the one that came in is; or made anew, where it was yet to be. */
INLINE bool check_xdp(struct xdp_md *ctx, struct plan *plan, const struct packet *p) {
    __u32 at = head_len(p->family) + (plan->way == FAST_UP ? CHANNEL_BYTES : 0);
    __u64 sum;
    if (p->check == 0 && plan->family == 4) {
        plan->check = 0;
        return true;
    }
    if (p->check != 0 && p->check != unmade(plan, p)) {
        sum = (__u64)(__u16)~p->check + difference(plan, p);
        __u64 pad = 0;
        __u32 n = opaque(plan->pad) & 3;
        if (n > 0 && bpf_xdp_load_bytes(ctx, at + plan->data, &pad, n) != 0)
            return false;
        sum += without_pad(pad, plan->data);
        plan->check = finish(sum);
        return true;
    }
    if (!sum_xdp(ctx, at, plan->data, &sum))
        return false;
    sum += (__u64)plan->sums->before + plan->sums->change + p->sport + p->dport +
           2 * (__u64)bpf_htons(plan->udp_len);
    if (plan->way == FAST_DOWN)
        sum += plan->flow->channel + bpf_htons(plan->data);
    plan->check = finish(sum);
    return true;
}

INLINE void write_udp(struct udphdr *udp, const struct plan *plan) {
    const struct fast_flow *f = plan->flow;
    bool up = plan->way == FAST_UP;
    udp->source = up ? f->relay_port : f->server_port;
    udp->dest = up ? f->peer_port : f->client_port;
    udp->len = bpf_htons(plan->udp_len);
    udp->check = plan->check;
}

/* RFC 8656 section 14: hop count one less, DSCP, ECN and DF as they came. */
INLINE void write_ip4(struct iphdr *ip, const struct plan *plan, const struct packet *p) {
    const struct fast_flow *f = plan->flow;
    bool up = plan->way == FAST_UP;
    __u16 start = bpf_htons(0x4500 | p->tos), life = bpf_htons((__u16)((p->ttl - 1) << 8 | UDP));
    __u16 len = bpf_htons(plan->ip_len);
    ip->version = 4;
    ip->ihl = 5;
    ip->tos = p->tos;
    ip->tot_len = len;
    ip->id = p->id;
    ip->frag_off = p->fragment;
    ip->ttl = (__u8)(p->ttl - 1);
    ip->protocol = UDP;
    ip->check =
        (__u16)~fast_fold((__u64)start + len + p->id + p->fragment + life + plan->sums->address);
    ip->saddr = *(const __u32 *)(up ? f->relay : f->server);
    ip->daddr = *(const __u32 *)(up ? f->peer : f->client);
}

/* RFC 8656 sections 13.1 and 13.2: the flow label is one of ours. */
INLINE void write_ip6(struct ipv6hdr *ip, const struct plan *plan, const struct packet *p) {
    const struct fast_flow *f = plan->flow;
    bool up = plan->way == FAST_UP;
    *(__u32 *)ip = bpf_htonl(0x60000000 | (__u32)p->tos << 20) | plan->sums->label;
    ip->payload_len = bpf_htons(plan->udp_len);
    ip->nexthdr = UDP;
    ip->hop_limit = (__u8)(p->ttl - 1);
    const __u32 *from = (const __u32 *)(up ? f->relay : f->server);
    const __u32 *to = (const __u32 *)(up ? f->peer : f->client);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        ip->saddr.in6_u.u6_addr32[i] = from[i];
        ip->daddr.in6_u.u6_addr32[i] = to[i];
    }
}

/* The headers that go out, and to the client its channel's. false: no room, which cannot be. */
INLINE bool write_heads(void *at, const void *end, const struct plan *plan,
                        const struct packet *p) {
    struct ethhdr *eth = at;
    if ((const void *)(eth + 1) > end)
        return false;
    __builtin_memcpy(eth->h_dest, plan->to, ETH_ALEN);
    __builtin_memcpy(eth->h_source, plan->from, ETH_ALEN);
    void *ip = eth + 1;
    struct udphdr *udp;
    if (plan->family == 4) {
        eth->h_proto = bpf_htons(ETH_P_IP);
        udp = (struct udphdr *)((struct iphdr *)ip + 1);
        if ((const void *)(udp + 1) > end)
            return false;
        write_ip4(ip, plan, p);
    } else {
        eth->h_proto = bpf_htons(ETH_P_IPV6);
        udp = (struct udphdr *)((struct ipv6hdr *)ip + 1);
        if ((const void *)(udp + 1) > end)
            return false;
        write_ip6(ip, plan, p);
    }
    write_udp(udp, plan);
    if (plan->way == FAST_UP)
        return true;
    __u16 *channel = (__u16 *)(udp + 1);
    if ((const void *)(channel + 2) > end)
        return false;
    channel[0] = plan->flow->channel;
    channel[1] = bpf_htons(plan->data);
    return true;
}

/* By the short way, to where it came from? */
INLINE bool is_back(const struct xdp_md *ctx, const struct plan *plan) {
    return plan->out == ctx->ingress_ifindex && (plan->may & FAST_XDP_BACK) != 0;
}

INLINE int send_xdp(struct xdp_md *ctx, struct plan *plan, const struct packet *p) {
    int grow = (int)head_len(plan->family) - (int)head_len(p->family) +
               (plan->way == FAST_UP ? -CHANNEL_BYTES : CHANNEL_BYTES);
    if (bpf_xdp_adjust_head(ctx, -grow) != 0)
        return XDP_PASS;
    if (!write_heads((void *)(long)ctx->data, (void *)(long)ctx->data_end, plan, p))
        return XDP_ABORTED;
    count(plan);
    if (is_back(ctx, plan))
        return XDP_TX;
    return bpf_redirect(plan->out, 0);
}

INLINE int carry_xdp(struct xdp_md *ctx, struct plan *plan, const struct packet *p) {
    if (!plan_for(ctx, plan, p, ctx->ingress_ifindex))
        return XDP_PASS;
    if ((!is_back(ctx, plan) && (plan->may & FAST_XDP_OUT) == 0) || !check_xdp(ctx, plan, p))
        return XDP_PASS;
    enum verdict verdict = charge(plan);
    if (verdict == CARRY)
        return send_xdp(ctx, plan, p);
    if (verdict == LEAVE)
        return XDP_PASS;
    __sync_fetch_and_add(&plan->flow->dropped, 1);
    return XDP_DROP;
}

SEC("xdp")
int turn_xdp(struct xdp_md *ctx) {
    const void *at = (const void *)(long)ctx->data, *end = (const void *)(long)ctx->data_end;
    struct packet p;
    struct plan plan = {0};
    int verdict = XDP_PASS;
    if (!parse(&p, at, end, (__u32)(ctx->data_end - ctx->data)))
        return XDP_PASS;
    plan.flow = find(&p, &plan.way);
    if (!plan.flow)
        return XDP_PASS;
    enter(plan.flow);
    if (alive(plan.flow) && belongs(plan.flow, plan.way, &p))
        verdict = carry_xdp(ctx, &plan, &p);
    leave(plan.flow);
    return verdict;
}

/* ---- tc --------------------------------------------------------------------------------------
 * A packet that one more header or tail could belong to is a `struct sk_buff` here. Its checksum is
 * in one of four states, and a program is told of one only, so the packet's bytes tell the rest.
 * Headers stay where they are and the data moves: the place where a checksum is yet to be made is
 * counted from the front. */

/* The checksum as for XDP, or, where it is yet to be made, the sum of the new pseudo header.
 * false: it could be either, as one packet of 65536. */
INLINE bool check_tc(struct __sk_buff *skb, struct plan *plan, const struct packet *p,
                     struct scratch *s) {
    __u32 at = head_len(p->family) + (plan->way == FAST_UP ? CHANNEL_BYTES : 0);
    __u64 pad = 0;
    __u32 n = opaque(plan->pad) & 3;
    if (p->check == 0) {
        plan->check = 0;
        return true;
    }
    if (n > 0 && bpf_skb_load_bytes(skb, at + plan->data, &pad, n) != 0)
        return false;
    __u64 unpad = without_pad(pad, plan->data);
    plan->check = finish((__u64)(__u16)~p->check + difference(plan, p) + unpad);
    if (p->check != unmade(plan, p) || bpf_csum_level(skb, BPF_CSUM_LEVEL_QUERY) >= 0)
        return true;
    __u64 sum = sum_scratch(s, plan->data) + (__u16)~fast_fold(unpad) + plan->sums->before +
                p->sport + p->dport + 2 * (__u64)bpf_htons(p->udp_len) + p->check;
    if (plan->way == FAST_UP)
        sum += (__u64)p->first[0] + p->first[1];
    if (fast_fold(sum) == 0xffff)
        return false;
    plan->check = fast_fold((__u64)plan->sums->address + bpf_htons(UDP) + bpf_htons(plan->udp_len));
    return true;
}

INLINE bool write_tc(struct __sk_buff *skb, const struct plan *plan, const struct packet *p,
                     struct scratch *s) {
    const __u32 eth = sizeof(struct ethhdr);
    __u32 head = head_len(plan->family) + (plan->way == FAST_UP ? 0 : CHANNEL_BYTES);
    __u32 data = opaque(plan->data);
    if (!write_heads(s->heads, s->heads + HEADS_MAX, plan, p) || head > HEADS_MAX || head <= eth)
        return false;
    if (plan->way == FAST_DOWN && bpf_skb_change_tail(skb, head + data, 0) != 0)
        return false;
    if (data > 0 && data <= BYTES_MAX &&
        bpf_skb_store_bytes(skb, head, s->bytes, data, BPF_F_RECOMPUTE_CSUM) != 0)
        return false;
    if (bpf_skb_store_bytes(skb, 0, s->heads, eth, BPF_F_INVALIDATE_HASH) != 0 ||
        bpf_skb_store_bytes(skb, eth, s->heads + eth, head - eth, BPF_F_RECOMPUTE_CSUM) != 0)
        return false;
    return plan->way == FAST_DOWN || bpf_skb_change_tail(skb, head + data, 0) == 0;
}

/* A train of datagrams (GRO), each with its channel header, is for the sockets, which send it on as
 * it is. What comes alone soon after goes the same way, or it would overtake. */
INLINE bool is_for_sockets(const struct __sk_buff *skb, struct fast_flow *f) {
    volatile __u64 *trains_ns = (volatile __u64 *)&f->trains_ns;
    if (skb->gso_size != 0) {
        *trains_ns = bpf_ktime_get_ns();
        return true;
    }
    return *trains_ns != 0 && bpf_ktime_get_ns() - *trains_ns < HOLD_NS;
}

INLINE int carry_tc(struct __sk_buff *skb, struct plan *plan, const struct packet *p) {
    __u32 zero = 0;
    struct scratch *s = bpf_map_lookup_elem(&scratches, &zero);
    if (!s || is_for_sockets(skb, plan->flow) || !plan_for(skb, plan, p, skb->ifindex))
        return TC_NEXT;
    if (plan->family != p->family || (plan->may & FAST_OUT) == 0)
        return TC_NEXT; /* an skb does not change its family that easily */
    __u32 at = head_len(p->family) + (plan->way == FAST_UP ? CHANNEL_BYTES : 0);
    __u32 data = opaque(plan->data);
    if (data > BYTES_MAX || (data > 0 && bpf_skb_load_bytes(skb, at, s->bytes, data) != 0) ||
        !check_tc(skb, plan, p, s))
        return TC_NEXT;
    enum verdict verdict = charge(plan);
    if (verdict == LEAVE)
        return TC_NEXT;
    if (verdict == DROP) {
        __sync_fetch_and_add(&plan->flow->dropped, 1);
        return TC_SHOT;
    }
    if (!write_tc(skb, plan, p, s))
        return TC_SHOT; /* half changed; only for want of memory */
    count(plan);
    return bpf_redirect(plan->out, 0);
}

SEC("tc")
int turn_tc(struct __sk_buff *skb) {
    struct packet p;
    struct plan plan = {0};
    int verdict = TC_NEXT;
    __u32 len = skb->len, linear = len < HEADS_MAX ? len : HEADS_MAX;
    if (skb->pkt_type != 0 || skb->vlan_present) /* for another host, or a network in the network */
        return TC_NEXT;
    if ((const void *)(long)skb->data + HEADS_MAX > (const void *)(long)skb->data_end &&
        bpf_skb_pull_data(skb, linear) != 0)
        return TC_NEXT;
    if (!parse(&p, (const void *)(long)skb->data, (const void *)(long)skb->data_end, len))
        return TC_NEXT;
    plan.flow = find(&p, &plan.way);
    if (!plan.flow)
        return TC_NEXT;
    enter(plan.flow);
    if (alive(plan.flow) && belongs(plan.flow, plan.way, &p))
        verdict = carry_tc(skb, &plan, &p);
    leave(plan.flow);
    return verdict;
}
#else
typedef int turn_bpf_is_empty; /* ISO C wants a declaration in every file */
#endif
