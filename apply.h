// SPDX-License-Identifier: ISC
//
// apply: writes planned files and brings a running systemd to the state that they describe, with
// open connections living on. What the files say is not looked into: that they are new, other or
// gone is all that counts, and what systemd makes of them.
#ifndef APPLY_H
#define APPLY_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"
#include "output.h"

// A rule that will be served.
struct apply_rule {
    char *listener;             // the "--listener=..." argument by which its relays are known
    union host_address address; // where it will listen, without the port
    unsigned port;
    bool udp;
    bool wait;   // a first process has the socket
    bool v6only; // the wildcard :: is not to take IPv4 clients
};

struct apply_request {
    struct output_plan *plan; // made, and without foreign files
    bool only_tell;           // change nothing, say what would be done
    // Commits the plan, and says so. Returns 0, or -1 when it failed, which it has reported.
    int (*write)(void *context);
    // Tells the user one thing: a line without its end, which may quote what others said.
    void (*say)(void *context, const char *line);
    void *context;
    // For systemd: whether a unit of this name can be one of ours. Other files are written, and
    // otherwise left alone.
    bool (*is_ours)(const char *name);
    const char
        *rival; // and a unit that systemd stops for ours, to be started again on the way back
    // For xinetd: all rules of the plan's only file.
    const struct apply_rule *rules;
    size_t count;
};

// Tells the user one thing through request->say(), which may be of any length.
void apply_say(const struct apply_request *request, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

// Brings systemd to that state, through systemctl(1): units NAME.socket and NAME.service or
// NAME@.service. Stops what is gone, restarts what has changed, enables and starts what is new or
// should have been running, whoever has left it so. Where systemd refuses what the plan has
// changed, files and units are put back. Returns 0, or -1 after telling why not.
int apply_systemd(const struct apply_request *request);

#endif
