/* SPDX-License-Identifier: MIT
 * The one table of options. */
#include "fastpath/fastpath.h"
#include "server/options.h"

enum { ALLOCATIONS_MAX = 1000000, GRACE_MAX = 86400 };

static const int64_t rate_max = INT64_C(1000000000000);

const struct server_options server_options_default = {
    .https_port = -1,
    .stun_port = 3478,
    .plain_http_port = -1,
    .connections_max = 20000,
    .per_address_max = 1024, /* a campus behind one NAT fits; one host cannot take it all */
    .log_level = LOG_INFO,
    .upgrade_grace_s = 600,
    .turn =
        {
            .realm = {"bodkin"}, /* keys are made with it: it does not change with the host name */
            .ports = {49152, 65535}, /* RFC 8656 section 7.2 */
            /* A gateway is one user with thousands of calls, a carrier's NAT one address with
               thousands of users; neither can have all the ports. */
            .allocations_max = 16000,
            .user_allocations_max = 4000,
            .address_allocations_max = 8000,
            .bandwidth = 2000000000,
            .user_bandwidth = 10000000000,
            .turns_port = -1,
            .fastpath = FASTPATH_AUTO,
            .io = SERVER_IO_AUTO,
            .throttle = 500,
        },
};

#define AT(field) offsetof(struct server_options, field)
#define GENERAL SERVER_GROUP_GENERAL
#define TURN SERVER_GROUP_TURN
#define MORE SERVER_GROUP_MORE

const struct server_option server_option_table[] = {
    {"listen", SERVER_LISTEN, AT(listen), 0, 0, "ADDR",
     "address to serve on, repeatable (default: all)", GENERAL, false},
    {"https", SERVER_NUMBER, AT(https_port), 0, 65535, "PORT",
     "relay over HTTPS (default 443; 8443 if not permitted)", GENERAL, false},
    {"stun", SERVER_NUMBER, AT(stun_port), 0, 65535, "PORT",
     "STUN and TURN, UDP and TCP (default 3478)", GENERAL, false},
    {"stun-address", SERVER_OUTSIDE, AT(stun_address), 0, 0, "ADDR",
     "one of two per family for NAT tests; ADDR=OUTSIDE", MORE, false},
    {"plain-http", SERVER_NUMBER, AT(plain_http_port), 0, 65535, "PORT",
     "relay without TLS, for reverse proxies (off)", MORE, false},
    {"name", SERVER_TEXT, AT(name), 0, 0, "HOST",
     "what clients are told (default: an address of this host)", GENERAL, false},
    {"cert", SERVER_TEXT, AT(cert), 0, 0, "FILE", "certificate chain, PEM (default: self-signed)",
     GENERAL, true},
    {"key", SERVER_TEXT, AT(key), 0, 0, "FILE", "its private key, PEM (default: in --cert)",
     GENERAL, true},
    {"state", SERVER_TEXT, AT(state_dir), 0, 0, "DIR",
     "own keys (~/.local/state/bodkin; root: /var/lib/bodkin)", GENERAL, false},
    {"user", SERVER_TEXT, AT(user), 0, 0, "NAME", "become NAME after binding (root: nobody)",
     GENERAL, false},
    {"workers", SERVER_NUMBER, AT(workers), 0, SERVER_WORKERS_MAX, "N",
     "threads (default 0: one per core)", GENERAL, false},
    {"connections-max", SERVER_NUMBER, AT(connections_max), 1, 1000000, "N",
     "TCP connections in all (default 20000)", MORE, false},
    {"per-address-max", SERVER_NUMBER, AT(per_address_max), 0, 1000000, "N",
     "of one address or IPv6 /64, 0: any (default 1024)", MORE, false},
    {"metrics-from", SERVER_RANGES, AT(metrics_from), 0, 0, "RANGE",
     "who may read /metrics (default: private addresses)", MORE, false},
    {"log-level", SERVER_LEVEL, AT(log_level), 0, 0, "LEVEL", "debug, info, warn, error (info)",
     GENERAL, true},
    {"log-json", SERVER_FLAG, AT(log_json), 0, 0, NULL, "one JSON object per line", MORE, true},
    {"no-sandbox", SERVER_FLAG, AT(no_sandbox), 0, 0, NULL,
     "without seccomp and landlock (on where there are any)", MORE, false},
    {"drain-exit", SERVER_FLAG, AT(drain_exit), 0, 0, NULL,
     "after SIGUSR1: end with the last allocation", MORE, true},
    {"stop-grace", SERVER_NUMBER, AT(stop_grace_s), 0, GRACE_MAX, "SECONDS",
     "SIGTERM: empty it for so long first (0)", MORE, true},
    {"upgrade-grace", SERVER_NUMBER, AT(upgrade_grace_s), 0, GRACE_MAX, "SECONDS",
     "SIGUSR2: keep who cannot move (600)", MORE, true},

    {"turn-user", SERVER_USERS, AT(turn.users), 0, 0, "NAME:PASS",
     "a user, repeatable; NAME:0xKEY takes a key", TURN, true},
    {"turn-secret", SERVER_SECRETS, AT(turn.secrets), 0, 0, "SECRET",
     "of time-limited names (REST); or @FILE", TURN, true},
    {"turn-token-key", SERVER_SECRETS, AT(turn.token_keys), 0, 0, "KID:KEY",
     "key of RFC 7635 tokens, base64; or @FILE", TURN, true},
    {"turn-nonce-key", SERVER_SECRETS, AT(turn.nonce_keys), 0, 0, "TEXT",
     "servers with the same take each other's nonces", TURN, true},
    {"users", SERVER_TEXT, AT(turn.users_db), 0, 0, "FILE", "users kept by `bodkin user`", TURN,
     true},
    {"users-url", SERVER_TEXT, AT(turn.users_url), 0, 0, "URL",
     "http[s]://HOST/..., asked for other users", TURN, true},
    {"realm", SERVER_TEXT, AT(turn.realm), 1, SERVER_REALM_MAX, "TEXT",
     "keys of users belong to it (default bodkin)", TURN, false},
    {"relay-address", SERVER_OUTSIDE, AT(turn.relay), 0, 0, "ADDR",
     "of relays, one per family; ADDR=OUTSIDE", TURN, false},
    {"relay-ports", SERVER_PORTS, AT(turn.ports), 1, 65535, "MIN-MAX",
     "their ports (default 49152-65535)", TURN, false},
    {"shared-ports", SERVER_FLAG, AT(turn.shared_ports), 0, 0, NULL,
     "clients share ports: more than there are", TURN, false},
    {"turns", SERVER_NUMBER, AT(turn.turns_port), 0, 65535, "PORT",
     "TURN over TLS and DTLS, 0: none (default 5349)", TURN, false},
    {"allow-peer", SERVER_RANGES, AT(turn.allow), 0, 0, "RANGE",
     "relay to it although not global: 10.0.0.0/8", TURN, true},
    {"deny-peer", SERVER_RANGES, AT(turn.deny), 0, 0, "RANGE", "never relay to it, repeatable",
     TURN, true},
    {"allocations-max", SERVER_NUMBER, AT(turn.allocations_max), 1, ALLOCATIONS_MAX, "N",
     "allocations in all (default 16000)", TURN, false},
    {"user-allocations-max", SERVER_NUMBER, AT(turn.user_allocations_max), 0, ALLOCATIONS_MAX, "N",
     "of one user, 0: any (4000)", TURN, true},
    {"address-allocations-max", SERVER_NUMBER, AT(turn.address_allocations_max), 0, ALLOCATIONS_MAX,
     "N", "of one IP, 0: any (8000)", TURN, true},
    {"bandwidth", SERVER_RATE, AT(turn.bandwidth), 0, rate_max, "BITS",
     "per second and allocation: 8M; 0: any (2G)", TURN, true},
    {"user-bandwidth", SERVER_RATE, AT(turn.user_bandwidth), 0, rate_max, "BITS",
     "per second and user, 0: any (10G)", TURN, true},
    {"throttle", SERVER_NUMBER, AT(turn.throttle), 0, 1000000, "N",
     "answers/s to strangers of a /24 or /56 (500)", TURN, true},
    {"no-tcp-relay", SERVER_FLAG, AT(turn.no_tcp_relay), 0, 0, NULL, "no TCP to peers (RFC 6062)",
     TURN, false},
    {"no-mobility", SERVER_FLAG, AT(turn.no_mobility), 0, 0, NULL,
     "clients must not move (RFC 8016)", TURN, false},
    {"no-userhash", SERVER_FLAG, AT(turn.no_userhash), 0, 0, NULL, "do not offer hidden user names",
     TURN, false},
    {"fastpath", SERVER_CHOICE, AT(turn.fastpath), 0, 0, "off|auto|xdp|tc",
     "channels in the kernel (auto)", TURN, false},
    {"io", SERVER_CHOICE, AT(turn.io), 0, 0, "auto|batch|portable", "how sockets are driven (auto)",
     TURN, false},
    {"alternate-server", SERVER_ADDR, AT(turn.alternate), 0, 0, "ADDR",
     "new clients are sent there; ADDR:PORT", TURN, true},
    {"drain-to", SERVER_ADDR, AT(turn.drain_to), 0, 0, "ADDR",
     "the same, once it is being emptied (SIGUSR1)", TURN, true},
    {"proxy-from", SERVER_RANGES, AT(turn.proxy_from), 0, 0, "RANGE",
     "believe PROXY v2 headers from there", TURN, false},
    {NULL, SERVER_FLAG, 0, 0, 0, NULL, NULL, GENERAL, false},
};
