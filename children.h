// SPDX-License-Identifier: ISC
//
// children: which processes a process has started and not yet lost, by proc(5).
#ifndef CHILDREN_H
#define CHILDREN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Starts zeroed; free(pid) ends it.
struct children {
    pid_t *pid;
    size_t count, room;
};

// Fills LIST with the children of PARENT, those adopted as a subreaper included. Where memory is
// short some are left out.
void children_find(pid_t parent, struct children *list);

bool children_have(const struct children *list, pid_t pid);

#endif
