// SPDX-License-Identifier: ISC
//
// command: runs a program to its end, within a time, and keeps what it says. No shell.
#ifndef COMMAND_H
#define COMMAND_H

// Free `out` and `err`, which end with a NUL, also after a failure.
struct command_result {
    int status; // its exit status
    char *out;
    char *err;
};

// Runs ARGV[0], looked for in PATH, with no standard input, the C locale and, as the rest, our
// environment; in a process group of its own, so that a key on the terminal does not reach it, and
// with no signal blocked or ignored. Returns 0 when it has ended by itself, or -1 with errno:
// ETIMEDOUT where LIMIT_MS milliseconds were not enough, ECANCELED where a signal ended it, or what
// kept it from starting. Leaves SIGCHLD at its default.
int command_run(char *const argv[], int limit_ms, struct command_result *result);

#endif
