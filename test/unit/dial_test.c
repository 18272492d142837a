// SPDX-License-Identifier: ISC
//
// dial on loopback. The linker's --wrap replaces connect(2), so that it can take its time.
#include "dial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

int __real_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);

static volatile sig_atomic_t never;
static long pause_ms; // after connect(2), as if the kernel had let others run

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    const struct timespec pause = {.tv_sec = pause_ms / 1000, .tv_nsec = pause_ms % 1000 * 1000000};
    int result = __real_connect(fd, address, size), error = errno;

    nanosleep(&pause, NULL);
    errno = error;
    return result;
}

// A socket of TYPE on ADDRESS, which gets its port. Returns it, or -1.
static int take_port(const char *address, int type, union host_address *taken)
{
    socklen_t size = host_address(address, 0, taken);
    int fd = socket(taken->any.sa_family, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, &taken->any, size) < 0 || getsockname(fd, &taken->any, &size) < 0 ||
        (type == SOCK_STREAM && listen(fd, 1) < 0)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int type_of(int fd)
{
    int type = 0;
    socklen_t size = sizeof type;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 ? -1 : type;
}

// Whether a datagram to FD's peer comes to SERVER, which sees it come from SRC where that is given.
static bool reaches(int fd, int server, const char *src)
{
    union host_address from, expected;
    socklen_t size = sizeof from;
    char bytes[4];

    if (send(fd, "abc", 3, 0) != 3 ||
        recvfrom(server, bytes, sizeof bytes, MSG_DONTWAIT, &from.any, &size) != 3)
        return false;
    return !src || (host_address(src, 0, &expected) > 0 && host_same(&from, &expected));
}

static void test_datagram(const char *address, const char *host, const char *src)
{
    union host_address taken;
    struct dial_failure failure;
    int server = take_port(address, SOCK_DGRAM, &taken), fd;

    if (server < 0) {
        test_ok(strchr(address, ':') != NULL, "no %s here", address);
        return;
    }
    fd = dial(&(struct dial_request){.host = host,
                                     .port = host_port(&taken),
                                     .datagram = true,
                                     .src = src,
                                     .timeout_ms = 10000,
                                     .stop = &never},
              &failure);
    test_ok(fd >= 0 && type_of(fd) == SOCK_DGRAM && reaches(fd, server, src),
            "UDP to %s from %s%s%s", host, src ? src : "anywhere", fd < 0 ? ": " : "",
            fd < 0 ? failure.reason : "");
    if (fd >= 0)
        close(fd);
    close(server);
}

// That the reason of a failure is EXPECTED, and errno NUMBER.
static void test_failure(struct dial_request request, const char *expected, int number)
{
    struct dial_failure failure = {.reason = ""};
    int fd;

    request.stop = &never;
    fd = dial(&request, &failure);
    test_ok(fd < 0 && errno == number && strcmp(failure.reason, expected) == 0, "%s, found: %s",
            expected, failure.reason);
    if (fd >= 0)
        close(fd);
}

// A listener refuses targets of its own protocol alone: for others the caller leaves it zeroed.
static void test_listener(int type)
{
    union host_address taken, none;
    struct dial_failure failure;
    int server = take_port("127.0.0.1", type, &taken), fd;
    struct dial_request request = {.host = "127.0.0.2",
                                   .port = host_port(&taken),
                                   .datagram = type == SOCK_DGRAM,
                                   .listener = taken,
                                   .serves_all_ipv4 = true,
                                   .stop = &never};
    char expected[DIAL_REASON_MAX];

    snprintf(expected, sizeof expected,
             "unable to connect to 127.0.0.2 (127.0.0.2) %sport %u: the target is the listener "
             "itself",
             request.datagram ? "UDP " : "", request.port);
    test_failure(request, expected, ELOOP);
    memset(&none, 0, sizeof none);
    request.listener = none;
    request.host = "127.0.0.1";
    fd = dial(&request, &failure);
    test_ok(fd >= 0, "no listener to keep away from");
    if (fd >= 0)
        close(fd);
    close(server);
}

// What has come about in time is used, however late that is seen.
static void test_late(void)
{
    union host_address taken;
    struct dial_failure failure = {.reason = ""};
    int server = take_port("127.0.0.1", SOCK_STREAM, &taken), fd;

    pause_ms = 2500;
    fd = dial(
        &(struct dial_request){
            .host = "127.0.0.1", .port = host_port(&taken), .timeout_ms = 2000, .stop = &never},
        &failure);
    pause_ms = 0;
    test_ok(fd >= 0, "a connection that was there in time is used, however late that is seen");
    if (fd >= 0)
        close(fd);
    close(server);
}

int main(void)
{
    test_late();
    test_datagram("127.0.0.1", "127.0.0.1", NULL);
    test_datagram("127.0.0.1", "127.0.0.1", "127.0.0.9");
    test_datagram("127.0.0.1", "localhost", "127.0.0.8");
    test_datagram("::1", "::1", NULL);
    test_listener(SOCK_STREAM);
    test_listener(SOCK_DGRAM);
    test_failure((struct dial_request){.host = "127.255.255.255", .port = 9, .datagram = true},
                 "unable to connect to 127.255.255.255 (127.255.255.255) UDP port 9: Permission "
                 "denied",
                 EACCES);
    return test_end();
}
