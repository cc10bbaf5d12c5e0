/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* NOLINT: MSG_CMSG_CLOEXEC and SOCK_CLOEXEC need it */
#include "lab/control.h"

#include "lab/scratch.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static bool is_ours(const char *path) {
    struct stat s;
    return lstat(path, &s) == 0 && S_ISDIR(s.st_mode) && s.st_uid == geteuid();
}

enum bk_err control_directory(char out[CONTROL_PATH_MAX]) {
    char base[CONTROL_PATH_MAX];
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    int len;
    snprintf(base, sizeof base, "/run/user/%u", geteuid());
    if (runtime != NULL && runtime[0] == '/' && is_ours(runtime))
        len = snprintf(out, CONTROL_PATH_MAX, "%s/bodkin-lab", runtime);
    else if (is_ours(base))
        len = snprintf(out, CONTROL_PATH_MAX, "%s/bodkin-lab", base);
    else
        len = snprintf(out, CONTROL_PATH_MAX, "/tmp/bodkin-lab-%u", geteuid());
    if (len < 0 || len >= CONTROL_PATH_MAX)
        return BK_ERR_TOO_LONG;
    if (mkdir(out, 0700) < 0 && errno != EEXIST)
        return BK_ERR_PERMISSION;
    struct stat s; /* /tmp is everybody's: the directory may be a trap */
    if (!is_ours(out) || lstat(out, &s) < 0 || (s.st_mode & 077) != 0)
        return BK_ERR_PERMISSION;
    return BK_OK;
}

static enum bk_err socket_address(const char *path, struct sockaddr_un *out) {
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof out->sun_path)
        return BK_ERR_TOO_LONG;
    memcpy(out->sun_path, path, strlen(path) + 1);
    return BK_OK;
}

enum bk_err control_listen(const char *name, char path[CONTROL_PATH_MAX], int *out_fd) {
    char directory[CONTROL_PATH_MAX];
    struct sockaddr_un address;
    enum bk_err err = control_directory(directory);
    if (err != BK_OK)
        return err;
    int len = snprintf(path, CONTROL_PATH_MAX, "%s/%s.%d.sock", directory, name, (int)getpid());
    if (len < 0 || len >= CONTROL_PATH_MAX || socket_address(path, &address) != BK_OK)
        return BK_ERR_TOO_LONG;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return BK_ERR_IO;
    unlink(path); /* of a dead process that had our id */
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 8) < 0) {
        close(fd);
        return BK_ERR_IO;
    }
    *out_fd = fd;
    return BK_OK;
}

/* Room for the file descriptors of one message, aligned as cmsg(3) wants. */
union control_buffer {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
};

enum bk_err control_send(int fd, const struct control_message *message) {
    union control_buffer control;
    char text[CONTROL_TEXT_MAX];
    memcpy(text, message->text, sizeof text);
    struct iovec piece = {text, strnlen(text, sizeof text)};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
    if (message->fd_count > 0) {
        memset(&control, 0, sizeof control);
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(message->fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&header);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(message->fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), message->fds, message->fd_count * sizeof(int));
    }
    return sendmsg(fd, &header, MSG_NOSIGNAL) < 0 ? BK_ERR_IO : BK_OK;
}

enum bk_err control_receive(int fd, struct control_message *message) {
    union control_buffer control;
    memset(message, 0, sizeof *message);
    struct iovec piece = {message->text, sizeof message->text - 1};
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(fd, &header, MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return got == 0 ? BK_ERR_CLOSED : BK_ERR_IO;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&header); c != NULL; c = CMSG_NXTHDR(&header, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        message->fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(message->fds, CMSG_DATA(c), message->fd_count * sizeof(int));
    }
    return BK_OK;
}

static enum bk_err connect_to(const char *path, int *out) {
    struct sockaddr_un address;
    if (socket_address(path, &address) != BK_OK)
        return BK_ERR_TOO_LONG;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return BK_ERR_IO;
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return BK_ERR_NOT_FOUND;
    }
    *out = fd;
    return BK_OK;
}

/* The first answer to a request. */
static enum bk_err exchange(int fd, const char *request, struct control_message *answer) {
    struct control_message out = {.fd_count = 0};
    memcpy(out.text, request, strlen(request) + 1);
    enum bk_err err = control_send(fd, &out);
    err = err == BK_OK ? control_receive(fd, answer) : err;
    if (err != BK_OK || strncmp(answer->text, "error ", 6) != 0)
        return err;
    memmove(answer->text, answer->text + 6, strlen(answer->text + 6) + 1);
    return BK_ERR_REFUSED;
}

/* The same over a connection of its own, which *fd is from then on (-1: there is none). */
static enum bk_err ask(const char *path, const char *request, struct control_message *answer,
                       int *fd) {
    if (strlen(request) >= CONTROL_TEXT_MAX)
        return BK_ERR_TOO_LONG;
    enum bk_err err = connect_to(path, fd);
    return err == BK_OK ? exchange(*fd, request, answer) : err;
}

enum bk_err control_ask(const char *path, const char *request, struct control_message *answer) {
    int fd = -1;
    enum bk_err err = ask(path, request, answer, &fd);
    if (fd >= 0)
        close(fd);
    return err;
}

enum bk_err control_follow(const char *path, const char *request,
                           bool (*each)(void *ctx, const char *text), void *ctx) {
    struct control_message answer;
    int fd = -1;
    enum bk_err err = ask(path, request, &answer, &fd);
    while (err == BK_OK && control_receive(fd, &answer) == BK_OK)
        if (!each(ctx, answer.text))
            break;
    if (fd >= 0)
        close(fd);
    return err;
}

/* "demo.123.sock" is the lab "demo". false: some other file. */
static bool lab_name(const char *file, char *name, size_t cap) {
    const char *end = strstr(file, ".sock");
    if (end == NULL || end[5] != '\0')
        return false;
    const char *dot = end;
    while (dot > file && *(dot - 1) != '.')
        dot--;
    if (dot <= file + 1 || (size_t)(dot - file) > cap)
        return false;
    memcpy(name, file, (size_t)(dot - file) - 1);
    name[dot - file - 1] = '\0';
    return true;
}

size_t control_list(void (*each)(void *ctx, const char *name, const char *path), void *ctx) {
    char directory[CONTROL_PATH_MAX], name[CONTROL_PATH_MAX], path[2 * CONTROL_PATH_MAX];
    size_t count = 0;
    DIR *dir = control_directory(directory) == BK_OK ? opendir(directory) : NULL;
    if (dir == NULL)
        return 0;
    for (struct dirent *file = readdir(dir); file != NULL; file = readdir(dir)) {
        struct control_message answer;
        if (!lab_name(file->d_name, name, sizeof name))
            continue;
        int len = snprintf(path, sizeof path, "%s/%s", directory, file->d_name);
        if (len < 0 || (size_t)len >= sizeof path)
            continue;
        if (control_ask(path, "info", &answer) == BK_ERR_NOT_FOUND) {
            unlink(path);
            scratch_remove(path);
            continue;
        }
        count++;
        if (each != NULL)
            each(ctx, name, path);
    }
    closedir(dir);
    return count;
}
