/* SPDX-License-Identifier: MIT
 * Real packets over virtual links: what the programs carry, and what they leave to the sockets of
 * the server. Each test runs with XDP, with tc, and with tc as on older kernels. Receivers check
 * every checksum, as the system does: with XDP all of it is looked at, as on a wire. */
#define _GNU_SOURCE /* NOLINT: setns */
#include "../test.h"
#include "world.h"

#include <netinet/udp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { WAIT_MS = 3000, ABSENT_MS = 100, NOBODY = 65534 };

static struct world world;
static struct fastpath *path;
static enum fastpath_mode mode;
static bool classic;

/* Client, server, relay, peer. */
static const char *const v4[4] = {"192.0.2.2:40000", "192.0.2.1:3478", "198.51.100.1:50000",
                                  "198.51.100.2:7000"};
static const char *const v6[4] = {"[2001:db8:1::2]:40000", "[2001:db8:1::1]:3478",
                                  "[2001:db8:2::1]:50000", "[2001:db8:2::2]:7000"};
static const char *const v4_v6[4] = {"192.0.2.2:40000", "192.0.2.1:3478", "[2001:db8:2::1]:50000",
                                     "[2001:db8:2::2]:7000"};
static const char *const v6_v4[4] = {"[2001:db8:1::2]:40000", "[2001:db8:1::1]:3478",
                                     "198.51.100.1:50000", "198.51.100.2:7000"};

static struct bk_time now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct bk_time){(int64_t)t.tv_sec * BK_US_PER_S + t.tv_nsec / 1000};
}

static struct fastpath_flow flow_of(const char *const way[4]) {
    return (struct fastpath_flow){.id = 1,
                                  .alloc = 1,
                                  .client = world_addr(way[0]),
                                  .server = world_addr(way[1]),
                                  .relay = world_addr(way[2]),
                                  .peer = world_addr(way[3]),
                                  .channel = 0x4001,
                                  .expires = bk_after(now(), 600 * BK_US_PER_S)};
}

/* ---- Once for each mode --------------------------------------------------------------------- */

static enum bk_err open_path(char *reason) {
    const struct fastpath_config config = {
        .mode = mode, .flows_max = 1000, .allocs_max = 1000, .classic = classic};
    return fastpath_open(&config, &test_alloc, &path, reason);
}

static int setup(void **state) {
    (void)state;
    char reason[FASTPATH_REASON_MAX] = "";
    path = NULL;
    if (!world_make(&world) || open_path(reason) != BK_OK)
        print_message("skipped: %s%s\n", world.why, reason);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fastpath_close(path);
    world_end(&world);
    return 0;
}

/* Each test adds flows 1 and 2, and they go with it. */
static int clear(void **state) {
    (void)state;
    if (path != NULL) {
        (void)!fastpath_remove(path, 1, NULL);
        (void)!fastpath_remove(path, 2, NULL);
    }
    return 0;
}

/* ---- Ends ----------------------------------------------------------------------------------- */

struct ends {
    int client, peer;
    const char *const *way;
};

static struct ends ends_of(const char *const way[4]) {
    return (struct ends){world_socket(&world, CLIENT, way[0], WAIT_MS),
                         world_socket(&world, PEER, way[3], WAIT_MS), way};
}

static void ends_close(const struct ends *e) {
    (void)close(e->client);
    (void)close(e->peer);
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

static void receive(int fd, const uint8_t *want, size_t len, const char *who) {
    uint8_t in[2048];
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got < 0)
        fail_msg("%s: %zu bytes got lost", who, len);
    assert_int_equal(got, len);
    assert_memory_equal(in, want, len);
}

static void up(const struct ends *e, size_t len, size_t pad) {
    uint8_t out[2048] = {0};
    size_t all = channel_data(out, 0x4001, len);
    memset(out + all, 0xa5, pad);
    world_send(e->client, e->way[1], out, all + pad);
    receive(e->peer, out + 4, len, "peer");
}

static void down(const struct ends *e, size_t len) {
    uint8_t out[2048];
    size_t all = channel_data(out, 0x4001, len);
    world_send(e->peer, e->way[2], out + 4, len);
    receive(e->client, out, all, "client");
}

static uint64_t carried(uint64_t id) {
    struct fastpath_count c;
    assert_int_equal(fastpath_count(path, id, &c), BK_OK);
    return c.packets_to_peer + c.packets_to_client;
}

/* ---- What is carried ------------------------------------------------------------------------ */

static void check_sizes(const char *const way[4]) {
    struct fastpath_count count;
    const struct fastpath_flow flow = flow_of(way);
    if (path == NULL)
        skip();
    size_t max = 1500 - 8 - 4 - (strchr(way[0], '[') != NULL || strchr(way[3], '[') ? 40 : 20);
    struct ends e = ends_of(way);
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    uint64_t packets = 0, bytes = 0;
    for (size_t len = 0; len <= max; len += len < 70                      ? 1
                                            : len + 97 > max && len < max ? max - len
                                                                          : 97) {
        up(&e, len, len % 2 == 0 ? 0 : (4 - len % 4) % 4);
        down(&e, len);
        packets++;
        bytes += len;
    }
    assert_int_equal(fastpath_remove(path, 1, &count), BK_OK);
    assert_int_equal(count.packets_to_peer, packets);
    assert_int_equal(count.packets_to_client, packets);
    assert_int_equal(count.bytes_to_peer, bytes);
    assert_int_equal(count.bytes_to_client, bytes);
    ends_close(&e);
}

static void test_ipv4_of_all_sizes(void **state) {
    (void)state;
    check_sizes(v4);
}

static void test_ipv6_of_all_sizes(void **state) {
    (void)state;
    check_sizes(v6);
}

static void test_ipv4_to_ipv6(void **state) {
    (void)state;
    if (mode == FASTPATH_XDP)
        check_sizes(v4_v6);
}

static void test_ipv6_to_ipv4(void **state) {
    (void)state;
    if (mode == FASTPATH_XDP)
        check_sizes(v6_v4);
}

/* As a network card sees them. */
static void test_checksums_that_the_sender_made(void **state) {
    (void)state;
    if (path == NULL)
        skip();
    assert_true(world_switch(&world, CLIENT, "c0", ETHTOOL_STXCSUM, 0));
    assert_true(world_switch(&world, PEER, "p0", ETHTOOL_STXCSUM, 0));
    check_sizes(v4);
    check_sizes(v6);
    if (mode == FASTPATH_XDP)
        check_sizes(v6_v4);
    (void)world_switch(&world, CLIENT, "c0", ETHTOOL_STXCSUM, 1);
    (void)world_switch(&world, PEER, "p0", ETHTOOL_STXCSUM, 1);
}

static void test_client_and_peer_on_one_link(void **state) {
    (void)state;
    static const char *const way[4] = {"192.0.2.2:40000", "192.0.2.1:3478", "192.0.2.1:50000",
                                       "192.0.2.2:7000"};
    const struct fastpath_flow flow = flow_of(way);
    if (path == NULL)
        skip();
    struct ends e = {world_socket(&world, CLIENT, way[0], WAIT_MS),
                     world_socket(&world, CLIENT, way[3], WAIT_MS), way};
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    for (size_t len = 0; len < 40; len++) {
        up(&e, len, 0);
        down(&e, len);
    }
    assert_int_equal(carried(1), 80);
    ends_close(&e);
}

/* A train: one call, one buffer, many datagrams. With tc it arrives as one, and is left alone. */
static void test_trains_arrive_whole_whoever_carries_them(void **state) {
    (void)state;
    enum { TRAIN = 20, LEN = 100 };
    uint8_t train[TRAIN * (4 + LEN)];
    union net_sockaddr sa;
    int segment = 4 + LEN;
    if (path == NULL)
        skip();
    const struct fastpath_flow flow = flow_of(v4);
    const struct bk_addr to = world_addr(v4[1]);
    struct ends e = ends_of(v4);
    int server = world_socket(&world, SERVER, v4[1], WAIT_MS);
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    assert_int_equal(setsockopt(e.client, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment), 0);
    for (size_t i = 0; i < TRAIN; i++)
        (void)channel_data(train + i * (4 + LEN), 0x4001, LEN);
    socklen_t len = sockaddr_from(&to, false, &sa);
    assert_int_equal(sendto(e.client, train, sizeof train, 0, &sa.any, len), sizeof train);
    for (int i = 0; i < TRAIN; i++)
        if (mode == FASTPATH_XDP)
            receive(e.peer, train + 4, LEN, "peer");
        else
            receive(server, train, 4 + LEN, "server");
    assert_int_equal(carried(1), mode == FASTPATH_XDP ? TRAIN : 0);
    (void)close(server);
    ends_close(&e);
}

/* ---- What is not ---------------------------------------------------------------------------- */

static void test_what_it_does_not_know_goes_up(void **state) {
    (void)state;
    uint8_t out[4000];
    if (path == NULL)
        skip();
    const struct fastpath_flow flow = flow_of(v4);
    struct ends e = ends_of(v4);
    int server = world_socket(&world, SERVER, v4[1], WAIT_MS);
    int relay = world_socket(&world, SERVER, v4[2], WAIT_MS);
    int stranger = world_socket(&world, PEER, "198.51.100.2:7001", WAIT_MS);
    assert_int_equal(fastpath_add(path, &flow), BK_OK);

    size_t len = channel_data(out, 0x4002, 50); /* another channel */
    world_send(e.client, v4[1], out, len);
    receive(server, out, len, "server, another channel");
    out[0] = 0; /* STUN, by its first byte */
    world_send(e.client, v4[1], out, len);
    receive(server, out, len, "server, STUN");
    len = channel_data(out, 0x4001, 50);
    world_send(e.client, v4[1], out, len - 1); /* shorter than it claims */
    receive(server, out, len - 1, "server, too short");
    world_send(e.client, v4[1], out, 3);
    receive(server, out, 3, "server, no header");
    world_send(stranger, v4[2], out, len); /* no peer of the channel's */
    receive(relay, out, len, "relay, a stranger");
    len = channel_data(out, 0x4001, 1472); /* with the header more than fits */
    world_send(e.peer, v4[2], out + 4, 1472);
    receive(relay, out + 4, 1472, "relay, too long");
    len = channel_data(out, 0x4001, 1700); /* fragments */
    world_send(e.client, v4[1], out, len);
    receive(server, out, len, "server, fragments");
    assert_int_equal(carried(1), 0);
    up(&e, 10, 0);
    assert_int_equal(carried(1), 1);
    (void)close(server);
    (void)close(relay);
    (void)close(stranger);
    ends_close(&e);
}

static void test_an_unknown_neighbour_is_for_the_sockets(void **state) {
    (void)state;
    uint8_t out[100];
    if (path == NULL)
        skip();
    struct fastpath_flow flow = flow_of(v4);
    flow.peer = world_addr("198.51.100.77:7000");
    int server = world_socket(&world, SERVER, v4[1], WAIT_MS);
    int client = world_socket(&world, CLIENT, v4[0], WAIT_MS);
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    size_t len = channel_data(out, 0x4001, 50);
    world_send(client, v4[1], out, len);
    receive(server, out, len, "server");
    assert_int_equal(carried(1), 0);
    (void)close(server);
    (void)close(client);
}

/* ---- Limits --------------------------------------------------------------------------------- */

static void test_flows_of_an_allocation_share_its_bandwidth(void **state) {
    (void)state;
    enum { RATE = 100000, BURST = 65536, PACKETS = 200, LEN = 1000 };
    uint8_t out[4 + LEN];
    struct fastpath_count one, two;
    if (path == NULL)
        skip();
    struct ends e = ends_of(v4);
    int other = world_socket(&world, CLIENT, "192.0.2.2:40001", WAIT_MS);
    struct fastpath_flow flow = flow_of(v4);
    flow.bytes_per_s = RATE;
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    flow.id = 2;
    flow.client.port++;
    flow.relay.port++;
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    size_t all = channel_data(out, 0x4001, LEN);
    struct bk_time start = now();
    for (int i = 0; i < PACKETS / 2; i++) {
        world_send(e.client, v4[1], out, all);
        world_send(other, v4[1], out, all);
    }
    do { /* with XDP another core may still be at it */
        assert_int_equal(fastpath_count(path, 1, &one), BK_OK);
        assert_int_equal(fastpath_count(path, 2, &two), BK_OK);
    } while (one.packets_to_peer + one.dropped + two.packets_to_peer + two.dropped < PACKETS &&
             bk_elapsed_us(start, now()) < WAIT_MS * BK_US_PER_MS);
    uint64_t bytes = one.bytes_to_peer + two.bytes_to_peer;
    uint64_t most = BURST + (uint64_t)(bk_elapsed_us(start, now()) + 1) * RATE / BK_US_PER_S;
    assert_int_equal(one.packets_to_peer + one.dropped, PACKETS / 2);
    assert_int_equal(two.packets_to_peer + two.dropped, PACKETS / 2);
    assert_true(bytes <= most);
    assert_true(bytes > BURST - LEN);
    (void)close(other);
    ends_close(&e);
}

static void test_an_expired_flow_is_not_carried(void **state) {
    (void)state;
    uint8_t out[100];
    uint64_t last = 0;
    if (path == NULL)
        skip();
    struct fastpath_flow flow = flow_of(v4);
    struct ends e = ends_of(v4);
    int server = world_socket(&world, SERVER, v4[1], WAIT_MS);
    flow.expires = bk_after(now(), 150 * BK_US_PER_MS);
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    size_t len = channel_data(out, 0x4001, 50);
    while (bk_before(now(), flow.expires)) {
        last = carried(1);
        world_send(e.client, v4[1], out, len);
    }
    world_send(e.client, v4[1], out, len);
    for (int i = 0; i < 50; i++) {
        memset(out + 4, i, 50);
        world_send(e.client, v4[1], out, len);
    }
    do /* what comes up here was not carried; the last of it is the last that was sent */
        assert_int_equal(recv(server, out, sizeof out, 0), len);
    while (out[4] != 49);
    assert_true(last > 0);
    last = carried(1);
    world_send(e.client, v4[1], out, len);
    assert_int_equal(recv(server, out, sizeof out, 0), len);
    assert_int_equal(carried(1), last);
    flow.expires = bk_after(now(), 60 * BK_US_PER_S);
    assert_int_equal(fastpath_add(path, &flow), BK_OK);
    world_send(e.client, v4[1], out, len);
    while (recv(e.peer, out, sizeof out, MSG_DONTWAIT) >= 0 || carried(1) == last)
        ;
    assert_int_equal(carried(1), last + 1);
    (void)close(server);
    ends_close(&e);
}

/* ---- The end of a flow ---------------------------------------------------------------------- */

struct traffic {
    pthread_t sender, receiver;
    atomic_int phase; /* in each packet; -1: stop */
    atomic_bool done;
    uint64_t received[2];
    const struct ends *ends;
};

static void *send_phases(void *ctx) {
    struct traffic *t = ctx;
    uint8_t out[100];
    for (int i = 0;; i++) {
        int phase = atomic_load(&t->phase);
        if (phase < 0)
            return NULL;
        size_t len = channel_data(out, 0x4001, 20);
        out[4] = (uint8_t)phase;
        world_send(t->ends->client, t->ends->way[1], out, len);
        if (i % 8 == 7)
            (void)usleep(1000);
    }
}

static void *receive_phases(void *ctx) {
    struct traffic *t = ctx;
    uint8_t in[100];
    while (!atomic_load(&t->done))
        if (recv(t->ends->peer, in, sizeof in, 0) > 0)
            t->received[in[0] & 1]++;
    while (recv(t->ends->peer, in, sizeof in, MSG_DONTWAIT) > 0)
        t->received[in[0] & 1]++;
    return NULL;
}

static void test_after_removal_not_one_packet_more(void **state) {
    (void)state;
    struct fastpath_count last;
    if (path == NULL)
        skip();
    const struct timeval soon = {0, 50000};
    const struct fastpath_flow flow = flow_of(v4);
    struct ends e = ends_of(v4);
    (void)setsockopt(e.peer, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    for (int round = 0; round < 10; round++) {
        struct traffic t = {.ends = &e};
        assert_int_equal(fastpath_add(path, &flow), BK_OK);
        assert_int_equal(pthread_create(&t.sender, NULL, send_phases, &t), 0);
        assert_int_equal(pthread_create(&t.receiver, NULL, receive_phases, &t), 0);
        while (carried(1) < 50)
            (void)usleep(1000);
        assert_int_equal(fastpath_remove(path, 1, &last), BK_OK);
        atomic_store(&t.phase, 1);
        (void)usleep(20000);
        atomic_store(&t.phase, -1);
        (void)pthread_join(t.sender, NULL);
        atomic_store(&t.done, true);
        (void)pthread_join(t.receiver, NULL);
        assert_int_equal(t.received[0], last.packets_to_peer);
        assert_int_equal(t.received[1], 0);
        assert_int_equal(last.bytes_to_peer, last.packets_to_peer * 20);
    }
    ends_close(&e);
}

/* ---- Privileges and the program's life ------------------------------------------------------ */

static void test_once_open_it_needs_no_privileges(void **state) {
    (void)state;
    if (path == NULL)
        skip();
    struct ends e = ends_of(v4);
    const struct fastpath_flow flow = flow_of(v4);
    pid_t child = fork();
    if (child == 0) {
        bool done = setgid(NOBODY) == 0 && setuid(NOBODY) == 0 && setuid(0) != 0 &&
                    fastpath_add(path, &flow) == BK_OK;
        _exit(done ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    up(&e, 100, 0); /* the child wrote into memory that is the kernel's, and ours */
    down(&e, 100);
    ends_close(&e);
}

static void test_nothing_stays_behind(void **state) {
    (void)state;
    uint8_t out[100];
    char reason[FASTPATH_REASON_MAX];
    struct fastpath_interface told[4];
    if (path == NULL)
        skip();
    const struct fastpath_flow flow = flow_of(v4);
    struct ends e = ends_of(v4);
    int server = world_socket(&world, SERVER, v4[1], WAIT_MS);
    assert_int_equal(fastpath_interfaces(path, told, 4), 2);
    assert_int_equal(told[0].mode, mode);
    assert_int_equal(told[0].offloaded, mode == FASTPATH_XDP);
    fastpath_close(path);
    pid_t child = fork();
    if (child == 0) { /* it dies without a word */
        bool done = open_path(reason) == BK_OK && fastpath_add(path, &flow) == BK_OK;
        up(&e, 10, 0);
        _exit(done ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    if (classic) /* this one stays, until its lease ends or another takes its place */
        assert_int_equal(open_path(reason), BK_OK);
    size_t len = channel_data(out, 0x4001, 50);
    world_send(e.client, v4[1], out, len);
    receive(server, out, len, "server");
    if (!classic)
        assert_int_equal(open_path(reason), BK_OK);
    (void)close(server);
    ends_close(&e);
}

static void test_where_it_cannot_it_says_why(void **state) {
    (void)state;
    char reason[FASTPATH_REASON_MAX] = "";
    struct fastpath *second = NULL;
    const struct bk_ip nobodys = bk_ipv4(203, 0, 113, 9);
    struct fastpath_config config = {.mode = FASTPATH_XDP,
                                     .flows_max = 10,
                                     .allocs_max = 10,
                                     .serve = &nobodys,
                                     .serve_count = 1};
    if (path == NULL)
        skip();
    assert_int_equal(fastpath_open(&config, &test_alloc, &second, reason), BK_ERR_NOT_FOUND);
    assert_string_equal(reason, "no interface has these addresses");
    config.serve_count = 0;
    if (mode == FASTPATH_XDP) {
        assert_int_equal(fastpath_open(&config, &test_alloc, &second, reason), BK_ERR_NOT_FOUND);
        assert_non_null(strstr(reason, "another XDP program"));
        config.mode = FASTPATH_AUTO; /* falls back */
        assert_int_equal(fastpath_open(&config, &test_alloc, &second, reason), BK_OK);
        fastpath_close(second);
    }
    config.flows_max = 0;
    assert_int_equal(fastpath_open(&config, &test_alloc, &second, reason), BK_ERR_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_ipv4_of_all_sizes, clear),
        cmocka_unit_test_teardown(test_ipv6_of_all_sizes, clear),
        cmocka_unit_test_teardown(test_ipv4_to_ipv6, clear),
        cmocka_unit_test_teardown(test_ipv6_to_ipv4, clear),
        cmocka_unit_test_teardown(test_checksums_that_the_sender_made, clear),
        cmocka_unit_test_teardown(test_client_and_peer_on_one_link, clear),
        cmocka_unit_test_teardown(test_trains_arrive_whole_whoever_carries_them, clear),
        cmocka_unit_test_teardown(test_what_it_does_not_know_goes_up, clear),
        cmocka_unit_test_teardown(test_an_unknown_neighbour_is_for_the_sockets, clear),
        cmocka_unit_test_teardown(test_flows_of_an_allocation_share_its_bandwidth, clear),
        cmocka_unit_test_teardown(test_an_expired_flow_is_not_carried, clear),
        cmocka_unit_test_teardown(test_after_removal_not_one_packet_more, clear),
        cmocka_unit_test_teardown(test_once_open_it_needs_no_privileges, clear),
        cmocka_unit_test_teardown(test_nothing_stays_behind, clear),
        cmocka_unit_test_teardown(test_where_it_cannot_it_says_why, clear),
    };
    mode = FASTPATH_XDP;
    int failed = cmocka_run_group_tests_name("xdp", tests, setup, teardown);
    mode = FASTPATH_TC;
    failed += cmocka_run_group_tests_name("tc", tests, setup, teardown);
    classic = true;
    failed += cmocka_run_group_tests_name("tc, classic", tests, setup, teardown);
    return failed;
}
