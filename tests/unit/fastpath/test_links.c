/* SPDX-License-Identifier: MIT
 * Real packets over virtual links: what the programs carry, and what they leave alone. Each test
 * runs with XDP and with tc. */
#define _GNU_SOURCE /* NOLINT: setns */
#include "../test.h"
#include "world.h"

static struct world world;
static struct fastpath *path;
static enum fastpath_mode mode;

static struct bk_time now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct bk_time){(int64_t)t.tv_sec * BK_US_PER_S + t.tv_nsec / 1000};
}

static struct fastpath_flow flow4(void) {
    return (struct fastpath_flow){.id = 1,
                                  .alloc = 1,
                                  .client = world_addr("192.0.2.2:40000"),
                                  .server = world_addr("192.0.2.1:3478"),
                                  .relay = world_addr("198.51.100.1:50000"),
                                  .peer = world_addr("198.51.100.2:7000"),
                                  .channel = 0x4001,
                                  .expires = bk_after(now(), 60 * BK_US_PER_S)};
}

static int setup(void **state) {
    (void)state;
    (void)world_make(&world);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    world_end(&world);
    return 0;
}

static bool open_path(void) {
    char reason[FASTPATH_REASON_MAX] = "";
    const struct fastpath_config config = {.mode = mode, .flows_max = 1000, .allocs_max = 1000};
    if (world.ready && fastpath_open(&config, &test_alloc, &path, reason) == BK_OK)
        return true;
    print_message("skipped: %s%s\n", world.why, reason);
    return false;
}

static size_t channel_data(uint8_t *out, uint16_t channel, size_t len) {
    out[0] = (uint8_t)(channel >> 8);
    out[1] = (uint8_t)channel;
    out[2] = (uint8_t)(len >> 8);
    out[3] = (uint8_t)len;
    for (size_t i = 0; i < len; i++)
        out[4 + i] = (uint8_t)(i * 7 + len);
    return 4 + len;
}

static void test_both_ways(void **state) {
    (void)state;
    uint8_t out[2048], in[2048];
    struct fastpath_count count;
    if (!open_path())
        skip();
    const struct fastpath_flow flow = flow4();
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    int c = world_socket(&world, CLIENT, "192.0.2.2:40000", 2000);
    int p = world_socket(&world, PEER, "198.51.100.2:7000", 2000);
    uint64_t packets = 0, bytes = 0;
    for (size_t len = 0; len <= 1468; len += len < 70 ? 1 : 97) {
        size_t all = channel_data(out, 0x4001, len);
        world_send(c, "192.0.2.1:3478", out, all);
        ssize_t got = recv(p, in, sizeof in, 0);
        if (got < 0)
            fail_msg("to the peer: %zu bytes got lost", len);
        assert_int_equal(got, len);
        assert_memory_equal(in, out + 4, len);
        world_send(p, "198.51.100.1:50000", out + 4, len);
        got = recv(c, in, sizeof in, 0);
        if (got < 0)
            fail_msg("to the client: %zu bytes got lost", len);
        assert_int_equal(got, all);
        assert_memory_equal(in, out, all);
        packets++;
        bytes += len;
    }
    assert_int_equal(fastpath_remove(path, 1, &count), BK_OK);
    assert_int_equal(count.packets_to_peer, packets);
    assert_int_equal(count.packets_to_client, packets);
    assert_int_equal(count.bytes_to_peer, bytes);
    assert_int_equal(count.bytes_to_client, bytes);
    close(c);
    close(p);
    fastpath_close(path);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
    };
    (void)argc;
    (void)argv;
    int failed = 0;
    mode = FASTPATH_XDP;
    failed += cmocka_run_group_tests_name("xdp", tests, setup, teardown);
    mode = FASTPATH_TC;
    failed += cmocka_run_group_tests_name("tc", tests, setup, teardown);
    return failed;
}
