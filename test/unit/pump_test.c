// SPDX-License-Identifier: ISC
//
// pump between two socket pairs, whose other ends a child has. What no test can bring about from
// outside is done to it in its system calls, which the linker's --wrap replaces.
#include "pump.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define BULK_BYTES   8000000
#define PATIENCE_S   300
#define IDLE_MS      500
#define SLOW_IDLE_MS 6000 // for peers that were kept from sending for longer than that
#define MESSAGES     400
#define CHUNK        300000
#define OUT_CALLS    20     // to empty two pipes by way of buffers
#define SOME_BYTES   600000 // more than a unix socket takes, less than two and a pipe

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __real_pipe2(int ends[2], int flags);
int __wrap_pipe2(int ends[2], int flags);
ssize_t __real_splice(int in, off_t *in_at, int out, off_t *out_at, size_t size, unsigned flags);
ssize_t __wrap_splice(int in, off_t *in_at, int out, off_t *out_at, size_t size, unsigned flags);

// What the wrapped calls do, and how often they were called.
static struct {
    int pipe_error, in_error, out_error; // fail with that
    int out_good;                        // so many times before they do
    int largest_pipe;
    bool sparing;     // splices of few bytes, and every third says EAGAIN
    int64_t hurry_ms; // a reading of the clock advances it by that
    bool still;       // the clock: however long peers take, nothing is quiet
    struct timespec at;
    int pipes, in_calls, out_calls, sizes;
    int64_t extra_ms;
} calls;

static const sigset_t no_mask;
static volatile sig_atomic_t stop;
static struct pump_buffers buffers;
// Of the pump, and the child's other ends.
static int client, target, client_end, target_end;
// What an idle timeout has left in sockets: not read by the pump, and not by the client.
static uint64_t unread, untaken;

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);

    if (calls.still && !calls.at.tv_sec)
        calls.at = *now;
    if (calls.still)
        *now = calls.at;
    calls.extra_ms += calls.hurry_ms;
    now->tv_sec += calls.extra_ms / 1000;
    return result;
}

int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    int argument;

    va_start(arguments, command);
    argument = va_arg(arguments, int);
    va_end(arguments);
    calls.sizes += command == F_SETPIPE_SZ;
    if (command == F_SETPIPE_SZ && calls.largest_pipe && argument > calls.largest_pipe) {
        errno = EPERM;
        return -1;
    }
    return __real_fcntl(fd, command, argument);
}

int __wrap_pipe2(int ends[2], int flags)
{
    calls.pipes++;
    errno = calls.pipe_error;
    return errno ? -1 : __real_pipe2(ends, flags);
}

ssize_t __wrap_splice(int in, off_t *in_at, int out, off_t *out_at, size_t size, unsigned flags)
{
    bool is_in = in == client || in == target;
    int number = is_in ? ++calls.in_calls : ++calls.out_calls;

    errno = is_in ? calls.in_error : number > calls.out_good ? calls.out_error : 0;
    if (calls.sparing && number % 3 == 0)
        errno = EAGAIN;
    if (errno)
        return -1;
    if (calls.sparing && size > 3001)
        size = 1 + (size_t)number * 7919 % 3000;
    return __real_splice(in, in_at, out, out_at, size, flags);
}

static unsigned char byte_at(uint64_t position, unsigned seed)
{
    return (unsigned char)(((position + seed) * 0x9e3779b97f4a7c15U) >> 56);
}

// Bytes that go in at one end, and have to come out at the other.
struct way {
    int from, to;
    unsigned seed;
    uint64_t bytes, sent, got;
};

static void give(struct way *way, int flags)
{
    static unsigned char data[CHUNK];
    uint64_t left = way->bytes - way->sent;
    size_t size = left < CHUNK ? (size_t)left : CHUNK;
    ssize_t sent;

    for (size_t i = 0; i < size; i++)
        data[i] = byte_at(way->sent + i, way->seed);
    sent = send(way->from, data, size, MSG_DONTWAIT | MSG_NOSIGNAL | flags);
    if (sent > 0)
        way->sent += (uint64_t)sent;
    else if (sent == 0 || errno != EAGAIN)
        _exit(2);
}

static void take(struct way *way)
{
    static unsigned char data[CHUNK];
    ssize_t got = recv(way->to, data, sizeof data, MSG_DONTWAIT);

    if (got == 0 || (got < 0 && errno != EAGAIN))
        _exit(3);
    for (ssize_t i = 0; i < got; i++)
        if (data[i] != byte_at(way->got + (uint64_t)i, way->seed))
            _exit(4);
    if (got > 0)
        way->got += (uint64_t)got;
}

// Until all that is to be sent has come.
static void carry(struct way *up, struct way *down)
{
    struct way *ways[] = {up, down};

    while (up->got < up->bytes || down->got < down->bytes) {
        struct pollfd entries[2] = {{.fd = up->from}, {.fd = down->from}};

        for (int i = 0; i < 2; i++) {
            entries[i].events |= ways[i]->sent < ways[i]->bytes ? POLLOUT : 0;
            entries[!i].events |= ways[i]->got < ways[i]->bytes ? POLLIN : 0;
        }
        poll(entries, 2, -1);
        for (int i = 0; i < 2; i++) {
            if (entries[i].revents & POLLOUT)
                give(ways[i], 0);
            if (entries[!i].revents & (POLLIN | POLLHUP))
                take(ways[i]);
        }
    }
}

static void expect_end(int fd)
{
    char byte;

    if (recv(fd, &byte, 1, 0) != 0)
        _exit(5);
}

static void say_end(void)
{
    shutdown(client_end, SHUT_WR);
    expect_end(target_end);
    shutdown(target_end, SHUT_WR);
    expect_end(client_end);
}

static struct way upwards(uint64_t bytes)
{
    return (struct way){.from = client_end, .to = target_end, .seed = 1, .bytes = bytes};
}

static struct way downwards(uint64_t bytes)
{
    return (struct way){.from = target_end, .to = client_end, .seed = 7777, .bytes = bytes};
}

static void bulk_both_ways(void)
{
    struct way up = upwards(BULK_BYTES), down = downwards(BULK_BYTES);

    carry(&up, &down);
    say_end();
}

static void bulk_upwards(void)
{
    struct way up = upwards(BULK_BYTES), down = downwards(0);

    carry(&up, &down);
    say_end();
}

static void small_messages(void)
{
    struct way up = upwards(0), down = downwards(0);

    for (int i = 0; i < MESSAGES; i++) {
        up.bytes += 1000;
        down.bytes += 20000;
        carry(&up, &down);
    }
    say_end();
}

// Both ways differ in when they have much to move, and when little.
static void phases(void)
{
    struct way up = upwards(0), down = downwards(0);

    srand(5);
    for (int i = 0; i < MESSAGES; i++) {
        up.bytes += (uint64_t)rand() % (i / 3 % 2 ? 600000 : 900) + 1;
        down.bytes += (uint64_t)rand() % (i / 5 % 2 ? 600000 : 900) + 1;
        carry(&up, &down);
    }
    say_end();
}

// They are part of the stream; behind the last there is the end.
static void urgent_bytes(void)
{
    struct way up = upwards(0), down = downwards(0);

    for (int i = 0; i < 20; i++) {
        up.bytes += 500000;
        carry(&up, &down);
        up.bytes += 1;
        give(&up, MSG_OOB);
        if (i % 2 == 0)
            carry(&up, &down);
    }
    shutdown(client_end, SHUT_WR);
    carry(&up, &down);
    say_end();
}

static void flood_and_hold(void)
{
    struct way up = upwards(UINT64_MAX);

    for (;;) {
        poll(&(struct pollfd){.fd = up.from, .events = POLLOUT}, 1, -1);
        give(&up, 0);
    }
}

// Nobody takes any of it.
static void some_each_way(void)
{
    struct way up = upwards(SOME_BYTES), down = downwards(SOME_BYTES);

    while (up.sent < up.bytes || down.sent < down.bytes) {
        if (up.sent < up.bytes)
            give(&up, 0);
        if (down.sent < down.bytes)
            give(&down, 0);
        poll(NULL, 0, 1);
    }
    pause();
}

// Sends on until it is told of a reset at both ends.
static void bulk_until_reset(void)
{
    static char data[CHUNK];

    for (int i = 0; i < 10; i++)
        if (send(client_end, data, sizeof data, MSG_NOSIGNAL) < 0)
            break;
    while (recv(target_end, data, sizeof data, 0) > 0)
        ;
    _exit(errno == ECONNRESET ? 0 : 6);
}

// Ends of a connection over TCP.
static void pair_up(int ends[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    ends[1] = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &size) < 0 ||
        connect(ends[1], (struct sockaddr *)&address, size) < 0)
        perror("connect");
    ends[0] = accept(listener, NULL, NULL);
    close(listener);
    setsockopt(ends[0], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    setsockopt(ends[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
}

static int count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;

    while (folder && readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static bool is_zero(void)
{
    static const struct pump_buffers zero;

    return memcmp(&buffers, &zero, sizeof zero) == 0;
}

static uint64_t count_left(int fd)
{
    static char data[CHUNK];
    uint64_t sum = 0;
    ssize_t got;

    while ((got = recv(fd, data, sizeof data, MSG_DONTWAIT)) > 0)
        sum += (uint64_t)got;
    return sum;
}

// A pump between unix sockets or over TCP, with PEERS at both ends of it. Returns whether these
// found all as it has to be, and nothing is left.
static bool works(bool is_unix, void (*peers)(void), long idle_ms, struct pump_result *result)
{
    struct pump_request request = {
        .buffers = &buffers, .idle_ms = idle_ms, .mask = &no_mask, .stop = &stop};
    int near[2], far[2], status, before;
    pid_t pid;

    if (is_unix && (socketpair(AF_UNIX, SOCK_STREAM, 0, near) < 0 ||
                    socketpair(AF_UNIX, SOCK_STREAM, 0, far) < 0))
        return false;
    if (!is_unix) {
        pair_up(near);
        pair_up(far);
    }
    client_end = near[1];
    target_end = far[1];
    pid = fork();
    if (pid == 0) {
        alarm(PATIENCE_S);
        close(near[0]);
        close(far[0]);
        peers();
        _exit(0);
    }
    if (!idle_ms)
        close(client_end);
    close(target_end);
    request.client = client = near[0];
    request.target = target = far[0];
    fcntl(target, F_SETFL, O_NONBLOCK);
    before = count_descriptors();
    pump(&request, result);
    status = count_descriptors() == before && is_zero() && !(fcntl(client, F_GETFL) & O_NONBLOCK) &&
             fcntl(target, F_GETFL) & O_NONBLOCK;
    client = target = -1;
    if (idle_ms) {
        kill(pid, SIGKILL);
        unread = count_left(near[0]);
        untaken = count_left(client_end);
        close(client_end);
    }
    close(near[0]);
    close(far[0]);
    before = 0;
    waitpid(pid, &before, 0);
    return status && (before == 0 || idle_ms);
}

static void reset(void)
{
    memset(&calls, 0, sizeof calls);
}

static bool moves(bool is_unix, void (*peers)(void), uint64_t up, uint64_t down)
{
    struct pump_result result;

    calls.still = true;
    return works(is_unix, peers, 0, &result) && result.from_client == up &&
           result.to_client == down && result.end == PUMP_CLIENT_FIRST;
}

static void test_bulk(bool is_unix, const char *kind)
{
    reset();
    test_ok(moves(is_unix, bulk_both_ways, BULK_BYTES, BULK_BYTES), "%s: bulk both ways", kind);
    test_ok(calls.pipes == 2 && calls.out_calls > 0, "by a pipe each");
    reset();
    test_ok(moves(is_unix, bulk_upwards, BULK_BYTES, 0) && calls.pipes == 1,
            "%s: bulk one way, and one pipe", kind);
    reset();
    calls.sparing = true;
    test_ok(moves(is_unix, bulk_both_ways, BULK_BYTES, BULK_BYTES) && calls.out_calls > 100,
            "%s: few bytes a call, and often none", kind);
    reset();
    test_ok(moves(is_unix, small_messages, MESSAGES * 1000, MESSAGES * 20000) && !calls.pipes,
            "%s: no pipe for small messages", kind);
}

static void test_phases(bool is_unix, const char *kind)
{
    struct pump_result result;

    reset();
    calls.hurry_ms = 130;
    test_ok(works(is_unix, phases, 0, &result), "%s: bulk and small messages by turns", kind);
    test_ok(calls.pipes > 20, "and a new pipe %d times", calls.pipes);
    reset();
    calls.hurry_ms = 130;
    calls.sparing = true;
    test_ok(works(is_unix, phases, 0, &result), "%s: the same in small pieces", kind);
}

static void test_refusals(bool is_unix, const char *kind)
{
    static const int errors[] = {EINVAL, ENOSYS, EPERM, EOPNOTSUPP};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        reset();
        calls.in_error = errors[i];
        test_ok(moves(is_unix, bulk_both_ways, BULK_BYTES, BULK_BYTES) && calls.in_calls == 2,
                "%s: splice from a socket says %s, once", kind, strerror(errors[i]));
        for (int good = 0; good < 3; good++) {
            reset();
            calls.out_error = errors[i];
            calls.out_good = good;
            test_ok(moves(is_unix, bulk_both_ways, BULK_BYTES, BULK_BYTES) && calls.pipes == 2 &&
                        calls.out_calls <= good + OUT_CALLS,
                    "%s: splice to a socket says %s after %d", kind, strerror(errors[i]), good);
        }
    }
}

static void test_scarcity(void)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, EPERM, ENOSYS};
    struct timespec began, ended;

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        reset();
        calls.pipe_error = errors[i];
        __real_clock_gettime(CLOCK_MONOTONIC, &began);
        test_ok(moves(false, bulk_both_ways, BULK_BYTES, BULK_BYTES), "pipe2 says %s",
                strerror(errors[i]));
        __real_clock_gettime(CLOCK_MONOTONIC, &ended);
        test_ok(calls.pipes >= 2 && calls.pipes <= 2 * (2 + ended.tv_sec - began.tv_sec),
                "and is not asked at every read");
    }
    reset();
    calls.largest_pipe = 131072;
    test_ok(moves(false, bulk_both_ways, BULK_BYTES, BULK_BYTES) && !calls.in_calls && calls.sizes,
            "only small pipes: none is used");
    reset();
    calls.largest_pipe = 262144;
    test_ok(moves(false, bulk_both_ways, BULK_BYTES, BULK_BYTES) && calls.in_calls,
            "one of a quarter MiB is good enough");
}

static bool floods(long idle_ms)
{
    struct pump_result result;

    reset();
    return works(false, flood_and_hold, idle_ms, &result) && result.end == PUMP_IDLE &&
           result.from_client > 1048576 && calls.in_calls > 0;
}

static bool counts_pipe(long idle_ms, struct pump_result *result)
{
    reset();
    return works(true, some_each_way, idle_ms, result) && result->end == PUMP_IDLE &&
           result->from_client == SOME_BYTES - unread && calls.out_calls > 0 &&
           result->to_client > 0;
}

static void test_ends(void)
{
    struct pump_result result;

    reset();
    test_ok(moves(false, urgent_bytes, 10000020, 0) && calls.in_calls > 20, "urgent bytes");
    test_ok(floods(IDLE_MS) || floods(SLOW_IDLE_MS),
            "a receiver that stalls, and the idle timeout");
    test_ok(counts_pipe(IDLE_MS, &result) || counts_pipe(SLOW_IDLE_MS, &result),
            "what is in the pipe is counted as read");
    test_ok(result.to_client > 0 && result.to_client == untaken, "and not as delivered");
    reset();
    calls.in_error = ECONNRESET;
    test_ok(works(false, bulk_until_reset, 0, &result) && result.end == PUMP_CLIENT_FIRST &&
                calls.in_calls == 1,
            "a reset of which only splice is told");
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    for (int is_unix = 0; is_unix < 2; is_unix++) {
        const char *kind = is_unix ? "unix" : "TCP";

        test_bulk(is_unix, kind);
        test_phases(is_unix, kind);
        test_refusals(is_unix, kind);
    }
    test_scarcity();
    test_ends();
    return test_end();
}
