// SPDX-License-Identifier: ISC
//
// udp when clients send more than it can pass on: which, on one machine, only a kernel that says so
// can bring about at will. So recvmmsg(2) of the listener and what getsockopt(2) says of its losses
// are made up here, by the linker's --wrap; all else is real.
#include "udp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datagrams.h"
#include "loopback.h"
#include "test.h"

#define LISTENER    0
#define MEMORY_LOST 8 // the word of SO_MEMINFO, linux/sock_diag.h
#define BUSY_PORT   7001
#define QUIET_PORT  7002
#define TO_ADAPT    40 // batches, and more than that takes

int __real_recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *t);
int __wrap_recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *t);
int __real_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);

// What is to come: full batches, of which the quiet client has some datagrams, all of one byte.
static unsigned batches, lossy; // that come; with the first of them the kernel has dropped some
static unsigned of_quiet;       // in each
static uint32_t lost;
static sig_atomic_t stop;

static uint64_t passed_on[2]; // of the busy client, of the quiet one: bytes
static union host_address sink;

// What the tests themselves need.
static void need(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static void make_up(struct mmsghdr *header, unsigned port)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    memcpy(header->msg_hdr.msg_name, &from, sizeof from);
    header->msg_hdr.msg_namelen = sizeof from;
    *(char *)header->msg_hdr.msg_iov->iov_base = 'x';
    header->msg_len = 1;
}

int __wrap_recvmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags, struct timespec *t)
{
    if (fd != LISTENER)
        return __real_recvmmsg(fd, headers, count, flags, t);
    for (unsigned i = 0; i < count; i++)
        make_up(&headers[i], i < of_quiet ? QUIET_PORT : BUSY_PORT);
    lost += lossy > 0;
    lossy -= lossy > 0;
    stop = --batches == 0;
    return (int)count;
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    if (fd == LISTENER && level == SOL_SOCKET && name == SO_MEMINFO) {
        memcpy((char *)value + MEMORY_LOST * sizeof lost, &lost, sizeof lost);
        return 0;
    }
    return __real_getsockopt(fd, level, name, value, size);
}

static bool may_enter(void *context, const union host_address *client, bool tell)
{
    (void)context;
    (void)client;
    (void)tell;
    return true;
}

static int dial_sink(void *context, struct dial_failure *failure)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    (void)context;
    (void)failure;
    need(fd >= 0 && connect(fd, &sink.any, sizeof sink.in) == 0, "connect");
    return fd;
}

static void note(void *context, const union host_address *client, enum udp_event event,
                 const struct udp_bytes *bytes)
{
    (void)context;
    if (event != UDP_OPENED)
        passed_on[ntohs(client->in.sin_port) == QUIET_PORT] = bytes->from_client;
}

// COUNT batches, with the first LOSSY of which the kernel drops some.
static void serve(unsigned count, unsigned with_loss, unsigned quiet)
{
    static sigset_t mask;
    struct udp_request request = {.max = 10,
                                  .timeout_ms = 72000,
                                  .linger_ms = 1000,
                                  .mask = &mask,
                                  .stop = &stop,
                                  .may_enter = may_enter,
                                  .dial = dial_sink,
                                  .note = note};
    union host_address local;
    int fd = loopback_socket(&local), status;

    batches = count;
    lossy = with_loss;
    of_quiet = quiet;
    stop = 0;
    memset(passed_on, 0, sizeof passed_on);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    need(fd >= 0, "bind");
    need(dup2(fd, LISTENER) == LISTENER, "dup2");
    if (fd != LISTENER)
        close(fd);
    // As long as it is not read there is something to read.
    need(sendto(LISTENER, "x", 1, 0, &local.any, sizeof local.in) == 1, "sendto");
    status = udp(&request, &local);
    test_ok(status == 0 && batches == 0, "%u batches, %u with a loss: all are taken", count,
            with_loss);
}

int main(void)
{
    const unsigned quiet = 4, busy = DATAGRAMS_BATCH - quiet, many = 1000;
    // Never read: what does not fit is dropped, and nobody hears of it.
    int fd = loopback_socket(&sink);

    need(fd >= 0, "bind");
    serve(many, 0, quiet);
    test_ok(passed_on[0] == (uint64_t)many * busy && passed_on[1] == (uint64_t)many * quiet,
            "nothing is dropped, all is passed on");
    serve(many, many, quiet);
    test_ok(passed_on[0] < (uint64_t)many * busy / 4, "with losses who sends most loses more: %u",
            (unsigned)passed_on[0]);
    test_ok(passed_on[0] >= (uint64_t)many * quiet, "though no more than the others have");
    test_ok(passed_on[1] == (uint64_t)many * quiet, "and all of the other is passed on");
    serve(many, many, 0);
    test_ok(passed_on[0] == (uint64_t)many * DATAGRAMS_BATCH, "who is alone shares with nobody");
    serve(many, TO_ADAPT, quiet);
    test_ok(passed_on[0] < (uint64_t)many * busy &&
                passed_on[0] > (uint64_t)(many - TO_ADAPT - DATAGRAMS_BATCH) * busy,
            "after the losses all is passed on again");
    close(fd);
    return test_end();
}
