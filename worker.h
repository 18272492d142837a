// SPDX-License-Identifier: ISC
//
// worker: a process of a pool that accepts connections and serves them, one at a time; and what it
// has in common with the first process.
#ifndef WORKER_H
#define WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "board.h"
#include "pool.h"

#define WORKER_SAY_MS 60000 // the same trouble is told no more often

// What a worker has of the first process, and never changes.
struct worker_pool {
    const struct pool_request *request;
    const struct board *board;
    int listener, poke; // poke: an eventfd(2) that wakes the first process
    pid_t first;
    sigset_t found; // the signal mask that the pool was started with
    sigset_t wait;  // FOUND without what ends a wait
};

// SIGTERM, SIGINT or SIGHUP has come to this process.
extern volatile sig_atomic_t worker_stop_requested;

// SIGCHLD has come; who looks for those that have ended clears it before.
extern volatile sig_atomic_t worker_child_ended;

// Sets the signals up for the first process and for all it forks; sets POOL's masks.
void worker_take_signals(struct worker_pool *pool);

// Waits for MS milliseconds, or until a signal comes.
void worker_nap(const struct worker_pool *pool, int64_t ms);

bool worker_is_readable(int fd);

// Serves what comes to the listener, in a process of its own whose slot is SLOT. Returns when that
// process is to end.
void worker_run(const struct worker_pool *pool, struct board_slot *slot);

#endif
