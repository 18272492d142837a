// SPDX-License-Identifier: ISC
//
// flow with sockets of UDP on loopback: what a relay alone is hard to be brought to. An error of a
// socket is made in the system call, which the linker's --wrap replaces.
#include "flow.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loopback.h"
#include "test.h"

#define PATIENCE_MS 20000

ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);

static const uint64_t seed[2] = {1, 2};
static struct udp served;
static struct flow flows[4];
static int listener, client, target;
static int too_large; // so often send() says that
static int ends;

ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags)
{
    if (too_large > 0) {
        too_large--;
        errno = EMSGSIZE;
        return -1;
    }
    return __real_send(fd, bytes, size, flags);
}

static void note(void *context, const union host_address *address, enum udp_event event,
                 const struct udp_bytes *bytes)
{
    (void)context;
    (void)address;
    (void)bytes;
    ends += event == UDP_TARGET_ENDED;
}

static const struct udp_request request = {.note = note};

static bool has_come(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};

    return poll(&entry, 1, PATIENCE_MS) == 1;
}

static void set_up(void)
{
    union host_address local, other;

    listener = loopback_socket(&local);
    client = loopback_socket(&other);
    connect(client, &local.any, sizeof local.in);
    served.request = &request;
    served.epoll = epoll_create1(EPOLL_CLOEXEC);
    served.flows = flows;
    for (unsigned i = 0; i < DATAGRAMS_BATCH; i++) {
        served.headers[i].msg_hdr.msg_iov = &served.pieces[i];
        served.headers[i].msg_hdr.msg_iovlen = 1;
    }
    datagrams_init(&served.datagrams, listener, &local);
    sessions_init(&served.sessions, 4, false, seed);
}

// A datagram of the client, and its session, which has a socket that is connected to `target`.
static uint32_t open_one(void)
{
    union host_address to;
    struct sessions_key key;
    struct flow *flow;
    uint32_t number;

    target = loopback_socket(&to);
    __real_send(client, "hello", 5, 0);
    has_come(listener);
    datagrams_receive(&served.datagrams);
    datagrams_key(&served.datagrams, 0, &key);
    number = sessions_add(&served.sessions, &key, FLOW_OPEN, served.now);
    flow = &flows[number];
    flow->fd = socket(AF_INET, SOCK_DGRAM, 0);
    flow->count = 1;
    connect(flow->fd, &to.any, sizeof to.in);
    return number;
}

static void answer(uint32_t number)
{
    union host_address to;
    socklen_t size = sizeof to;

    getsockname(flows[number].fd, &to.any, &size);
    sendto(target, "answer", 6, 0, &to.any, size);
    has_come(flows[number].fd);
}

static void end_one(uint32_t number)
{
    close(flows[number].fd);
    close(target);
    flow_forget(&served, number);
}

static void test_stale_event(void)
{
    uint32_t number = open_one();
    uint64_t stale = flow_tag(&served, number);
    struct sessions_key key = *flow_key(&served, number);

    answer(number);
    flow_forget(&served, number);
    flow_serve(&served, stale, EPOLLIN);
    test_ok(served.datagrams.waiting == 0, "an event of a session that is gone is none");
    test_ok(sessions_add(&served.sessions, &key, FLOW_OPEN, served.now) == number,
            "its number is used again");
    flow_serve(&served, stale, EPOLLIN);
    test_ok(served.datagrams.waiting == 0, "nor is it one of the session with its number");
    flow_serve(&served, flow_tag(&served, number), EPOLLIN);
    test_ok(served.datagrams.waiting == 1, "which is served by its own");
    flow_send_answers(&served);
    test_ok(flows[number].bytes.to_client == 6, "and its answer sent");
    end_one(number);
}

static void test_too_large(int errors, bool arrives)
{
    uint32_t number = open_one();
    char bytes[16];

    flows[number].bytes = (struct udp_bytes){0, 0};
    too_large = errors;
    flow_pass_on(&served, number);
    test_ok(flow_list(&served, number) == FLOW_OPEN && flows[number].count == 0 && too_large == 0,
            "a datagram that is too large is not the end of a session");
    if (arrives)
        test_ok(has_come(target) && recv(target, bytes, sizeof bytes, 0) == 5,
                "and one that an earlier one was too large for is sent");
    else
        test_ok(recv(target, bytes, sizeof bytes, MSG_DONTWAIT) < 0 && errno == EAGAIN,
                "and is lost");
    end_one(number);
}

// The target refuses one datagram.
static void refuse(uint32_t number)
{
    close(target);
    __real_send(flows[number].fd, "x", 1, 0);
    has_come(flows[number].fd);
    flow_serve(&served, flow_tag(&served, number), EPOLLERR);
}

static void test_refusals(void)
{
    uint32_t number = open_one();

    refuse(number);
    test_ok(flow_list(&served, number) == FLOW_RESTS && flows[number].refusals == 1 && ends == 1,
            "a refusal ends a session, and is remembered");
    sessions_remove(&served.sessions, number);
    number = open_one();
    served.now += FLOW_REST_MS - 1;
    refuse(number);
    test_ok(flows[number].refusals == 2, "a second one soon after it is counted");
    sessions_remove(&served.sessions, number);
    number = open_one();
    served.now += FLOW_REST_MS;
    refuse(number);
    test_ok(flows[number].refusals == 1, "one long after it is a first one");
    sessions_remove(&served.sessions, number);
    number = open_one();
    answer(number);
    flow_serve(&served, flow_tag(&served, number), EPOLLIN);
    flow_send_answers(&served);
    refuse(number);
    test_ok(flows[number].refusals == 1, "and so is one after an answer");
    flow_forget(&served, number);
}

int main(void)
{
    set_up();
    test_stale_event();
    test_too_large(1, true);
    test_too_large(2, false);
    test_refusals();
    return test_end();
}
