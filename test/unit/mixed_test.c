// SPDX-License-Identifier: ISC
//
// mixed in a child, between two socket pairs whose other ends are here. Datagrams of unix sockets
// are never lost, so all that comes can be compared. Errors of the target's socket are made in the
// system calls, which the linker's --wrap replaces.
#include "mixed.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define PATIENCE_MS 20000
#define IDLE_MS     60000
#define SLICE_MS    5
#define CALLS_MAX   1000 // far more than are needed, far fewer than a busy loop makes in QUIET_MS
#define QUIET_MS    200
#define MANY        400
#define BLOCK       60000

ssize_t __real_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t size, int flags);
ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
int __real_ppoll(struct pollfd *entries, nfds_t count, const struct timespec *time,
                 const sigset_t *mask);
int __wrap_ppoll(struct pollfd *entries, nfds_t count, const struct timespec *time,
                 const sigset_t *mask);

// Of the child, too.
static volatile struct shared {
    int calls;
    int send_error, send_errors; // that comes so often when something is sent to the target
    int receive_error;           // once
    bool in_time; // while this is set, no wait comes to its end by time; else at once
    long wait_ms; // the last wait that could
    struct pump_result result;
    bool dirty; // something was left in the buffers
} * shared;

static struct pump_buffers buffers;
static const sigset_t no_mask;
static volatile sig_atomic_t stop;
static unsigned char bytes[BLOCK], read_back[PUMP_BUFFER_BYTES];
static int client, target, served, reached; // the ends here, and those of the child
static bool is_child;
static pid_t child;

ssize_t __wrap_send(int fd, const void *data, size_t size, int flags)
{
    if (is_child)
        shared->calls++;
    if (is_child && fd == reached && shared->send_errors > 0) {
        shared->send_errors--;
        errno = shared->send_error;
        return -1;
    }
    return __real_send(fd, data, size, flags);
}

ssize_t __wrap_recv(int fd, void *data, size_t size, int flags)
{
    if (is_child)
        shared->calls++;
    if (is_child && fd == reached && shared->receive_error) {
        errno = shared->receive_error;
        shared->receive_error = 0;
        return -1;
    }
    return __real_recv(fd, data, size, flags);
}

int __wrap_ppoll(struct pollfd *entries, nfds_t count, const struct timespec *time,
                 const sigset_t *mask)
{
    const struct timespec slice = {.tv_nsec = SLICE_MS * 1000000};
    int ready = 0;

    if (!is_child)
        return __real_ppoll(entries, count, time, mask);
    shared->calls++;
    if (!entries || !time)
        return __real_ppoll(entries, count, time, mask);
    shared->wait_ms = time->tv_sec * 1000 + time->tv_nsec / 1000000;
    while (ready == 0 && shared->in_time)
        ready = __real_ppoll(entries, count, &slice, mask);
    return ready ? ready : __real_ppoll(entries, count, &(struct timespec){0}, mask);
}

static void on_signal(int number)
{
    (void)number;
    stop = 1;
}

static void be_child(long idle_ms)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct pump_result result;

    is_child = true;
    close(client);
    close(target);
    sigaction(SIGTERM, &action, NULL);
    memset(&buffers, 0, sizeof buffers);
    mixed(&(struct pump_request){.client = served,
                                 .target = reached,
                                 .buffers = &buffers,
                                 .idle_ms = idle_ms,
                                 .mask = &no_mask,
                                 .stop = &stop},
          &result);
    shared->result = result;
    for (size_t i = 0; i < sizeof buffers; i++)
        shared->dirty |= ((unsigned char *)&buffers)[i] != 0;
    _exit(0);
}

static void begin(long idle_ms)
{
    int streams[2], datagrams[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, streams) < 0 ||
        socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagrams) < 0)
        _exit(1);
    client = streams[0];
    served = streams[1];
    target = datagrams[0];
    reached = datagrams[1];
    shared->calls = 0;
    shared->in_time = true;
    shared->wait_ms = -1;
    fflush(stdout);
    child = fork();
    if (child < 0)
        _exit(1);
    if (child == 0)
        be_child(idle_ms);
    close(served);
    close(reached);
}

// Whether the child has ended by itself, with these results.
static bool over(uint64_t from_client, uint64_t to_client, enum pump_end end)
{
    struct pump_result result;
    int status;

    close(client);
    close(target);
    if (waitpid(child, &status, 0) != child || status != 0 || shared->dirty)
        return false;
    result = shared->result;
    if (result.from_client == from_client && result.to_client == to_client && result.end == end)
        return true;
    printf("# %llu %llu %d\n", (unsigned long long)result.from_client,
           (unsigned long long)result.to_client, (int)result.end);
    return false;
}

static bool awaits(int fd, short events)
{
    struct pollfd entry = {.fd = fd, .events = events};

    return poll(&entry, 1, PATIENCE_MS) == 1;
}

// Bytes that differ from one place, and one datagram, to the other.
static void make_bytes(size_t seed)
{
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)((i * 31 + seed * 7919) % 251);
}

// Whether the next datagram is SIZE of the bytes.
static bool gets_datagram(size_t size)
{
    return awaits(target, POLLIN) &&
           recv(target, read_back, sizeof read_back, MSG_DONTWAIT) == (ssize_t)size &&
           memcmp(read_back, bytes, size) == 0;
}

// Whether the next of the stream are SIZE of the bytes.
static bool gets_bytes(size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t more;

        if (!awaits(client, POLLIN))
            return false;
        more = recv(client, read_back, size - got, MSG_DONTWAIT);
        if (more <= 0 || memcmp(read_back, bytes + got, (size_t)more) != 0)
            return false;
        got += (size_t)more;
    }
    return true;
}

static bool asks(size_t size)
{
    return awaits(client, POLLOUT) && send(client, bytes, size, 0) == (ssize_t)size;
}

static bool replies(size_t size)
{
    return awaits(target, POLLOUT) && send(target, bytes, size, 0) == (ssize_t)size;
}

// Waits until COUNT, of errors that are still to come, is 0.
static bool used_up(const volatile int *count)
{
    for (int i = 0; i<PATIENCE_MS && * count> 0; i++)
        poll(NULL, 0, 1);
    return *count == 0;
}

static void test_sizes(void)
{
    static const size_t sizes[] = {1, 508, 1472, 8192, 30000};
    uint64_t all = 0;

    begin(0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        make_bytes(i);
        test_ok(asks(sizes[i]) && gets_datagram(sizes[i]), "%zu bytes up", sizes[i]);
        make_bytes(i + 100);
        test_ok(replies(sizes[i]) && replies(0) && gets_bytes(sizes[i]), "%zu bytes down",
                sizes[i]);
        all += sizes[i];
    }
    shutdown(client, SHUT_RDWR);
    test_ok(over(all, all, PUMP_CLIENT_FIRST), "all are counted");
}

// The target takes ten or so; the client is held back, and nothing is lost or tried all the time.
static void test_full_target(void)
{
    struct pollfd entry;
    uint64_t sent = 0, got = 0;
    size_t largest = 0;
    ssize_t size;
    bool good = true;

    begin(0);
    entry = (struct pollfd){.fd = client, .events = POLLOUT};
    make_bytes(0);
    while (poll(&entry, 1, 300) == 1 &&
           (size = send(client, bytes + sent % 251, 20000, MSG_DONTWAIT)) > 0)
        sent += (uint64_t)size;
    poll(NULL, 0, QUIET_MS);
    test_ok(shared->calls < CALLS_MAX, "%d calls while nothing can be moved", shared->calls);
    shutdown(client, SHUT_WR);
    while (got < sent && awaits(target, POLLIN) &&
           (size = recv(target, read_back, sizeof read_back, MSG_DONTWAIT)) > 0) {
        for (ssize_t i = 0; i < size; i++)
            good &= read_back[i] == (got + (uint64_t)i) * 31 % 251;
        got += (uint64_t)size;
        if (largest < (size_t)size)
            largest = (size_t)size;
    }
    test_ok(good && got == sent && largest <= MIXED_READ_BYTES, "all of %llu bytes, at most %zu",
            (unsigned long long)sent, largest);
    shutdown(client, SHUT_RD);
    test_ok(over(sent, 0, PUMP_CLIENT_FIRST), "and counted");
}

// The client reads late: datagrams wait in the target's socket, and reach it whole; so they do
// where the target refuses one meanwhile.
static void test_full_client(bool refused)
{
    struct pollfd entry;
    uint64_t sent = 0;
    int count = 0;
    bool good = true;

    begin(0);
    entry = (struct pollfd){.fd = target, .events = POLLOUT};
    for (; count < MANY && poll(&entry, 1, 300) == 1; count++) {
        make_bytes((size_t)count);
        if (send(target, bytes, 20000, MSG_DONTWAIT) != 20000)
            break;
        sent += 20000;
    }
    poll(NULL, 0, QUIET_MS);
    test_ok(count < MANY && shared->calls < CALLS_MAX, "%d calls while the client reads nothing",
            shared->calls);
    shared->send_error = ECONNREFUSED;
    shared->send_errors = refused;
    good = !refused || (asks(3) && used_up(&shared->send_errors));
    for (int i = 0; i < count && good; i++) {
        make_bytes((size_t)i);
        good = gets_bytes(20000);
    }
    test_ok(good, "%d datagrams, whole and in order", count);
    if (!refused)
        shutdown(client, SHUT_RDWR);
    test_ok(refused ? recv(client, read_back, 1, 0) <= 0 && over(3, sent, PUMP_TARGET_FIRST)
                    : over(0, sent, PUMP_CLIENT_FIRST),
            "and counted");
}

// Whether the child gives up, having waited for at most MS, and the client sees its end.
static bool time_is_up(long ms)
{
    struct pollfd entry = {.fd = client, .events = POLLIN};

    shared->in_time = false;
    return poll(&entry, 1, PATIENCE_MS) == 1 && recv(client, read_back, 1, 0) == 0 &&
           shared->wait_ms <= ms && shared->wait_ms >= 0;
}

// A client that has gone, while its last datagram waits for the target's socket.
static void test_gone(void)
{
    struct pollfd entry;
    uint64_t sent = 0, got = 0;
    ssize_t size;

    begin(0);
    entry = (struct pollfd){.fd = client, .events = POLLOUT};
    while (poll(&entry, 1, 300) == 1 && (size = send(client, bytes, 20000, MSG_DONTWAIT)) > 0)
        sent += (uint64_t)size;
    shutdown(client, SHUT_RDWR);
    poll(NULL, 0, QUIET_MS);
    test_ok(shared->calls < CALLS_MAX, "%d calls while the target takes nothing", shared->calls);
    while (got < sent && awaits(target, POLLIN) &&
           (size = recv(target, read_back, sizeof read_back, MSG_DONTWAIT)) > 0)
        got += (uint64_t)size;
    test_ok(got == sent && over(sent, 0, PUMP_CLIENT_FIRST), "all that it has sent is passed on");
}

static void test_ends(void)
{
    make_bytes(0);
    begin(IDLE_MS);
    test_ok(asks(3) && gets_datagram(3) && replies(5) && gets_bytes(5) && time_is_up(IDLE_MS) &&
                over(3, 5, PUMP_IDLE),
            "idle");
    for (long idle_ms = 0; idle_ms <= IDLE_MS; idle_ms += IDLE_MS) {
        begin(idle_ms);
        test_ok(asks(3) && shutdown(client, SHUT_WR) == 0 && gets_datagram(3) && replies(5) &&
                    gets_bytes(5) && replies(7) && gets_bytes(7) && time_is_up(MIXED_GRACE_MS) &&
                    over(3, 12, PUMP_CLIENT_FIRST),
                "replies after a half-close, until none has come for a while");
    }
    begin(1000);
    test_ok(shutdown(client, SHUT_WR) == 0 && time_is_up(1000) && over(0, 0, PUMP_CLIENT_FIRST),
            "a short while");
    begin(0);
    kill(child, SIGTERM);
    test_ok(recv(client, read_back, 1, 0) == 0 && over(0, 0, PUMP_STOPPED), "a signal");
    begin(0);
    make_bytes(1);
    // It is read and sent even though nobody takes an answer any more.
    test_ok(asks(3) && shutdown(client, SHUT_RDWR) == 0 && gets_datagram(3) &&
                over(3, 0, PUMP_CLIENT_FIRST),
            "what a client has sent before it went");
}

static void test_errors(void)
{
    shared->send_error = ENOBUFS;
    shared->send_errors = 1;
    begin(0);
    make_bytes(2);
    test_ok(asks(3) && used_up(&shared->send_errors) && asks(5) && gets_datagram(5),
            "ENOBUFS: one is lost");
    shutdown(client, SHUT_RDWR);
    test_ok(over(8, 0, PUMP_CLIENT_FIRST) && shared->send_errors == 0, "and no more than that");
    shared->send_error = EMSGSIZE;
    shared->send_errors = 1;
    shared->receive_error = EMSGSIZE;
    begin(0);
    test_ok(asks(3) && gets_datagram(3) && replies(4) && gets_bytes(4),
            "EMSGSIZE of an earlier datagram: none is lost");
    shared->send_errors = 2;
    test_ok(asks(3) && used_up(&shared->send_errors) && asks(5) && gets_datagram(5),
            "of its own: one is");
    shutdown(client, SHUT_RDWR);
    test_ok(over(11, 4, PUMP_CLIENT_FIRST), "and it goes on");
    shared->send_error = ECONNREFUSED;
    shared->send_errors = 1;
    begin(0);
    test_ok(replies(4) && replies(6) && asks(3) && gets_bytes(4) && gets_bytes(6) &&
                recv(client, read_back, 1, 0) <= 0 && over(3, 10, PUMP_TARGET_FIRST),
            "refused when sending, after what had come");
    begin(0);
    shared->receive_error = ECONNREFUSED;
    test_ok(replies(4) && replies(6) && gets_bytes(4) && gets_bytes(6) &&
                recv(client, read_back, 1, 0) <= 0 && over(0, 10, PUMP_TARGET_FIRST),
            "refused when receiving, after what had come");
}

int main(void)
{
    sigset_t ours;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    // Until a child lets it in.
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigprocmask(SIG_BLOCK, &ours, NULL);
    test_sizes();
    test_full_target();
    test_full_client(false);
    test_full_client(true);
    test_gone();
    test_ends();
    test_errors();
    return test_end();
}
