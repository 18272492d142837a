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

struct children_inodes {
    unsigned long *inode;
    size_t count;
};

// The sockets of a network name space that processes share: the tables that tell are long, and so
// are read once for all children. Starts zeroed; children_sockets_free() ends it.
struct children_sockets {
    struct children_inodes listening; // for connections
    struct children_inodes datagrams; // for those of all clients
};

// Fills LIST with the children of PARENT, those adopted as a subreaper included. Where memory is
// short some are left out.
void children_find(pid_t parent, struct children *list);

bool children_have(const struct children *list, pid_t pid);

// The arguments of process PID but its own name, a blank after each, as xinetd.conf(5) would have
// them; free() it. NULL where there is no such process, or memory.
char *children_arguments(pid_t pid);

// Whether ARGUMENTS has WORD, which has no blanks.
bool children_are_told(const char *arguments, const char *word);

// Adds to SOCKETS those of PID's network name space. To be called after children_find(): what a
// process has got from its parent is then among them.
void children_find_sockets(pid_t pid, struct children_sockets *sockets);

void children_sockets_free(struct children_sockets *sockets);

// Whether one of the process's sockets takes connections: the first process of a service in wait
// mode, but no relay of a single connection.
bool children_listen(pid_t pid, const struct children_sockets *sockets);

// Whether the process serves all clients of a datagram socket, its descriptor 0.
bool children_take_datagrams(pid_t pid, const struct children_sockets *sockets);

// Whether process PID, told ARGUMENTS, runs by an entry of TEXT, as xinetd.conf(5) has them: one
// with a line "server_args = ARGUMENTS", and with its user and its program.
bool children_run_by(pid_t pid, const char *arguments, const char *text, size_t size);

#endif
