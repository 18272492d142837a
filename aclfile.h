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

// What has as many bytes or more is not compiled: `source` would not read it again.
#define ACLFILE_BYTES_MAX ((size_t)256 << 20)

// A compiled list. What it is made of, and nothing else, gives its name: relays that run by rules
// of before never find under a name what that did not mean to them.
struct aclfile {
    char name[EMIT_FILE_MAX];
    char *path;
    const struct conf_access *access;
    struct text text; // of the file
};

// Starts zeroed; aclfiles_free() ends it.
struct aclfiles {
    struct aclfile **file;
    size_t count, capacity;
    bool no_memory;
};

// Which lists go to files. One that names a file of patterns always does: what is in that may
// change without the entries.
enum aclfile_choice {
    ACLFILE_LONG,    // besides, those of more than ACLFILE_PATTERNS
    ACLFILE_SHORTER, // besides, those that take fewer bytes of a command line so
    ACLFILE_FEW,     // no other
};

// Sets RULE->compiled for those of its lists that go to files of SETTINGS->lists_dir, if that is
// not NULL. FILES has them then.
void aclfiles_choose(struct aclfiles *files, const struct emit_settings *settings,
                     const struct conf *conf, struct emit_rule *rule, enum aclfile_choice choice);

// Compiles the files that one of the COUNT RULES names, and drops all others. One that is too large
// becomes a message of CONF.
void aclfiles_compile(struct aclfiles *files, struct conf *conf, const struct emit_rule *rules,
                      size_t count);

void aclfiles_free(struct aclfiles *files);

#endif
