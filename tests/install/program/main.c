/* SPDX-License-Identifier: MIT
 * A small user of the installed library: says which packet asks the server in argv[1] for our
 * address, "20 bytes to 192.0.2.1:3478". */
#include <bodkin/stun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static void put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static void not_random(void *ctx, void *out, size_t len) {
    (void)ctx;
    memset(out, 7, len);
}

/* A name that bodkin has too, inside: a program's own names are its own. */
void wipe(void *memory, size_t len);
void wipe(void *memory, size_t len) {
    (void)memory;
    (void)len;
    puts("bodkin called the program's function");
    exit(2);
}

int main(int argc, char **argv) {
    struct bk_alloc alloc = {get, put, NULL};
    struct bk_rng rng = {not_random, NULL};
    struct bk_stun_config config = bk_stun_config_default;
    struct bk_time now = {0};
    struct bk_datagram out;
    struct bk_stun *stun;
    char text[BK_ADDR_TEXT_MAX];
    enum bk_err err = bk_addr_parse(argc > 1 ? argv[1] : "", &config.server);
    config.local.ip = bk_ipv4(192, 0, 2, 7);
    config.local.port = 4000;
    if (err == BK_OK)
        err = bk_stun_new(&config, &alloc, &rng, now, &stun);
    if (err != BK_OK) {
        printf("%s\n", bk_err_text(err));
        return 1;
    }
    bk_stun_advance(stun, now);
    while (bk_stun_next_datagram(stun, &out))
        printf("%zu bytes to %s\n", out.len, bk_addr_format(&out.remote, text));
    bk_stun_free(stun);
    return 0;
}
