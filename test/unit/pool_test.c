// SPDX-License-Identifier: ISC
//
// A pool in a process of its own. What no test can bring about from outside is done to it in its
// system calls, which the linker's --wrap replaces.
#include "pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

#define PATIENCE_MS  20000
#define MOMENT_MS    500
#define LATE_ROUNDS  20
#define LATE_CLIENTS 4

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __real_epoll_pwait(int fd, struct epoll_event *events, int most, int ms, const sigset_t *mask);
int __wrap_epoll_pwait(int fd, struct epoll_event *events, int most, int ms, const sigset_t *mask);
int __real_eventfd(unsigned count, int flags);
int __wrap_eventfd(unsigned count, int flags);
int __real_kill(pid_t pid, int signal_number);
int __wrap_kill(pid_t pid, int signal_number);
int __real_prctl(int option, ...);
int __wrap_prctl(int option, ...);

// What the processes of a test know of each other.
static struct {
    atomic_int first;
    atomic_int accept_failures, start_failures; // so many calls fail
    atomic_int error;                           // with this errno
    atomic_int accept_calls;                    // meanwhile
    atomic_int vain;                            // calls without a connection
    atomic_int told, served, worker, dead, late;
    atomic_bool wait_after_epoll, wait_in_prctl, die_in_kill; // do so
    atomic_bool waits;                                        // somebody does
    atomic_bool stays, go; // a client is forgotten, and its worker is busy until `go`
} * shared;

static int64_t clock_offset_ms;
static struct sockaddr_in address;
static int listener;

static int64_t now_ms(void)
{
    struct timespec now;

    __real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool fails(atomic_int *failures)
{
    if (*failures <= 0)
        return false;
    --*failures;
    errno = shared->error;
    return true;
}

// Until the first process is no more.
static void wait_for_its_end(void)
{
    int64_t deadline = now_ms() + PATIENCE_MS;

    shared->worker = getpid();
    shared->waits = true;
    while (getppid() == shared->first && now_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

int __wrap_accept4(int fd, struct sockaddr *client, socklen_t *size, int flags)
{
    int result;

    shared->accept_calls += shared->accept_failures > 0;
    result = fails(&shared->accept_failures) ? -1 : __real_accept4(fd, client, size, flags);
    shared->vain += result < 0 && errno == EAGAIN;
    return result;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = __real_clock_gettime(clock, now);

    now->tv_sec += clock_offset_ms / 1000;
    return result;
}

int __wrap_epoll_pwait(int fd, struct epoll_event *events, int most, int ms, const sigset_t *mask)
{
    int result = __real_epoll_pwait(fd, events, most, ms, mask);

    if (result > 0 && shared->wait_after_epoll)
        wait_for_its_end();
    return result;
}

int __wrap_eventfd(unsigned count, int flags)
{
    return fails(&shared->start_failures) ? -1 : __real_eventfd(count, flags);
}

int __wrap_kill(pid_t pid, int signal_number)
{
    return __real_kill(shared->die_in_kill ? getpid() : pid,
                       shared->die_in_kill ? SIGKILL : signal_number);
}

int __wrap_prctl(int option, ...)
{
    va_list arguments;
    int argument, result;

    va_start(arguments, option);
    argument = va_arg(arguments, int);
    va_end(arguments);
    result = __real_prctl(option, (unsigned long)argument);
    if (option == PR_SET_PDEATHSIG && argument == 0 && shared->wait_in_prctl)
        wait_for_its_end();
    return result;
}

__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    (void)format;
    shared->told++;
}

static bool serve(void *context, const sigset_t *mask, const volatile sig_atomic_t *stop)
{
    char byte;

    (void)context;
    (void)mask;
    if (recv(0, &byte, 1, 0) != 1 || send(0, &byte, 1, MSG_NOSIGNAL) != 1)
        return true;
    shared->served++;
    if (shared->stays) {
        pool_forget_client();
        while (!shared->go && !*stop)
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return true;
}

static const struct pool_request usual = {
    .max = 20, .linger_ms = 60000, .serve = serve, .tell = tell};

static void start(const struct pool_request *request)
{
    pid_t pid = fork();

    if (pid == 0) {
        shared->first = getpid();
        dup2(listener, 0);
        close(listener);
        _exit(pool(request) < 0 ? errno : 0);
    }
    shared->first = pid;
}

static void reset(void)
{
    memset(shared, 0, sizeof *shared);
    clock_offset_ms = 0;
}

// Ends the pool, waits for all its processes and returns the first one's status.
static int end(void)
{
    int status = -1, one;
    pid_t pid;

    __real_kill(shared->first, SIGTERM);
    shared->go = true;
    while ((pid = waitpid(-1, &one, 0)) > 0)
        if (pid == shared->first)
            status = one;
    return status;
}

static bool wait_until(const atomic_int *number, int least)
{
    int64_t deadline = now_ms() + PATIENCE_MS;

    while (*number < least && now_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return *number >= least;
}

static bool wait_until_true(const atomic_bool *flag)
{
    int64_t deadline = now_ms() + PATIENCE_MS;

    while (!*flag && now_ms() < deadline)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return *flag;
}

// A client that has said something.
static int come(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        send(fd, "x", 1, MSG_NOSIGNAL) != 1)
        perror("client");
    return fd;
}

static bool is_answered(int fd, int ms)
{
    struct timeval wait = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    char byte;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    return recv(fd, &byte, 1, 0) == 1;
}

static bool greets(void)
{
    int fd = come();
    bool answered = is_answered(fd, PATIENCE_MS);

    close(fd);
    return answered;
}

static void test_passing_errors(void)
{
    static const int errors[] = {ECONNABORTED, EPROTO, ENETDOWN, EINTR};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        reset();
        shared->error = errors[i];
        shared->accept_failures = 20;
        start(&usual);
        test_ok(greets() && shared->told == 0 && shared->accept_calls >= 20,
                "20 times %s, and no word", strerror(errors[i]));
        test_ok(end() == 0, "and a good end");
    }
}

static void test_scarcity(void)
{
    static const int errors[] = {EMFILE, ENFILE, ENOMEM, ENOBUFS};

    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        int fd, calls;
        bool answered;
        int64_t began;

        reset();
        start(&usual);
        test_ok(greets(), "served before");
        shared->error = errors[i];
        shared->accept_failures = INT_MAX;
        began = now_ms();
        fd = come();
        wait_until(&shared->accept_calls, 1);
        answered = is_answered(fd, MOMENT_MS);
        calls = shared->accept_calls;
        test_ok(!answered && calls > 0 && calls < 60 * (now_ms() - began) / MOMENT_MS,
                "%s: tried again, but not all the time: %d", strerror(errors[i]), calls);
        shared->accept_failures = 0;
        test_ok(is_answered(fd, PATIENCE_MS) && shared->told == 1, "told once, and served after");
        close(fd);
        end();
    }
}

static void test_broken(void)
{
    int status;

    reset();
    shared->error = EINVAL;
    shared->accept_failures = INT_MAX;
    start(&usual);
    waitpid(shared->first, &status, 0);
    test_ok(WIFEXITED(status) && WEXITSTATUS(status) == EINVAL, "no listener any more: the end");
    end();
}

static void test_start(void)
{
    int status;

    reset();
    shared->error = EMFILE;
    shared->start_failures = 2;
    start(&usual);
    test_ok(greets() && shared->told == 1, "no descriptor at the start: told once, tried again");
    end();
    reset();
    shared->error = ENFILE;
    shared->start_failures = INT_MAX;
    start(&usual);
    wait_until(&shared->told, 1);
    test_ok(end() == 0, "and it can be stopped");
    reset();
    shared->error = EINVAL;
    shared->start_failures = INT_MAX;
    start(&usual);
    waitpid(shared->first, &status, 0);
    test_ok(WIFEXITED(status) && WEXITSTATUS(status) == EINVAL, "another error is the end");
}

static void test_clock(void)
{
    static const struct {
        const char *name;
        int64_t ms;
    } times[] = {
        {"at its very beginning", 0},
        {"where 31 bits are full", INT32_MAX - 500},
        {"where 32 bits are full", UINT32_MAX - 500},
        {"before its beginning", -1000000000},
    };
    struct pool_request request = usual;

    request.linger_ms = 1000;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        int64_t began = now_ms();
        int status = -1, fd;
        bool served;

        reset();
        fd = come(); // before it could linger in vain
        clock_offset_ms = times[i].ms - began;
        start(&request);
        clock_offset_ms = 0;
        served = is_answered(fd, PATIENCE_MS);
        close(fd);
        waitpid(shared->first, &status, 0);
        test_ok(served && status == 0 && now_ms() - began > 900 && now_ms() - began < 60000,
                "served for as long as it should be, the clock being %s", times[i].name);
        end();
    }
}

// A worker that has been woken for a client when the first process dies.
static void test_late(void)
{
    struct pool_request request = usual;
    int fd;

    reset();
    request.max = 1;
    shared->wait_after_epoll = true;
    start(&request);
    wait_until(&shared->vain, 1);
    fd = come();
    test_ok(wait_until_true(&shared->waits), "a worker is about to accept");
    __real_kill(shared->first, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    test_ok(shared->served == 0, "and does not after the death of the first process");
    close(fd);
}

// Clients one after the other, until one is not served.
static void come_and_come(void)
{
    bool served = true;

    while (served) {
        bool late = shared->dead;
        int fd = come();

        served = is_answered(fd, MOMENT_MS);
        close(fd);
        shared->late += served && late;
    }
}

static void test_late_under_load(void)
{
    int late = 0;

    for (int round = 0; round < LATE_ROUNDS; round++) {
        siginfo_t info;

        reset();
        start(&usual);
        for (int i = 0; i < LATE_CLIENTS; i++) {
            if (fork() == 0) {
                come_and_come();
                _exit(0);
            }
        }
        wait_until(&shared->served, 20 + round);
        __real_kill(shared->first, SIGKILL);
        waitid(P_PID, (id_t)shared->first, &info, WEXITED | WNOWAIT);
        shared->dead = 1;
        while (waitpid(-1, NULL, 0) > 0)
            ;
        late += shared->late;
        // What has come in vain
        while (__real_accept4(listener, NULL, NULL, 0) >= 0)
            ;
    }
    test_ok(late == 0, "of those who come after its death none is served: %d", late);
}

// The first process has decided to signal a worker, and dies before it does.
static void test_give_away(void)
{
    struct pool_request request = usual;
    int fd;

    reset();
    request.max = 1;
    request.gives_away = true;
    start(&request);
    shared->wait_in_prctl = shared->die_in_kill = true;
    fd = come();
    wait_until_true(&shared->waits);
    __real_kill(shared->first, SIGTERM);
    test_ok(is_answered(fd, PATIENCE_MS),
            "who is given away does not wait for a signal of the dead");
    __real_kill(shared->worker, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    close(fd);
}

static void test_forget(void)
{
    struct pool_request request = usual;
    int fd;

    reset();
    request.per_source = 1;
    shared->stays = true;
    start(&request);
    fd = come();
    test_ok(is_answered(fd, PATIENCE_MS), "the only one of its address");
    test_ok(greets() && shared->told == 0, "and another after it has ended for the client");
    close(fd);
    end();
}

int main(void)
{
    socklen_t size = sizeof address;

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (shared == MAP_FAILED || bind(listener, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 100) < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0)
        return 1;
    // The workers of a first process that was killed are children of this one then.
    __real_prctl(PR_SET_CHILD_SUBREAPER, 1UL);
    setvbuf(stdout, NULL, _IONBF, 0);
    test_passing_errors();
    test_scarcity();
    test_broken();
    test_start();
    test_clock();
    test_late();
    test_late_under_load();
    test_give_away();
    test_forget();
    return test_end();
}
