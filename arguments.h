// SPDX-License-Identifier: ISC
//
// arguments: the relay's command line, into what it means. Nothing is opened, looked up or printed.
#ifndef ARGUMENTS_H
#define ARGUMENTS_H

#include <stdbool.h>

#include "acl.h"
#include "options.h"

// How often one access list may be given; each time with any number of patterns.
#define ARGUMENTS_LISTS_MAX 64

// The longest message, its NUL included; it is cut to that.
#define ARGUMENTS_ERROR_MAX 1024

// What "/tcp" or "/udp" after the port of the target says. Without it the target's protocol is that
// of standard input.
enum arguments_protocol { ARGUMENTS_AS_CLIENT, ARGUMENTS_TCP, ARGUMENTS_UDP };

// Refers to itself: not to be copied.
struct arguments {
    struct options options;
    struct acl acl;
    const char *target_host; // NULL where only a text is asked for
    unsigned target_port;    // 0 for a unix socket
    enum arguments_protocol target_protocol;
    const char *patterns[ACL_LISTS][ARGUMENTS_LISTS_MAX];
};

// Takes ARGV apart into the zeroed ARGUMENTS, which points into it. Returns 0, or -1 with what is
// wrong in ERROR.
int arguments_parse(struct arguments *arguments, int argc, char *argv[],
                    char error[static ARGUMENTS_ERROR_MAX]);

// Whether --help, --version or --resolve was given.
bool arguments_ask_for_text(const struct arguments *arguments);

// The command line for rinetd-wrap, which is told NAME: itself (WRAP), NAME, RELAY and all of ARGV
// from the second on, but for what is of no use for a single connection. LINE has room for SIZE
// texts, the final NULL included. Returns whether it fits.
bool arguments_for_wrap(char *argv[], char *const start[static 3], char *line[], int size);

#endif
