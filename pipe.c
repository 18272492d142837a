// SPDX-License-Identifier: ISC
#include "pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

// Unprivileged users have 64 of these at once, pipe(7), and then none of the least size either.
// That one is for a system that allows no larger ones, and for the last.
#define PIPE_BYTES       1048576
#define PIPE_LEAST_BYTES 262144

int pipe_open(struct pipe *pipe)
{
    int ends[2], error;

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    // One that stays as it is may be of 8 KiB, with which splice(2) is slower than read(2).
    for (int size = PIPE_BYTES; size >= PIPE_LEAST_BYTES; size /= 2)
        if (fcntl(ends[1], F_SETPIPE_SZ, size) >= size) {
            *pipe = (struct pipe){.out = ends[0], .in = ends[1], .open = true};
            return 0;
        }
    error = errno;
    close(ends[0]);
    close(ends[1]);
    errno = error;
    return -1;
}

void pipe_close(struct pipe *pipe)
{
    if (pipe->open) {
        close(pipe->in);
        close(pipe->out);
    }
    *pipe = (struct pipe){0};
}

ssize_t pipe_fill(struct pipe *pipe, int from)
{
    ssize_t moved =
        splice(from, NULL, pipe->in, NULL, PIPE_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (moved > 0)
        pipe->held += (size_t)moved;
    return moved;
}

ssize_t pipe_drain(struct pipe *pipe, int to)
{
    // Asked for more than there is, some kernels would hold the last bytes back for what follows.
    ssize_t moved =
        splice(pipe->out, NULL, to, NULL, pipe->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

    if (moved > 0)
        pipe->held -= (size_t)moved;
    return moved;
}

ssize_t pipe_read(struct pipe *pipe, void *data, size_t size)
{
    ssize_t got = read(pipe->out, data, size);

    if (got > 0)
        pipe->held -= (size_t)got;
    return got;
}

bool pipe_is_refused(int error)
{
    return error == EINVAL || error == ENOSYS || error == EPERM || error == EOPNOTSUPP;
}
