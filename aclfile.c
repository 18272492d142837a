// SPDX-License-Identifier: ISC
#include "aclfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ranges.h"

// The file for a list, made unless it is there already. NULL where memory ran out.
static const struct aclfile *take_file(struct aclfiles *files, const struct emit_settings *settings,
                                       const struct emit_rule *rule, enum acl_list list,
                                       const struct conf_access *access)
{
    struct aclfile **grown, *file;

    // Only global lists, and the rule's own on another try, are there already.
    for (size_t i = 0; i < files->count; i++)
        if (files->file[i]->access == access)
            return files->file[i];
    if (files->count == files->capacity) {
        size_t capacity = files->capacity ? files->capacity * 2 : 8;

        grown = reallocarray(files->file, capacity, sizeof(*grown));
        if (!grown)
            return NULL;
        files->file = grown;
        files->capacity = capacity;
    }
    file = calloc(1, sizeof *file);
    if (!file)
        return NULL;
    file->access = access;
    emit_list_name(settings, rule, list, file->name);
    if (asprintf(&file->path, "%s/%s",
                 strcmp(settings->lists_dir, "/") == 0 ? "" : settings->lists_dir,
                 file->name) < 0) {
        free(file);
        return NULL;
    }
    return files->file[files->count++] = file;
}

// How many patterns ACCESS has, and in how many bytes.
static size_t count_patterns(const struct conf_access *access, size_t *bytes)
{
    size_t count = 0;

    *bytes = 0;
    for (size_t i = 0; i < access->count; i++) {
        count += access->list[i] ? access->list[i]->count : 1;
        *bytes += strlen(access->text[i]) + 1;
    }
    return count;
}

void aclfiles_choose(struct aclfiles *files, const struct emit_settings *settings,
                     const struct conf *conf, struct emit_rule *rule, bool all)
{
    const struct conf_access *lists[ACL_LISTS];

    emit_lists(conf, rule->rule, lists);
    for (int i = 0; settings->lists_dir && i < ACL_LISTS; i++) {
        const struct aclfile *file;
        size_t bytes, patterns = count_patterns(lists[i], &bytes);

        if (patterns <= ACLFILE_PATTERNS &&
            (!all || bytes <= strlen(settings->lists_dir) + EMIT_FILE_MAX))
            continue;
        file = take_file(files, settings, rule, (enum acl_list)i, lists[i]);
        if (file)
            rule->compiled[i] = file->path;
        else
            files->no_memory = true;
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

// Whether both have the same patterns, as far as can be told without looking at many.
static bool are_same(const struct conf_access *a, const struct conf_access *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (a->list[i] != b->list[i] || (!a->list[i] && strcmp(a->text[i], b->text[i]) != 0))
            return false;
    return true;
}

static void free_file(struct aclfile *file)
{
    free(file->text.bytes);
    free(file->path);
    free(file);
}

void aclfiles_compile(struct aclfiles *files, const struct emit_rule *rules, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < files->count; i++) {
        struct aclfile *file = files->file[i];

        if (!is_named(file, rules, count)) {
            free_file(file);
            continue;
        }
        for (size_t j = 0; j < kept && !file->same; j++)
            if (!files->file[j]->same && are_same(files->file[j]->access, file->access))
                file->same = &files->file[j]->text;
        if (!file->same)
            ranges_compile(file->access->text, file->access->count, &file->text);
        files->no_memory |= file->text.no_memory;
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
