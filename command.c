// SPDX-License-Identifier: ISC
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 5 // between two looks whether a silent program has ended

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Our environment, with messages in the language that we understand. free() the list alone.
static char **make_environment(void)
{
    static char locale[] = "LC_ALL=C";
    size_t count = 0, kept = 0;
    char **list;

    while (environ[count])
        count++;
    list = calloc(count + 2, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], "LC_ALL=", 7) != 0 && strncmp(environ[i], "SYSTEMD_", 8) != 0)
            list[kept++] = environ[i];
    list[kept] = locale;
    return list;
}

// Returns 0 or an errno.
static int spawn(char *const argv[], const int ends[2], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char **environment = make_environment();
    sigset_t none, all;
    int error;

    if (!environment)
        return ENOMEM;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[0], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                              POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    error = posix_spawnp(pid, argv[0], &actions, &attributes, argv, environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    return error;
}

// A text that grows.
struct stream {
    int fd; // -1 at its end
    char *text;
    size_t size, room;
};

// Takes what FD has. Returns 0 or an errno.
static int take(struct stream *stream)
{
    ssize_t got;

    if (stream->room - stream->size < 2) {
        size_t room = stream->room ? stream->room * 2 : 8192;
        char *grown = realloc(stream->text, room);

        if (!grown)
            return ENOMEM;
        stream->text = grown;
        stream->room = room;
        stream->text[stream->size] = '\0';
    }
    got = read(stream->fd, stream->text + stream->size, stream->room - stream->size - 1);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0) {
        close(stream->fd);
        stream->fd = -1;
        return 0;
    }
    stream->size += (size_t)got;
    stream->text[stream->size] = '\0';
    return 0;
}

// Reads until both have ended. Returns 0 or an errno.
static int take_all(struct stream streams[2], int64_t until_ms)
{
    int error = 0;

    while (error == 0 && (streams[0].fd >= 0 || streams[1].fd >= 0)) {
        struct pollfd fds[] = {{.fd = streams[0].fd, .events = POLLIN},
                               {.fd = streams[1].fd, .events = POLLIN}};
        int64_t left_ms = until_ms - now_ms();

        if (left_ms <= 0)
            return ETIMEDOUT;
        if (poll(fds, 2, (int)left_ms) < 0)
            continue;
        for (size_t i = 0; i < 2; i++)
            if (fds[i].revents && error == 0)
                error = take(&streams[i]);
    }
    return error;
}

// Returns 0 with the exit status, or an errno.
static int reap(pid_t pid, int64_t until_ms, int *status)
{
    const struct timespec look = {.tv_nsec = LOOK_MS * 1000000};
    pid_t done;

    while ((done = waitpid(pid, status, WNOHANG)) == 0 || (done < 0 && errno == EINTR)) {
        if (now_ms() >= until_ms)
            return ETIMEDOUT;
        nanosleep(&look, NULL);
    }
    if (done < 0)
        return errno;
    if (!WIFEXITED(*status))
        return ECANCELED;
    *status = WEXITSTATUS(*status);
    return 0;
}

static int follow(pid_t pid, struct stream streams[2], int limit_ms, int *status)
{
    int64_t until_ms = now_ms() + limit_ms;
    int error = take_all(streams, until_ms);

    if (error == 0)
        error = reap(pid, until_ms, status);
    if (error != 0 && error != ECANCELED) {
        kill(pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    return error;
}

int command_run(char *const argv[], int limit_ms, struct command_result *result)
{
    struct stream streams[2] = {{.fd = -1}, {.fd = -1}};
    int out[2] = {-1, -1}, err[2] = {-1, -1}, error = 0;
    pid_t pid;

    signal(SIGCHLD, SIG_DFL);
    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
        error = errno;
    if (error == 0)
        error = spawn(argv, (const int[2]){out[1], err[1]}, &pid);
    if (out[1] >= 0)
        close(out[1]);
    if (err[1] >= 0)
        close(err[1]);
    streams[0].fd = out[0];
    streams[1].fd = err[0];
    if (error == 0)
        error = follow(pid, streams, limit_ms, &result->status);
    for (size_t i = 0; i < 2; i++)
        if (streams[i].fd >= 0)
            close(streams[i].fd);
    result->out = streams[0].text ? streams[0].text : strdup("");
    result->err = streams[1].text ? streams[1].text : strdup("");
    if (error == 0 && (!result->out || !result->err))
        error = ENOMEM;
    errno = error;
    return error ? -1 : 0;
}
