/* SPDX-License-Identifier: MIT
 * The topology file: which hosts, NAT boxes and links there are, and what happens in them. The lab
 * (lab/) and the simulator (sim/scene.h) read the same file. The format is described in
 * docs/topology.md; examples/ and sim/scenarios/ have files to copy. Parsing has no side effects,
 * and every refusal names the line and the word. */
#ifndef TOPOLOGY_TOPOLOGY_H
#define TOPOLOGY_TOPOLOGY_H

#include "nat/nat.h"
#include <bodkin/addr.h>
#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOPOLOGY_NAME_MAX = 32,      /* a name with its NUL */
    TOPOLOGY_NODES_MAX = 4096,   /* hosts and NAT boxes */
    TOPOLOGY_ADDRESSES_MAX = 8,  /* of one host, or on one side of a NAT box */
    TOPOLOGY_DEPTH_MAX = 8,      /* NAT boxes behind each other */
    TOPOLOGY_STEPS_MAX = 512,    /* lines in [run] */
    TOPOLOGY_FILE_MAX = 1 << 20, /* bytes */
    TOPOLOGY_NOWHERE = -1        /* node index: none, or the internet as a parent */
};

/* An address with the length of its network's prefix. */
struct topology_prefix {
    struct bk_ip ip;
    uint8_t bits;
};

/* One direction of a link. */
struct topology_link {
    int64_t delay_us;       /* 0 */
    int64_t jitter_us;      /* 0; added to the delay, uniform in [0, jitter]; order is kept */
    uint32_t loss_ppm;      /* 0; 1 000 000 loses everything */
    uint32_t duplicate_ppm; /* 0; the simulator only */
    uint64_t rate_bps;      /* 0: no limit */
    uint32_t queue_bytes;   /* waiting for the rate limit; default 256 KiB; more is dropped */
};

enum topology_direction { TOPOLOGY_UP, TOPOLOGY_DOWN, TOPOLOGY_DIRECTIONS };

enum topology_kind { TOPOLOGY_HOST, TOPOLOGY_NAT };

/* A host or a NAT box, and its link towards its parent. */
struct topology_node {
    enum topology_kind kind;
    char name[TOPOLOGY_NAME_MAX];
    unsigned line;                  /* of its section */
    char behind[TOPOLOGY_NAME_MAX]; /* as written; "" is the internet */
    int parent;                     /* node index of `behind`, or TOPOLOGY_NOWHERE: the internet */
    struct topology_prefix address[TOPOLOGY_ADDRESSES_MAX]; /* host: its own; NAT: public side */
    size_t address_count;
    struct topology_prefix inside[TOPOLOGY_ADDRESSES_MAX]; /* NAT only: own address and network */
    size_t inside_count;
    struct topology_link link[TOPOLOGY_DIRECTIONS];
    uint32_t mtu;          /* of the link; 1500 */
    bool tables_set;       /* NAT only: the file says how many mappings or sessions it holds */
    struct nat_config nat; /* NAT only; external[] holds the public addresses */
};

enum { TOPOLOGY_UDP = 1, TOPOLOGY_TCP = 2, TOPOLOGY_OTHER = 4, TOPOLOGY_ALL = 7 };

/* What can change while a lab or a simulated scene runs. */
enum topology_change_kind {
    TOPOLOGY_CUT,       /* drops silently what passes both nodes (or the one node) */
    TOPOLOGY_RESTORE,   /* ends the cuts between these nodes; without nodes, all of them */
    TOPOLOGY_SET,       /* new link properties */
    TOPOLOGY_REBOOT,    /* the NAT box forgets all its mappings */
    TOPOLOGY_EVICT,     /* it forgets `count` of them */
    TOPOLOGY_EXHAUST,   /* it makes no new ones, as if every port were taken; or it does again */
    TOPOLOGY_LIMIT,     /* it makes at most `count` new ones a second; 0: any number */
    TOPOLOGY_READDRESS, /* its public address of that family changes to `ip` */
    TOPOLOGY_FLAP       /* the node's link drops everything, and comes back, `count` times */
};

struct topology_change {
    enum topology_change_kind kind;
    int node, other;                                /* node indices, TOPOLOGY_NOWHERE: not given */
    unsigned protocols;                             /* TOPOLOGY_UDP | ... */
    struct topology_link link[TOPOLOGY_DIRECTIONS]; /* SET: the values after the change ... */
    bool set_delay, set_jitter, set_loss, set_rate, set_queue, set_duplicate; /* ... for these */
    uint32_t count;            /* EVICT (UINT32_MAX: all), LIMIT, FLAP */
    bool any;                  /* EVICT: any ones; otherwise those that would end first */
    bool off;                  /* EXHAUST */
    struct bk_ip ip;           /* READDRESS */
    int64_t down_us, every_us; /* FLAP: dead for down_us, and again every_us later */
};

/* Is the link of a node that flaps since `since_us` dead at `now_us`? */
bool topology_flap_is_down(const struct topology_change *flap, int64_t since_us, int64_t now_us);

enum topology_step_kind {
    TOPOLOGY_RUN,   /* HOST: COMMAND, and wait for its end; the lab only, as are the next four */
    TOPOLOGY_START, /* start HOST [as NAME]: COMMAND, in the background */
    TOPOLOGY_WAIT,  /* wait NAME: PATTERN, until it prints a matching line */
    TOPOLOGY_JOIN,  /* join NAME: wait for the end of a started command */
    TOPOLOGY_STOP,  /* stop NAME: end a started command */
    TOPOLOGY_SLEEP, /* sleep 2s */
    TOPOLOGY_DO,    /* a change: cut, reboot, ... */
    TOPOLOGY_SERVE, /* serve HOST: a home server runs there from now on */
    TOPOLOGY_MEET,  /* meet A B: A connects to B, and both send a little all the time */
    TOPOLOGY_EXPECT /* expect [A B] direct | relayed | data ... */
};

enum topology_expect {
    TOPOLOGY_DIRECT,  /* both sides send on a direct path */
    TOPOLOGY_RELAYED, /* both sides send through the relay */
    TOPOLOGY_DATA     /* what is sent from now on arrives, both ways */
};

enum { TOPOLOGY_REASON_MAX = 32 };

struct topology_step {
    enum topology_step_kind kind;
    unsigned line;
    int64_t at_us; /* 0: in its turn; otherwise that long after the first step ("at 5s: cut ...") */
    int host;      /* RUN, START, SERVE; MEET, EXPECT: A, or TOPOLOGY_NOWHERE: of the last MEET */
    int other;     /* MEET, EXPECT: B */
    char name[TOPOLOGY_NAME_MAX]; /* of the command: START, WAIT, JOIN, STOP */
    char *text; /* the command, the pattern, or the words of the step; owned by the topology */
    int64_t timeout_us;               /* RUN, WAIT, JOIN, MEET, EXPECT: 0 is the default; SLEEP: how
                                         long */
    int64_t hold_us;                  /* EXPECT: and it must stay so for that long */
    int exit;                         /* RUN, JOIN: the status that counts as success; -1: any */
    uint16_t port;                    /* MEET: both peers' UDP port; 0: any */
    struct topology_change change;    /* DO */
    enum topology_expect expect;      /* EXPECT */
    char reason[TOPOLOGY_REASON_MAX]; /* EXPECT relayed: why, as peer/why.h has it ("symmetric-here"
                                         or just "symmetric"); "": whatever it is */
};

struct topology {
    struct topology_node *nodes;
    size_t node_count;
    struct topology_step *steps;
    size_t step_count;
    uint64_t seed;      /* [lab] seed = N; of loss, jitter and the NAT boxes' random ports */
    int64_t timeout_us; /* [lab] timeout = 30s; what RUN, WAIT and JOIN wait for */
};

enum { TOPOLOGY_ERROR_MAX = 256 };

struct topology_error {
    unsigned line; /* 0: the file as a whole */
    char text[TOPOLOGY_ERROR_MAX];
};

/* Reads a whole file's text (need not end in NUL). On success the caller ends *out with
 * topology_fini(). BK_ERR_MALFORMED: *error says why; BK_ERR_TOO_LONG: more than a limit above (in
 * *error too); BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err topology_parse(const char *text, size_t len, struct topology *out,
                                       struct topology_error *error);
void topology_fini(struct topology *t);

/* Changes one setting of a parsed topology as if the file had ended its section with it:
 * "bob-router:preset=symmetric". Addresses cannot be changed. BK_ERR_MALFORMED: *error says why,
 * and the topology may only be ended. */
BK_MUST_USE enum bk_err topology_override(struct topology *t, const char *text,
                                          struct topology_error *error);

/* Replaces all steps by one: this command in this host. BK_ERR_NOT_FOUND: no such host;
 * BK_ERR_NO_MEMORY. */
BK_MUST_USE enum bk_err topology_run_only(struct topology *t, const char *host,
                                          const char *command);

/* For the lab, which runs programs: replaces SERVE by commands that start `bodkin serve` and catch
 * its address, MEET by `bodkin listen` and `bodkin connect`, and gives each EXPECT the name of the
 * command that knows: DIRECT and RELAYED of the one that connects, DATA of the one that listens,
 * with the text of the lines that it prints. BK_ERR_NO_MEMORY; BK_ERR_TOO_LONG: more than
 * TOPOLOGY_STEPS_MAX steps. The topology may only be ended after an error. */
BK_MUST_USE enum bk_err topology_spell_out(struct topology *t);

/* Index of the node of this name, or TOPOLOGY_NOWHERE. */
int topology_find(const struct topology *t, const char *name);

/* Is `ip` in the network? */
bool topology_contains(const struct topology_prefix *network, const struct bk_ip *ip);

/* Reads "cut alice bob udp", "restore", "set alice delay=20ms loss=1%", "reboot alice-router" and
 * the other changes: the same words in [run] and in `bodkin lab cut ...`. BK_ERR_MALFORMED: *error
 * says why. */
BK_MUST_USE enum bk_err topology_parse_change(const struct topology *t, const char *text,
                                              struct topology_change *out,
                                              struct topology_error *error);

/* Is it the first word of a change, such as "cut"? */
bool topology_is_change(const char *word);

/* A pattern is text with holes: "ticket: {ticket}" matches a line that contains "ticket: " and
 * captures what follows up to the next space; "{rest...}" captures the rest of the line. Calls
 * `captured` for each hole once the whole pattern has matched. */
bool topology_match(const char *pattern, const char *line,
                    void (*captured)(void *ctx, const char *name, const char *value, size_t len),
                    void *ctx);

#endif
