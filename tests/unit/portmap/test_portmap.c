/* SPDX-License-Identifier: MIT
 * The client against a router made of the same codecs, in virtual time. */
#include "../test.h"
#include "base/rng.h"
#include "wire/natpmp.h"
#include "wire/pcp.h"
#include "wire/stun.h"

#include <bodkin/portmap.h>

enum { SENT_MAX = 64, START_MS = 1000 };

struct sent {
    struct bk_time at;
    struct bk_addr remote;
    struct bk_ip local;
    uint16_t local_port;
    uint8_t data[BK_PORTMAP_DATAGRAM_MAX];
    size_t len;
};

struct scene {
    struct bk_portmap *pm;
    struct rng_seeded seed;
    struct bk_time now;
    struct sent sent[SENT_MAX];
    size_t sent_count;
    struct bk_portmap_job job; /* the last one taken */
    unsigned jobs;
    unsigned events[BK_PORTMAP_STOPPED + 1];
    struct bk_portmap_event last;
};

static const struct bk_addr server = {{BK_IPV4, {198, 51, 100, 9}, 0}, 3478};

static struct bk_ip gateway(void) {
    return bk_ipv4(192, 168, 1, 1);
}

static void drain(struct scene *s) {
    struct bk_portmap_event e;
    struct bk_datagram out;
    struct bk_portmap_job job;
    while (bk_portmap_next_datagram(s->pm, &out)) {
        struct sent *m = &s->sent[s->sent_count++];
        assert_true(s->sent_count < SENT_MAX && out.len <= sizeof m->data);
        *m = (struct sent){.at = s->now,
                           .remote = out.remote,
                           .local = out.local.ip,
                           .local_port = out.local.port,
                           .len = out.len};
        memcpy(m->data, out.data, out.len);
    }
    while (bk_portmap_next_job(s->pm, &job)) {
        s->job = job;
        s->jobs++;
    }
    while (bk_portmap_next_event(s->pm, &e)) {
        s->events[e.kind]++;
        s->last = e;
    }
}

static void start(struct scene *s, const struct bk_portmap_config *config) {
    const struct bk_portmap_router router = {bk_ipv4(192, 168, 1, 2), gateway()};
    memset(s, 0, sizeof *s);
    rng_seed(&s->seed, 7);
    struct bk_rng rng = rng_from_seeded(&s->seed);
    s->now = test_at_ms(START_MS);
    assert_int_equal(bk_portmap_new(config, &test_alloc, &rng, s->now, &s->pm), BK_OK);
    bk_portmap_set_routers(s->pm, &router, 1, s->now);
    drain(s);
}

static uint32_t want(struct scene *s, uint8_t protocol, uint16_t port) {
    const struct bk_portmap_want w = {.protocol = protocol, .internal_port = port, .verify = true};
    uint32_t number;
    assert_int_equal(bk_portmap_add(s->pm, &w, s->now, &number), BK_OK);
    drain(s);
    return number;
}

/* Lets time pass, stopping at each deadline as a loop does. */
static void pass_ms(struct scene *s, int64_t ms) {
    struct bk_time end = bk_after(s->now, ms * BK_US_PER_MS);
    for (unsigned turns = 0;; turns++) {
        struct bk_time next = bk_portmap_deadline(s->pm);
        assert_true(turns < 1000); /* no busy loop */
        if (!bk_before(next, end))
            break;
        s->now = bk_later(s->now, next);
        bk_portmap_advance(s->pm, s->now);
        drain(s);
    }
    s->now = end;
    bk_portmap_advance(s->pm, s->now);
    drain(s);
}

static enum bk_err give_at(struct scene *s, struct bk_addr local, struct bk_addr from,
                           const uint8_t *data, size_t len) {
    uint8_t *copy = malloc(len + 1);
    memcpy(copy, data, len);
    const struct bk_datagram in = {.local = local, .remote = from, .data = copy, .len = len};
    enum bk_err err = bk_portmap_recv(s->pm, &in, s->now);
    free(copy);
    drain(s);
    return err;
}

static enum bk_err give(struct scene *s, const uint8_t *data, size_t len) {
    return give_at(s, bk_addr(bk_ipv4(192, 168, 1, 2), 50000), bk_addr(gateway(), 5351), data, len);
}

/* The last PCP request of this kind that was sent; false: none. */
static bool last_pcp(const struct scene *s, enum pcp_opcode opcode, struct pcp_request *out) {
    for (size_t i = s->sent_count; i-- > 0;)
        if (pcp_parse_request(s->sent[i].data, s->sent[i].len, out) == BK_OK &&
            out->opcode == opcode)
            return true;
    return false;
}

static bool last_natpmp(const struct scene *s, enum natpmp_opcode opcode,
                        struct natpmp_request *out) {
    for (size_t i = s->sent_count; i-- > 0;)
        if (natpmp_parse_request(s->sent[i].data, s->sent[i].len, out) == BK_OK &&
            out->opcode == opcode)
            return true;
    return false;
}

static struct pcp_response grant_of(const struct pcp_request *q, uint16_t port, uint32_t epoch_s) {
    struct pcp_response p = {.version = PCP_VERSION,
                             .opcode = (uint8_t)q->opcode,
                             .lifetime_s = q->lifetime_s,
                             .epoch_s = epoch_s,
                             .has_map = true,
                             .map = q->map};
    p.map.external = bk_addr(bk_ipv4(8, 8, 4, 4), port);
    return p;
}

static enum bk_err say_pcp(struct scene *s, const struct pcp_response *p) {
    uint8_t buf[PCP_MESSAGE_MAX];
    return give(s, buf, pcp_build_response(p, buf, sizeof buf));
}

static enum bk_err say_natpmp(struct scene *s, const struct natpmp_response *p) {
    uint8_t buf[NATPMP_MESSAGE_MAX];
    return give(s, buf, natpmp_build_response(p, buf, sizeof buf));
}

static void natpmp_only(struct scene *s) {
    const struct natpmp_response no = {.opcode = 1, .result = NATPMP_UNSUPP_VERSION};
    const struct natpmp_response ip = {
        .opcode = NATPMP_EXTERNAL, .epoch_s = 100, .external = bk_ipv4(8, 8, 4, 4)};
    assert_int_equal(say_natpmp(s, &no), BK_OK);
    assert_int_equal(say_natpmp(s, &ip), BK_OK);
}

static void grant_natpmp(struct scene *s, uint16_t port, uint32_t epoch_s) {
    struct natpmp_request q;
    assert_true(last_natpmp(s, NATPMP_MAP_UDP, &q));
    const struct natpmp_response p = {.opcode = NATPMP_MAP_UDP,
                                      .epoch_s = epoch_s,
                                      .internal_port = q.internal_port,
                                      .external_port = port,
                                      .lifetime_s = q.lifetime_s};
    assert_int_equal(say_natpmp(s, &p), BK_OK);
}

static void grant_pcp(struct scene *s, uint16_t port, uint32_t epoch_s) {
    struct pcp_request q;
    assert_true(last_pcp(s, PCP_MAP, &q));
    struct pcp_response p = grant_of(&q, port, epoch_s);
    assert_int_equal(say_pcp(s, &p), BK_OK);
}

/* --- PCP --- */

static void pcp_is_asked_at_once_and_ends_the_race(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    struct natpmp_request n;
    struct bk_portmap_lease lease;
    start(&s, &bk_portmap_config_default);
    uint32_t w = want(&s, BK_UDP, 40000);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_int_equal(q.lifetime_s, 7200);
    assert_int_equal(q.map.internal_port, 40000);
    assert_int_equal(q.map.external.port, 40000);
    assert_false(q.other_options || q.prefer_failure); /* THIRD_PARTY never */
    assert_true(last_natpmp(&s, NATPMP_EXTERNAL, &n)); /* raced at the same instant */
    assert_int_equal(s.job.kind, BK_PORTMAP_FIND);
    grant_pcp(&s, 40000, 100);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 1);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_int_equal(lease.way, BK_PORTMAP_PCP);
    assert_true(lease.is_public);
    assert_int_equal(lease.external.port, 40000);
    pass_ms(&s, 5000);
    assert_false(last_natpmp(&s, NATPMP_MAP_UDP, &n)); /* not asked for a second one */
    bk_portmap_free(s.pm);
}

static void half_of_a_lease_later_it_is_renewed(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request first, second;
    start(&s, &bk_portmap_config_default);
    (void)want(&s, BK_UDP, 40000);
    assert_true(last_pcp(&s, PCP_MAP, &first));
    grant_pcp(&s, 41000, 100);
    s.sent_count = 0;
    pass_ms(&s, 3599 * 1000);
    assert_false(last_pcp(&s, PCP_MAP, &second));
    pass_ms(&s, 902 * 1000); /* RFC 6887 section 11.2.1: at 1/2 to 5/8 */
    assert_true(last_pcp(&s, PCP_MAP, &second));
    assert_memory_equal(second.map.nonce, first.map.nonce, PCP_NONCE_LEN);
    assert_int_equal(second.map.external.port, 41000);
    size_t sent = s.sent_count;
    pass_ms(&s, 20 * 1000);
    assert_int_equal(s.sent_count, sent); /* one request at each time of the schedule */
    pass_ms(&s, 1400 * 1000);
    assert_true(s.sent_count > sent); /* 3/4 to 13/16 */
    grant_pcp(&s, 41000, 100 + 5921);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 1); /* nothing new to tell */
    bk_portmap_free(s.pm);
}

static void without_a_renewal_it_is_lost_and_asked_anew(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    start(&s, &bk_portmap_config_default);
    (void)want(&s, BK_UDP, 40000);
    grant_pcp(&s, 40000, 100);
    pass_ms(&s, 7190 * 1000);
    assert_int_equal(s.events[BK_PORTMAP_LOST], 0);
    s.sent_count = 0;
    pass_ms(&s, 11 * 1000);
    assert_int_equal(s.events[BK_PORTMAP_LOST], 1);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    grant_pcp(&s, 40000, 8000);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 2);
    bk_portmap_free(s.pm);
}

/* RFC 6887 section 8.1.1: 3 s, doubling, a tenth at random. */
static void a_silent_router_is_asked_in_growing_steps(void **state) {
    (void)state;
    struct bk_portmap_config config = bk_portmap_config_default;
    struct scene s;
    int64_t expected = 3000;
    config.off[BK_PORTMAP_NATPMP] = config.off[BK_PORTMAP_UPNP] = true;
    start(&s, &config);
    (void)want(&s, BK_UDP, 40000);
    pass_ms(&s, 110 * 1000);
    assert_in_range(s.sent_count, 5, 7);
    for (size_t i = 1; i < s.sent_count; i++) {
        int64_t gap = bk_elapsed_us(s.sent[i - 1].at, s.sent[i].at) / BK_US_PER_MS;
        assert_in_range(gap, expected * 89 / 100, expected * 111 / 100);
        expected = 2 * gap;
    }
    assert_int_equal(s.events[BK_PORTMAP_FAILED], 1);
    grant_pcp(&s, 40000, 7); /* after 100 s it wakes up */
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 1);
    bk_portmap_free(s.pm);
}

static void liars_are_not_believed(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    uint8_t buf[PCP_MESSAGE_MAX];
    start(&s, &bk_portmap_config_default);
    (void)want(&s, BK_UDP, 40000);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    struct pcp_response p = grant_of(&q, 40000, 100);
    p.map.nonce[3] ^= 1;
    assert_int_equal(say_pcp(&s, &p), BK_ERR_NOT_OURS);
    p = grant_of(&q, 40000, 100);
    p.map.internal_port++;
    assert_int_equal(say_pcp(&s, &p), BK_ERR_NOT_OURS);
    p = grant_of(&q, 40000, 100);
    p.map.protocol = PCP_PROTOCOL_TCP;
    assert_int_equal(say_pcp(&s, &p), BK_ERR_NOT_OURS);
    p = grant_of(&q, 40000, 100);
    size_t len = pcp_build_response(&p, buf, sizeof buf);
    struct bk_addr local = bk_addr(bk_ipv4(192, 168, 1, 2), 50000);
    struct bk_addr stranger = bk_addr(bk_ipv4(192, 168, 1, 66), 5351);
    struct bk_addr other_port = bk_addr(gateway(), 5352);
    assert_int_equal(give_at(&s, local, stranger, buf, len), BK_ERR_NOT_OURS);
    assert_int_equal(give_at(&s, local, other_port, buf, len), BK_ERR_NOT_OURS);
    for (size_t cut = 0; cut < len; cut++)
        assert_int_not_equal(give(&s, buf, cut), BK_OK);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 0);
    assert_int_equal(give(&s, buf, len), BK_OK);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 1);
    assert_int_equal(give(&s, buf, len), BK_ERR_NOT_OURS); /* once is enough */
    bk_portmap_free(s.pm);
}

static void a_grant_without_sense_is_no_lease(void **state) {
    (void)state;
    static const struct {
        uint8_t ip[4];
        uint16_t port;
        uint32_t lifetime_s;
    } cases[] = {
        {{8, 8, 4, 4}, 0, 7200},       {{0, 0, 0, 0}, 40000, 7200},   {{8, 8, 4, 4}, 40000, 0},
        {{127, 0, 0, 1}, 40000, 7200}, {{224, 0, 0, 1}, 40000, 7200},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scene s;
        struct pcp_request q;
        const uint8_t *ip = cases[i].ip;
        start(&s, &bk_portmap_config_default);
        (void)want(&s, BK_UDP, 40000);
        assert_true(last_pcp(&s, PCP_MAP, &q));
        struct pcp_response p = grant_of(&q, cases[i].port, 1);
        p.map.external.ip = bk_ipv4(ip[0], ip[1], ip[2], ip[3]);
        p.lifetime_s = cases[i].lifetime_s;
        assert_int_equal(say_pcp(&s, &p), BK_OK);
        assert_int_equal(s.events[BK_PORTMAP_MAPPED], 0);
        bk_portmap_free(s.pm);
    }
}

/* RFC 6598 and RFC 1918: told, and told apart. */
static void a_private_outside_address_is_another_nat(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    struct bk_portmap_lease lease;
    start(&s, &bk_portmap_config_default);
    uint32_t w = want(&s, BK_UDP, 40000);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    struct pcp_response p = grant_of(&q, 40000, 1);
    p.map.external.ip = bk_ipv4(100, 64, 1, 2);
    assert_int_equal(say_pcp(&s, &p), BK_OK);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_false(lease.is_public);
    bk_portmap_free(s.pm);
}

static void an_error_is_believed_for_its_lifetime(void **state) {
    (void)state;
    struct bk_portmap_config config = bk_portmap_config_default;
    struct scene s;
    struct pcp_request q;
    config.off[BK_PORTMAP_NATPMP] = config.off[BK_PORTMAP_UPNP] = true;
    start(&s, &config);
    uint32_t w = want(&s, BK_TCP, 40000);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    struct pcp_response p = grant_of(&q, 40000, 1);
    p.result = PCP_NOT_AUTHORIZED;
    p.lifetime_s = 60;
    assert_int_equal(say_pcp(&s, &p), BK_OK);
    assert_int_equal(s.events[BK_PORTMAP_FAILED], 1);
    assert_string_equal(bk_portmap_reason(s.pm, w, 0, BK_PORTMAP_PCP),
                        "the router does not allow it");
    s.sent_count = 0;
    pass_ms(&s, 59 * 1000);
    assert_int_equal(s.sent_count, 0);
    pass_ms(&s, 2 * 1000);
    assert_int_equal(s.sent_count, 1);
    bk_portmap_free(s.pm);
}

static void low_ports_are_never_asked_for(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    struct bk_portmap_want low = {.protocol = BK_UDP, .internal_port = 80, .external_port = 80};
    uint32_t number;
    start(&s, &bk_portmap_config_default);
    assert_int_equal(bk_portmap_add(s.pm, &low, s.now, &number), BK_ERR_ARGUMENT);
    (void)want(&s, BK_UDP, 80);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_int_equal(q.map.internal_port, 80);
    assert_true(q.map.external.port >= 1024);
    bk_portmap_free(s.pm);
}

static void exactly_this_port_or_none(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    struct natpmp_request n;
    struct bk_portmap_want exact = {.protocol = BK_UDP, .internal_port = 40000, .exact = true};
    uint32_t number;
    start(&s, &bk_portmap_config_default);
    assert_int_equal(bk_portmap_add(s.pm, &exact, s.now, &number), BK_OK);
    drain(&s);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_true(q.prefer_failure); /* RFC 6887 section 13.2 */
    natpmp_only(&s);
    grant_natpmp(&s, 40001, 100); /* NAT-PMP knows no such thing: another port goes back */
    assert_true(last_natpmp(&s, NATPMP_MAP_UDP, &n));
    assert_int_equal(n.lifetime_s, 0);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 0);
    grant_natpmp(&s, 0, 100);
    s.sent_count = 0;
    pass_ms(&s, 100 * 1000);
    assert_false(last_natpmp(&s, NATPMP_MAP_UDP, &n)); /* and is not asked for again and again */
    bk_portmap_free(s.pm);
}

static void one_peer_only_is_peer(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    struct bk_portmap_want w = {
        .protocol = BK_UDP, .internal_port = 40000, .peer = bk_addr(bk_ipv4(9, 9, 9, 9), 443)};
    uint32_t number;
    start(&s, &bk_portmap_config_default);
    assert_int_equal(bk_portmap_add(s.pm, &w, s.now, &number), BK_OK);
    drain(&s);
    assert_true(last_pcp(&s, PCP_PEER, &q));
    assert_true(bk_addr_equal(&q.map.peer, &w.peer));
    assert_int_equal(s.sent_count, 1); /* no other way can */
    struct pcp_response p = grant_of(&q, 40000, 5);
    p.map.peer.port++;
    assert_int_equal(say_pcp(&s, &p), BK_ERR_NOT_OURS);
    p.map.peer.port--;
    assert_int_equal(say_pcp(&s, &p), BK_OK);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 1);
    bk_portmap_free(s.pm);
}

static void an_ipv6_firewall_is_opened(void **state) {
    (void)state;
    static const uint8_t own[16] = {0x2a, 0, 1, [15] = 2}, link[16] = {0xfe, 0x80, [15] = 1};
    struct scene s;
    struct pcp_request q;
    struct bk_portmap_router router = {bk_ipv6(own), bk_ipv6(link)};
    struct bk_portmap_lease lease;
    start(&s, &bk_portmap_config_default);
    router.router.zone = 3;
    bk_portmap_set_routers(s.pm, &router, 1, s.now);
    uint32_t w = want(&s, BK_TCP, 40000);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_true(bk_ip_equal(&q.client, &router.local));
    assert_int_equal(s.sent_count, 1); /* NAT-PMP has no IPv6 */
    struct pcp_response p = grant_of(&q, 40000, 5);
    p.map.external.ip = router.local;
    uint8_t buf[PCP_MESSAGE_MAX];
    size_t len = pcp_build_response(&p, buf, sizeof buf);
    struct bk_addr local = bk_addr(router.local, 50000);
    assert_int_equal(give_at(&s, local, bk_addr(router.router, 5351), buf, len), BK_OK);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_true(lease.is_public && bk_ip_equal(&lease.external.ip, &router.local));
    bk_portmap_free(s.pm);
}

/* --- NAT-PMP, UPnP, the race --- */

static void natpmp_follows_at_once_when_pcp_is_not_spoken(void **state) {
    (void)state;
    struct scene s;
    struct bk_portmap_lease lease;
    struct bk_portmap_view view;
    start(&s, &bk_portmap_config_default);
    uint32_t w = want(&s, BK_UDP, 40000);
    natpmp_only(&s);
    grant_natpmp(&s, 40000, 100);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_int_equal(lease.way, BK_PORTMAP_NATPMP);
    assert_int_equal(lease.external.port, 40000);
    assert_int_equal(bk_elapsed_us(test_at_ms(START_MS), s.now), 0);
    assert_int_equal(bk_portmap_view(s.pm, 0, BK_PORTMAP_PCP, &view), BK_OK);
    assert_int_equal(view.offer, BK_PORTMAP_ABSENT);
    s.sent_count = 0;
    pass_ms(&s, 1700 * 1000);
    assert_int_equal(s.sent_count, 0); /* RFC 6887 section 9: not for 30 minutes */
    bk_portmap_free(s.pm);
}

/* RFC 6886 section 3.1: 250 ms, doubling, nine times. */
static void natpmp_repeats_nine_times(void **state) {
    (void)state;
    struct bk_portmap_config config = bk_portmap_config_default;
    struct scene s;
    int64_t expected = 250000;
    config.off[BK_PORTMAP_PCP] = config.off[BK_PORTMAP_UPNP] = true;
    start(&s, &config);
    (void)want(&s, BK_UDP, 40000);
    pass_ms(&s, 200 * 1000);
    assert_int_equal(s.sent_count, 9);
    for (size_t i = 1; i < 9; i++, expected *= 2)
        assert_int_equal(bk_elapsed_us(s.sent[i - 1].at, s.sent[i].at), expected);
    assert_int_equal(s.events[BK_PORTMAP_FAILED], 1);
    pass_ms(&s, 700 * 1000);
    assert_true(s.sent_count > 9); /* and later again: somebody may have switched it on */
    bk_portmap_free(s.pm);
}

static void a_better_way_replaces_a_worse_one(void **state) {
    (void)state;
    struct scene s;
    struct bk_portmap_lease lease;
    const struct natpmp_response ip = {
        .opcode = NATPMP_EXTERNAL, .epoch_s = 100, .external = bk_ipv4(8, 8, 4, 4)};
    start(&s, &bk_portmap_config_default);
    uint32_t w = want(&s, BK_UDP, 40000);
    assert_int_equal(say_natpmp(&s, &ip), BK_OK);
    pass_ms(&s, 150);
    grant_natpmp(&s, 40000, 100);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_int_equal(lease.way, BK_PORTMAP_NATPMP);
    grant_pcp(&s, 40000, 100);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_int_equal(lease.way, BK_PORTMAP_PCP);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 2);
    struct natpmp_request n;
    s.sent_count = 0;
    bk_portmap_stop(s.pm, s.now);
    drain(&s);
    assert_true(last_natpmp(&s, NATPMP_MAP_UDP, &n)); /* at the end both are given back */
    assert_int_equal(n.lifetime_s, 0);
    assert_int_equal(n.external_port, 0);
    bk_portmap_free(s.pm);
}

static void finish_job(struct scene *s, enum bk_err err, uint16_t code, uint16_t port) {
    struct bk_portmap_result r = {.number = s->job.number, .err = err, .code = code};
    r.external = bk_addr(bk_ipv4(8, 8, 4, 4), port);
    r.lifetime_s = s->job.lifetime_s;
    bk_portmap_job_done(s->pm, &r, s->now);
    drain(s);
}

static void upnp_maps_after_the_race(void **state) {
    (void)state;
    struct scene s;
    struct bk_portmap_lease lease;
    start(&s, &bk_portmap_config_default);
    uint32_t w = want(&s, BK_TCP, 40000);
    pass_ms(&s, 100);
    finish_job(&s, BK_OK, 0, 0); /* found */
    assert_int_equal(s.jobs, 1);
    pass_ms(&s, 151);
    assert_int_equal(s.jobs, 2);
    assert_int_equal(s.job.kind, BK_PORTMAP_OPEN);
    assert_int_equal(s.job.external_port, 40000);
    finish_job(&s, BK_ERR_REFUSED, 718, 0); /* taken: another port */
    assert_int_equal(s.jobs, 3);
    assert_int_not_equal(s.job.external_port, 40000);
    assert_true(s.job.external_port >= 1024);
    finish_job(&s, BK_OK, 0, s.job.external_port);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_int_equal(lease.way, BK_PORTMAP_UPNP);
    bk_portmap_stop(s.pm, s.now);
    drain(&s);
    assert_int_equal(s.job.kind, BK_PORTMAP_CLOSE);
    finish_job(&s, BK_OK, 0, 0);
    pass_ms(&s, 1); /* PCP's question may have made a mapping: it is taken back as well */
    pass_ms(&s, 1000);
    assert_int_equal(s.events[BK_PORTMAP_STOPPED], 1);
    bk_portmap_free(s.pm);
}

/* A router that is busy for 13 s (miniupnpd refusing a PCP request) stops nothing. */
static void a_router_that_hangs_delays_nothing(void **state) {
    (void)state;
    struct scene s;
    start(&s, &bk_portmap_config_default);
    uint32_t w = want(&s, BK_UDP, 40000);
    pass_ms(&s, 13000);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 0);
    assert_int_equal(s.events[BK_PORTMAP_FAILED], 0); /* the job is not back */
    pass_ms(&s, 8000);
    assert_int_equal(s.events[BK_PORTMAP_FAILED], 1); /* given up after 20 s */
    finish_job(&s, BK_OK, 0, 0);                      /* too late: ignored */
    assert_string_equal(bk_portmap_reason(s.pm, w, 0, BK_PORTMAP_UPNP),
                        "the router does not answer");
    grant_pcp(&s, 40000, 100);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 1);
    bk_portmap_free(s.pm);
}

/* --- restarts --- */

static void a_clock_that_went_back_renews_everything(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    start(&s, &bk_portmap_config_default);
    (void)want(&s, BK_UDP, 40000);
    grant_pcp(&s, 40000, 5000);
    pass_ms(&s, 60 * 1000);
    (void)want(&s, BK_TCP, 40002);
    struct pcp_request second;
    assert_true(last_pcp(&s, PCP_MAP, &second));
    s.sent_count = 0;
    struct pcp_response p = grant_of(&second, 40002, 3); /* it has restarted */
    assert_int_equal(say_pcp(&s, &p), BK_OK);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_int_equal(q.map.internal_port, 40000);
    grant_pcp(&s, 40007, 3);
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 3); /* another outside port: told */
    assert_int_equal(s.events[BK_PORTMAP_LOST], 0);
    bk_portmap_free(s.pm);
}

static void announcement(struct scene *s, uint32_t epoch_s) {
    const struct pcp_response p = {
        .version = PCP_VERSION, .opcode = PCP_ANNOUNCE, .epoch_s = epoch_s};
    uint8_t buf[PCP_MESSAGE_MAX];
    size_t len = pcp_build_response(&p, buf, sizeof buf);
    assert_int_equal(
        give_at(s, bk_addr(bk_ipv4(224, 0, 0, 1), 5350), bk_addr(gateway(), 5351), buf, len),
        BK_OK);
}

/* RFC 6887 section 14.1.3: after a random time of up to five seconds. */
static void an_announced_restart_renews_within_five_seconds(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    start(&s, &bk_portmap_config_default);
    (void)want(&s, BK_UDP, 40000);
    grant_pcp(&s, 40000, 5000);
    pass_ms(&s, 60 * 1000);
    s.sent_count = 0;
    announcement(&s, 5060);
    pass_ms(&s, 6 * 1000);
    assert_int_equal(s.sent_count, 0); /* its clock is right */
    announcement(&s, 0);
    announcement(&s, 0);
    assert_int_equal(s.sent_count, 0);
    pass_ms(&s, 5 * 1000);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_int_equal(s.sent_count, 1);
    pass_ms(&s, 11 * 1000); /* it answers no more: gone */
    assert_int_equal(s.events[BK_PORTMAP_LOST], 1);
    bk_portmap_free(s.pm);
}

static void natpmp_announces_a_new_address(void **state) {
    (void)state;
    struct scene s;
    struct bk_portmap_lease lease;
    struct natpmp_request q;
    uint8_t buf[NATPMP_MESSAGE_MAX];
    start(&s, &bk_portmap_config_default);
    uint32_t w = want(&s, BK_UDP, 40000);
    natpmp_only(&s);
    grant_natpmp(&s, 40000, 100);
    pass_ms(&s, 10 * 1000);
    s.sent_count = 0;
    const struct natpmp_response ip = {
        .opcode = NATPMP_EXTERNAL, .epoch_s = 0, .external = bk_ipv4(8, 8, 4, 5)};
    size_t len = natpmp_build_response(&ip, buf, sizeof buf);
    assert_int_equal(
        give_at(&s, bk_addr(bk_ipv4(224, 0, 0, 1), 5350), bk_addr(gateway(), 5351), buf, len),
        BK_OK);
    pass_ms(&s, 5 * 1000);
    assert_true(last_natpmp(&s, NATPMP_MAP_UDP, &q));
    grant_natpmp(&s, 40000, 3);
    assert_int_equal(bk_portmap_lease(s.pm, w, 0, &lease), BK_OK);
    assert_true(bk_ip_equal(&lease.external.ip, &ip.external));
    assert_int_equal(s.events[BK_PORTMAP_MAPPED], 2);
    bk_portmap_free(s.pm);
}

/* --- the end --- */

static void releasing_is_bounded(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    start(&s, &bk_portmap_config_default);
    (void)want(&s, BK_UDP, 40000);
    grant_pcp(&s, 40000, 100);
    s.sent_count = 0;
    bk_portmap_stop(s.pm, s.now);
    drain(&s);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_int_equal(q.lifetime_s, 0); /* RFC 6887 section 15 */
    assert_int_equal(s.events[BK_PORTMAP_STOPPED], 0);
    pass_ms(&s, 1001); /* the router is dead */
    assert_int_equal(s.events[BK_PORTMAP_STOPPED], 1);
    assert_in_range(s.sent_count, 2, 4);
    assert_true(bk_is_never(bk_portmap_deadline(s.pm)));
    bk_portmap_free(s.pm);
}

static void released_ports_make_room(void **state) {
    (void)state;
    struct bk_portmap_config config = bk_portmap_config_default;
    struct bk_portmap_want other = {.protocol = BK_UDP, .internal_port = 40001};
    struct scene s;
    uint32_t number;
    config.wants_max = 1;
    start(&s, &config);
    uint32_t w = want(&s, BK_UDP, 40000);
    grant_pcp(&s, 40000, 100);
    assert_int_equal(bk_portmap_add(s.pm, &other, s.now, &number), BK_ERR_FULL);
    bk_portmap_remove(s.pm, w, s.now);
    drain(&s);
    grant_pcp(&s, 40000, 100); /* the answer to the release */
    assert_int_equal(bk_portmap_add(s.pm, &other, s.now, &number), BK_OK);
    bk_portmap_free(s.pm);
}

static void another_network_is_another_start(void **state) {
    (void)state;
    struct scene s;
    struct pcp_request q;
    const struct bk_portmap_router router = {bk_ipv4(10, 0, 0, 2), bk_ipv4(10, 0, 0, 1)};
    start(&s, &bk_portmap_config_default);
    (void)want(&s, BK_UDP, 40000);
    grant_pcp(&s, 40000, 100);
    bk_portmap_set_routers(s.pm, &router, 1, s.now);
    s.sent_count = 0;
    drain(&s);
    assert_int_equal(s.events[BK_PORTMAP_LOST], 1);
    assert_true(last_pcp(&s, PCP_MAP, &q));
    assert_true(bk_ip_equal(&q.client, &router.local));
    bk_portmap_free(s.pm);
}

/* --- verification --- */

static void begin_verify(struct scene *s, uint32_t *w) {
    struct bk_portmap_config config = bk_portmap_config_default;
    config.stun = server;
    start(s, &config);
    *w = want(s, BK_UDP, 40000);
    grant_pcp(s, 40000, 100);
}

/* Answers the last STUN request: seen at `mapped`, from `from`. */
static void stun_answer(struct scene *s, struct bk_addr from, struct bk_addr mapped,
                        enum stun_class cls) {
    const struct sent *m = &s->sent[s->sent_count - 1];
    struct stun_msg q;
    uint8_t buf[256];
    size_t len;
    assert_int_equal(stun_parse(&q, m->data, m->len), BK_OK);
    assert_int_equal(m->local_port, 40000);
    struct stun_builder b = stun_start(buf, sizeof buf, cls, STUN_BINDING, q.txid);
    if (cls == STUN_ERROR)
        stun_put_error(&b, 420, NULL);
    else
        stun_put_addr(&b, STUN_XOR_MAPPED_ADDRESS, &mapped);
    assert_int_equal(stun_finish(&b, &len), BK_OK);
    assert_int_equal(give_at(s, bk_addr(bk_ipv4(192, 168, 1, 2), 40000), from, buf, len), BK_OK);
}

static enum bk_portmap_proof proof_of(struct scene *s, uint32_t w) {
    struct bk_portmap_lease lease;
    assert_int_equal(bk_portmap_lease(s->pm, w, 0, &lease), BK_OK);
    return lease.proof;
}

static void a_stranger_proves_it(void **state) {
    (void)state;
    struct bk_addr mapped = bk_addr(bk_ipv4(8, 8, 4, 4), 40000);
    struct bk_addr stranger = bk_addr(bk_ipv4(198, 51, 100, 10), 3479), twin = server;
    struct scene s;
    uint32_t w;
    begin_verify(&s, &w);
    assert_int_equal(proof_of(&s, w), BK_PORTMAP_TRYING);
    stun_answer(&s, server, mapped, STUN_SUCCESS);
    stun_answer(&s, stranger, mapped, STUN_SUCCESS);
    assert_int_equal(proof_of(&s, w), BK_PORTMAP_PROVED);
    bk_portmap_free(s.pm);
    begin_verify(&s, &w);
    twin.port = 3479;
    stun_answer(&s, server, mapped, STUN_SUCCESS);
    stun_answer(&s, server, mapped, STUN_ERROR); /* 420: it has one address */
    stun_answer(&s, twin, mapped, STUN_SUCCESS);
    assert_int_equal(proof_of(&s, w), BK_PORTMAP_HALF);
    bk_portmap_free(s.pm);
}

static void what_is_not_so_is_said(void **state) {
    (void)state;
    struct scene s;
    uint32_t w;
    begin_verify(&s, &w);
    stun_answer(&s, server, bk_addr(bk_ipv4(9, 9, 9, 9), 40000), STUN_SUCCESS);
    assert_int_equal(proof_of(&s, w), BK_PORTMAP_ELSEWHERE);
    bk_portmap_free(s.pm);
    begin_verify(&s, &w);
    stun_answer(&s, server, bk_addr(bk_ipv4(8, 8, 4, 4), 51000), STUN_SUCCESS);
    assert_int_equal(proof_of(&s, w), BK_PORTMAP_SEEN);
    bk_portmap_free(s.pm);
    begin_verify(&s, &w);
    stun_answer(&s, server, bk_addr(bk_ipv4(8, 8, 4, 4), 40000), STUN_SUCCESS);
    pass_ms(&s, 10 * 1000);
    assert_int_equal(proof_of(&s, w), BK_PORTMAP_SHUT);
    bk_portmap_free(s.pm);
    begin_verify(&s, &w);
    pass_ms(&s, 10 * 1000);
    assert_int_equal(proof_of(&s, w), BK_PORTMAP_NO_SERVER);
    bk_portmap_free(s.pm);
}

static void a_probe_maps_nothing(void **state) {
    (void)state;
    struct bk_portmap_config config = bk_portmap_config_default;
    struct scene s;
    struct pcp_request q;
    struct natpmp_request n;
    struct bk_portmap_view view;
    config.probe = true;
    start(&s, &config);
    assert_true(last_pcp(&s, PCP_ANNOUNCE, &q));
    assert_true(last_natpmp(&s, NATPMP_EXTERNAL, &n));
    assert_int_equal(s.job.kind, BK_PORTMAP_FIND);
    const struct pcp_response p = {.version = 2, .opcode = PCP_ANNOUNCE, .epoch_s = 77};
    assert_int_equal(say_pcp(&s, &p), BK_OK);
    finish_job(&s, BK_ERR_NOT_FOUND, 0, 0);
    pass_ms(&s, 4000);
    static const enum bk_portmap_offer offers[] = {BK_PORTMAP_OFFERED, BK_PORTMAP_SILENT,
                                                   BK_PORTMAP_SILENT};
    for (unsigned way = 0; way < BK_PORTMAP_WAYS; way++) {
        assert_int_equal(bk_portmap_view(s.pm, 0, (enum bk_portmap_way)way, &view), BK_OK);
        assert_int_equal(view.offer, offers[way]);
    }
    bk_portmap_free(s.pm);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pcp_is_asked_at_once_and_ends_the_race),
        cmocka_unit_test(half_of_a_lease_later_it_is_renewed),
        cmocka_unit_test(without_a_renewal_it_is_lost_and_asked_anew),
        cmocka_unit_test(a_silent_router_is_asked_in_growing_steps),
        cmocka_unit_test(liars_are_not_believed),
        cmocka_unit_test(a_grant_without_sense_is_no_lease),
        cmocka_unit_test(a_private_outside_address_is_another_nat),
        cmocka_unit_test(an_error_is_believed_for_its_lifetime),
        cmocka_unit_test(low_ports_are_never_asked_for),
        cmocka_unit_test(exactly_this_port_or_none),
        cmocka_unit_test(one_peer_only_is_peer),
        cmocka_unit_test(an_ipv6_firewall_is_opened),
        cmocka_unit_test(natpmp_follows_at_once_when_pcp_is_not_spoken),
        cmocka_unit_test(natpmp_repeats_nine_times),
        cmocka_unit_test(a_better_way_replaces_a_worse_one),
        cmocka_unit_test(upnp_maps_after_the_race),
        cmocka_unit_test(a_router_that_hangs_delays_nothing),
        cmocka_unit_test(a_clock_that_went_back_renews_everything),
        cmocka_unit_test(an_announced_restart_renews_within_five_seconds),
        cmocka_unit_test(natpmp_announces_a_new_address),
        cmocka_unit_test(releasing_is_bounded),
        cmocka_unit_test(released_ports_make_room),
        cmocka_unit_test(another_network_is_another_start),
        cmocka_unit_test(a_stranger_proves_it),
        cmocka_unit_test(what_is_not_so_is_said),
        cmocka_unit_test(a_probe_maps_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
