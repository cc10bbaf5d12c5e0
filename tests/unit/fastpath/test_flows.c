/* SPDX-License-Identifier: MIT
 * The tables of the process' side, on plain memory: nothing of the kernel is needed. */
#include "../test.h"

#include "base/rng.h"
#include "fastpath/flows.h"

enum { MANY = 20000, LIMITS = 16 };

static struct flows flows;
static struct flows_memory memory;

static void begin(uint32_t flow_count) {
    static struct rng_seeded seeded;
    rng_seed(&seeded, 3);
    const struct bk_rng rng = rng_from_seeded(&seeded);
    memory.flow_count = flow_count;
    memory.limit_count = LIMITS;
    memory.bucket_count = flows_buckets(flow_count);
    memory.settings = calloc(1, sizeof *memory.settings);
    memory.buckets = calloc(memory.bucket_count, sizeof *memory.buckets);
    memory.flows = calloc(flow_count, sizeof *memory.flows);
    memory.limits = calloc(LIMITS, sizeof *memory.limits);
    assert_int_equal(flows_init(&flows, &memory, &rng, test_at_ms(0), &test_alloc), BK_OK);
}

static void end(void) {
    flows_fini(&flows);
    free(memory.settings);
    free(memory.buckets);
    free(memory.flows);
    free(memory.limits);
}

static struct fastpath_flow flow_of(uint32_t i) {
    uint16_t port = (uint16_t)(1024 + i % 50000);
    uint8_t net = (uint8_t)(i / 50000);
    return (struct fastpath_flow){.id = (uint64_t)i + 1,
                                  .alloc = i / 4,
                                  .client = bk_addr(bk_ipv4(192, 0, net, 1), port),
                                  .server = bk_addr(bk_ipv4(198, 51, 100, 1), 3478),
                                  .relay = bk_addr(bk_ipv4(198, 51, 100, 2), port),
                                  .peer = bk_addr(bk_ipv4(203, 0, net, 1), port),
                                  .channel = 0x4000,
                                  .expires = test_at_ms(1000)};
}

/* As bpf/flow.h looks for it. */
static bool find(const struct bk_addr *from, const struct bk_addr *to, uint16_t channel,
                 uint32_t *place) {
    struct fast_key key = {{0}};
    uint32_t ips[2];
    uint16_t ports[3];
    const uint16_t host[3] = {from->port, to->port, channel};
    memcpy(&ips[0], from->ip.bytes, 4);
    memcpy(&ips[1], to->ip.bytes, 4);
    for (int i = 0; i < 3; i++) {
        const uint8_t net[2] = {(uint8_t)(host[i] >> 8), (uint8_t)host[i]};
        memcpy(&ports[i], net, 2);
    }
    key.words[0] = fast_pair(ips);
    key.words[1] = fast_ports(ports[0], ports[1], ports[2], 4);
    uint64_t hash = fast_hash(memory.settings->seed, &key, 2);
    const uint32_t at[2] = {fast_first(hash, memory.settings->bucket_mask),
                            fast_second(hash, memory.settings->bucket_mask)};
    for (int b = 0; b < 2; b++)
        for (int i = 0; i < FAST_SLOTS; i++) {
            uint64_t slot = memory.buckets[at[b]].slots[i];
            if (slot != 0 && slot >> 32 == fast_tag(hash)) {
                *place = (uint32_t)slot - 1;
                return true;
            }
        }
    return false;
}

static void check_found(uint32_t i, bool there) {
    const struct fastpath_flow f = flow_of(i);
    uint32_t up, down;
    assert_int_equal(find(&f.client, &f.server, f.channel, &up), there);
    assert_int_equal(find(&f.peer, &f.relay, 0, &down), there);
    if (!there)
        return;
    assert_int_equal(up & 1, FAST_UP);
    assert_int_equal(down & 1, FAST_DOWN);
    assert_int_equal(up >> 1, down >> 1);
    assert_int_equal(memory.flows[up >> 1].alive, 1);
    assert_memory_equal(memory.flows[up >> 1].client, f.client.ip.bytes, 16);
}

static void test_as_many_as_configured_fit_and_are_found_both_ways(void **state) {
    (void)state;
    begin(MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        const struct fastpath_flow f = flow_of(i);
        assert_int_equal(flows_put(&flows, &f), BK_OK);
    }
    const struct fastpath_flow more = flow_of(MANY);
    assert_int_equal(flows_put(&flows, &more), BK_ERR_FULL);
    for (uint32_t i = 0; i < MANY; i++)
        check_found(i, true);
    for (uint32_t i = 0; i < MANY; i += 2)
        assert_int_equal(flows_remove(&flows, (uint64_t)i + 1, NULL), BK_OK);
    for (uint32_t i = 0; i < MANY; i++)
        check_found(i, i % 2 == 1);
    for (uint32_t i = MANY; i < MANY + MANY / 2; i++) {
        const struct fastpath_flow f = flow_of(i);
        assert_int_equal(flows_put(&flows, &f), BK_OK);
    }
    for (uint32_t i = MANY; i < MANY + MANY / 2; i++)
        check_found(i, true);
    end();
}

static void test_an_emptied_table_is_empty(void **state) {
    (void)state;
    begin(64);
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < 64; i++) {
            struct fastpath_flow f = flow_of(i + round);
            f.bytes_per_s = 1000;
            f.alloc = i % LIMITS;
            assert_int_equal(flows_put(&flows, &f), BK_OK);
        }
        for (uint32_t i = 0; i < 64; i++)
            assert_int_equal(flows_remove(&flows, (uint64_t)i + round + 1, NULL), BK_OK);
    }
    for (uint32_t b = 0; b < memory.bucket_count; b++)
        for (int i = 0; i < FAST_SLOTS; i++)
            assert_int_equal(memory.buckets[b].slots[i], 0);
    end();
}

static void test_two_flows_with_one_key_are_refused(void **state) {
    (void)state;
    begin(64);
    struct fastpath_flow f = flow_of(1);
    assert_int_equal(flows_put(&flows, &f), BK_OK);
    f.id = 99; /* the same way up */
    f.relay.port++;
    assert_int_equal(flows_put(&flows, &f), BK_ERR_FULL);
    f.relay.port--;
    f.channel++; /* the same way down: nothing of it may stay behind */
    assert_int_equal(flows_put(&flows, &f), BK_ERR_FULL);
    f.peer.port++;
    assert_int_equal(flows_put(&flows, &f), BK_OK);
    end();
}

static void test_a_known_flow_is_changed_and_goes_on_counting(void **state) {
    (void)state;
    begin(64);
    struct fastpath_flow f = flow_of(1);
    assert_int_equal(flows_put(&flows, &f), BK_OK);
    memory.flows[0].packets[FAST_UP] = 5;
    f.expires = test_at_ms(2000);
    assert_int_equal(flows_put(&flows, &f), BK_OK);
    assert_int_equal(memory.flows[0].expires_ns, 2000000000);
    f.expires = BK_NEVER;
    assert_int_equal(flows_put(&flows, &f), BK_OK);
    assert_true(memory.flows[0].expires_ns == UINT64_MAX);
    uint32_t place;
    const struct bk_addr was = f.client;
    f.client = bk_addr(bk_ipv4(192, 0, 2, 99), 999); /* a client that moved, RFC 8016 */
    assert_int_equal(flows_put(&flows, &f), BK_OK);
    assert_false(find(&was, &f.server, f.channel, &place));
    assert_true(find(&f.client, &f.server, f.channel, &place));
    assert_int_equal(place, 0 | FAST_UP);
    struct fastpath_count c;
    assert_int_equal(flows_count(&flows, 2, &c), BK_OK);
    assert_int_equal(c.packets_to_peer, 5);
    f.channel = 0; /* no flow any more */
    assert_int_equal(flows_put(&flows, &f), BK_ERR_ARGUMENT);
    assert_int_equal(memory.flows[0].alive, 0);
    check_found(1, false);
    assert_int_equal(flows_remove(&flows, 2, &c), BK_OK);
    assert_int_equal(c.packets_to_peer, 5);
    end();
}

static void test_what_is_no_flow_is_refused(void **state) {
    (void)state;
    begin(64);
    struct fastpath_flow f = flow_of(1);
    f.id = 0;
    assert_int_equal(flows_put(&flows, &f), BK_ERR_ARGUMENT);
    f = flow_of(1);
    f.channel = 0x3fff;
    assert_int_equal(flows_put(&flows, &f), BK_ERR_ARGUMENT);
    f = flow_of(1);
    f.peer.ip = bk_ipv6((const uint8_t[16]){0x20, 1});
    assert_int_equal(flows_put(&flows, &f), BK_ERR_ARGUMENT);
    f = flow_of(1);
    f.bytes_per_s = 1;
    assert_int_equal(flows_put(&flows, &f), BK_ERR_UNSUPPORTED);
    assert_int_equal(flows_remove(&flows, 1, NULL), BK_ERR_NOT_FOUND);
    end();
}

static void test_flows_of_an_allocation_share_its_bandwidth(void **state) {
    (void)state;
    begin(64);
    for (uint32_t i = 0; i < 8; i++) {
        struct fastpath_flow f = flow_of(i);
        f.bytes_per_s = 1000000;
        assert_int_equal(flows_put(&flows, &f), BK_OK);
    }
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(memory.flows[i].limit, i / 4 + 1);
    assert_true(memory.limits[0].per_byte == UINT64_C(1000) << 20);
    struct fastpath_flow f = flow_of(0);
    for (uint32_t i = 0; i < 4; i++) {
        f = flow_of(i);
        assert_int_equal(flows_put(&flows, &f), BK_OK); /* without */
    }
    assert_int_equal(memory.flows[0].limit, 0);
    for (uint32_t i = 8; i < 8 + LIMITS - 1; i++) {
        f = flow_of(i);
        f.alloc = 100 + i;
        f.bytes_per_s = 8;
        assert_int_equal(flows_put(&flows, &f), BK_OK); /* the freed one is used again */
    }
    f = flow_of(40);
    f.bytes_per_s = 1000;
    assert_int_equal(flows_put(&flows, &f), BK_ERR_FULL);
    check_found(40, false);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_many_as_configured_fit_and_are_found_both_ways),
        cmocka_unit_test(test_an_emptied_table_is_empty),
        cmocka_unit_test(test_two_flows_with_one_key_are_refused),
        cmocka_unit_test(test_a_known_flow_is_changed_and_goes_on_counting),
        cmocka_unit_test(test_what_is_no_flow_is_refused),
        cmocka_unit_test(test_flows_of_an_allocation_share_its_bandwidth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
