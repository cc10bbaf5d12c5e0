/* SPDX-License-Identifier: MIT
 * What the program in the kernel (bpf/turn.bpf.c) and the process share: memory mapped by both. The
 * process writes flows and the index, the program reads them and counts. So nothing but opening
 * needs privileges or a system call, and the two agree about the end of a flow to the packet:
 *
 *     program                              process
 *     index: key -> flow                   alive = 0
 *     users++ (a full barrier)             clear the index (a full barrier)
 *     alive, and the key is its own?       wait until users == 0
 *     carry, count                         the counters are final, the place may be used again
 *     users-- (a full barrier)
 *
 * Either the program sees alive == 0, or the process sees users != 0.
 *
 * Addresses, ports and channels are in network order; sums are the Internet checksum's (RFC 1071),
 * of words as they lie in memory: their order does not matter to it. */
#ifndef FASTPATH_SHARED_H
#define FASTPATH_SHARED_H

#include <stdint.h>

/* The index: buckets of slots, each key may be in one of two. A slot is tag << 32 | place, or 0. */
enum { FAST_SLOTS = 8, FAST_WORDS_MAX = 5 };
struct fast_bucket {
    uint64_t slots[FAST_SLOTS];
} __attribute__((aligned(8))); /* on all machines: these words change whole */

/* What a packet is looked up by: source, destination, both ports, and its channel (0: a peer's);
 * addresses as fast_pair() has them. */
struct fast_key {
    uint64_t words[FAST_WORDS_MAX]; /* IPv4 uses the first two */
};

enum fast_way { FAST_UP, FAST_DOWN }; /* to the peer, to the client */

/* What can be known of a way beforehand. */
struct fast_sums {
    uint16_t before;  /* of the UDP pseudo header as it comes in, without the length */
    uint16_t change;  /* to add to that and to the ports, for the header that goes out */
    uint16_t address; /* of the IPv4 addresses that go out */
    uint16_t unused;
    uint32_t label; /* IPv6: flow label, in network order */
};

struct fast_flow {
    /* Addresses: IPv4 in the first four bytes, the rest 0. */
    uint8_t client[16], server[16], relay[16], peer[16];
    /* The next cache line. */
    uint16_t client_port, server_port, relay_port, peer_port, channel;
    uint8_t client_family, peer_family; /* 4 or 6 */
    uint32_t alive;
    uint64_t expires_ns; /* CLOCK_MONOTONIC */
    uint32_t limit;      /* place in the limits, plus one; 0: none */
    struct fast_sums sums[2];
    uint32_t unused[3];
    /* And what the program writes. */
    uint32_t users, unused2;
    uint64_t packets[2], bytes[2], dropped;
    uint64_t trains_ns; /* when a train of datagrams last went to the sockets (tc) */
    uint64_t unused3;
} __attribute__((aligned(8)));

/* A bandwidth, as GCRA (ITU-T I.371): `next` is when a sender that kept to the rate would have sent
 * what was sent so far. It may not be further ahead than `burst`. All in 1/256 ns since `epoch`. */
struct fast_limit {
    uint64_t next, burst;
    uint64_t per_byte; /* ns << 20 */
    uint64_t unused[5];
} __attribute__((aligned(8)));

/* FAST_XDP_OUT: XDP_REDIRECT to here; FAST_XDP_BACK: XDP_TX; FAST_OUT: tc to here. */
enum { FAST_XDP_BACK = 1, FAST_XDP_OUT = 2, FAST_OUT = 4, FAST_INTERFACES = 16 };
struct fast_interface {
    uint32_t index; /* 0: no more */
    uint8_t mac[6];
    uint8_t may, unused;
};

struct fast_settings {
    uint64_t seed[2];
    uint64_t epoch_ns;
    uint64_t lease_ns; /* after this nothing is carried: the process may be dead */
    uint32_t bucket_mask;
    uint32_t unused;
    struct fast_interface interfaces[FAST_INTERFACES];
};

_Static_assert(sizeof(struct fast_flow) == 192, "three cache lines, the last one written");
_Static_assert(sizeof(struct fast_limit) == 64, "a cache line each");

#define FAST_INLINE static inline __attribute__((always_inline, unused))

FAST_INLINE uint64_t fast_rotl(uint64_t x, int by) {
    return (x << by) | (x >> (64 - by));
}

FAST_INLINE void fast_sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = fast_rotl(v[1], 13) ^ v[0];
    v[0] = fast_rotl(v[0], 32);
    v[2] += v[3];
    v[3] = fast_rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = fast_rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = fast_rotl(v[1], 17) ^ v[2];
    v[2] = fast_rotl(v[2], 32);
}

/* SipHash-1-3 of whole words (Aumasson and Bernstein): under a secret seed nobody can choose
 * addresses and ports that meet in one bucket. `words` is a constant where this is inlined. */
FAST_INLINE uint64_t fast_hash(const uint64_t seed[2], const struct fast_key *key, int words) {
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575ULL, seed[1] ^ 0x646f72616e646f6dULL,
                     seed[0] ^ 0x6c7967656e657261ULL, seed[1] ^ 0x7465646279746573ULL};
    for (int i = 0; i < words; i++) {
        v[3] ^= key->words[i];
        fast_sip_round(v);
        v[0] ^= key->words[i];
    }
    v[2] ^= 0xff;
    fast_sip_round(v);
    fast_sip_round(v);
    fast_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* The two buckets of a hash, and its tag, which is what tells keys in a bucket apart. */
FAST_INLINE uint32_t fast_first(uint64_t hash, uint32_t mask) {
    return (uint32_t)hash & mask;
}

FAST_INLINE uint32_t fast_tag(uint64_t hash) {
    return (uint32_t)(hash >> 32);
}

FAST_INLINE uint32_t fast_second(uint64_t hash, uint32_t mask) {
    return ((uint32_t)hash ^ ((fast_tag(hash) | 1) * 0x9e3779b1U)) & mask;
}

FAST_INLINE uint64_t fast_ports(uint16_t from, uint16_t to, uint16_t channel, uint8_t family) {
    return (uint64_t)from | (uint64_t)to << 16 | (uint64_t)channel << 32 | (uint64_t)family << 48;
}

/* Two words of an address, as a key has them. */
FAST_INLINE uint64_t fast_pair(const uint32_t words[2]) {
    return words[0] | (uint64_t)words[1] << 32;
}

/* RFC 1071: ones' complement, end-around carry. */
FAST_INLINE uint16_t fast_fold(uint64_t sum) {
    sum = (sum & 0xffffffff) + (sum >> 32);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

#endif
