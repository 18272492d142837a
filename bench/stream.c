// SPDX-License-Identifier: ISC
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define PERIOD       65521
#define STRIPE       8192
#define STRIPE_BYTES 1024
#define END_BYTES    64

const unsigned char *stream_content(uint64_t position)
{
    static unsigned char content[PERIOD + STREAM_CHUNK];
    static bool made;

    if (!made) {
        uint32_t state = 1;

        for (size_t i = 0; i < PERIOD; i++) {
            state = state * 1664525u + 1013904223u;
            content[i] = (unsigned char)(state >> 24);
        }
        for (size_t i = PERIOD; i < sizeof content; i++)
            content[i] = content[i - PERIOD];
        made = true;
    }
    return content + position % PERIOD;
}

static bool check_whole(const unsigned char *bytes, size_t size, uint64_t position)
{
    for (size_t done = 0; done < size;) {
        size_t part = size - done < STREAM_CHUNK ? size - done : STREAM_CHUNK;

        if (memcmp(bytes + done, stream_content(position + done), part) != 0)
            return false;
        done += part;
    }
    return true;
}

bool stream_check(const unsigned char *bytes, size_t size, uint64_t position, bool all)
{
    if (all || size <= STRIPE)
        return check_whole(bytes, size, position);
    for (size_t at = (size_t)(-position % STRIPE); at + STRIPE_BYTES <= size; at += STRIPE) {
        if (!check_whole(bytes + at, STRIPE_BYTES, position + at))
            return false;
    }
    return check_whole(bytes, END_BYTES, position) &&
           check_whole(bytes + size - END_BYTES, END_BYTES, position + size - END_BYTES);
}

bool stream_address(const char *host, const char *port, struct sockaddr_in *address)
{
    char *end;
    unsigned long number = strtoul(port, &end, 10);

    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)number)};
    return *port && !*end && number <= UINT16_MAX &&
           inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

void stream_die(const char *what)
{
    fprintf(stderr, "%s: unable to %s: %s\n", program_invocation_short_name, what, strerror(errno));
    exit(1);
}

void stream_raise_files(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    if (limit.rlim_max < 65536) {
        struct rlimit more = {65536, 65536};

        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

// What happens between vfork(2) and exec happens in the parent's memory: system calls only.
pid_t stream_start(int fd, char **command)
{
    pid_t pid = vfork();

    if (pid == 0) {
        for (int target = 0; target <= 2; target++) {
            if (dup2(fd, target) < 0)
                _exit(126);
        }
        execv(command[0], command);
        _exit(127);
    }
    if (pid < 0)
        stream_die("fork");
    return pid;
}
