// SPDX-License-Identifier: ISC
#include "logfile.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options.h"

#define LINKS_MAX 8 // followed from a log file

static bool is_standard_stream(const char *path)
{
    static const char *const streams[] = {"/dev/stdout",     "/dev/stderr", "/proc/self/fd/1",
                                          "/proc/self/fd/2", "/dev/fd/1",   "/dev/fd/2"};

    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++)
        if (strcmp(path, streams[i]) == 0)
            return true;
    return false;
}

// Whether PATH is a standard stream or, as in many container images, a link to one.
static bool leads_to_stream(const char *path)
{
    char at[PATH_MAX], target[PATH_MAX];

    snprintf(at, sizeof at, "%s", path);
    for (int links = 0; links < LINKS_MAX && !is_standard_stream(at); links++) {
        ssize_t length = readlink(at, target, sizeof target - 1);
        char *slash = strrchr(at, '/');

        if (length < 0)
            return false;
        target[length] = '\0';
        // A relative one starts from where the link lies.
        if (target[0] == '/' || !slash)
            slash = at;
        else
            slash++;
        snprintf(slash, sizeof at - (size_t)(slash - at), "%s", target);
    }
    return is_standard_stream(at);
}

// The log that is a file as conf has it, but for its name, which may be no file's.
static const char *settle_file(struct conf *conf, const char *own_stdout, char **made)
{
    const char *log = conf->log.text;
    char *folder;

    if (leads_to_stream(log)) {
        if (own_stdout)
            return own_stdout;
        conf_report(conf, CONF_ERROR, &conf->log.place,
                    "found %s, expected a file: under xinetd and inetd the relay's standard output "
                    "is the client; lines go to syslog",
                    conf_quote(conf, log, strlen(log)));
        return "syslog";
    }
    if (log[0] == '/')
        return log;
    if (!own_stdout) {
        conf_report(conf, CONF_ERROR, &conf->log.place,
                    "found %s, expected an absolute path, syslog or journal: the relay has no "
                    "folder that a relative path could start from; lines go to syslog",
                    conf_quote(conf, log, strlen(log)));
        return "syslog";
    }
    folder = getcwd(NULL, 0);
    if (!folder || asprintf(made, "%s/%s", folder, log) < 0) {
        conf->no_memory = true;
        *made = NULL;
    }
    free(folder);
    return *made ? *made : "syslog";
}

static bool is_sink(const char *log)
{
    return strcmp(log, "syslog") == 0 || strcmp(log, "journal") == 0;
}

void logfile_settle(struct conf *conf, struct emit_settings *settings, const char *own_stdout,
                    char **made)
{
    bool journal = settings->format == EMIT_SYSTEMD;
    const char *log = conf->log.text, *expected;
    struct options options;
    char buffer[80];

    settings->log_common = conf->log_common;
    if (conf->log.bad)
        settings->log = "syslog";
    else if (journal && (!log || leads_to_stream(log)))
        settings->log = "journal";
    else if (!log || is_sink(log))
        settings->log = log;
    else
        settings->log = settle_file(conf, own_stdout, made);
    if (!settings->log)
        return;
    options_init(&options);
    expected = options_set(&options, OPTION_LOG, settings->log, buffer, sizeof buffer);
    if (!expected)
        return;
    conf_report(conf, CONF_ERROR, &conf->log.place, "found %s, expected %s; lines go to syslog",
                conf_quote(conf, settings->log, strlen(settings->log)), expected);
    settings->log = "syslog";
}
