// SPDX-License-Identifier: ISC
//
// dialler: dials that may take long, a thread for each, for a loop that must not wait.
#ifndef DIALLER_H
#define DIALLER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "dial.h"

#define DIALLER_MOST 32 // at once
#define DIALLER_FDS  5  // that each may need meanwhile

// Whom a dial is for, as far as the caller knows: given back with the answer.
struct dialler_ticket {
    uint32_t number, generation;
};

struct dialler_answer {
    struct dialler_ticket ticket;
    int fd;    // -1: see error
    int error; // errno of dial()
    struct dial_failure failure;
};

struct dialler;

struct dialler_job {
    struct dialler *dialler;
    bool busy;
    atomic_bool done; // the answer is there
    struct dialler_answer answer;
};

struct dialler {
    int done;               // an eventfd(2): readable when there may be answers
    unsigned running, most; // at once, from 1 to DIALLER_MOST
    int (*call)(void *context, struct dial_failure *failure); // as dial(), in threads
    void *context;
    struct dialler_job jobs[DIALLER_MOST];
};

// Sets up DIALLER, which starts as zeros, for MOST dials at once. Returns 0, or -1 with errno. It
// must stay where it is.
int dialler_init(struct dialler *dialler, unsigned most,
                 int (*call)(void *context, struct dial_failure *failure), void *context);

// Starts a dial, with all signals blocked. Returns 0, or the reason why not as of
// pthread_create(3); EAGAIN where as many as may be are under way.
int dialler_start(struct dialler *dialler, struct dialler_ticket ticket);

// Takes an answer. Returns whether there was one; then there may be more.
bool dialler_take(struct dialler *dialler, struct dialler_answer *answer);

#endif
