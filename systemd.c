// SPDX-License-Identifier: ISC
#include "systemd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "command.h"

// systemd itself gives a job 90 seconds.
#define LIMIT_MS 120000
#define BOOTED   "/run/systemd/system"

bool systemd_is_running(void)
{
    struct stat status;

    return lstat(BOOTED, &status) == 0 && S_ISDIR(status.st_mode);
}

bool systemd_is_active(const struct systemd_unit *unit)
{
    return strcmp(unit->active, "active") == 0 || strcmp(unit->active, "activating") == 0 ||
           strcmp(unit->active, "reloading") == 0 || strcmp(unit->active, "deactivating") == 0;
}

static void say(const struct systemd *systemd, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void say(const struct systemd *systemd, const char *format, ...)
{
    va_list arguments;
    char *line;
    int length;

    if (!systemd->say)
        return;
    va_start(arguments, format);
    length = vasprintf(&line, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    systemd->say(systemd->context, line);
    free(line);
}

// That a file has changed is why we are here.
static bool is_expected(const char *line)
{
    return strncmp(line, "Warning: The unit file, ", 24) == 0 ||
           strncmp(line, "Warning: Stopping ", 18) == 0;
}

static void say_lines(const struct systemd *systemd, char *text)
{
    char *rest = text;

    for (char *line; (line = strsep(&rest, "\n"));)
        if (*line && !is_expected(line))
            say(systemd, "systemctl: %s", line);
}

static int run(const struct systemd *systemd, char *const argv[], struct command_result *result)
{
    if (command_run(argv, LIMIT_MS, result) < 0) {
        if (errno == ETIMEDOUT)
            say(systemd, "systemctl %s took longer than %d s", argv[1], LIMIT_MS / 1000);
        else if (errno == ECANCELED)
            say(systemd, "systemctl %s was ended by a signal", argv[1]);
        else
            say(systemd, "unable to execute systemctl: %s", strerror(errno));
        return -1;
    }
    if (result->status == 0)
        return 0;
    say_lines(systemd, result->err);
    return -1;
}

// The arguments "systemctl WORD... -- NAME...", in one piece of memory that free() releases.
static char **make_arguments(const char *words, const char *const *names, size_t count)
{
    size_t size = strlen("systemctl ") + strlen(words) + strlen(" --") + 1, most = 4, used = 0;
    char **argv, *text, *rest;

    for (const char *c = words; *c; c++)
        most += *c == ' ';
    for (size_t i = 0; i < count; i++)
        size += strlen(names[i]) + 1;
    argv = malloc((most + count) * sizeof *argv + size);
    if (!argv)
        return NULL;
    text = (char *)(argv + most + count);
    rest = text;
    text += sprintf(text, "systemctl %s --", words) + 1;
    while (rest)
        argv[used++] = strsep(&rest, " ");
    for (size_t i = 0; i < count; i++) {
        argv[used++] = text;
        text = stpcpy(text, names[i]) + 1;
    }
    argv[used] = NULL;
    return argv;
}

static int run_words(const struct systemd *systemd, const char *words, const char *const *names,
                     size_t count, struct command_result *result)
{
    char **argv = make_arguments(words, names, count);
    int status;

    if (!argv) {
        say(systemd, "unable to execute systemctl: %s", strerror(ENOMEM));
        return -1;
    }
    status = run(systemd, argv, result);
    free(argv);
    return status;
}

static void result_free(struct command_result *result)
{
    free(result->out);
    free(result->err);
}

int systemd_order(const struct systemd *systemd, const char *verb, const char *const *names,
                  size_t count)
{
    struct command_result result = {.status = 0};
    char words[128];
    int status;

    snprintf(words, sizeof words, "%s --quiet --no-ask-password --no-pager", verb);
    status = run_words(systemd, words, names, count, &result);
    result_free(&result);
    return status;
}

char *systemd_unit_path(const struct systemd *systemd)
{
    struct command_result result = {.status = 0};
    char *path = NULL;

    if (run_words(systemd, "show --no-pager --property=UnitPath --value", NULL, 0, &result) == 0) {
        path = result.out;
        path[strcspn(path, "\n")] = '\0';
        result.out = NULL;
    }
    result_free(&result);
    return path;
}

struct systemd_unit *systemd_find(const struct systemd_units *units, const char *name)
{
    for (size_t i = 0; i < units->count; i++)
        if (strcmp(units->unit[i].name, name) == 0)
            return &units->unit[i];
    return NULL;
}

static struct systemd_unit *add_unit(struct systemd_units *units, const char *name)
{
    struct systemd_unit *grown = reallocarray(units->unit, units->count + 1, sizeof *grown);

    if (!grown)
        return NULL;
    units->unit = grown;
    grown += units->count;
    memset(grown, 0, sizeof *grown);
    grown->name = strdup(name);
    if (!grown->name)
        return NULL;
    units->count++;
    return grown;
}

void systemd_units_free(struct systemd_units *units)
{
    for (size_t i = 0; i < units->count; i++) {
        free(units->unit[i].name);
        free(units->unit[i].fragment);
        free(units->unit[i].drop_ins);
        free(units->unit[i].command);
    }
    free(units->unit);
    memset(units, 0, sizeof *units);
}

// Adds the units that "list-units" has: one a line, the name first.
static int add_listed(const struct systemd *systemd, bool (*is_ours)(const char *name),
                      struct systemd_units *units)
{
    static const char words[] =
        "list-units --no-pager --full --plain --no-legend --type=socket,service";
    struct command_result result = {.status = 0};
    int status = run_words(systemd, words, NULL, 0, &result);

    for (char *line, *rest = result.out; status == 0 && (line = strsep(&rest, "\n"));) {
        line[strcspn(line, " ")] = '\0';
        if (is_ours(line) && !strchr(line, '@') && !systemd_find(units, line) &&
            !add_unit(units, line))
            status = -1;
    }
    result_free(&result);
    return status;
}

static bool take_text(char **to, const char *value)
{
    free(*to);
    *to = strdup(value);
    return *to != NULL;
}

// "{ path=/bin/x ; argv[]=/bin/x a b ; ignore_errors=no ; ..." of a service's ExecStart
static bool take_command(struct systemd_unit *unit, char *value)
{
    char *start = strstr(value, "argv[]="), *end = NULL;

    if (!start)
        return true;
    start += strlen("argv[]=");
    for (char *found = start; (found = strstr(found, " ; ignore_errors=")); found++)
        end = found;
    if (end)
        *end = '\0';
    return take_text(&unit->command, start);
}

static bool take_property(struct systemd_unit *unit, const char *key, char *value)
{
    if (strcmp(key, "LoadState") == 0)
        snprintf(unit->load, sizeof unit->load, "%s", value);
    else if (strcmp(key, "ActiveState") == 0)
        snprintf(unit->active, sizeof unit->active, "%s", value);
    else if (strcmp(key, "UnitFileState") == 0)
        snprintf(unit->file_state, sizeof unit->file_state, "%s", value);
    else if (strcmp(key, "NeedDaemonReload") == 0)
        unit->outdated = strcmp(value, "yes") == 0;
    else if (strcmp(key, "MainPID") == 0)
        unit->main_pid = (pid_t)strtol(value, NULL, 10);
    else if (strcmp(key, "ActiveEnterTimestampMonotonic") == 0)
        unit->since_us = strtoull(value, NULL, 10);
    else if (strcmp(key, "FragmentPath") == 0)
        return take_text(&unit->fragment, value);
    else if (strcmp(key, "DropInPaths") == 0)
        return take_text(&unit->drop_ins, value);
    else if (strcmp(key, "ExecStart") == 0)
        return take_command(unit, value);
    return true;
}

// One unit's block of "show": lines KEY=VALUE, in an order of systemctl's own.
static bool take_block(struct systemd_units *units, char *block)
{
    char *name = strncmp(block, "Id=", 3) == 0 ? block : strstr(block, "\nId=");
    struct systemd_unit *unit = NULL;
    size_t length;

    if (!name)
        return true;
    name = strchr(name, '=') + 1;
    length = strcspn(name, "\n");
    for (size_t i = 0; i < units->count && !unit; i++)
        if (strncmp(units->unit[i].name, name, length) == 0 && !units->unit[i].name[length])
            unit = &units->unit[i];
    if (!unit)
        return true;
    for (char *line, *rest = block; (line = strsep(&rest, "\n"));) {
        char *equals = strchr(line, '=');

        if (!equals)
            continue;
        *equals = '\0';
        if (!take_property(unit, line, equals + 1))
            return false;
    }
    return true;
}

static bool take_blocks(struct systemd_units *units, char *text)
{
    for (char *block = text, *end; block && *block; block = end) {
        end = strstr(block, "\n\n");
        if (end) {
            *end = '\0';
            end += 2;
        }
        if (!take_block(units, block))
            return false;
    }
    return true;
}

static int show(const struct systemd *systemd, struct systemd_units *units)
{
    static const char words[] =
        "show --no-pager --property=Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,"
        "MainPID,ActiveEnterTimestampMonotonic,FragmentPath,DropInPaths,ExecStart";
    const char **names = calloc(units->count + 1, sizeof *names);
    struct command_result result = {.status = 0};
    int status = names ? 0 : -1;

    // Without a name it would be the manager itself.
    if (units->count == 0) {
        free(names);
        return status;
    }
    for (size_t i = 0; names && i < units->count; i++)
        names[i] = units->unit[i].name;
    if (status == 0)
        status = run_words(systemd, words, names, units->count, &result);
    if (status == 0 && !take_blocks(units, result.out))
        status = -1;
    result_free(&result);
    free(names);
    return status;
}

int systemd_ask(const struct systemd *systemd, const char *const *names, size_t count,
                bool (*is_ours)(const char *name), struct systemd_units *units)
{
    for (size_t i = 0; i < count; i++)
        if (!strchr(names[i], '@') && !add_unit(units, names[i]))
            return -1;
    if (is_ours && add_listed(systemd, is_ours, units) < 0)
        return -1;
    return show(systemd, units);
}

// Whether systemctl's way to write an argument matters not: newer ones quote.
static bool is_noise(char c)
{
    return c == '"' || c == '\'' || c == '\\' || c == '$';
}

static bool same_command(const char *command, const char *running, size_t size)
{
    const char *end = running + size;

    for (;; command++, running++) {
        while (is_noise(*command))
            command++;
        while (running < end && is_noise(*running))
            running++;
        if (running == end || !*command)
            return running == end && !*command;
        if (*command != (*running ? *running : ' '))
            return false;
    }
}

static bool ends_in_command(const char *command, const char *running, size_t size)
{
    for (const char *word = command; word; word = strchr(word, ' ')) {
        word += *word == ' ';
        if (same_command(word, running, size))
            return true;
    }
    return false;
}

bool systemd_runs_its_command(const struct systemd_unit *unit)
{
    char path[64], *text;
    bool same = true;
    size_t size;
    FILE *file;

    if (unit->main_pid <= 0 || !unit->command)
        return true;
    snprintf(path, sizeof path, "/proc/%d/cmdline", (int)unit->main_pid);
    file = fopen(path, "re");
    if (!file)
        return true; // gone by itself: the next one will
    text = malloc(1 << 20);
    size = text ? fread(text, 1, 1 << 20, file) : 0;
    fclose(file);
    if (size > 0)
        same = ends_in_command(unit->command, text, size - 1);
    free(text);
    return same;
}
