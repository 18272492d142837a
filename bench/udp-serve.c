// SPDX-License-Identifier: ISC
//
// udp-serve: the target of the benchmark of UDP: answers each datagram with the same one, or says
// that it did not come as it was sent. What is too short to be one of ours is not answered: rinetd
// begins a session with an empty one. With an option it spoils, loses or sends twice the answer to
// each Nth datagram, so that a test can see that the load generator notices.
//
//     udp-serve [--damage=N] [--lose=N] [--twice=N] ADDRESS PORT     prints "listening PORT"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datagram.h"
#include "stream.h"

#define BUFFER_BYTES (4 << 20) // what is lost is to be lost by the contender

static struct faults {
    uint64_t damage, lose, twice;
} faults;

static unsigned char bytes[DATAGRAM_BATCH][DATAGRAM_BYTES_MAX + 1];

static int open_socket(const char *host, const char *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int fd, wanted = BUFFER_BYTES;

    if (!stream_address(host, port, &address)) {
        fprintf(stderr, "udp-serve: %s %s: expected an IPv4 address and a port\n", host, port);
        exit(2);
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        stream_die("listen");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted) < 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted) < 0)
        stream_die("have a larger buffer");
    printf("listening %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static bool is_nth(uint64_t count, uint64_t nth)
{
    return nth > 0 && count % nth == 0;
}

// Makes the answer of what has come. Returns how often it is to be sent.
static unsigned answer(unsigned char *datagram, size_t size)
{
    static uint64_t count;
    struct datagram_header header;

    if (size < sizeof header)
        return 0;
    count++;
    header.kind = datagram_check(datagram, size, &header) && header.kind == DATAGRAM_REQUEST
                      ? DATAGRAM_ANSWER
                      : DATAGRAM_BAD;
    memcpy(datagram, &header.kind, sizeof header.kind);
    if (is_nth(count, faults.damage))
        datagram[size - 1] ^= 1;
    if (is_nth(count, faults.lose))
        return 0;
    return is_nth(count, faults.twice) ? 2 : 1;
}

static void send_all(int fd, struct mmsghdr *messages, unsigned count)
{
    while (count > 0) {
        int n = sendmmsg(fd, messages, count, 0);

        if (n < 1)
            n = 1; // what can't be sent is lost
        messages += n;
        count -= (unsigned)n;
    }
}

static void serve_batch(int fd)
{
    struct mmsghdr in[DATAGRAM_BATCH] = {0}, out[2 * DATAGRAM_BATCH];
    struct sockaddr_in from[DATAGRAM_BATCH];
    struct iovec parts[DATAGRAM_BATCH];
    unsigned count = 0;
    int n;

    for (size_t i = 0; i < DATAGRAM_BATCH; i++) {
        parts[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        in[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                        .msg_namelen = sizeof from[i],
                                        .msg_iov = &parts[i],
                                        .msg_iovlen = 1};
    }
    n = recvmmsg(fd, in, DATAGRAM_BATCH, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++) {
        parts[i].iov_len = in[i].msg_len;
        for (unsigned times = answer(bytes[i], in[i].msg_len); times > 0; times--)
            out[count++] = in[i];
    }
    send_all(fd, out, count);
}

static bool take_option(const char *argument)
{
    const char *value = strchr(argument, '=');

    if (!value)
        return false;
    if (strncmp(argument, "--damage=", 9) == 0)
        faults.damage = strtoull(value + 1, NULL, 10);
    else if (strncmp(argument, "--lose=", 7) == 0)
        faults.lose = strtoull(value + 1, NULL, 10);
    else if (strncmp(argument, "--twice=", 8) == 0)
        faults.twice = strtoull(value + 1, NULL, 10);
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    int fd, first = 1;

    while (first < argc && take_option(argv[first]))
        first++;
    if (argc - first != 2) {
        fputs("usage: udp-serve [--damage=N] [--lose=N] [--twice=N] ADDRESS PORT\n", stderr);
        return 2;
    }
    fd = open_socket(argv[first], argv[first + 1]);
    for (;;)
        serve_batch(fd);
}
