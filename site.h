// SPDX-License-Identifier: ISC
//
// site: what generated entries will meet on this host when they run. Finds nothing but reasons for
// warnings: the output never depends on it.
#ifndef SITE_H
#define SITE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf.h"
#include "emit.h"

struct site {
    const struct emit_settings *settings;
    struct emit_rule *rules;
    size_t count;
    bool makes_log; // the caller creates a log file that is not there
    bool running;   // under --run and --apply: what would keep a service from running is an error
};

// Adds to CONF a warning for each thing that would surprise: the user does not exist or cannot
// write the log, a program is not executable, xinetd has too many services, or access lists in its
// defaults, a target's name is not found by the relay's resolver or is the rule's own listener.
void site_check(struct conf *conf, const struct site *site);

// Finds USER, a name or a number, as xinetd does. Returns whether there is one.
bool site_user(const char *user, uid_t *uid, gid_t *gid);

#endif
