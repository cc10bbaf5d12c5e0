/* SPDX-License-Identifier: MIT
 * Talking to a running lab: a Unix socket NAME.PID.sock in a directory only its user can enter. One
 * message with a line of text goes each way; the answer to "enter" carries namespaces.
 *
 *   info            ->  ok HOSTS NATS SECONDS, and the hosts' names
 *   enter HOST      ->  ok, with the network and UTS namespaces, and the user namespace if any
 *   change TEXT     ->  ok; TEXT as in topology_parse_change()
 *   events json     ->  ok, then one message with a line for every event, until a side closes
 *   events text         (event.h has both forms)
 *   stop            ->  ok; the lab ends as by Ctrl-C
 *   anything else   ->  error TEXT                                                            */
#ifndef LAB_CONTROL_H
#define LAB_CONTROL_H

#include <bodkin/err.h>
#include <stdbool.h>
#include <stddef.h>

enum { CONTROL_TEXT_MAX = 4096, CONTROL_PATH_MAX = 100, CONTROL_FDS_MAX = 3 };

struct control_message {
    char text[CONTROL_TEXT_MAX];
    int fds[CONTROL_FDS_MAX]; /* the receiver owns them */
    size_t fd_count;
};

/* The directory of the sockets; makes it if needed. BK_ERR_PERMISSION: somebody else's, or open to
 * others; BK_ERR_TOO_LONG. */
BK_MUST_USE enum bk_err control_directory(char out[CONTROL_PATH_MAX]);

/* A listening socket; `path` learns its name. Errors: of control_directory(); BK_ERR_IO. */
BK_MUST_USE enum bk_err control_listen(const char *name, char path[CONTROL_PATH_MAX], int *out_fd);

/* Both block. BK_ERR_CLOSED: the other side is gone; BK_ERR_IO. */
BK_MUST_USE enum bk_err control_send(int fd, const struct control_message *message);
BK_MUST_USE enum bk_err control_receive(int fd, struct control_message *message);

/* Connects to `path`, sends `request`, fetches the answer. BK_ERR_NOT_FOUND: nobody listens there;
 * BK_ERR_REFUSED: the answer is an error; its text is in answer->text without "error ". */
BK_MUST_USE enum bk_err control_ask(const char *path, const char *request,
                                    struct control_message *answer);

/* The same for a request that is answered many times: calls `each` with every answer but the "ok"
 * until the lab closes the connection, or `each` returns false. */
BK_MUST_USE enum bk_err control_follow(const char *path, const char *request,
                                       bool (*each)(void *ctx, const char *text), void *ctx);

/* Calls `each` with every lab's name and path. Removes sockets of labs that are gone. Returns how
 * many there are. `each` may be NULL. */
size_t control_list(void (*each)(void *ctx, const char *name, const char *path), void *ctx);

#endif
