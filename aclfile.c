// SPDX-License-Identifier: ISC
#include "aclfile.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranges.h"

#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

// FNV-1a.
static uint64_t digest_text(uint64_t digest, const char *text)
{
    for (; *text; text++)
        digest = (digest ^ (unsigned char)*text) * FNV_PRIME;
    return digest;
}

// No pattern begins as the name of a file of patterns does, and each text has an end.
static uint64_t digest_sources(const struct emit_settings *settings,
                               const struct conf_access *access)
{
    uint64_t digest = FNV_START;

    for (size_t i = 0; i < access->count; i++) {
        const struct conf_list *list = access->list[i];

        if (list)
            digest = digest_text(digest, "@");
        if (list && list->path[0] != '/')
            digest = digest_text(digest_text(digest, settings->here), "/");
        digest = digest_text(digest, list ? list->path : access->text[i]) * FNV_PRIME; // and a NUL
    }
    return digest;
}

static bool are_same(const struct conf_access *a, const struct conf_access *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->list[i] != b->list[i] || (!a->list[i] && strcmp(a->text[i], b->text[i]) != 0))
            return false;
    return true;
}

// The file for a list, made unless it is there already. NULL where memory ran out, or another list
// has its digest: this one stays on the command line.
static const struct aclfile *take_file(struct aclfiles *files, const struct emit_settings *settings,
                                       const struct conf_access *access)
{
    struct aclfile **grown, *file;
    char name[EMIT_FILE_MAX];

    // The global lists of many rules, and what is asked for again.
    for (size_t i = 0; i < files->count; i++)
        if (files->file[i]->access == access)
            return files->file[i];
    emit_list_name(settings, digest_sources(settings, access), name);
    for (size_t i = 0; i < files->count; i++)
        if (strcmp(files->file[i]->name, name) == 0)
            return are_same(files->file[i]->access, access) ? files->file[i] : NULL;
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : 8;

        grown = reallocarray(files->file, capacity, sizeof(*grown));
        if (!grown)
            goto no_memory;
        files->file = grown;
        files->capacity = capacity;
    }
    file = calloc(1, sizeof *file);
    if (!file)
        goto no_memory;
    file->access = access;
    strcpy(file->name, name);
    if (asprintf(&file->path, "%s/%s",
                 strcmp(settings->lists_dir, "/") == 0 ? "" : settings->lists_dir, name) < 0) {
        free(file);
        goto no_memory;
    }
    return files->file[files->count++] = file;
no_memory:
    files->no_memory = true;
    return NULL;
}

// Whether a list, which has patterns or names a file that may have, is to be compiled.
static bool is_chosen(const struct conf_access *access, const struct emit_settings *settings,
                      enum aclfile_choice choice)
{
    size_t bytes = 0;

    for (size_t i = 0; i < access->count; i++) {
        if (access->list[i])
            return true;
        bytes += strlen(access->text[i]) + 1;
    }
    if (choice == ACLFILE_LONG)
        return access->count > ACLFILE_PATTERNS;
    return choice == ACLFILE_SHORTER && bytes > strlen(settings->lists_dir) + EMIT_FILE_MAX;
}

void aclfiles_choose(struct aclfiles *files, const struct emit_settings *settings,
                     const struct conf *conf, struct emit_rule *rule, enum aclfile_choice choice)
{
    const struct conf_access *lists[ACL_LISTS];

    emit_lists(conf, rule->rule, lists);
    for (int i = 0; settings->lists_dir && i < ACL_LISTS; i++) {
        const struct aclfile *file =
            is_chosen(lists[i], settings, choice) ? take_file(files, settings, lists[i]) : NULL;

        rule->compiled[i] = file ? file->path : NULL;
    }
}

static bool is_named(const struct aclfile *file, const struct emit_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int list = 0; list < ACL_LISTS; list++)
            if (rules[i].compiled[list] == file->path)
                return true;
    return false;
}

static void free_file(struct aclfile *file)
{
    free(file->text.bytes);
    free(file->path);
    free(file);
}

void aclfiles_compile(struct aclfiles *files, struct conf *conf, const struct emit_rule *rules,
                      size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < files->count; i++) {
        struct aclfile *file = files->file[i];

        if (!is_named(file, rules, count)) {
            free_file(file);
            continue;
        }
        ranges_compile(file->access->text, file->access->count, &file->text);
        files->no_memory |= file->text.no_memory;
        if (file->text.size >= ACLFILE_BYTES_MAX)
            conf_report(conf, CONF_ERROR, &file->access->place[0],
                        "found patterns that would become a compiled list of %zu bytes, expected "
                        "fewer than %zu",
                        file->text.size, ACLFILE_BYTES_MAX);
        files->file[kept++] = file;
    }
    files->count = kept;
}

void aclfiles_free(struct aclfiles *files)
{
    for (size_t i = 0; i < files->count; i++)
        free_file(files->file[i]);
    free(files->file);
}
