/* SPDX-License-Identifier: MIT
 * Packets put together (merge.c) and taken apart (segment.c) are what they were. */
#include "../test.h"

#include "lab/merge.h"
#include "lab/segment.h"
#include "lab/transit.h"

enum { ROOM = 10000 };

static void put16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t len) {
    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)p[i] << (i % 2 == 0 ? 8 : 0);
    while (sum >> 16 != 0)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* A UDP packet as a kernel with checksum offload hands it over. Returns its length with the vnet
 * header. */
static size_t udp(uint8_t *out, bool v6, uint16_t port, size_t payload, uint8_t fill) {
    size_t header = v6 ? 40 : 20, body = payload + 8;
    uint16_t start = (uint16_t)header, offset = 6;
    uint8_t *ip = out + FABRIC_VNET_LEN, *u = ip + header;
    memset(out, 0, FABRIC_VNET_LEN + header + body);
    out[0] = 1; /* needs a checksum */
    memcpy(out + 6, &start, 2);
    memcpy(out + 8, &offset, 2);
    ip[0] = v6 ? 0x60 : 0x45;
    put16(ip + (v6 ? 4 : 2), v6 ? body : header + body);
    ip[v6 ? 7 : 8] = 64;
    ip[v6 ? 6 : 9] = 17;
    memset(ip + (v6 ? 8 : 12), 0x20, v6 ? 32 : 8);
    if (!v6)
        put16(ip + 10, ~sum16(0, ip, 20) & 0xffff);
    put16(u, port);
    put16(u + 2, 4433);
    put16(u + 4, body);
    put16(u + 6, sum16((uint32_t)body + 17, ip + (v6 ? 8 : 12), v6 ? 32 : 8));
    memset(u + 8, fill, payload);
    return FABRIC_VNET_LEN + header + body;
}

/* What is on a wire in the end, from either form. */
static size_t on_wire(uint8_t *bytes, size_t len, size_t index, uint8_t *out) {
    struct transit t = {.bytes = bytes, .len = len};
    assert_true(transit_parse(&t));
    assert_true(t.parsed);
    size_t got = segment_get(&t, index, out, ROOM);
    struct packet p;
    assert_int_equal(packet_parse(&p, out, got, false), BK_OK);
    assert_true(packet_checksums_right(&p));
    return got;
}

static void merged_packets_are_what_they_were(void **state) {
    static const size_t sizes[][5] = {
        {64, 64, 64, 64, 64}, {64, 64, 64, 64, 1}, {1, 1, 1, 1, 1}, {1401, 1401, 1401, 1401, 77}};
    static struct merge m;
    uint8_t bytes[ROOM], want[ROOM], got[ROOM];
    (void)state;
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        for (int v6 = 0; v6 < 2; v6++) {
            m.count = 0;
            for (size_t i = 0; i < 5; i++) {
                size_t len = udp(bytes, v6 == 1, 5000, sizes[c][i], (uint8_t)i);
                assert_true(merge_add(&m, 3, bytes, len));
            }
            merge_finish(&m);
            struct transit t = {.bytes = m.bytes, .len = m.len};
            assert_true(transit_parse(&t));
            assert_int_equal(segment_count(&t), 5);
            for (size_t i = 0; i < 5; i++) {
                size_t len = udp(bytes, v6 == 1, 5000, sizes[c][i], (uint8_t)i);
                size_t want_len = on_wire(bytes, len, 0, want);
                size_t got_len = on_wire(m.bytes, m.len, i, got);
                if (v6 == 0)
                    memcpy(got + 4, want + 4, 8); /* the identification counts up, and its sum */
                assert_int_equal(got_len, want_len);
                assert_memory_equal(got, want, want_len);
            }
        }
    }
}

static void one_packet_stays_as_it_is(void **state) {
    static struct merge m;
    uint8_t bytes[ROOM];
    (void)state;
    m.count = 0;
    size_t len = udp(bytes, false, 5000, 100, 1);
    assert_true(merge_add(&m, 3, bytes, len));
    merge_finish(&m);
    assert_int_equal(m.len, len);
    assert_memory_equal(m.bytes, bytes, len);
}

static void only_alike_packets_are_merged(void **state) {
    static const struct {
        const char *what;
        size_t at; /* behind the vnet header */
        uint8_t value;
    } others[] = {{"TOS", 1, 4},          {"a fragment", 7, 1}, {"more fragments", 6, 0x20},
                  {"TTL", 8, 63},         {"protocol", 9, 6},   {"source", 15, 1},
                  {"destination", 19, 1}, {"port", 21, 1},      {"UDP length", 25, 1}};
    static struct merge m;
    uint8_t bytes[ROOM];
    (void)state;
    size_t len = udp(bytes, false, 5000, 100, 1);
    m.count = 0;
    assert_true(merge_add(&m, 3, bytes, len));
    assert_false(merge_add(&m, 4, bytes, len)); /* another host */
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        len = udp(bytes, false, 5000, 100, 1);
        bytes[FABRIC_VNET_LEN + others[i].at] = others[i].value;
        assert_false(merge_add(&m, 3, bytes, len));
    }
    len = udp(bytes, false, 5000, 100, 1);
    bytes[0] = 0; /* a complete checksum, which may be wrong */
    assert_false(merge_add(&m, 3, bytes, len));
    len = udp(bytes, false, 5000, 101, 1);
    assert_false(merge_add(&m, 3, bytes, len)); /* longer */
    len = udp(bytes, true, 5000, 100, 1);
    assert_false(merge_add(&m, 3, bytes, len));
    len = udp(bytes, false, 5000, 99, 1);
    assert_true(merge_add(&m, 3, bytes, len)); /* shorter: the last one */
    assert_false(merge_add(&m, 3, bytes, len));
    assert_int_equal(m.count, 2);
}

static void there_is_a_limit(void **state) {
    static struct merge m;
    uint8_t bytes[ROOM];
    size_t count = 0;
    (void)state;
    m.count = 0;
    size_t len = udp(bytes, false, 5000, 8000, 1);
    while (merge_add(&m, 3, bytes, len))
        count++;
    assert_int_equal(count, 8);
    m.count = 0;
    len = udp(bytes, false, 5000, 1, 1);
    for (count = 0; merge_add(&m, 3, bytes, len);)
        count++;
    assert_int_equal(count, MERGE_PACKETS_MAX);
    m.count = 0;
    for (len = 0; len < FABRIC_VNET_LEN + 29; len++)
        assert_false(merge_add(&m, 3, bytes, len));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_packets_are_what_they_were),
        cmocka_unit_test(one_packet_stays_as_it_is),
        cmocka_unit_test(only_alike_packets_are_merged),
        cmocka_unit_test(there_is_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
