// SPDX-License-Identifier: ISC
//
// pipe: bytes of one socket to another by way of a pipe, which copies none of them, splice(2).
#ifndef PIPE_H
#define PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// All zero: there is none.
struct pipe {
    int in, out;
    bool open;
    size_t held; // bytes in it
};

// Makes one of a size that is worth it, with both ends not blocking. Returns -1 with errno where
// that cannot be had: EMFILE and the like of pipe2(2), or EPERM when the user has as many large
// pipes as one may have, pipe(7).
int pipe_open(struct pipe *pipe);

// With all that it holds. Does nothing where there is none.
void pipe_close(struct pipe *pipe);

// What FROM has, as much as the pipe takes. Returns like recv(2), but says little of why not: at
// urgent data it is the end or EAGAIN, whatever comes behind.
ssize_t pipe_fill(struct pipe *pipe, int from);

// What the pipe holds to TO, which must not block by itself: as much as it takes. Returns like
// send(2); SIGPIPE comes unless it is ignored.
ssize_t pipe_drain(struct pipe *pipe, int to);

// What the pipe holds, in the same order, into memory. Returns like read(2).
ssize_t pipe_read(struct pipe *pipe, void *data, size_t size);

// Whether ERROR, of the two with splice(2), says that this socket or this process cannot do it,
// rather than something of the connection.
bool pipe_is_refused(int error);

#endif
