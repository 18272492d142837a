// SPDX-License-Identifier: ISC
//
// udp-wait: the smallest superserver of a `wait` service for datagrams. Starts COMMAND when one has
// come, with the socket as its standard input, output and error, as under inetd, and looks at the
// socket again when it has ended.
//
//     udp-wait ADDRESS PORT COMMAND [ARG...]
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stream.h"

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    struct pollfd socket_poll = {.events = POLLIN};
    int fd, status = 0;

    if (argc < 4 || !stream_address(argv[1], argv[2], &address)) {
        fputs("usage: udp-wait ADDRESS PORT COMMAND [ARG...]\n", stderr);
        return 2;
    }
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        stream_die("listen");
    socket_poll.fd = fd;
    // One that cannot serve would be started without end: its datagrams stay where they are.
    while (status == 0) {
        if (poll(&socket_poll, 1, -1) < 0 || waitpid(stream_start(fd, argv + 3), &status, 0) < 0)
            stream_die("wait");
    }
    fprintf(stderr, "udp-wait: %s ended with status %#x\n", argv[3], (unsigned)status);
    return 1;
}
