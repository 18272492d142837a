// SPDX-License-Identifier: ISC
//
// loopback: what tests with sockets of UDP begin with.
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "host.h"

// A UDP socket on a free port of 127.0.0.1, which ADDRESS becomes. Returns it, or -1 with errno.
static inline int loopback_socket(union host_address *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    socklen_t size = sizeof *address;

    memset(address, 0, sizeof *address);
    address->in.sin_family = AF_INET;
    address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, &address->any, sizeof address->in) < 0 ||
        getsockname(fd, &address->any, &size) < 0)
        return -1;
    return fd;
}

#endif
