// SPDX-License-Identifier: ISC
//
// output: generated files, written so that a reader sees the old one or the new one, whole.
#ifndef OUTPUT_H
#define OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

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

enum output_change { OUTPUT_SAME, OUTPUT_CREATED, OUTPUT_REPLACED, OUTPUT_FOREIGN, OUTPUT_FAILED };

// Makes the file NAME in the folder DIR hold the SIZE bytes at TEXT, mode 0644, by a temporary file
// with a dot in its name, which xinetd passes over, fsync(2) and rename(2). A file with that
// content already is left untouched. OUTPUT_FOREIGN: there is one without OUTPUT_MARK; it stays.
// OUTPUT_FAILED: errno tells.
enum output_change output_write(const char *dir, const char *name, const char *text, size_t size);

// Creates PATH, empty, mode 0640, owned by UID and GID, unless it exists. Returns 1 when it was
// created, 0 when it was there, -1 with errno.
int output_create_log(const char *path, uid_t uid, gid_t gid);

#endif
