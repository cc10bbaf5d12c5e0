/* SPDX-License-Identifier: MIT
 * Tells a service manager that the server is up, and which process it is: the protocol of
 * sd_notify(3), one datagram to where NOTIFY_SOCKET points. */
#ifndef SERVER_NOTIFY_H
#define SERVER_NOTIFY_H

/* Does nothing where nobody asked for it. */
void notify_ready(void);

#endif
