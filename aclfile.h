// SPDX-License-Identifier: ISC
//
// aclfile: which access lists of a configuration become compiled files, and these files.
#ifndef ACLFILE_H
#define ACLFILE_H

#include "conf.h"
#include "emit.h"
#include "text.h"

// A list of more patterns is compiled where it can be. With 20 it costs each connection the same,
// with 100 the command line costs 40 us, a file 6.
#define ACLFILE_PATTERNS 32

struct aclfile {
    char name[EMIT_FILE_MAX];
    char *path;
    const struct conf_access *access;
    struct text text;        // of the file
    const struct text *same; // of an earlier file, which has the same patterns; or NULL
};

// Starts zeroed; aclfiles_free() ends it.
struct aclfiles {
    struct aclfile **file;
    size_t count, capacity;
    bool no_memory;
};

// Sets RULE->compiled for those of its lists that are better off in a file of SETTINGS->lists_dir,
// if that is not NULL; if ALL, for each that is shorter so on a command line. FILES has them then.
void aclfiles_choose(struct aclfiles *files, const struct emit_settings *settings,
                     const struct conf *conf, struct emit_rule *rule, bool all);

// Compiles the files that one of the COUNT RULES names, and drops all others.
void aclfiles_compile(struct aclfiles *files, const struct emit_rule *rules, size_t count);

void aclfiles_free(struct aclfiles *files);

#endif
