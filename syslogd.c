// SPDX-License-Identifier: ISC
#include "syslogd.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

// Not strftime(3)'s, which follow a locale.
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

int syslogd_send(const char *program, int priority, const char *text)
{
    static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), length, saved;
    char line[LINE_MAX_BYTES];
    time_t now = time(NULL);
    ssize_t sent;
    struct tm when;

    if (fd < 0)
        return -1;
    localtime_r(&now, &when);
    length = snprintf(line, sizeof line, "<%d>%s %2d %02d:%02d:%02d %s[%d]: %s",
                      LOG_DAEMON | priority, month_names[when.tm_mon % 12], when.tm_mday,
                      when.tm_hour, when.tm_min, when.tm_sec, program, (int)getpid(), text);
    if (length >= (int)sizeof line)
        length = (int)sizeof line - 1;
    sent = sendto(fd, line, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL,
                  (const struct sockaddr *)&address, sizeof address);
    saved = errno;
    close(fd);
    errno = saved;
    return sent < 0 ? -1 : 0;
}
