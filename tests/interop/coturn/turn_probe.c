/* SPDX-License-Identifier: MIT
 * Our TURN client over real sockets, for turn.sh: allocates on a server, relays to a plain UDP
 * socket of its own and back, and says what happened, one word a line.
 *
 *     turn_probe [-t] [-6] [-d PERCENT] [-s SECONDS] [-n COUNT] [-l LIFETIME] [-r] [-m] [-x ADDR]
 *                SERVER PORT
 *
 * -l asks for a lifetime in seconds; -t over TCP; -6 an IPv6 relayed address (else IPv4); -d loses
 * so many of the requests and answers; -s goes on for so long after the first COUNT messages,
 * refreshing twice a second; -r waits for a loss and a new allocation in that time; -m goes on from
 * three other sockets (RFC 8016); -x asks for a permission that must be refused. Status 0: all as
 * it should be. */
#include <bodkin/turn.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct probe {
    bool tcp, v6, wants_restart, moves, moved;
    int drop, seconds, count, lifetime;
    const char *refused;
    struct bk_turn *turn;
    int server_fd, peer_fd;
    struct bk_addr server, peer, relayed;
    bool allocated, permitted, refusal, closed, failed;
    int allocations, losses, to_peer, to_client;
    long rtt_us;
    struct timespec origin;
};

static void *get(void *ctx, size_t size) {
    (void)ctx;
    return calloc(1, size);
}

static void put(void *ctx, void *memory) {
    (void)ctx;
    free(memory);
}

static void fill(void *ctx, void *out, size_t len) {
    (void)ctx;
    if (getrandom(out, len, 0) != (ssize_t)len)
        abort();
}

static struct bk_time now(const struct probe *p) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct bk_time){(t.tv_sec - p->origin.tv_sec) * 1000000 +
                            (t.tv_nsec - p->origin.tv_nsec) / 1000};
}

static void die(const char *what) {
    perror(what);
    exit(2);
}

static socklen_t to_sockaddr(const struct bk_addr *a, struct sockaddr_storage *out) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    memset(out, 0, sizeof *out);
    if (a->ip.family == BK_IPV4) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(a->port);
        memcpy(&v4->sin_addr, a->ip.bytes, 4);
        return sizeof *v4;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(a->port);
    memcpy(&v6->sin6_addr, a->ip.bytes, 16);
    return sizeof *v6;
}

static struct bk_addr from_sockaddr(const struct sockaddr_storage *in) {
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)in;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)in;
    if (in->ss_family == AF_INET6)
        return bk_addr(bk_ipv6(v6->sin6_addr.s6_addr), ntohs(v6->sin6_port));
    const unsigned char *b = (const unsigned char *)&v4->sin_addr;
    return bk_addr(bk_ipv4(b[0], b[1], b[2], b[3]), ntohs(v4->sin_port));
}

static struct bk_addr local_of(int fd) {
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        die("getsockname");
    return from_sockaddr(&ss);
}

static void connect_to_server(struct probe *p) {
    struct sockaddr_storage ss;
    socklen_t len = to_sockaddr(&p->server, &ss);
    p->server_fd = socket(ss.ss_family, p->tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
    if (p->server_fd < 0 || connect(p->server_fd, (struct sockaddr *)&ss, len) != 0)
        die("connect");
}

static void open_sockets(struct probe *p) {
    struct sockaddr_storage ss;
    struct bk_addr loop;
    socklen_t len;
    connect_to_server(p);
    if (bk_ip_parse(p->v6 ? "::1" : "127.0.0.1", &loop.ip) != BK_OK)
        abort();
    loop.port = 0;
    len = to_sockaddr(&loop, &ss);
    p->peer_fd = socket(ss.ss_family, SOCK_DGRAM, 0);
    if (p->peer_fd < 0 || bind(p->peer_fd, (struct sockaddr *)&ss, len) != 0)
        die("peer");
    p->peer = local_of(p->peer_fd);
}

static bool lost(const struct probe *p, const unsigned char *data) {
    bool indication = data[0] == 0 && (data[1] & 0x10) != 0;
    bool control = data[0] < 0x40 && !indication; /* data pass */
    return control && rand() % 100 < p->drop;
}

static void send_out(struct probe *p, const struct bk_datagram *d) {
    if (!lost(p, d->data) && send(p->server_fd, d->data, d->len, MSG_NOSIGNAL) != (ssize_t)d->len &&
        errno != ECONNREFUSED)
        die("send");
}

static void take_event(struct probe *p, const struct bk_turn_event *e) {
    char text[BK_ADDR_TEXT_MAX];
    switch (e->kind) {
    case BK_TURN_ALLOCATED:
        p->allocated = true;
        p->allocations++;
        p->relayed = e->relayed;
        p->rtt_us = (long)e->rtt_us;
        printf("allocated %s %u s\n", bk_addr_format(&e->relayed, text), e->lifetime_s);
        break;
    case BK_TURN_PERMITTED:
        p->permitted = true;
        printf("permitted %s\n", bk_addr_format(&e->peer, text));
        break;
    case BK_TURN_REFUSED:
        p->refusal = true;
        printf("refused %s %u\n", bk_addr_format(&e->peer, text), e->code);
        break;
    case BK_TURN_LOST:
        p->losses++;
        p->allocated = p->permitted = false;
        printf("lost %s %u\n", bk_err_text(e->err), e->code);
        break;
    case BK_TURN_FAILED:
        p->failed = true;
        printf("failed %s %u\n", bk_err_text(e->err), e->code);
        break;
    case BK_TURN_CLOSED:
        p->closed = true;
        printf("closed\n");
        break;
    case BK_TURN_MOVED:
        p->moved = true;
        printf("moved\n");
        break;
    case BK_TURN_REDIRECT:
    case BK_TURN_ICMP:
    case BK_TURN_CONNECTION:
    case BK_TURN_NO_CONNECTION:
        break;
    }
    fflush(stdout);
}

static void take_data(struct probe *p, const struct bk_turn_data *data) {
    if (data->data != NULL && bk_addr_equal(&data->peer, &p->peer) && data->len >= 4 &&
        memcmp(data->data, "back", 4) == 0)
        p->to_client++;
}

static void drain(struct probe *p) {
    struct bk_datagram d;
    struct bk_turn_event e;
    struct bk_turn_data data;
    while (p->tcp && bk_turn_next_data(p->turn, &data))
        take_data(p, &data);
    while (bk_turn_next_datagram(p->turn, &d))
        send_out(p, &d);
    while (bk_turn_next_event(p->turn, &e))
        take_event(p, &e);
}

static void read_server(struct probe *p) {
    unsigned char buf[4096];
    struct bk_turn_data data;
    ssize_t n = recv(p->server_fd, buf, sizeof buf, 0);
    if (n <= 0 && p->tcp)
        die("the server closed the connection");
    if (n <= 0 || (!p->tcp && lost(p, buf)))
        return;
    const struct bk_datagram in = {.remote = p->server, .data = buf, .len = (size_t)n};
    if (p->tcp) {
        if (bk_turn_stream_recv(p->turn, buf, (size_t)n, now(p)) != BK_OK)
            p->failed = true;
    } else if (bk_turn_recv(p->turn, &in, now(p), &data) == BK_OK) {
        take_data(p, &data);
    }
    drain(p);
}

/* The peer answers whatever comes, to where it came from. */
static void read_peer(struct probe *p) {
    unsigned char buf[4096];
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    ssize_t n = recvfrom(p->peer_fd, buf, sizeof buf, 0, (struct sockaddr *)&ss, &len);
    struct bk_addr from = from_sockaddr(&ss);
    if (n < 4 || memcmp(buf, "ping", 4) != 0)
        return;
    p->to_peer++;
    if (!bk_addr_equal(&from, &p->relayed))
        printf("not from the relayed address\n");
    memcpy(buf, "back", 4);
    if (sendto(p->peer_fd, buf, (size_t)n, 0, (struct sockaddr *)&ss, len) != n)
        die("peer");
}

static void wait(struct probe *p, int64_t us) {
    struct bk_time end = bk_after(now(p), us);
    while (bk_before(now(p), end) && !p->failed) {
        struct pollfd fds[] = {{p->server_fd, POLLIN, 0}, {p->peer_fd, POLLIN, 0}};
        int64_t left = bk_elapsed_us(now(p), bk_earlier(end, bk_turn_deadline(p->turn)));
        if (poll(fds, 2, left < 0 ? 0 : (int)(left / 1000 + 1)) > 0) {
            if (fds[0].revents != 0)
                read_server(p);
            if (fds[1].revents != 0)
                read_peer(p);
        }
        bk_turn_advance(p->turn, now(p));
        drain(p);
    }
}

static bool wait_for(struct probe *p, const bool *what, int seconds) {
    for (int i = 0; i < seconds * 100 && !*what && !p->failed; i++)
        wait(p, 10000);
    return *what;
}

/* Messages of all lengths; how many came back. */
static int ping(struct probe *p, int count) {
    unsigned char data[1200] = "ping";
    struct bk_datagram d;
    int before = p->to_client;
    for (int i = 0; i < count; i++) {
        size_t len = 4 + (size_t)(i * 37 % 1100);
        if (bk_turn_send(p->turn, &p->peer, data, len, &d) == BK_OK)
            send_out(p, &d);
        wait(p, 5000);
    }
    wait(p, 200000);
    return p->to_client - before;
}

static int expect(const struct probe *p, bool ok, const char *what) {
    if (!ok)
        printf("FAILED: %s; allocations %d, losses %d, to the peer %d, back %d\n", what,
               p->allocations, p->losses, p->to_peer, p->to_client);
    return ok ? 0 : 1;
}

static int refusal(struct probe *p) {
    struct bk_addr peer = {.port = 9};
    if (bk_ip_parse(p->refused, &peer.ip) != BK_OK ||
        bk_turn_permit(p->turn, &peer, false, now(p)) != BK_OK)
        abort();
    drain(p);
    return expect(p, wait_for(p, &p->refusal, 5), "should have been refused");
}

static int permission_then_channel(struct probe *p) {
    for (int channel = 0; channel < 2; channel++) {
        p->permitted = false;
        if (bk_turn_permit(p->turn, &p->peer, channel == 1, now(p)) != BK_OK)
            abort();
        drain(p);
        if (expect(p, wait_for(p, &p->permitted, 60), "permission") != 0 ||
            expect(p, ping(p, p->count) == p->count, channel ? "channel" : "indications") != 0 ||
            expect(p, (bk_turn_channel(p->turn, &p->peer) != 0) == (channel == 1), "number") != 0)
            return 1;
    }
    return 0;
}

static int stay(struct probe *p) {
    struct bk_time end = bk_after(now(p), p->seconds * BK_US_PER_S);
    int losses = p->losses;
    while (bk_before(now(p), end) && !p->failed) {
        wait(p, 500000);
        bk_turn_refresh(p->turn, now(p)); /* coturn grants 600 s, whatever is asked */
        drain(p);
        if (!p->wants_restart && expect(p, ping(p, 3) == 3, "while staying") != 0)
            return 1;
    }
    if (!p->wants_restart)
        return expect(p, p->losses == losses && !p->failed, "must not be lost");
    return expect(p, p->losses == losses + 1 && p->allocations == 2, "allocated anew") ||
           expect(p, wait_for(p, &p->permitted, 5) && ping(p, 10) == 10, "works again");
}

/* The relayed address, its permission and its channel stay: the peer sees no difference. */
static int move(struct probe *p) {
    int before = p->server_fd; /* open until the new one has a port: another one */
    connect_to_server(p);
    close(before);
    struct bk_addr local = local_of(p->server_fd);
    p->moved = false;
    bk_turn_move(p->turn, &local, now(p));
    drain(p);
    return expect(p, wait_for(p, &p->moved, 60), "moved") ||
           expect(p, ping(p, p->count) == p->count && p->losses == 0, "after the move");
}

static int run(struct probe *p) {
    if (expect(p, wait_for(p, &p->allocated, 60), "no allocation") != 0)
        return 1;
    if (p->refused != NULL && refusal(p) != 0)
        return 1;
    if (permission_then_channel(p) != 0 || stay(p) != 0)
        return 1;
    for (int i = 0; p->moves && i < 3; i++)
        if (move(p) != 0)
            return 1;
    bk_turn_close(p->turn, now(p));
    drain(p);
    return expect(p, wait_for(p, &p->closed, 40), "closing");
}

int main(int argc, char **argv) {
    static const struct bk_alloc alloc = {get, put, NULL};
    static const struct bk_rng rng = {fill, NULL};
    struct probe p = {.count = 20};
    struct bk_turn_config c = bk_turn_config_default;
    int opt, status;
    while ((opt = getopt(argc, argv, "t6d:s:n:l:rmx:")) != -1) {
        p.tcp = p.tcp || opt == 't';
        p.v6 = p.v6 || opt == '6';
        p.wants_restart = p.wants_restart || opt == 'r';
        p.moves = p.moves || opt == 'm';
        p.drop = opt == 'd' ? atoi(optarg) : p.drop;
        p.seconds = opt == 's' ? atoi(optarg) : p.seconds;
        p.count = opt == 'n' ? atoi(optarg) : p.count;
        p.lifetime = opt == 'l' ? atoi(optarg) : p.lifetime;
        p.refused = opt == 'x' ? optarg : p.refused;
    }
    if (argc - optind != 2 || bk_ip_parse(argv[optind], &p.server.ip) != BK_OK) {
        fprintf(stderr, "usage: turn_probe [options] SERVER PORT\n");
        return 2;
    }
    p.server.port = (uint16_t)atoi(argv[optind + 1]);
    clock_gettime(CLOCK_MONOTONIC, &p.origin);
    open_sockets(&p);
    c.local = local_of(p.server_fd);
    c.server = p.server;
    c.stream = p.tcp;
    c.user = "george";
    c.password = "secret";
    c.family = p.v6 ? BK_IPV6 : BK_IPV4;
    c.lifetime_s = (uint32_t)p.lifetime;
    c.rto_us = 100000;
    c.mobility = p.moves;
    if (bk_turn_new(&c, &alloc, &rng, now(&p), &p.turn) != BK_OK)
        abort();
    drain(&p);
    status = run(&p);
    bk_turn_free(p.turn);
    return status;
}
