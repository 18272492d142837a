// SPDX-License-Identifier: ISC
//
// board: what the processes of a pool know of each other, in memory that they share: a slot for
// each worker. No process is started, signalled or waited for here.
//
// A worker writes its own slot, the first process gives slots out and takes them back. A process
// may die at any instruction: what it leaves is put right when its slot is taken back.
//
// The first process does not trust what is shared: which processes its workers are, how many there
// are and how many there may be it knows from memory of its own. A worker gone wrong can spoil the
// counts and times: too many or too few idle workers are kept, per_source is not held, the pool
// ends early or late, or a worker that does not end is taken for an idle one. It also sees, with
// per_source, the addresses of the other workers' clients, and nothing more of them.
#ifndef BOARD_H
#define BOARD_H

#include <netinet/in.h>
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
    atomic_int claim;     // enum board_claim
    uint32_t scope;
    struct in6_addr source; // IPv4 mapped
};

// Times are those of board_clock().
struct board_shared {
    atomic_int lock; // of claims, and of who leaves: the number of the process that has it
    atomic_uint used;
    atomic_uint least;           // a worker that leaves fewer idle ones tells the first process
    atomic_bool closing;         // nobody accepts any more
    atomic_bool watched;         // the first process is about to look who waits, unasked
    atomic_int broken;           // errno of a listener that cannot be accepted on
    atomic_uint moved;           // when a connection last began or ended
    atomic_uint scarce, refused; // of board_due()
    struct board_slot slots[];
};

// Between processes only what needs no lock of the C library works.
_Static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_BOOL_LOCK_FREE == 2, "atomic operations");

struct board {
    struct board_shared *shared;
    unsigned max, per_source; // never change; per_source 0: no limit
    // The first process's: no slot from `used` on has a worker; the worker of each slot, or 0.
    unsigned used;
    pid_t *pids;
};

struct board_counts {
    unsigned workers, idle, busy; // idle: also those that will be in a moment
};

// Makes a board for at most MAX workers, shared with all processes forked later. Returns 0, or -1
// with errno.
int board_init(struct board *board, unsigned max, unsigned per_source);

// CLOCK_MONOTONIC, in milliseconds.
int64_t board_now_ms(void);

// The same in 32 bits, for what is shared: only differences mean something.
uint32_t board_clock(void);

// A connection begins or ends now; how long ago that last was, in milliseconds, for 24 days.
void board_move(const struct board *board);
int64_t board_quiet_ms(const struct board *board);

// Whether something last said at *LAST, 0 being never, may be said again after PAUSE_MS; to one
// process only.
bool board_due(atomic_uint *last, uint32_t pause_ms);

// Of the first process.

void board_count(const struct board *board, struct board_counts *counts);

// How many workers to start now.
unsigned board_missing(const struct board *board, const struct board_counts *counts);

// Whether as many connections are open as may be.
bool board_is_full(const struct board *board, const struct board_counts *counts);

// A free slot, now BOARD_STARTING, for the worker that the caller starts next and makes known by
// board_hire(); or NULL.
struct board_slot *board_take(struct board *board);
void board_hire(struct board *board, const struct board_slot *slot, pid_t pid);

// The slot of the worker PID, or NULL.
struct board_slot *board_find(const struct board *board, pid_t pid);

// Takes SLOT back from a worker that is no more, or was never started.
void board_free(struct board *board, struct board_slot *slot);

// Of a worker.

// Whether so few are idle that the first process wants to know.
bool board_is_short(const struct board *board);

// Whether more workers are idle than usual.
bool board_has_many(const struct board *board);

// Whether SLOT's worker, which is idle, may leave, exactly as many idle ones being left as usual.
// It is BOARD_LEAVING then.
bool board_retire(const struct board *board, struct board_slot *slot);

// SLOT's worker has a connection from CLIENT. BOARD_ADMITTED: one of at most per_source from that
// address; clients without an IP address have no limit. BOARD_WAITING: it would be one too many,
// and the first that is: worth asking again soon, for a client sees the end of its last connection
// before that has been cleared away here. BOARD_REFUSED: there is one waiting already.
enum board_claim board_claim(const struct board *board, struct board_slot *slot,
                             const union host_address *client);
void board_unclaim(struct board_slot *slot);

#endif
