// SPDX-License-Identifier: ISC
//
// pool: a listening stream socket in, workers out that each serve one connection at a time. Knows
// nothing of what serving is.
//
// The first process, the one that calls pool(), never accepts: it starts workers, reaps them and
// decides how many there are. However it ends, no worker accepts afterwards: the idle ones leave,
// the busy ones let go of the listener, finish alone and leave then.
#ifndef POOL_H
#define POOL_H

#include <signal.h>
#include <stdbool.h>

struct pool_request {
    unsigned max;        // connections at once, and workers; more wait in the listener's backlog
    unsigned per_source; // at once from one address, more are closed at once; 0: no limit
    long linger_ms;      // the end after so long with no connection open and none accepted
    // Serves the connection on descriptor 0, which the pool closes. Meanwhile these signals are
    // blocked that end a connection, SIGTERM, SIGINT and SIGHUP; a wait by MASK lets them in, and
    // *STOP is true from then on. SIGUSR1 is the pool's own, and may interrupt system calls.
    // Whatever serve() opens it closes. Returns whether the process may serve another client.
    bool (*serve)(void *context, const sigset_t *mask, const volatile sig_atomic_t *stop);
    void *context;
    // serve() executes another program: it is called with the signals as the pool found them, and
    // without the listener.
    bool gives_away;
    void (*tell)(const char *format, ...) __attribute__((format(printf, 1, 2)));
};

// Serves what comes to the listener on descriptor 0 until it has been quiet for linger_ms, or
// SIGTERM, SIGINT or SIGHUP comes. The other descriptors that are the listener are closed, 0 to 2
// become /dev/null.
//
// Where descriptors or memory are scarce that is told once, and tried again each second.
//
// Returns 0 at the end of the first process, and in every worker at its end: the caller is to exit.
// Returns -1 with errno where there can be no pool, or the listener can't be accepted on.
int pool(const struct pool_request *request);

// serve() may call this when its client has seen the end, and there is more to do: the connection
// does not count for per_source any more. Without a pool it does nothing.
void pool_forget_client(void);

#endif
