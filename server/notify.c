/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: SOCK_CLOEXEC */
#include "server/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A path, or "@" and an abstract name. 0: neither, or too long. */
static socklen_t address_of(const char *text, struct sockaddr_un *out) {
    const size_t len = text == NULL ? 0 : strlen(text);
    if (len < 2 || len >= sizeof out->sun_path || (text[0] != '/' && text[0] != '@'))
        return 0;
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    memcpy(out->sun_path, text, len);
    if (text[0] == '@')
        out->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

void notify_ready(void) {
    struct sockaddr_un to;
    char text[64];
    const socklen_t to_len = address_of(getenv("NOTIFY_SOCKET"), &to);
    int len = snprintf(text, sizeof text, "READY=1\nMAINPID=%ld", (long)getpid());
    int fd = to_len == 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, text, (size_t)len, MSG_NOSIGNAL, (const struct sockaddr *)&to, to_len);
    close(fd);
}
