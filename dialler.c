// SPDX-License-Identifier: ISC
#include "dialler.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (1 << 20) // names are looked up on it, by whatever nsswitch.conf(5) says

int dialler_init(struct dialler *dialler, unsigned most,
                 int (*call)(void *context, struct dial_failure *failure), void *context)
{
    dialler->most = most;
    dialler->call = call;
    dialler->context = context;
    dialler->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return dialler->done < 0 ? -1 : 0;
}

static void *dial_thread(void *argument)
{
    struct dialler_job *job = argument;
    struct dialler *dialler = job->dialler;
    uint64_t one = 1;

    job->answer.fd = dialler->call(dialler->context, &job->answer.failure);
    job->answer.error = errno;
    job->done = true; // from here on it is the loop's
    if (write(dialler->done, &one, sizeof one) < 0)
        return NULL; // it has not looked for a very long time, and will see all at once
    return NULL;
}

static int start_thread(struct dialler_job *job)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;
    int error = pthread_attr_init(&attributes);

    if (error)
        return error;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    error = pthread_create(&thread, &attributes, dial_thread, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

int dialler_start(struct dialler *dialler, struct dialler_ticket ticket)
{
    struct dialler_job *job = dialler->jobs;
    int error;

    if (dialler->running == dialler->most)
        return EAGAIN;
    while (job->busy)
        job++;
    job->dialler = dialler;
    job->done = false;
    memset(&job->answer, 0, sizeof job->answer);
    job->answer.ticket = ticket;
    error = start_thread(job);
    job->busy = error == 0;
    dialler->running += error == 0;
    return error;
}

bool dialler_take(struct dialler *dialler, struct dialler_answer *answer)
{
    uint64_t count;

    // Before the look: who is done after it makes it readable again.
    if (read(dialler->done, &count, sizeof count) < 0 && errno != EAGAIN)
        return false;
    for (unsigned i = 0; i < DIALLER_MOST; i++) {
        struct dialler_job *job = &dialler->jobs[i];

        if (!job->busy || !job->done)
            continue;
        *answer = job->answer;
        job->busy = false;
        dialler->running--;
        return true;
    }
    return false;
}
