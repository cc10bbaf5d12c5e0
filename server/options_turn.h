/* SPDX-License-Identifier: MIT
 * What `bodkin serve` can be told about TURN: the part of its options that options.h embeds. Users'
 * passwords and secrets are among them: whoever copies it wipes the copy. */
#ifndef SERVER_OPTIONS_TURN_H
#define SERVER_OPTIONS_TURN_H

#include "turn/filter.h"
#include <bodkin/addr.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SERVER_LISTEN_MAX = 16,
    SERVER_TEXT_MAX = 1024,
    SERVER_USERS_MAX = 256,  /* of the command line and the file; a data base has no limit */
    SERVER_SECRETS_MAX = 16, /* one in use, one on its way out, for several applications */
    SERVER_RANGES_MAX = 128, /* of one list */
    SERVER_USER_TEXT_MAX = 128,
    SERVER_SECRET_TEXT_MAX = 512,
    SERVER_REALM_MAX = 28 /* a longer one would make a 401 an amplifier; turn/service.h */
};

struct server_text {
    char text[SERVER_TEXT_MAX]; /* empty: not set */
};

struct server_listen {
    struct bk_ip ips[SERVER_LISTEN_MAX];
    struct bk_ip outside[SERVER_LISTEN_MAX]; /* SERVER_OUTSIDE: family NONE where none was given */
    size_t count;                            /* 0: every address */
};

/* "NAME:PASSWORD", or "NAME:0xKEY" with a key as RFC 8489 section 9.2.2 makes it. */
struct server_user {
    char name[SERVER_USER_TEXT_MAX], password[SERVER_USER_TEXT_MAX];
};

struct server_users {
    struct server_user list[SERVER_USERS_MAX];
    size_t count;
};

struct server_secrets {
    char list[SERVER_SECRETS_MAX][SERVER_SECRET_TEXT_MAX];
    size_t count;
};

struct server_ranges {
    struct turn_range list[SERVER_RANGES_MAX];
    size_t count;
};

struct server_ports {
    uint16_t min, max;
};

enum server_io { SERVER_IO_AUTO, SERVER_IO_BATCH, SERVER_IO_PORTABLE };

struct turn_options {
    struct server_users users;
    struct server_secrets secrets;    /* of time-limited names (REST) */
    struct server_secrets token_keys; /* RFC 7635: "KID:BASE64", the long-term keys of tokens */
    struct server_secrets nonce_keys; /* the one in use, one on its way in or out; none: drawn */
    struct server_text realm;
    struct server_text users_db;  /* a file of `bodkin user` */
    struct server_text users_url; /* asked for whom nobody else knows */
    struct server_listen relay;   /* one address of each family; none: chosen */
    struct server_ports ports;
    bool shared_ports;
    struct server_ranges allow, deny;                      /* peers */
    int64_t allocations_max;                               /* in all */
    int64_t user_allocations_max, address_allocations_max; /* 0: any */
    int64_t bandwidth, user_bandwidth; /* bits per second, both directions together; 0: any */
    int64_t turns_port;                /* TLS and DTLS; -1: not set, which means 5349; 0: none */
    bool no_tcp_relay, no_mobility, no_userhash;
    int64_t fastpath;         /* enum fastpath_mode */
    int64_t io;               /* enum server_io */
    struct bk_addr alternate; /* family NONE: none */
    struct bk_addr drain_to;  /* the same, for a server that is being emptied */
    struct server_ranges proxy_from;
    int64_t throttle; /* unauthenticated answers per second and network; 0: any */
};

/* Can anybody log in? Without credentials there is no TURN. */
bool turn_options_on(const struct turn_options *o);

#endif
