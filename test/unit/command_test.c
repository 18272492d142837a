// SPDX-License-Identifier: ISC
#include "command.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "test.h"

static struct command_result result;

// Runs SCRIPT by a shell. Returns 0 or an errno.
static int run(const char *script, int limit_ms)
{
    char *argv[] = {strdup("sh"), strdup("-c"), strdup(script), NULL};
    int status;

    free(result.out);
    free(result.err);
    memset(&result, 0, sizeof result);
    status = command_run(argv, limit_ms, &result);
    if (status < 0)
        status = errno;
    for (size_t i = 0; i < 3; i++)
        free(argv[i]);
    return status;
}

static long elapsed_ms(const struct timespec *since)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - since->tv_sec) * 1000 + (now.tv_nsec - since->tv_nsec) / 1000000;
}

static void test_words(void)
{
    test_ok(run("echo out; echo err >&2; exit 7", 60000) == 0 && result.status == 7 &&
                strcmp(result.out, "out\n") == 0 && strcmp(result.err, "err\n") == 0,
            "both outputs and the status");
    test_ok(run(":", 60000) == 0 && result.status == 0 && strcmp(result.out, "") == 0 &&
                strcmp(result.err, "") == 0,
            "silence");
    test_ok(run("head -c 1000000 /dev/zero | tr '\\0' x; head -c 300000 /dev/zero | tr '\\0' y >&2",
                60000) == 0 &&
                strlen(result.out) == 1000000 && strlen(result.err) == 300000,
            "more than pipes hold");
    test_ok(run("cat; echo \"$LC_ALL $SYSTEMD_PAGER\"", 60000) == 0 &&
                strcmp(result.out, "C \n") == 0,
            "no input, and an environment for programs");
}

static void test_signals(void)
{
    sigset_t blocked, before;
    char own[32];

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigprocmask(SIG_BLOCK, &blocked, &before);
    test_ok(run("kill $$; sleep 10", 60000) == ECANCELED, "signals are not blocked");
    sigprocmask(SIG_SETMASK, &before, NULL);
    snprintf(own, sizeof own, "%d\n", (int)getpgrp());
    test_ok(run("cut -d ' ' -f 5 /proc/$$/stat", 60000) == 0 && strtol(result.out, NULL, 10) > 0 &&
                strcmp(result.out, own) != 0,
            "a process group of its own");
}

static void test_ends(void)
{
    char missing[] = "/no/such/program", *argv[] = {missing, NULL};
    struct timespec start;
    int status;

    test_ok(run("kill -9 $$", 60000) == ECANCELED, "ended by a signal");
    clock_gettime(CLOCK_MONOTONIC, &start);
    status = run("echo first; exec sleep 600", 300);
    if (status == ETIMEDOUT && strcmp(result.out, "") == 0)
        status = run("echo first; exec sleep 600", 6000); // the shell was too slow
    test_ok(status == ETIMEDOUT && elapsed_ms(&start) < 300000, "too long");
    test_ok(strcmp(result.out, "first\n") == 0, "what it said before is there");
    test_ok(run("exec >&- 2>&-; exec sleep 600", 300) == ETIMEDOUT && elapsed_ms(&start) < 300000,
            "too long, in silence");
    free(result.out);
    free(result.err);
    memset(&result, 0, sizeof result);
    test_ok(command_run(argv, 60000, &result) == -1 && errno == ENOENT, "no such program");
}

int main(void)
{
    setenv("SYSTEMD_PAGER", "more", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    signal(SIGCHLD, SIG_IGN);
    test_words();
    test_signals();
    test_ends();
    free(result.out);
    free(result.err);
    return test_end();
}
