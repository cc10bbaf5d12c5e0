/* SPDX-License-Identifier: MIT
 * The TURN service (turn/service.h) over real UDP sockets, as small as can be, so that other
 * people's clients can be let loose on it: turn_serve PORT. User george, password secret, realm
 * bodkin, on 127.0.0.1 and ::1, peers on loopback allowed. It says "ready" and runs until killed.
 */
#include "turn/service.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SOCKETS_MAX = 512 };

struct place {
    struct bk_addr addr;
    int fd;
};

static struct place places[SOCKETS_MAX];
static size_t place_count;

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

static struct bk_time now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct bk_time){t.tv_sec * BK_US_PER_S + t.tv_nsec / 1000};
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

static bool open_place(const struct bk_addr *addr) {
    struct sockaddr_storage ss;
    socklen_t len = to_sockaddr(addr, &ss);
    int fd = place_count < SOCKETS_MAX ? socket(ss.ss_family, SOCK_DGRAM, 0) : -1;
    if (fd < 0)
        return false;
    if (bind(fd, (struct sockaddr *)&ss, len) != 0) {
        close(fd);
        return false;
    }
    places[place_count].addr = *addr;
    places[place_count++].fd = fd;
    return true;
}

static void close_place(const struct bk_addr *addr) {
    for (size_t i = 0; i < place_count; i++) {
        if (!bk_addr_equal(&places[i].addr, addr))
            continue;
        close(places[i].fd);
        places[i] = places[--place_count];
        return;
    }
}

static void act(struct turn_service *service) {
    struct turn_action action;
    while (turn_service_next_action(service, &action)) {
        if (action.kind == TURN_CLOSE)
            close_place(&action.addr);
        else if (!open_place(&action.addr))
            turn_service_cannot_open(service, &action.addr, BK_ERR_EXISTS, now());
    }
}

static void send_from(const struct bk_datagram *d) {
    struct sockaddr_storage ss;
    socklen_t len = to_sockaddr(&d->remote, &ss);
    for (size_t i = 0; i < place_count; i++)
        if (bk_addr_equal(&places[i].addr, &d->local))
            (void)!sendto(places[i].fd, d->data, d->len, 0, (struct sockaddr *)&ss, len);
}

static void receive(struct turn_service *service, const struct place *place) {
    static unsigned char buf[65536];
    struct sockaddr_storage ss;
    struct bk_datagram in = {.local = place->addr, .data = buf}, out;
    socklen_t len = sizeof ss;
    ssize_t n = recvfrom(place->fd, buf, sizeof buf, MSG_DONTWAIT, (struct sockaddr *)&ss, &len);
    if (n < 0)
        return;
    in.remote = from_sockaddr(&ss);
    in.len = (size_t)n;
    (void)!turn_service_recv(service, &in, now());
    act(service);
    if (turn_service_next_datagram(service, &out))
        send_from(&out);
}

static void turn_once(struct turn_service *service) {
    struct pollfd fds[SOCKETS_MAX];
    struct bk_time at = turn_service_deadline(service);
    int64_t left_ms = bk_is_never(at) ? 1000 : bk_elapsed_us(now(), at) / 1000 + 1;
    size_t count = place_count;
    for (size_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){places[i].fd, POLLIN, 0};
    if (poll(fds, count, left_ms < 0 ? 0 : left_ms > 1000 ? 1000 : (int)left_ms) > 0)
        for (size_t i = 0; i < count; i++)
            if (fds[i].revents != 0 && places[i].fd == fds[i].fd)
                receive(service, &places[i]);
    turn_service_advance(service, now());
    act(service);
}

int main(int argc, char **argv) {
    static const struct bk_alloc alloc = {get, put, NULL};
    static const struct bk_rng rng = {fill, NULL};
    static struct turn_one_user user = {"george", "secret", "bodkin"};
    struct turn_service_config c = turn_service_config_default;
    struct turn_range allow[2] = {{.bits = 8}, {.bits = 128}};
    struct turn_service *service;
    if (argc != 2 || bk_ip_parse("127.0.0.1", &c.relay[0]) != BK_OK ||
        bk_ip_parse("::1", &c.relay[1]) != BK_OK)
        return 2;
    uint16_t port = (uint16_t)strtol(argv[1], NULL, 10);
    allow[0].ip = c.relay[0];
    allow[1].ip = c.relay[1];
    const struct bk_addr v4 = bk_addr(c.relay[0], port), v6 = bk_addr(c.relay[1], port);
    if (!open_place(&v4))
        return 1;
    if (!open_place(&v6))
        c.relay[1].family = BK_FAMILY_NONE;
    c.users = turn_users_one(&user);
    c.filter.allow = allow;
    c.filter.allow_count = 2;
    c.port_min = 42000;
    c.port_max = 42999;
    fill(NULL, c.secret, sizeof c.secret);
    if (turn_service_new(&c, &alloc, &rng, now(), &service) != BK_OK)
        return 1;
    printf("ready\n");
    fflush(stdout);
    for (;;)
        turn_once(service);
}
