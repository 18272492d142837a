// SPDX-License-Identifier: ISC
//
// start: what it costs to start COMMAND for one connection, again and again: vfork, exec, the
// connection to the target, its end, and wait4(2), as a superserver and a target on this machine
// see it: time, processor time, page faults and context switches. The client has ended its
// direction before, and the target ends its own at once, so that a relay has nothing to wait for.
//
//     start [--seconds=S] TARGET-ADDRESS TARGET-PORT COMMAND [ARG...]
//
// COMMAND gets the client as standard input and output, and has to connect to the target once.
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stream.h"

#define BACKLOG    16
#define PATIENCE_S 10
#define WARM_UP    20

struct cost {
    uint64_t count;
    double wall_us, cpu_us, faults, switches;
};

static int listen_to(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)address, sizeof *address) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &size) < 0)
        stream_die("listen");
    return fd;
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double us_of(const struct timeval *time)
{
    return (double)time->tv_sec * 1e6 + (double)time->tv_usec;
}

// A connection from this process to itself; returns the end that a server would accept.
static int make_client(int listener, const struct sockaddr_in *address, int *client)
{
    int fd;

    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*client < 0 || connect(*client, (const struct sockaddr *)address, sizeof *address) < 0)
        stream_die("connect");
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0 || shutdown(*client, SHUT_WR) < 0)
        stream_die("accept");
    return fd;
}

static void start_once(int accepted, int target, char **command, struct cost *cost)
{
    struct rusage usage;
    double start = now_us();
    pid_t pid = stream_start(accepted, command);
    int connection, status;

    close(accepted);
    connection = accept4(target, NULL, NULL, SOCK_CLOEXEC);
    close(connection);
    if (wait4(pid, &status, 0, &usage) != pid || status != 0) {
        fprintf(stderr, "start: %s ended with status %#x\n", command[0], (unsigned)status);
        exit(1);
    }
    cost->count++;
    cost->wall_us += now_us() - start;
    cost->cpu_us += us_of(&usage.ru_utime) + us_of(&usage.ru_stime);
    cost->faults += (double)(usage.ru_minflt + usage.ru_majflt);
    cost->switches += (double)(usage.ru_nvcsw + usage.ru_nivcsw);
}

static void print_means(const struct cost *cost)
{
    double count = (double)cost->count;

    printf("count=%.0f us=%.2f cpu_us=%.2f faults=%.2f switches=%.2f\n", count,
           cost->wall_us / count, cost->cpu_us / count, cost->faults / count,
           cost->switches / count);
}

int main(int argc, char **argv)
{
    struct sockaddr_in here = {.sin_family = AF_INET}, target_address;
    struct cost cost = {0};
    double seconds = 1, end;
    int listener, target, client, first = 1;

    if (argc > 1 && strncmp(argv[1], "--seconds=", 10) == 0)
        seconds = strtod(argv[first++] + 10, NULL);
    if (argc - first < 3 || !stream_address(argv[first], argv[first + 1], &target_address)) {
        fputs("usage: start [--seconds=S] TARGET-ADDRESS TARGET-PORT COMMAND [ARG...]\n", stderr);
        return 2;
    }
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = listen_to(&here);
    target = listen_to(&target_address);
    end = now_us() + seconds * 1e6;
    for (unsigned i = 0; i < WARM_UP || now_us() < end; i++) {
        int accepted = make_client(listener, &here, &client);

        if (i == WARM_UP)
            cost = (struct cost){0};
        alarm(PATIENCE_S); // a command that never connects
        start_once(accepted, target, argv + first + 2, &cost);
        close(client);
    }
    print_means(&cost);
    return 0;
}
