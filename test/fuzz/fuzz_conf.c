// SPDX-License-Identifier: ISC
//
// Parses an input as rinetd.conf and checks what must hold of any result. Lines "%%" part the input
// into files: the first is the configuration, the others are "a", "b", … to its includes, which
// "A", "B", … name again.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf.h"

#define FILES    6
#define FINDS    50 // then includes fail, so that those that fan out take no time
#define MUST(ok) must(ok, #ok, __LINE__)

struct files {
    struct conf_source source[FILES];
    size_t count, finds;
    struct conf_source again[FILES];
    char *copies[FILES];
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok, const char *what, int line)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_conf.c:%d: does not hold: %s\n", line, what);
    abort();
}

// A copy of its own, so that AddressSanitizer sees a read past the end.
static char *copy(const char *bytes, size_t size)
{
    char *copied = malloc(size > 0 ? size : 1);

    MUST(copied);
    if (size > 0)
        memcpy(copied, bytes, size);
    return copied;
}

static void split(struct files *files, const char *bytes, size_t size)
{
    static const char *const names[FILES] = {"main", "a", "b", "c", "d", "e"};
    static const char *const again[FILES] = {"main", "A", "B", "C", "D", "E"};
    const char *end = bytes + size;

    while (files->count < FILES) {
        struct conf_source *source = &files->source[files->count];
        const char *mark = size > 0 ? memmem(bytes, (size_t)(end - bytes), "%%\n", 3) : NULL;

        if (files->count == FILES - 1)
            mark = NULL;
        source->name = source->identity = names[files->count];
        source->size = (size_t)((mark ? mark : end) - bytes);
        source->bytes = files->copies[files->count] = copy(bytes, source->size);
        files->again[files->count] = *source;
        files->again[files->count].name = again[files->count];
        files->count++;
        if (!mark)
            break;
        bytes = mark + 3;
    }
}

static bool find(void *context, const char *pattern, const char *from, struct conf_sources *found,
                 const char **error)
{
    static const struct conf_source unreadable = {"u", "u", NULL, 0, "\xC3\xBC\n"};
    struct files *files = context;

    MUST(strlen(from) > 0);
    *error = "No such file or directory";
    if (files->finds++ > FINDS)
        return false;
    if (strcmp(pattern, "*") == 0) {
        *found = (struct conf_sources){files->source, files->count};
        return true;
    }
    if (strcmp(pattern, "u") == 0) {
        *found = (struct conf_sources){&unreadable, 1};
        return true;
    }
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(pattern, files->source[i].name) == 0)
            *found = (struct conf_sources){&files->source[i], 1};
        else if (strcmp(pattern, files->again[i].name) == 0)
            *found = (struct conf_sources){&files->again[i], 1};
    }
    return found->count > 0 || strchr(pattern, '*');
}

static void release(void *context, struct conf_sources *found)
{
    (void)context;
    (void)found;
}

static const struct conf_source *find_source(const struct files *files, const char *name)
{
    for (size_t i = 0; i < files->count; i++) {
        if (strcmp(name, files->source[i].name) == 0)
            return &files->source[i];
        if (strcmp(name, files->again[i].name) == 0)
            return &files->again[i];
    }
    return NULL;
}

// PLACE is in its file, at most just behind the last byte of its line.
static void check_place(const struct files *files, const struct conf_place *place)
{
    const struct conf_source *source = find_source(files, place->file);
    const char *at, *end;

    MUST(source);
    MUST(place->line > 0 && place->column > 0);
    at = source->bytes;
    end = at + source->size;
    for (unsigned line = 1; line < place->line; line++) {
        at = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        MUST(at);
        at++;
    }
    if (at < end && memchr(at, '\n', (size_t)(end - at)))
        end = memchr(at, '\n', (size_t)(end - at));
    MUST(place->column - 1 <= (size_t)(end - at));
}

static void check_messages(const struct conf *conf, const struct files *files)
{
    size_t errors = 0;

    for (size_t i = 0; i < conf->message_count; i++) {
        const struct conf_message *message = &conf->messages[i];
        size_t length = strlen(message->text);

        errors += message->severity == CONF_ERROR;
        check_place(files, &message->place);
        MUST(length > 0 && length < 1000);
        MUST(message->text[length - 1] != '.' || strstr(message->text, "\"..."));
        for (size_t j = 0; j < length; j++)
            MUST(message->text[j] >= 0x20 && message->text[j] < 0x7f);
        if (i > 0 && message->place.file == message[-1].place.file)
            MUST(message[-1].place.line < message->place.line ||
                 (message[-1].place.line == message->place.line &&
                  message[-1].place.column <= message->place.column));
    }
    MUST(errors == conf->error_count);
}

static void check_host(const struct files *files, const struct conf_host *host, bool listener)
{
    check_place(files, &host->place);
    MUST(host->kind != HOST_BAD && (host->kind != HOST_UNIX || !listener));
    MUST(host->kind == host_kind(host->text));
    MUST(host->text[0] != '\0');
    for (const char *p = host->text; *p; p++)
        MUST((unsigned char)*p >= 0x21 && *p != 0x7f);
}

static void check_port(const struct files *files, const struct conf_port *port)
{
    check_place(files, &port->place);
    if (port->protocol_place.line != 0)
        check_place(files, &port->protocol_place);
    else
        MUST(!port->udp);
    if (port->service)
        MUST(port->number == 0 && port->service[0] != '\0');
    else
        MUST(port->number >= 1 && port->number <= 65535);
}

// A list of which TEXT is the patterns, one a line.
static void check_list(const struct conf_list *list, const char *text)
{
    size_t patterns = *text != '\0';

    MUST(text == list->text && !list->bad);
    for (const char *p = text; *p; p++)
        patterns += *p == ',';
    MUST(patterns == list->count);
    for (size_t i = 0; i < list->count; i++)
        MUST(list->line[i] > (i > 0 ? list->line[i - 1] : 0));
}

static void check_access(const struct files *files, const struct conf_access *access)
{
    for (size_t i = 0; i < access->count; i++) {
        check_place(files, &access->place[i]);
        MUST(acl_patterns_valid(access->text[i]) || (access->list[i] && !access->text[i][0]));
        if (access->list[i])
            check_list(access->list[i], access->text[i]);
        else
            MUST(!acl_pattern_error(access->text[i], strlen(access->text[i])));
    }
}

static void check_options(const struct files *files, const struct conf_rule *rule)
{
    for (int i = 0; i < OPTION_COUNT; i++) {
        struct options options;
        char buffer[80];

        MUST((rule->options.text[i] != NULL) == (rule->option_place[i].line != 0));
        if (!rule->options.text[i])
            continue;
        check_place(files, &rule->option_place[i]);
        MUST(options_table[i].audience != OPTION_FOR_COMMAND);
        options_init(&options);
        MUST(!options_set(&options, (enum option_id)i, rule->options.text[i], buffer,
                          sizeof buffer));
        MUST(options.number[i] == rule->options.number[i]);
    }
}

static void check_rule(const struct files *files, const struct conf_rule *rule)
{
    check_place(files, &rule->place);
    check_access(files, &rule->allow);
    check_access(files, &rule->deny);
    if (rule->broken)
        return;
    check_host(files, &rule->bind, true);
    check_port(files, &rule->bind_port);
    check_host(files, &rule->target, false);
    if (rule->target.kind == HOST_UNIX)
        MUST(rule->target_port.number == 0 && !rule->target_port.service && !rule->bind_port.udp);
    else
        check_port(files, &rule->target_port);
    check_options(files, rule);
}

static void check_file(const struct files *files, const struct conf_file *file)
{
    if (file->text || file->bad)
        check_place(files, &file->place);
    MUST(!file->text || file->text[0] != '\0');
    for (const char *p = file->text; p && *p; p++)
        MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

// Whether WORD is the first word of a line that is without errors.
static bool starts_with(const char *line, const char *end, const char *word)
{
    size_t length = strlen(word);

    return (size_t)(end - line) >= length && memcmp(line, word, length) == 0 &&
           (line + length == end || strchr(" \t\r#", line[length]));
}

// Without an error and an include, each line is what its first word says, and nothing is lost.
static void check_nothing_lost(const struct conf *conf, const struct conf_source *source)
{
    size_t allows = conf->global_allow.count, denies = conf->global_deny.count, rules = 0;
    const char *end = source->bytes + source->size;

    for (size_t i = 0; i < conf->rule_count; i++) {
        allows += conf->rules[i].allow.count;
        denies += conf->rules[i].deny.count;
    }
    for (const char *line = source->bytes; line < end; line++) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));

        newline = newline ? newline : end;
        while (line < newline && strchr(" \t\r", *line))
            line++;
        if (line == newline || *line == '#')
            ;
        else if (starts_with(line, newline, "include"))
            return;
        else if (starts_with(line, newline, "allow"))
            allows--;
        else if (starts_with(line, newline, "deny"))
            denies--;
        else if (!starts_with(line, newline, "logfile") &&
                 !starts_with(line, newline, "pidlogfile") &&
                 !starts_with(line, newline, "logcommon"))
            rules++;
        line = newline;
    }
    MUST(allows == 0 && denies == 0 && rules == conf->rule_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct files files = {0};
    const struct conf_reader reader = {find, release, &files};
    struct conf *conf;
    bool broken;

    split(&files, (const char *)data, size);
    conf = conf_parse(&files.source[0], &reader);
    MUST(conf);
    conf_sort_messages(conf);
    MUST(!conf->no_memory);
    check_messages(conf, &files);
    check_access(&files, &conf->global_allow);
    check_access(&files, &conf->global_deny);
    check_file(&files, &conf->log);
    check_file(&files, &conf->pid);
    broken = conf->global_broken || conf->log.bad || conf->pid.bad;
    for (size_t i = 0; i < conf->rule_count; i++) {
        check_rule(&files, &conf->rules[i]);
        broken = broken || conf->rules[i].broken;
    }
    MUST(!broken || conf->error_count > 0);
    if (conf->error_count == 0)
        check_nothing_lost(conf, &files.source[0]);
    conf_free(conf);
    for (size_t i = 0; i < files.count; i++)
        free(files.copies[i]);
    return 0;
}
