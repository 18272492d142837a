// SPDX-License-Identifier: ISC
//
// noop: what a relay cannot do without: connects to ADDRESS PORT, and closes that connection and
// the one that is its standard input. Has the relay's libc and the relay's flags.
//
//     noop ADDRESS PORT
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int fd;

    if (argc != 3 || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
        return 2;
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return 1;
    close(fd);
    close(0);
    close(1);
    close(2);
    return 0;
}
