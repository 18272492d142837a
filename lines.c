// SPDX-License-Identifier: ISC
#include "lines.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

// O_NONBLOCK on a descriptor that was given to us would be set for everybody who shares it, so a
// pipe or a terminal is opened a second time.
void lines_out_open(struct lines_out *out, int fd)
{
    struct stat status;
    char path[64];

    out->fd = fd;
    out->own = -1;
    if (fstat(fd, &status) < 0)
        return;
    out->socket = S_ISSOCK(status.st_mode);
    if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode))
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    out->own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (out->own >= 0)
        out->fd = out->own;
}

void lines_out_close(struct lines_out *out)
{
    if (out->own >= 0)
        close(out->own);
}

int lines_out_flush(struct lines_out *out)
{
    while (out->size > 0) {
        struct pollfd ready = {.fd = out->fd, .events = POLLOUT};
        // Where opening anew failed: a pipe that is ready takes so much without blocking.
        size_t chunk = smaller(out->size, PIPE_BUF);
        ssize_t written;

        if (poll(&ready, 1, 0) == 0)
            return 0;
        written = out->socket ? send(out->fd, out->bytes, chunk, MSG_DONTWAIT | MSG_NOSIGNAL)
                              : write(out->fd, out->bytes, chunk);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            return 0;
        if (written < 0) {
            bool first = !out->failing;

            out->failing = true;
            out->size = 0;
            return first ? -1 : 0;
        }
        out->failing = false;
        out->size -= (size_t)written;
        memmove(out->bytes, out->bytes + written, out->size);
    }
    return 0;
}

bool lines_out_put(struct lines_out *out, const char *bytes, size_t size)
{
    if (size > sizeof out->bytes - out->size)
        return false;
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
    return true;
}

bool lines_in_read(struct lines_in *in)
{
    ssize_t length;

    if (in->size == sizeof in->bytes)
        return false;
    do
        length = read(in->fd, in->bytes + in->size, sizeof in->bytes - in->size);
    while (length < 0 && errno == EINTR);
    if (length <= 0)
        return false;
    in->size += (size_t)length;
    return true;
}

void lines_in_drop(struct lines_in *in, size_t size)
{
    in->size -= size;
    memmove(in->bytes, in->bytes + size, in->size);
}

bool lines_move(struct lines_in *in, struct lines_out *out)
{
    size_t size = smaller(in->size, sizeof out->bytes - out->size);
    const char *end = size > 0 ? memrchr(in->bytes, '\n', size) : NULL;

    if (end)
        size = (size_t)(end - in->bytes) + 1;
    // What never was a line of a relay's would else stop all others.
    else if (size < sizeof in->bytes)
        return false;
    lines_out_put(out, in->bytes, size);
    lines_in_drop(in, size);
    return true;
}
