// SPDX-License-Identifier: ISC
//
// entries: all rules of a configuration into the files that a superserver reads.
#ifndef ENTRIES_H
#define ENTRIES_H

#include <stddef.h>

#include "aclfile.h"
#include "conf.h"
#include "emit.h"
#include "output.h"
#include "text.h"

// The compiled access lists, then the others in the order of the rules: what names a file comes
// after it. OUTPUT_MARK is in each, whatever a site's template says. entries_free() ends it.
struct entries {
    struct output_file *file;
    size_t count, lists;         // how many in all; how many are lists
    char (*name)[EMIT_FILE_MAX]; // of each file
    struct text *text;
    struct aclfiles aclfiles; // which the rules point to
};

// Converts the *COUNT rules at RULES, of CONF. What the target cannot say becomes messages of CONF;
// the rules that it concerns are marked `broken` and taken from RULES, and SETTINGS may lose a log
// file. Memory that runs out is noted in CONF.
struct entries entries_make(struct conf *conf, struct emit_settings *settings,
                            struct emit_rule *rules, size_t *count);

void entries_free(struct entries *entries);

#endif
