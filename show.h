// SPDX-License-Identifier: ISC
//
// show: what the relay prints to standard output where it is asked for a text and not given a
// connection. For its main alone, which knows whether that is nobody's connection.
#ifndef SHOW_H
#define SHOW_H

// These return 0, or -1 with errno.
int show_help(const char *program);
int show_version(const char *program);

// Looks up the names on standard input, one a line, for rinetd-gen, which may be linked with
// another libc: for each in TIMEOUT_MS at most, 0 being for ever. EMSGSIZE: a line was too long for
// a name.
int show_resolved(long timeout_ms);

#endif
