// SPDX-License-Identifier: ISC
//
// output: generated files in a folder, planned, written together, and taken back where need be; so
// that a reader sees the old one or the new one, whole.
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "conf.h"

// Begins one of the first lines of every generated file: one without it is not ours to replace.
#define OUTPUT_MARK "# Made by rinetd-gen"

// Whether SIZE bytes of a file have the mark where it is looked for.
bool output_is_marked(const char *bytes, size_t size);

// A file that is to be.
struct output_file {
    const char *name;
    const char *text;
    size_t size;
};

enum output_change {
    OUTPUT_SAME,
    OUTPUT_CREATED,
    OUTPUT_REPLACED,
    OUTPUT_REMOVED,
    OUTPUT_LEFT,    // to be removed by output_clean()
    OUTPUT_CLEANED, // which was done
    OUTPUT_FOREIGN
};

// What a name of a file says: nothing; that it is one that we make; or one of those that others of
// them name, so that it has to go after them.
enum output_kind { OUTPUT_NOT_OURS, OUTPUT_OURS, OUTPUT_NAMED };

// What becomes of one file.
struct output_step {
    char *name;
    enum output_change change;
    const char *text; // the file's from now on, owned by the caller; NULL: it is to go
    size_t size;
    struct conf_source before; // what OUTPUT_REPLACED and OUTPUT_REMOVED take away
    mode_t mode;               // these, too, are of what was there
    uid_t uid;
    gid_t gid;
    struct timespec modified;
    char *temporary; // the path of the new one on its way
    bool done;
};

// Starts zeroed; output_plan_free() ends it.
struct output_plan {
    const char *dir;
    struct output_step *step; // the files in their order, then those to be removed, by name
    size_t count;
    size_t changes; // steps that are neither OUTPUT_SAME nor OUTPUT_FOREIGN
    size_t foreign; // files that are wanted where something else is
    int lock;       // a descriptor, by output_lock(), if `locked`
    bool locked;
    const char *failed; // after an error: the step's name, or NULL if it was DIR itself
};

// Keeps others who ask for it out of DIR until output_plan_free(), after waiting for them for at
// most LIMIT_MS milliseconds. Returns 0, also where DIR cannot be read, or knows no locks; or -1
// when they took longer.
int output_lock(struct output_plan *plan, const char *dir, int limit_ms);

// Finds out what it takes that DIR holds the COUNT FILEs, and none of ours besides: a regular file
// with OUTPUT_MARK whose name KIND_OF says is one that we make is to be removed; none if KIND_OF is
// NULL. Whatever else lies there is not looked at. DIR and the texts must stay valid. Returns 0, or
// -1 with errno and PLAN->failed.
int output_plan(struct output_plan *plan, const char *dir, const struct output_file *files,
                size_t count, enum output_kind (*kind_of)(const char *name));

// Does it, where PLAN->foreign is 0: each new file has mode 0644 and comes by a temporary one with
// a dot in its name, which xinetd and systemd pass over, fsync(2) and rename(2); no file changes
// before all of them are on the disk. Temporary ones that nobody works on any more are removed:
// under a lock these are all that are there, else those older than an hour. Returns 0, or -1 with
// errno and PLAN->failed, with the folder as it was.
int output_commit(struct output_plan *plan);

// Removes, after output_commit(), what is OUTPUT_LEFT, which becomes OUTPUT_CLEANED; but unless
// ALL, not what a file named that was replaced or removed: processes may still go by that. Returns
// 0, or -1 with errno and PLAN->failed.
int output_clean(struct output_plan *plan, bool all);

// Puts back what output_commit() has changed. Returns 0, or -1 with errno and PLAN->failed, the
// last file of which that failed.
int output_revert(struct output_plan *plan);

void output_plan_free(struct output_plan *plan);

// Creates PATH, empty, mode 0640, owned by UID and GID, unless it exists. Returns 1 when it was
// created, 0 when it was there, -1 with errno.
int output_create_log(const char *path, uid_t uid, gid_t gid);

#endif
