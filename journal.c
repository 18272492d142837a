// SPDX-License-Identifier: ISC
#include "journal.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_S 1

static void append(struct journal_message *message, const void *data, size_t size)
{
    memcpy(message->data + message->length, data, size);
    message->length += size;
}

int journal_add(struct journal_message *message, const char *name, const char *value, size_t size)
{
    size_t room = sizeof message->data - message->length, name_length = strlen(name);
    unsigned char count[8];

    if (size >= room || name_length + sizeof count + 2 > room - size)
        return -1;
    append(message, name, name_length);
    if (memchr(value, '\n', size)) {
        // Its end can't be told by a line's end: the size goes first, in little endian.
        for (size_t i = 0; i < sizeof count; i++)
            count[i] = (unsigned char)((uint64_t)size >> (8 * i));
        append(message, "\n", 1);
        append(message, count, sizeof count);
    } else {
        append(message, "=", 1);
    }
    append(message, value, size);
    append(message, "\n", 1);
    return 0;
}

int journal_send(const struct journal_message *message)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX,
                                               .sun_path = "/run/systemd/journal/socket"};
    static const struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;
    ssize_t sent;

    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0) {
        error = errno;
    } else {
        do
            sent = sendto(fd, message->data, message->length, MSG_NOSIGNAL,
                          (const struct sockaddr *)&address, sizeof address);
        while (sent < 0 && errno == EINTR);
        if (sent < 0)
            error = errno;
    }
    close(fd);
    errno = error;
    return error ? -1 : 0;
}
