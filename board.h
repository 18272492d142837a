// SPDX-License-Identifier: ISC
//
// board: what the processes of a pool know of each other, in memory that they share: a slot for
// each worker. No process is started, signalled or waited for here.
//
// A worker writes its own slot, the first process gives slots out and takes them back. A process
// may die at any instruction: what it leaves is put right when its slot is taken back.
#ifndef BOARD_H
#define BOARD_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "host.h"

// Idle workers beyond the busy ones: with fewer than so many left more are started, up to the
// usual number; of more than that, those that have nothing to do leave.
#define BOARD_LEAST_IDLE 3
#define BOARD_USUAL_IDLE 5

enum board_state {
    BOARD_FREE,
    BOARD_STARTING,
    BOARD_IDLE,
    BOARD_ACCEPTING, // has looked at `closing`, and may come back with a connection
    BOARD_BUSY,
    BOARD_LEAVING,
};

// What was decided about a worker: whoever is first, by compare-and-swap.
enum board_fate {
    BOARD_UNDECIDED,
    BOARD_TOLD,  // the first process signals it
    BOARD_GIVEN, // its process becomes another program, which must not be signalled
};

enum board_claim { BOARD_UNCLAIMED, BOARD_WAITING, BOARD_ADMITTED, BOARD_REFUSED };

struct board_slot {
    atomic_int state;     // enum board_state
    atomic_int fate;      // enum board_fate
    atomic_bool released; // it has closed the listener
    pid_t pid;            // 0: free; the first process's
    enum board_claim claim;
    uint32_t scope;
    struct in6_addr source; // IPv4 mapped
};

struct board {
    pthread_mutex_t lock;     // of claims, and of who leaves
    unsigned max, per_source; // per_source 0: no limit
    atomic_uint used;         // no slot from here on has a worker
    atomic_uint least;        // a worker that leaves fewer idle ones tells the first process
    atomic_bool closing;      // nobody accepts any more
    atomic_int broken;        // errno of a listener that cannot be accepted on
    atomic_llong moved_ms;    // when a connection last began or ended
    atomic_llong scarce_ms, refused_ms; // of board_due()
    struct board_slot slots[];
};

struct board_counts {
    unsigned workers, idle, busy; // idle: also those that will be in a moment
};

// Makes a board for at most MAX workers, shared with all processes forked later. Returns NULL with
// errno.
struct board *board_new(unsigned max, unsigned per_source);

// CLOCK_MONOTONIC, in milliseconds.
int64_t board_now_ms(void);

void board_count(const struct board *board, struct board_counts *counts);

// How many workers to start now.
unsigned board_missing(const struct board *board, const struct board_counts *counts);

// Whether so few are idle that the first process wants to know.
bool board_is_short(const struct board *board);

// A free slot, now BOARD_STARTING, for the worker that the caller starts next; or NULL.
struct board_slot *board_take(struct board *board);
struct board_slot *board_find(struct board *board, pid_t pid);

// Takes SLOT back from a worker that is no more, or was never started.
void board_free(struct board *board, struct board_slot *slot);

// SLOT's worker has a connection from CLIENT. BOARD_ADMITTED: one of at most per_source from that
// address; clients without an IP address have no limit. BOARD_WAITING: it would be one too many,
// and the first that is: worth asking again soon, for a client sees the end of its last connection
// before that has been cleared away here. BOARD_REFUSED: there is one waiting already.
enum board_claim board_claim(struct board *board, struct board_slot *slot,
                             const union host_address *client);
void board_unclaim(struct board *board, struct board_slot *slot);

// Whether SLOT's worker, which is idle, may leave, exactly as many idle ones being left as usual.
// It is BOARD_LEAVING then.
bool board_retire(struct board *board, struct board_slot *slot);

// Whether more workers are idle than usual.
bool board_has_many(const struct board *board);

// Whether something last said at *LAST_MS may be said again after PAUSE_MS; to one process only.
bool board_due(atomic_llong *last_ms, int64_t pause_ms);

#endif
