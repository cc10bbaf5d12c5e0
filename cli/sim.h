/* SPDX-License-Identifier: MIT
 * What sim.c, sim_matrix.c, sim_sessions.c and sim_oracle.c share. */
#ifndef CLI_SIM_H
#define CLI_SIM_H

/* Writes a string in quotes to standard output. */
void sim_json_text(const char *text);
/* `bodkin sim matrix ...`; argv[0] is "matrix". The exit status. */
int sim_matrix(int argc, char **argv);
/* The same with --plain-ice among the words. */
int sim_matrix_plain(int argc, char **argv);
/* `bodkin sim oracle ...`; argv[0] is "oracle". The exit status. */
int sim_oracle(int argc, char **argv);

#endif
