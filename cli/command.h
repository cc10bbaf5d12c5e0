/* SPDX-License-Identifier: MIT
 * The subcommands, and what the program's exit status says. A new subcommand is one file with
 * `cmd_NAME` and one row in main.c. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

/* Listed in the manual, bodkin(1). Stable: scripts depend on them. */
enum exit_code {
    EXIT_FINE = 0,
    EXIT_OTHER = 1,
    EXIT_USAGE = 2,
    EXIT_NO_HOME = 3,       /* no home server is known */
    EXIT_KEY = 4,           /* the key or the configuration cannot be read or is not safe */
    EXIT_HOME_DEAD = 5,     /* the home server does not answer, or is not the one of the pin */
    EXIT_TICKET = 6,        /* the ticket is damaged */
    EXIT_TICKET_USED = 7,   /* the ticket was refused: wrong or used */
    EXIT_NOT_HOME = 8,      /* the peer is not connected to its home, or does not answer */
    EXIT_LOST = 9,          /* the connection was lost */
    EXIT_PEER_REFUSED = 10, /* the peer does not want us */
    EXIT_IMPOSTOR = 11,     /* somebody without the peer's key answered */
    EXIT_FORWARD = 12,      /* the peer does not allow this forward, or does not forward at all */
    EXIT_CARD = 13,         /* the peer card cannot be read, is damaged or contradicts itself */
    EXIT_NO_PATH = 14,      /* ICE found no path to the peer */
    EXIT_DESCRIPTION = 15,  /* the peer's ICE description cannot be understood */
    EXIT_NO_MAPPING = 16,   /* no router gave a port */
    EXIT_SIGNAL = 128,      /* and the signal's number: SIGINT 130, SIGTERM 143, SIGHUP 129 */
    EXIT_INTERRUPTED = 130
};

/* argv[0] is the command's name, argv[-1] the program's. */
int cmd_connect(int argc, char **argv);
int cmd_ice(int argc, char **argv);
int cmd_id(int argc, char **argv);
int cmd_lab(int argc, char **argv);
int cmd_listen(int argc, char **argv);
int cmd_map(int argc, char **argv);
int cmd_nat(int argc, char **argv);
int cmd_ping(int argc, char **argv);
int cmd_serve(int argc, char **argv);
int cmd_sim(int argc, char **argv);
int cmd_turn(int argc, char **argv);
int cmd_user(int argc, char **argv);

#endif
