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
    test_ok(log_write(path, "test", "one\n", 4) == 0 && log_write(path, "test", "two\n", 4) == 0,
            "two lines to a new file");
    fd = open(path, O_RDONLY);
    if (fd >= 0)
        size = read(fd, read_back, sizeof read_back - 1);
    test_ok(size == 8 && strcmp(read_back, "one\ntwo\n") == 0, "they are there");
    test_ok(fstat(fd, &status) == 0 && (status.st_mode & 0777) == 0644, "mode 0644, as rinetd's");
    close(fd);
    unlink(path);
    test_ok(mkfifo(path, 0600) == 0 && log_write(path, "test", "one\n", 4) < 0 && errno == ENXIO,
            "a fifo without a reader is an error, not a wait");
    unlink(path);
    test_ok(log_write(folder, "test", "one\n", 4) < 0 && errno == EISDIR, "a folder is no log");
    test_ok(log_write("/dev/full", "test", "one\n", 4) < 0 && errno == ENOSPC, "a full disk");
    rmdir(folder);
    test_ok(log_write(path, "test", "one\n", 4) < 0 && errno == ENOENT, "no folder");
    umask(mask);
}

int main(void)
{
    test_events();
    test_edges();
    test_file();
    return test_end();
}
