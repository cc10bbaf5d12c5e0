/* SPDX-License-Identifier: MIT */
#include "../test.h"
#include "net/metacert.h"

#include <gnutls/x509.h>
#include <time.h>

static void a_made_one_is_found_and_says_what_it_must(void **state) {
    (void)state;
    uint8_t key[32], found[32] = {0};
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i * 7 + 1);
    const int64_t now = 1700000000;
    gnutls_datum_t list[2] = {{NULL, 0}, {NULL, 0}};
    assert_int_equal(net_metacert_make(key, now, &list[1]), BK_OK);
    uint8_t junk[] = {0x30, 0x03, 0x02, 0x01, 0x02};
    list[0] = (gnutls_datum_t){junk, sizeof junk};
    assert_int_equal(net_metacert_find(list, 2, found), BK_OK);
    assert_memory_equal(found, key, sizeof key);
    assert_int_equal(net_metacert_find(list, 1, found), BK_ERR_NOT_FOUND);

    gnutls_x509_crt_t crt;
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_import(crt, &list[1], GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_x509_crt_get_activation_time(crt), now - 30 * 86400);
    assert_int_equal(gnutls_x509_crt_get_expiration_time(crt), now + 30 * 86400);
    assert_int_equal(gnutls_x509_crt_get_pk_algorithm(crt, NULL), GNUTLS_PK_EDDSA_ED25519);
    gnutls_x509_crt_deinit(crt);
    gnutls_free(list[1].data);
}

static void a_damaged_one_is_not_found(void **state) {
    (void)state;
    uint8_t key[32] = {9}, found[32];
    gnutls_datum_t made;
    assert_int_equal(net_metacert_make(key, 1700000000, &made), BK_OK);
    gnutls_datum_t cut = {made.data, made.size - 1};
    assert_int_equal(net_metacert_find(&cut, 1, found), BK_ERR_NOT_FOUND);
    /* No longer 64 hexadecimal digits, in issuer and subject. */
    for (unsigned i = 0; i + 7 < made.size; i++)
        if (memcmp(made.data + i, "derpkey", 7) == 0)
            made.data[i + 7] = 'x';
    assert_int_equal(net_metacert_find(&made, 1, found), BK_ERR_NOT_FOUND);
    gnutls_free(made.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_made_one_is_found_and_says_what_it_must),
        cmocka_unit_test(a_damaged_one_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
