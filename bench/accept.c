// SPDX-License-Identifier: ISC
//
// accept: the smallest acceptor. Starts COMMAND for each connection, which is its standard input,
// output and error, as under inetd.
//
//     accept ADDRESS PORT COMMAND [ARG...]
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

#define BACKLOG 4096

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    int listener, on = 1;

    if (argc < 4 || !stream_address(argv[1], argv[2], &address)) {
        fputs("usage: accept ADDRESS PORT COMMAND [ARG...]\n", stderr);
        return 2;
    }
    signal(SIGCHLD, SIG_IGN); // nobody need wait for them
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, BACKLOG) < 0)
        stream_die("listen");
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENOMEM)
                stream_die("accept");
            continue;
        }
        stream_start(fd, argv + 3);
        close(fd);
    }
}
