// SPDX-License-Identifier: ISC
//
// The lines are those of rinetd 0.73, cat -A of its log in hand.
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static struct log_record record(enum log_event event)
{
    struct log_record r = {.event = event,
                           .client = "127.0.0.1",
                           .listener_host = "127.0.0.1",
                           .listener_port = 23101,
                           .target_host = "LocalHost",
                           .target_port = 23102,
                           .from_client = 10,
                           .to_client = 7};

    r.when.tm_year = 126;
    r.when.tm_mon = 10;
    r.when.tm_mday = 21;
    r.when.tm_hour = 0;
    r.when.tm_min = 15;
    r.when.tm_sec = 7;
    return r;
}

static const struct {
    enum log_event event;
    const char *text;
} events[] = {
    {LOG_EVENT_OPENED, "opened"},
    {LOG_EVENT_DONE_LOCAL_CLOSED, "done-local-closed"},
    {LOG_EVENT_DONE_REMOTE_CLOSED, "done-remote-closed"},
    {LOG_EVENT_ACCEPT_FAILED, "accept-failed -"},
    {LOG_EVENT_LOCAL_SOCKET_FAILED, "local-socket-failed -"},
    {LOG_EVENT_LOCAL_BIND_FAILED, "local-bind-failed -"},
    {LOG_EVENT_LOCAL_CONNECT_FAILED, "local-connect-failed -"},
    {LOG_EVENT_NOT_ALLOWED, "not-allowed"},
    {LOG_EVENT_DENIED, "denied"},
};

static void test_events(void)
{
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct log_record r = record(events[i].event);
        char line[LOG_LINE_MAX], expected[LOG_LINE_MAX];
        size_t length = log_format(line, LOG_STYLE_TABS, &r);

        snprintf(
            expected, sizeof expected,
            "21/Nov/2026:00:15:07 \t127.0.0.1\t127.0.0.1\t23101\tLocalHost\t23102\t10\t7\t%s\n",
            events[i].text);
        test_ok(strcmp(line, expected) == 0 && length == strlen(line), "with tabs: %s",
                events[i].text);
        length = log_format(line, LOG_STYLE_COMMON, &r);
        snprintf(expected, sizeof expected,
                 "127.0.0.1 - - [21/Nov/2026:00:15:07  +0000] \"GET /rinetd-services/127.0.0.1/"
                 "23101/LocalHost/23102/%s HTTP/1.0\" 200 7 - - - 10\n",
                 events[i].text);
        test_ok(strcmp(line, expected) == 0 && length == strlen(line), "common: %s",
                events[i].text);
    }
}

static void check_zone(long seconds, const char *expected)
{
    struct log_record r = record(LOG_EVENT_OPENED);
    char line[LOG_LINE_MAX];

    r.when.tm_gmtoff = seconds;
    log_format(line, LOG_STYLE_COMMON, &r);
    test_ok(strstr(line, expected) != NULL, "the zone %s", expected);
}

static void test_edges(void)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct log_record r = record(LOG_EVENT_ACCEPT_FAILED);
    char line[LOG_LINE_MAX], host[2000];
    size_t length;

    check_zone(19800, "[21/Nov/2026:00:15:07  +0530]");
    check_zone(-12600, "[21/Nov/2026:00:15:07  -0330]");
    r.client = NULL;
    r.from_client = UINT64_MAX;
    log_format(line, LOG_STYLE_TABS, &r);
    test_ok(strstr(line, "\t?\t127.0.0.1\t") && strstr(line, "\t18446744073709551615\t7\t"),
            "no client, and the largest count");
    for (int month = 0; month < 12; month++) {
        char expected[8];

        r.when.tm_mon = month;
        log_format(line, LOG_STYLE_TABS, &r);
        snprintf(expected, sizeof expected, "/%.3s/", months + 3 * month);
        test_ok(strncmp(line + 2, expected, 5) == 0, "month %s", expected);
    }
    memset(host, 'x', sizeof host - 1);
    host[sizeof host - 1] = '\0';
    r.target_host = host;
    length = log_format(line, LOG_STYLE_TABS, &r);
    test_ok(length == LOG_LINE_MAX - 1 && strlen(line) == length && line[length - 1] == '\n',
            "a line too long is cut and still a line");
}

static const struct {
    const char *line; // and what comes of it: MESSAGE
    const char *client, *listener_host, *target_host;
    unsigned listener_port, target_port;
    enum log_event event;
    const char *fields;
} journal_lines[] = {
    {"all of it\n", "192.0.2.1", "0.0.0.0", "LocalHost", 80, 8080, LOG_EVENT_OPENED,
     "MESSAGE=all of it\nPRIORITY=6\nSYSLOG_IDENTIFIER=test\nSYSLOG_FACILITY=3\n"
     "CLIENT=192.0.2.1\nLISTENER=0.0.0.0:80\nTARGET=LocalHost:8080\nBYTES_IN=10\nBYTES_OUT=7\n"
     "RESULT=opened\n"},
    {"a=b\tc\n", "fe80::1%eth0", "::", "2001:db8::1", 443, 1, LOG_EVENT_DENIED,
     "MESSAGE=a=b\tc\nPRIORITY=5\nSYSLOG_IDENTIFIER=test\nSYSLOG_FACILITY=3\n"
     "CLIENT=fe80::1%eth0\nLISTENER=[::]:443\nTARGET=[2001:db8::1]:1\nBYTES_IN=10\n"
     "BYTES_OUT=7\nRESULT=denied\n"},
    {"\n", NULL, "?", "unix:/a=b:c", 0, 0, LOG_EVENT_ACCEPT_FAILED,
     "MESSAGE=\nPRIORITY=4\nSYSLOG_IDENTIFIER=test\nSYSLOG_FACILITY=3\nLISTENER=?\n"
     "TARGET=unix:/a=b:c\nBYTES_IN=10\nBYTES_OUT=7\nRESULT=accept-failed\n"},
};

// The priority of each event, in the order of `events`.
static const char priorities[] = "666444455";

static void test_journal(void)
{
    struct journal_message message;

    for (size_t i = 0; i < sizeof journal_lines / sizeof *journal_lines; i++) {
        struct log_record r = record(journal_lines[i].event);
        const char *expected = journal_lines[i].fields, *line = journal_lines[i].line;

        r.client = journal_lines[i].client;
        r.listener_host = journal_lines[i].listener_host;
        r.listener_port = journal_lines[i].listener_port;
        r.target_host = journal_lines[i].target_host;
        r.target_port = journal_lines[i].target_port;
        log_fields(&message, "test", &r, line, strlen(line));
        test_ok(message.length == strlen(expected) &&
                    memcmp(message.data, expected, message.length) == 0,
                "the journal's fields of %s", r.target_host);
    }
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        struct log_record r = record(events[i].event);
        char expected[64];

        log_fields(&message, "test", &r, "\n", 1);
        snprintf(expected, sizeof expected, "MESSAGE=\nPRIORITY=%c\n", priorities[i]);
        test_ok(memcmp(message.data, expected, strlen(expected)) == 0, "the priority of %s",
                events[i].text);
    }
}

static int write_line(const char *path, const char *line)
{
    struct log_record r = record(LOG_EVENT_OPENED);

    return log_write(path, "test", &r, line, strlen(line));
}

static void test_file(void)
{
    char folder[] = "/tmp/log_test.XXXXXX", path[64], read_back[64] = "";
    struct stat status;
    mode_t mask = umask(022);
    ssize_t size = -1;
    int fd;

    if (!mkdtemp(folder)) {
        test_ok(false, "a temporary folder: %s", strerror(errno));
        return;
    }
    snprintf(path, sizeof path, "%s/log", folder);
    test_ok(write_line(path, "one\n") == 0 && write_line(path, "two\n") == 0,
            "two lines to a new file");
    fd = open(path, O_RDONLY);
    if (fd >= 0)
        size = read(fd, read_back, sizeof read_back - 1);
    test_ok(size == 8 && strcmp(read_back, "one\ntwo\n") == 0, "they are there");
    test_ok(fstat(fd, &status) == 0 && (status.st_mode & 0777) == 0644, "mode 0644, as rinetd's");
    close(fd);
    unlink(path);
    test_ok(mkfifo(path, 0600) == 0 && write_line(path, "one\n") < 0 && errno == ENXIO,
            "a fifo without a reader is an error, not a wait");
    unlink(path);
    test_ok(write_line(folder, "one\n") < 0 && errno == EISDIR, "a folder is no log");
    test_ok(write_line("/dev/full", "one\n") < 0 && errno == ENOSPC, "a full disk");
    rmdir(folder);
    test_ok(write_line(path, "one\n") < 0 && errno == ENOENT, "no folder");
    umask(mask);
}

int main(void)
{
    test_events();
    test_edges();
    test_journal();
    test_file();
    return test_end();
}
