// SPDX-License-Identifier: ISC
#include "dial.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define RETRY_MS 10

// The addresses of one host: of a name, a list of the resolver's; else the one in `single`.
struct addresses {
    struct addrinfo *list;
    struct addrinfo single;
    union host_address storage;
};

// What a look-up's thread is given and gives back. It belongs to the thread until its address has
// been sent through the pipe.
struct lookup {
    int reply;
    int error; // of getaddrinfo(3)
    struct addrinfo *list;
    int type; // of socket(2)
    char host[HOST_NAME_MAX_BYTES + 2];
    char port[8];
};

static int socket_type(const struct dial_request *request)
{
    return request->datagram ? SOCK_DGRAM : SOCK_STREAM;
}

// Waits for EVENTS on FD (none: for time to pass) until DEADLINE, 0 being never. Returns what has
// come of them, POLLERR and POLLHUP, or -1 with ETIMEDOUT or EINTR.
static int wait_until(const struct dial_request *request, int fd, short events, int64_t deadline)
{
    struct pollfd entry = {.fd = fd, .events = events};

    while (!*request->stop) {
        int64_t left = deadline ? deadline - clock_ms() : 0;
        struct timespec time = {0};
        int ready;

        // What is there when it is looked this late is not too late.
        if (left > 0)
            time = (struct timespec){.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        ready = ppoll(&entry, 1, deadline ? &time : NULL, request->mask);
        if (ready > 0)
            return entry.revents;
        if (ready == 0)
            break;
        if (errno != EINTR)
            return -1;
    }
    errno = *request->stop ? EINTR : ETIMEDOUT;
    return -1;
}

// musl compares names of hosts(5) byte by byte, letters and all, as no other resolver does: there
// they are small letters as a rule, and may be those of the configuration. To DNS all are the same.
static int get_addresses(struct lookup *lookup)
{
    struct addrinfo hints = {.ai_socktype = lookup->type};
    char small[sizeof lookup->host];
    size_t i = 0;
    int error;

    do
        small[i] = (char)tolower((unsigned char)lookup->host[i]);
    while (lookup->host[i++] != '\0');
    error = getaddrinfo(small, lookup->port, &hints, &lookup->list);
    if (error && strcmp(small, lookup->host) != 0)
        error = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->list);
    return error;
}

// getaddrinfo(3) knows no deadline, so it runs in a thread that is left behind when time is up.
static void *lookup_thread(void *argument)
{
    struct lookup *lookup = argument;
    int reply = lookup->reply;

    lookup->error = get_addresses(lookup);
    if (write(reply, &lookup, sizeof lookup) != sizeof lookup) {
        // Nobody waits any more.
        if (lookup->error == 0)
            freeaddrinfo(lookup->list);
        free(lookup);
    }
    close(reply);
    return NULL;
}

// Starts a thread that no signal interrupts, whatever comes to the process.
static int start_lookup(struct lookup *lookup)
{
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all, before;
    int error = pthread_attr_init(&attributes);

    if (error)
        return error;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&thread, &attributes, lookup_thread, lookup);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static int fail_look_up(struct dial_failure *failure, const char *host, const char *reason,
                        int error)
{
    snprintf(failure->reason, sizeof failure->reason, "unable to look up %s: %s", host, reason);
    errno = error;
    return -1;
}

static void fill_lookup(struct lookup *lookup, const struct dial_request *request, const char *host)
{
    lookup->type = socket_type(request);
    snprintf(lookup->host, sizeof lookup->host, "%s", host);
    snprintf(lookup->port, sizeof lookup->port, "%u", request->port);
}

// Takes what a look-up has found.
static int take_found(const struct lookup *lookup, const char *host, struct addresses *found,
                      struct dial_failure *failure)
{
    if (lookup->error)
        return fail_look_up(failure, host, gai_strerror(lookup->error), ENOENT);
    found->list = lookup->list;
    return 0;
}

static int look_up_here(const struct dial_request *request, const char *host,
                        struct addresses *found, struct dial_failure *failure)
{
    struct lookup lookup = {.list = NULL};

    fill_lookup(&lookup, request, host);
    lookup.error = get_addresses(&lookup);
    return take_found(&lookup, host, found, failure);
}

static int look_up(const struct dial_request *request, const char *host, int64_t deadline,
                   struct addresses *found, struct dial_failure *failure)
{
    struct lookup *lookup;
    int reply[2], error = 0, status;

    if (request->in_thread)
        return look_up_here(request, host, found, failure);
    lookup = calloc(1, sizeof *lookup);
    if (!lookup || pipe2(reply, O_CLOEXEC) < 0) {
        error = errno;
        free(lookup);
        return fail_look_up(failure, host, strerror(error), error);
    }
    lookup->reply = reply[1];
    fill_lookup(lookup, request, host);
    error = start_lookup(lookup);
    if (error) {
        free(lookup);
        close(reply[1]);
    } else if (wait_until(request, reply[0], POLLIN, deadline) < 0) {
        error = errno;
        failure->left_thread = true;
    } else if (read(reply[0], &lookup, sizeof lookup) != sizeof lookup) {
        error = EIO;
    } else {
        close(reply[0]);
        status = take_found(lookup, host, found, failure);
        error = errno;
        free(lookup);
        errno = error;
        return status;
    }
    close(reply[0]);
    return fail_look_up(failure, host, strerror(error), error);
}

static int find_addresses(const struct dial_request *request, const char *host, int64_t deadline,
                          struct addresses *found, struct dial_failure *failure)
{
    socklen_t size = host_address(host, request->port, &found->storage);

    memset(&found->single, 0, sizeof found->single);
    if (size == 0)
        return look_up(request, host, deadline, found, failure);
    found->single.ai_family = found->storage.any.sa_family;
    found->single.ai_addr = &found->storage.any;
    found->single.ai_addrlen = size;
    found->list = &found->single;
    return 0;
}

static void free_addresses(struct addresses *found)
{
    if (found->list && found->list != &found->single)
        freeaddrinfo(found->list);
}

static const struct addrinfo *of_family(const struct addrinfo *list, int family)
{
    while (list && list->ai_family != family)
        list = list->ai_next;
    return list;
}

static bool can_bind(const union host_address *target)
{
    union host_address local = *target;
    socklen_t size = sizeof local.in;
    bool bound;
    int fd = socket(local.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    local.in.sin_port = 0; // sin6_port stands at the same place
    if (local.any.sa_family == AF_INET6)
        size = sizeof local.in6;
    bound = bind(fd, &local.any, size) == 0;
    close(fd);
    return bound;
}

// The kernel binds only what is its own, unless ip_nonlocal_bind is set: so the interfaces are
// asked as well, where that is possible.
bool dial_is_local(const union host_address *target)
{
    struct ifaddrs *interfaces;
    bool found = false;

    if (!can_bind(target))
        return false;
    if (target->any.sa_family == AF_INET &&
        ntohl(target->in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET)
        return true;
    if (getifaddrs(&interfaces) < 0)
        return true;
    for (const struct ifaddrs *i = interfaces; i && !found; i = i->ifa_next) {
        union host_address own;

        if (!i->ifa_addr || i->ifa_addr->sa_family != target->any.sa_family)
            continue;
        memset(&own, 0, sizeof own);
        memcpy(&own, i->ifa_addr,
               target->any.sa_family == AF_INET ? sizeof own.in : sizeof own.in6);
        found = host_same(&own, target);
    }
    freeifaddrs(interfaces);
    return found;
}

static bool is_listener(const struct dial_request *request, const struct addrinfo *info)
{
    union host_address target, listener = request->listener;

    if (listener.any.sa_family == AF_UNSPEC ||
        (info->ai_family != AF_INET && info->ai_family != AF_INET6))
        return false;
    memset(&target, 0, sizeof target);
    memcpy(&target, info->ai_addr, info->ai_addrlen);
    if (host_port(&target) != host_port(&listener))
        return false;
    host_make_concrete(&target);
    host_make_concrete(&listener);
    if (host_same(&target, &listener))
        return true;
    return (target.any.sa_family == AF_INET ? request->serves_all_ipv4
                                            : request->serves_all_ipv6) &&
           dial_is_local(&target);
}

// TCP and UDP let a socket connect to itself when the kernel happens to give it the target's port
// and nobody has that: the client would then talk to its own echo.
static bool is_itself(int fd, const struct addrinfo *info)
{
    union host_address local, target;
    socklen_t size = sizeof local;

    if (info->ai_family == AF_UNIX || getsockname(fd, &local.any, &size) < 0)
        return false;
    memset(&target, 0, sizeof target);
    memcpy(&target, info->ai_addr, info->ai_addrlen);
    host_make_concrete(&local);
    host_make_concrete(&target);
    return host_port(&local) == host_port(&target) && host_same(&local, &target);
}

// Connects FD by DEADLINE. Returns 0, or -1 with errno.
static int connect_until(const struct dial_request *request, int fd, const struct addrinfo *info,
                         int64_t deadline)
{
    socklen_t size = sizeof(int);
    int events, error = 0;

    while (connect(fd, info->ai_addr, info->ai_addrlen) < 0) {
        if (errno == EINPROGRESS) {
            events = wait_until(request, fd, POLLOUT, deadline);
            if (events < 0 || (events & (POLLERR | POLLHUP) &&
                               getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0))
                return -1;
            errno = error;
            if (error)
                return -1;
            break;
        }
        // A unix socket whose backlog is full; nothing tells when there is room again.
        if (errno != EAGAIN || info->ai_family != AF_UNIX || (deadline && clock_ms() >= deadline))
            return -1;
        if (wait_until(request, -1, 0, clock_ms() + RETRY_MS) < 0 && errno == EINTR)
            return -1;
    }
    if (is_itself(fd, info)) {
        errno = ECONNREFUSED;
        return -1;
    }
    return 0;
}

// One address. Returns a socket, or -1 with errno and *STEP.
static int try_address(const struct dial_request *request, const struct addrinfo *info,
                       const struct addrinfo *src, int64_t deadline, enum dial_step *step)
{
    int fd, saved;

    *step = DIAL_CONNECT;
    if (is_listener(request, info)) {
        errno = ELOOP;
        return -1;
    }
    *step = DIAL_SOCKET;
    fd = socket(info->ai_family, socket_type(request) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    *step = DIAL_BIND;
    // Else bind(2) would choose a port that no other connection from SRC has, whatever its target.
    if (src)
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int));
    if (src && bind(fd, src->ai_addr, src->ai_addrlen) < 0)
        goto failed;
    *step = DIAL_CONNECT;
    if (connect_until(request, fd, info, deadline) == 0)
        return fd;
failed:
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static const char *describe(int error)
{
    return error == ELOOP ? "the target is the listener itself" : strerror(error);
}

static void explain(const struct dial_request *request, const struct addrinfo *info,
                    struct dial_failure *failure)
{
    union host_address address;
    char text[HOST_TEXT_MAX];
    int error = errno;

    memset(&address, 0, sizeof address);
    memcpy(&address, info->ai_addr, info->ai_addrlen);
    host_text(&address, text);
    if (failure->step == DIAL_BIND)
        snprintf(failure->reason, sizeof failure->reason, "unable to use the source address %s: %s",
                 request->src, describe(error));
    else if (info->ai_family == AF_UNIX)
        snprintf(failure->reason, sizeof failure->reason, "unable to connect to %s: %s",
                 request->host, describe(error));
    else
        snprintf(failure->reason, sizeof failure->reason,
                 "unable to connect to %s (%s) %sport %u: %s", request->host, text,
                 request->datagram ? "UDP " : "", request->port, describe(error));
    errno = error;
}

static size_t count_usable(const struct addrinfo *list, const struct addrinfo *src)
{
    size_t count = 0;

    for (; list; list = list->ai_next)
        count += !src || of_family(src, list->ai_family);
    return count;
}

static int try_all(const struct dial_request *request, const struct addrinfo *list,
                   const struct addrinfo *src, int64_t deadline, struct dial_failure *failure)
{
    size_t left = count_usable(list, src);

    if (left == 0) {
        failure->step = DIAL_BIND;
        snprintf(failure->reason, sizeof failure->reason,
                 "%s has no address of the family of the source address %s", request->host,
                 request->src);
        errno = EAFNOSUPPORT;
    }
    for (; list && left > 0; list = list->ai_next) {
        const struct addrinfo *from = src ? of_family(src, list->ai_family) : NULL;
        int64_t now, until = deadline;
        int fd;

        if (src && !from)
            continue;
        if (deadline && left > 1) {
            now = clock_ms();
            until = now + (deadline - now) / (int64_t)left;
        }
        fd = try_address(request, list, from, until, &failure->step);
        if (fd >= 0)
            return fd;
        explain(request, list, failure);
        if (errno == EINTR)
            break;
        left--;
    }
    return -1;
}

int dial(const struct dial_request *request, struct dial_failure *failure)
{
    struct addresses target = {.list = NULL}, src = {.list = NULL};
    int64_t deadline = request->timeout_ms ? clock_ms() + request->timeout_ms : 0;
    struct dial_request source = *request;
    int fd = -1, saved;

    failure->step = DIAL_LOOKUP;
    failure->left_thread = false;
    source.port = 0;
    if (find_addresses(request, request->host, deadline, &target, failure) == 0 &&
        (!request->src || find_addresses(&source, request->src, deadline, &src, failure) == 0))
        fd = try_all(request, target.list, src.list, deadline, failure);
    saved = errno;
    free_addresses(&target);
    free_addresses(&src);
    errno = saved;
    return fd;
}

int dial_resolve(const char *name, long timeout_ms, char *text, size_t size)
{
    static const volatile sig_atomic_t never = 0;
    struct dial_request request = {.host = name, .stop = &never};
    struct addresses found = {.list = NULL};
    int64_t deadline = timeout_ms ? clock_ms() + timeout_ms : 0;
    struct dial_failure failure = {.reason = ""};
    size_t length = 0;

    text[0] = '\0';
    if (find_addresses(&request, name, deadline, &found, &failure) < 0) {
        snprintf(text, size, "%s", failure.reason);
        return -1;
    }
    for (const struct addrinfo *info = found.list; info; info = info->ai_next) {
        union host_address address;
        char one[HOST_TEXT_MAX];

        memset(&address, 0, sizeof address);
        memcpy(&address, info->ai_addr, info->ai_addrlen);
        host_text(&address, one);
        if (length + strlen(one) + 2 > size)
            break;
        length += (size_t)sprintf(text + length, "%s%s", length ? " " : "", one);
    }
    free_addresses(&found);
    return 0;
}
