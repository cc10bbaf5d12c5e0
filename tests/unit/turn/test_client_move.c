/* SPDX-License-Identifier: MIT
 * The client goes elsewhere: other addresses of ours, other servers, other tokens. */
#include "peer.h"

#include <string.h>

static const uint8_t ticket[] = "sealed and signed";

static void allocate_mobile(struct bench *b) {
    struct wire_span asked;
    struct bk_addr relayed = bk_addr(bk_ipv4(192, 0, 2, 1), 50000), mapped = bench_addr(9, 1234);
    b->config.mobility = true;
    bench_start(b);
    bench_expect(b, TURN_ALLOCATE);
    bench_challenge(b, 401);
    bench_expect(b, TURN_ALLOCATE);
    assert_int_equal(stun_get_bytes(&b->msg, TURN_MOBILITY_TICKET, &asked), BK_OK);
    assert_int_equal(asked.len, 0); /* RFC 8016 section 3.1.1 */
    bench_answer(b, 0);
    stun_put_addr(&b->b, TURN_XOR_RELAYED_ADDRESS, &relayed);
    stun_put_addr(&b->b, STUN_XOR_MAPPED_ADDRESS, &mapped);
    stun_put_u32(&b->b, TURN_LIFETIME, 600);
    stun_put_bytes(&b->b, TURN_MOBILITY_TICKET, ticket, sizeof ticket);
    assert_int_equal(bench_send(b), BK_OK);
    assert_true(bench_event(b, BK_TURN_ALLOCATED).mobile);
}

static void move_to(struct bench *b, uint16_t port) {
    b->config.local.port = port;
    bk_turn_move(b->turn, &b->config.local, b->now);
}

/* The request at hand is a Refresh with the ticket, or without. */
static void expect_refresh(struct bench *b, bool with) {
    struct wire_span brought = {NULL, 0};
    bench_expect(b, TURN_REFRESH);
    if (b->auth == 438 || b->auth == 401) { /* nonces are bound to addresses */
        bench_challenge(b, 438);
        bench_expect(b, TURN_REFRESH);
    }
    assert_int_equal(b->out.local.port, b->config.local.port);
    assert_int_equal(stun_get_bytes(&b->msg, TURN_MOBILITY_TICKET, &brought) == BK_OK, with);
    if (with)
        assert_memory_equal(brought.data, ticket, sizeof ticket);
}

static void a_ticket_is_brought_from_the_new_address_only(void **state) {
    struct bench b;
    struct bk_addr peer = bench_addr(1, 9);
    struct bk_datagram d;
    (void)state;
    bench_init(&b);
    allocate_mobile(&b);
    bk_turn_refresh(b.turn, b.now);
    expect_refresh(&b, false); /* RFC 8016 section 3.2.1: MUST NOT */
    bench_say_lifetime(&b, 600);
    move_to(&b, 6000);
    assert_int_equal(bk_turn_permit(b.turn, &peer, true, b.now), BK_OK);
    expect_refresh(&b, true);
    assert_false(bk_turn_next_datagram(b.turn, &d)); /* the peer has to wait: nobody knows us */
    bench_say_lifetime(&b, 500);
    assert_int_equal(bench_event(&b, BK_TURN_MOVED).lifetime_s, 500);
    bench_expect(&b, TURN_CHANNEL_BIND);
    bench_say(&b, 0);
    assert_int_equal(bk_turn_relayed(b.turn).port, 50000);
    bench_fini(&b);
}

/* The first answer was lost, and the server knows us already. */
static void a_refused_ticket_is_left_out_once(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    allocate_mobile(&b);
    move_to(&b, 6000);
    expect_refresh(&b, true);
    bench_say(&b, 400);
    expect_refresh(&b, false);
    bench_say_lifetime(&b, 600);
    (void)bench_event(&b, BK_TURN_MOVED);
    bench_quiet(&b);
    move_to(&b, 6001); /* without a ticket there is nothing to keep */
    assert_int_equal(bench_event(&b, BK_TURN_LOST).err, BK_ERR_UNREACHABLE);
    bench_expect(&b, TURN_ALLOCATE);
    bench_fini(&b);
}

static void a_ticket_of_nothing_ends_in_a_loss(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    allocate_mobile(&b);
    move_to(&b, 6000);
    expect_refresh(&b, true);
    bench_say(&b, 400);
    expect_refresh(&b, false);
    bench_say(&b, 437);
    assert_int_equal(bench_event(&b, BK_TURN_LOST).code, 437);
    bench_expect(&b, TURN_ALLOCATE);
    bench_fini(&b);
}

/* A NAT gave us another address: 437 comes out of the blue, and the ticket mends it; but not for
 * ever. */
static void a_moved_mapping_is_mended(void **state) {
    struct bench b;
    unsigned moves = 0;
    struct bk_turn_event e = {.kind = BK_TURN_MOVED};
    (void)state;
    bench_init(&b);
    allocate_mobile(&b);
    while (e.kind == BK_TURN_MOVED && moves < 20) {
        bk_turn_refresh(b.turn, b.now);
        expect_refresh(&b, false);
        bench_say(&b, 437);
        if (bk_turn_next_event(b.turn, &e))
            break;
        expect_refresh(&b, true);
        bench_say_lifetime(&b, 600);
        assert_true(bk_turn_next_event(b.turn, &e));
        moves++;
    }
    assert_int_equal(e.kind, BK_TURN_LOST);
    assert_int_equal(moves, 4);
    bench_fini(&b);
}

static void a_mapping_that_moves_rarely_is_mended_every_time(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    allocate_mobile(&b);
    for (int i = 0; i < 20; i++) {
        bk_turn_refresh(b.turn, b.now);
        expect_refresh(&b, false);
        bench_say(&b, 437);
        expect_refresh(&b, true);
        bench_say_lifetime(&b, 600);
        (void)bench_event(&b, BK_TURN_MOVED);
        bk_turn_refresh(b.turn, b.now);
        expect_refresh(&b, false);
        bench_say_lifetime(&b, 600);
    }
    bench_fini(&b);
}

/* Before there is anything to keep, and after everything was given back. */
static void moving_is_possible_at_any_time(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    bench_expect(&b, TURN_ALLOCATE);
    move_to(&b, 6000);
    bench_expect(&b, TURN_ALLOCATE);
    assert_int_equal(b.out.local.port, 6000);
    bench_challenge(&b, 401);
    bench_allocate(&b, 600);
    bk_turn_close(b.turn, b.now);
    move_to(&b, 6001); /* no ticket, no way to say it */
    (void)bench_event(&b, BK_TURN_CLOSED);
    move_to(&b, 6002);
    bench_quiet(&b);
    bench_fini(&b);
    bench_init(&b);
    allocate_mobile(&b);
    bk_turn_close(b.turn, b.now);
    move_to(&b, 6001);
    expect_refresh(&b, true);
    bench_say_lifetime(&b, 0);
    (void)bench_event(&b, BK_TURN_CLOSED);
    bench_fini(&b);
}

/* ---- 300 ---------------------------------------------------------------------------------- */

static void redirect_to(struct bench *b, const struct bk_addr *other, const char *domain) {
    bench_expect(b, TURN_ALLOCATE);
    if (b->auth == 401) {
        bench_challenge(b, 401);
        bench_expect(b, TURN_ALLOCATE);
    }
    assert_int_equal(b->auth, 0); /* the same credentials: MUST, RFC 8489 section 10 */
    bench_answer(b, 300);
    if (other != NULL)
        stun_put_addr(&b->b, STUN_ALTERNATE_SERVER, other);
    if (domain != NULL)
        stun_put_bytes(&b->b, STUN_ALTERNATE_DOMAIN, domain, strlen(domain));
    assert_int_equal(bench_send(b), BK_OK);
}

static void follow(struct bench *b, const struct bk_addr *other) {
    struct bk_turn_event e = bench_event(b, BK_TURN_REDIRECT);
    assert_true(bk_addr_equal(&e.alternate, other));
    assert_int_equal(bk_turn_follow(b->turn, &b->config.local, b->now), BK_OK);
    b->config.server = *other;
}

static void another_server_is_followed(void **state) {
    struct bench b;
    struct bk_addr second = bench_addr(2, 3478);
    (void)state;
    bench_init(&b);
    bench_start(&b);
    assert_int_equal(bk_turn_follow(b.turn, &b.config.local, b.now), BK_ERR_STATE);
    redirect_to(&b, &second, "other.example");
    follow(&b, &second);
    assert_int_equal(bk_turn_follow(b.turn, &b.config.local, b.now), BK_ERR_STATE);
    bench_allocate(&b, 600);
    bench_quiet(&b);
    bench_fini(&b);
}

/* Over TLS the name matters. */
static void the_name_goes_with_it(void **state) {
    static const char *const names[] = {"other.example", NULL, "bad\x01name"};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct bench b;
        struct bk_addr second = bench_addr(2, 5349);
        bench_init(&b);
        b.config.secure = true;
        bench_start(&b);
        redirect_to(&b, &second, names[i]);
        struct bk_turn_event e = bench_event(&b, BK_TURN_REDIRECT);
        if (i == 0)
            assert_string_equal(e.domain, "other.example");
        else
            assert_null(e.domain);
        bench_fini(&b);
    }
}

/* RFC 8489 section 10: a server asked within the last five minutes MUST NOT be asked again. */
static void a_loop_ends(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    struct bk_addr first = b.config.server, second = bench_addr(2, 3478),
                   third = bench_addr(3, 3478);
    bench_start(&b);
    redirect_to(&b, &second, NULL);
    follow(&b, &second);
    redirect_to(&b, &third, NULL);
    follow(&b, &third);
    redirect_to(&b, &first, NULL);
    assert_int_equal(bench_event(&b, BK_TURN_FAILED).code, 300);
    bench_quiet(&b);
    bench_fini(&b);
}

static void so_does_a_long_chain(void **state) {
    struct bench b;
    unsigned hops = 0;
    struct bk_turn_event e;
    (void)state;
    bench_init(&b);
    bench_start(&b);
    do {
        struct bk_addr next = bench_addr(20 + hops, 3478);
        redirect_to(&b, &next, NULL);
        assert_true(bk_turn_next_event(b.turn, &e));
        if (e.kind != BK_TURN_REDIRECT)
            break;
        assert_int_equal(bk_turn_follow(b.turn, &b.config.local, b.now), BK_OK);
        b.config.server = next;
    } while (++hops < 20);
    assert_int_equal(hops, 4);
    assert_int_equal(e.kind, BK_TURN_FAILED);
    bench_fini(&b);
}

/* After five minutes the first one may be asked again: an allocation was lost, say. */
static void old_redirections_are_forgotten(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    struct bk_addr first = b.config.server, second = bench_addr(2, 3478);
    bench_start(&b);
    redirect_to(&b, &second, NULL);
    follow(&b, &second);
    bench_allocate(&b, 600);
    b.now = bk_after(b.now, 400 * BK_US_PER_S);
    bk_turn_refresh(b.turn, b.now);
    bench_expect(&b, TURN_REFRESH);
    bench_say(&b, 437);
    (void)bench_event(&b, BK_TURN_LOST);
    redirect_to(&b, &first, NULL);
    follow(&b, &first);
    bench_allocate(&b, 600);
    bench_fini(&b);
}

static void what_cannot_be_a_server_is_not_asked(void **state) {
    struct bench b;
    struct bk_addr bad[4];
    (void)state;
    bench_init(&b);
    bad[0] = b.config.server;                        /* itself */
    bad[1] = bench_addr6(1, 3478);                   /* section 14.15: another family */
    bad[2] = bench_addr(2, 0);                       /* no port */
    bad[3] = bk_addr(bk_ipv4(224, 0, 0, 251), 3478); /* many */
    for (size_t i = 0; i <= 4; i++) {
        bench_init(&b);
        bench_start(&b);
        redirect_to(&b, i < 4 ? &bad[i] : NULL, NULL);
        assert_int_equal(bench_event(&b, BK_TURN_FAILED).code, 300);
        bench_fini(&b);
    }
}

/* ---- Access tokens ------------------------------------------------------------------------ */

static void take_request(struct bench *b, uint16_t method, const struct stun_key *key) {
    assert_true(bk_turn_next_datagram(b->turn, &b->out));
    memcpy(b->request, b->out.data, b->out.len);
    assert_int_equal(stun_parse(&b->msg, b->request, b->out.len), BK_OK);
    assert_int_equal(b->msg.method, method);
    b->auth = stun_realm_claim(&b->realm, &b->msg, &b->config.local, b->now, &b->claim);
    b->key = *key;
    if (b->auth == 0)
        b->auth = stun_claim_verify(&b->claim, &b->msg, key);
}

static bool has_token(const struct bench *b, const char *text) {
    struct wire_span token;
    return stun_get_bytes(&b->msg, STUN_ACCESS_TOKEN, &token) == BK_OK &&
           token.len == strlen(text) && memcmp(token.data, text, token.len) == 0;
}

static void a_token_stands_for_a_password(void **state) {
    struct bench b;
    struct stun_key key = {.bytes = {1, 2, 3}, .len = 20}, next = {.bytes = {4, 5, 6}, .len = 32};
    struct bk_addr peer = bench_addr(1, 9);
    (void)state;
    bench_init(&b);
    b.config.user = "north";
    b.config.password = NULL;
    b.config.token = "a token";
    b.config.token_len = 7;
    b.config.token_key = key.bytes;
    b.config.token_key_len = key.len;
    assert_int_equal(
        stun_realm_init(&b.realm, "example.org", b.realm.secret, 3600 * BK_US_PER_S, true),
        BK_OK); /* would take a hash for a name; a kid is no name to be hidden */
    bench_start(&b);
    take_request(&b, TURN_ALLOCATE, &key);
    assert_false(stun_has(&b.msg, STUN_ACCESS_TOKEN)); /* nobody has asked yet */
    bench_challenge(&b, 401);
    take_request(&b, TURN_ALLOCATE, &key);
    assert_int_equal(b.auth, 0);
    assert_int_equal(b.claim.user.len, 5);
    assert_memory_equal(b.claim.user.data, "north", 5);
    assert_true(has_token(&b, "a token"));
    bench_say_allocated(&b, 600);
    (void)bench_event(&b, BK_TURN_ALLOCATED);
    assert_int_equal(bk_turn_permit(b.turn, &peer, true, b.now), BK_OK);
    take_request(&b, TURN_CHANNEL_BIND, &key);
    assert_int_equal(b.auth, 0);
    assert_false(stun_has(&b.msg, STUN_ACCESS_TOKEN)); /* RFC 7635 section 9: MUST NOT */
    bench_say(&b, 0);
    (void)bench_event(&b, BK_TURN_PERMITTED);
    /* Another one: the Refresh goes with it */
    struct bk_turn_token t = {"south", "second", next.bytes, 6, next.len};
    assert_int_equal(bk_turn_set_token(b.turn, &t, b.now), BK_OK);
    take_request(&b, TURN_REFRESH, &next);
    if (b.auth == 401) {
        bench_challenge(&b, 401);
        take_request(&b, TURN_REFRESH, &next);
    }
    assert_int_equal(b.auth, 0);
    assert_true(has_token(&b, "second"));
    bench_say_lifetime(&b, 300);
    bench_quiet(&b);
    static const uint8_t big[300];
    t = (struct bk_turn_token){"x", big, next.bytes, 300, 32};
    assert_int_equal(bk_turn_set_token(b.turn, &t, b.now), BK_ERR_TOO_LONG);
    t = (struct bk_turn_token){"x", big, next.bytes, 30, 33};
    assert_int_equal(bk_turn_set_token(b.turn, &t, b.now), BK_ERR_ARGUMENT);
    t = (struct bk_turn_token){"", big, next.bytes, 30, 32};
    assert_int_equal(bk_turn_set_token(b.turn, &t, b.now), BK_ERR_ARGUMENT);
    bench_fini(&b);
}

static void the_config_is_checked(void **state) {
    struct bench b;
    (void)state;
    bench_init(&b);
    struct bk_turn_config c = b.config;
    c.tcp = true;
    assert_string_equal(bk_turn_config_check(&c), "tcp"); /* over UDP */
    c.stream = true;
    assert_null(bk_turn_config_check(&c));
    c.reserve = true;
    assert_string_equal(bk_turn_config_check(&c), "tcp");
    c = b.config;
    c.reservation = 1;
    assert_null(bk_turn_config_check(&c));
    c.even_port = true;
    assert_string_equal(bk_turn_config_check(&c), "reservation");
    c = b.config;
    c.both = c.reserve = true;
    assert_string_equal(bk_turn_config_check(&c), "both");
    c = b.config;
    c.password = NULL;
    assert_string_equal(bk_turn_config_check(&c), "password");
    c.token = "t";
    assert_string_equal(bk_turn_config_check(&c), "token_len");
    c.token_len = 1;
    assert_string_equal(bk_turn_config_check(&c), "token_key");
    c.token_key = "0123456789012345";
    c.token_key_len = 15;
    assert_string_equal(bk_turn_config_check(&c), "token_key_len");
    c.token_key_len = 16;
    assert_null(bk_turn_config_check(&c));
    c.links_max = 0;
    assert_string_equal(bk_turn_config_check(&c), "links_max");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_is_brought_from_the_new_address_only),
        cmocka_unit_test(a_refused_ticket_is_left_out_once),
        cmocka_unit_test(a_ticket_of_nothing_ends_in_a_loss),
        cmocka_unit_test(a_moved_mapping_is_mended),
        cmocka_unit_test(a_mapping_that_moves_rarely_is_mended_every_time),
        cmocka_unit_test(moving_is_possible_at_any_time),
        cmocka_unit_test(another_server_is_followed),
        cmocka_unit_test(the_name_goes_with_it),
        cmocka_unit_test(a_loop_ends),
        cmocka_unit_test(so_does_a_long_chain),
        cmocka_unit_test(old_redirections_are_forgotten),
        cmocka_unit_test(what_cannot_be_a_server_is_not_asked),
        cmocka_unit_test(a_token_stands_for_a_password),
        cmocka_unit_test(the_config_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
