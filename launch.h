// SPDX-License-Identifier: ISC
//
// launch: a private xinetd for one configuration, in the foreground, for rinetd-gen --run. What the
// configuration says is the caller's business; here it is a text, and the names of the services in
// it.
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

// A service of the configuration.
struct launch_service {
    const char *name;     // its id in the text, of no other service
    const char *title;    // what to call it to a user: "0.0.0.0 80 mail 25"
    const char *listener; // the "--listener=..." argument by which its relays are known
    bool wait;            // as its wait: a first process has the socket, and xinetd does not accept
    bool udp;             // as its protocol: the socket is one for datagrams
    bool v6only;          // as its v6only: where that changes, the socket must be opened anew
};

// What make() returns. Owned by the caller until its discard() is called.
struct launch_config {
    const char *text; // xinetd.conf(5)
    size_t size;
    const struct launch_service *service;
    size_t count;
    const char *pid_file; // to be written with the launcher's pid, or NULL
};

struct launch_request {
    const char *program; // for messages: "rinetd-gen"
    const char *user;    // whom the relays run as: who may write to the log fifo
    // Reads the configuration, tells the user what is wrong with it, and returns it; or NULL where
    // it cannot be run. LOG_PATH is the file that stands for the launcher's standard output: what
    // is written to it line by line comes out there; its name has no blanks. It lies in a private
    // folder, which the relays can pass: files whose names end in ".acl" may be put beside it, and
    // are removed at the end. Called once at the start and at each SIGHUP.
    struct launch_config *(*make)(void *context, const char *log_path);
    // Told once a reload has succeeded, and xinetd starts relays by CONFIG alone.
    void (*taken)(void *context, struct launch_config *config);
    void (*discard)(void *context, struct launch_config *config);
    void *context;
};

enum launch_result {
    LAUNCH_STOPPED,    // by SIGTERM or SIGINT
    LAUNCH_BAD_CONFIG, // make() failed at the start
    LAUNCH_FAILED,     // the system did; it was reported
};

// Runs until SIGTERM or SIGINT, and has ended all it started when it returns; see rinetd-gen(8) for
// what is printed and what SIGHUP does. Leaves the process with SIGHUP, SIGTERM, SIGINT and SIGCHLD
// blocked, SIGPIPE ignored, and as a subreaper (prctl(2)). Children that the process had before are
// left alone, but reaped.
enum launch_result launch_run(const struct launch_request *request);

#endif
