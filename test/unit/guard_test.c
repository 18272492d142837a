// SPDX-License-Identifier: ISC
#include "guard.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test.h"

// A socket as a superserver opens it, at PORT of ADDRESS, or -1.
static int open_listener(const char *address, unsigned port, union host_address *name)
{
    socklen_t size = host_address(address, port, name);
    int fd = socket(name->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0), off = 0, on = 1;

    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, &name->any, size) < 0 || getsockname(fd, &name->any, &size) < 0)
        return -1;
    return fd;
}

// Sends COUNT datagrams of SIZE bytes each to where NAME is.
static bool queue(const union host_address *name, int count, size_t size)
{
    static const char bytes[8];
    union host_address to = *name;
    bool sent = true;
    int fd;

    host_make_concrete(&to);
    fd = socket(to.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int i = 0; i < count; i++)
        sent =
            sendto(fd, bytes, size, 0, &to.any,
                   to.any.sa_family == AF_INET ? sizeof to.in : sizeof to.in6) == (ssize_t)size &&
            sent;
    close(fd);
    return sent;
}

// What xinetd does at the end of its server. Returns how many datagrams are lost.
static int drain(int fd)
{
    char buffer[256];
    int count = 0;

    while (recv(fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0)
        count++;
    return count;
}

// Takes one datagram, and says whether it is the mark.
static bool take_mark(int fd, const struct guard *guard)
{
    union host_address from;
    socklen_t size = sizeof from;
    char byte;

    memset(&from, 0, sizeof from);
    return recvfrom(fd, &byte, 1, MSG_DONTWAIT, &from.any, &size) == 0 &&
           guard_is_mark(guard, &from);
}

static void test_queue(const char *address)
{
    struct guard guard = {.fd = -1};
    union host_address name;
    int fd = open_listener(address, 0, &name);

    if (fd < 0) {
        printf("ok %d - %s # SKIP %s\n", ++test_count, address, strerror(errno));
        return;
    }
    guard_init(&guard, fd, &name);
    test_ok(guard_place(&guard) == GUARD_FIRST && queue(&name, 3, 5) && drain(fd) == 0,
            "%s: what comes after the mark is not lost", address);
    test_ok(drain(fd) == 3, "%s: all of it", address);
    test_ok(queue(&name, 2, 5) && guard_place(&guard) == GUARD_BEHIND && drain(fd) == 2,
            "%s: what is before it would be", address);
    test_ok(queue(&name, 1, 0) && guard_place(&guard) == GUARD_BEHIND,
            "%s: an empty datagram of a client is no mark", address);
    test_ok(!take_mark(fd, &guard) && take_mark(fd, &guard), "%s: nor is it taken for one",
            address);
    test_ok(drain(fd) == 0 && guard_place(&guard) == GUARD_FIRST &&
                guard_place(&guard) == GUARD_FIRST,
            "%s: a second mark after a first", address);
    close(fd);
}

// A rule for one address beside that for all of them, on one port.
static void test_neighbour(void)
{
    struct guard guard = {.fd = -1};
    union host_address all, one;
    int fd = open_listener("0.0.0.0", 0, &all), other = -1;

    if (fd >= 0)
        other = open_listener("127.0.0.1", host_port(&all), &one);
    guard_init(&guard, fd, &all);
    test_ok(other >= 0 && guard_place(&guard) == GUARD_FIRST && take_mark(fd, &guard),
            "a wildcard keeps its mark beside 127.0.0.1");
    test_ok(!take_mark(other, &guard), "which gets none");
    close(other);
    close(fd);
}

int main(void)
{
    struct guard none = {.fd = -1}, zero;
    union host_address client;

    test_queue("127.0.0.1");
    test_queue("127.0.0.5");
    test_queue("0.0.0.0");
    test_queue("::1");
    test_queue("::");
    test_neighbour();
    host_address("127.0.0.1", 9, &none.own);
    test_ok(guard_place(&none) == GUARD_NONE, "no socket at all");
    memset(&zero, 0, sizeof zero);
    host_address("127.0.0.1", 9, &client);
    test_ok(!guard_is_mark(&zero, &client), "no guard, no mark");
    return test_end();
}
