// SPDX-License-Identifier: ISC
#include "clock.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test.h"

#define ZONES "/usr/share/zoneinfo"

static unsigned answered, wrong, broken;

static size_t read_file(const char *path, unsigned char data[static CLOCK_ZONE_MAX])
{
    int fd = open(path, O_RDONLY);
    ssize_t size = fd < 0 ? -1 : read(fd, data, CLOCK_ZONE_MAX);

    if (fd >= 0)
        close(fd);
    return size > 0 ? (size_t)size : 0;
}

// Every cut of DATA is either refused or says the same; memory is as large as that.
static void cut(const unsigned char *data, size_t size, int64_t when, int32_t ahead)
{
    for (size_t length = 0; length < size; length += 1 + length / 64) {
        unsigned char *copy = malloc(length + 1);
        struct clock_zone zone;

        if (!copy)
            abort();
        memcpy(copy, data, length);
        broken += clock_zone_read(copy, length, when, &zone) && zone.ahead != ahead;
        free(copy);
    }
}

// What the libc says of the zone that TZ names.
static void compare(const unsigned char *data, size_t size, time_t when)
{
    struct clock_zone zone;
    struct tm tm;

    if (!clock_zone_read(data, size, when, &zone))
        return;
    answered++;
    localtime_r(&when, &tm);
    wrong += zone.ahead != tm.tm_gmtoff || when < zone.from || when >= zone.until;
}

static int visit(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    unsigned char data[CLOCK_ZONE_MAX];
    size_t size = kind == FTW_F ? read_file(path, data) : 0;
    time_t now = time(NULL);
    char name[4096];

    (void)status;
    (void)place;
    if (size < 4 || memcmp(data, "TZif", 4) != 0 || strstr(path, "/right/"))
        return 0;
    snprintf(name, sizeof name, ":%s", path);
    setenv("TZ", name, 1);
    tzset();
    for (time_t when = -1000000000; when < 4000000000; when += 5000011)
        compare(data, size, when);
    for (time_t when = now; when < now + 400 * 86400; when += 3607)
        compare(data, size, when);
    if (strstr(path, "Berlin")) {
        struct tm tm;

        localtime_r(&now, &tm);
        cut(data, size, now, (int32_t)tm.tm_gmtoff);
    }
    return 0;
}

static void test_system_zones(void)
{
    if (access(ZONES "/Europe/Berlin", R_OK) < 0) {
        test_ok(true, "the zones of the system # SKIP no " ZONES);
        return;
    }
    nftw(ZONES, visit, 16, FTW_PHYS);
    test_ok(answered > 0 && wrong == 0,
            "what the zones of the system say is what the libc says: "
            "%u times, %u not",
            answered, wrong);
    test_ok(broken == 0, "a zone that is cut short says nothing, or nothing else");
}

// A first block with COUNT times, one type and nothing after it, as before version 2.
static size_t make(unsigned char *data, unsigned count, unsigned types)
{
    memset(data, 0, CLOCK_ZONE_MAX);
    memcpy(data, "TZif", 4);
    data[35] = (unsigned char)count;
    data[39] = (unsigned char)types;
    return 44 + count * 5 + types * 6;
}

static void test_made(void)
{
    unsigned char data[CLOCK_ZONE_MAX];
    struct clock_zone zone;
    size_t size = make(data, 0, 1);

    memcpy(data + 44, "\xff\xff\xf1\xf0", 4);
    test_ok(clock_zone_read(data, size, 0, &zone) && zone.ahead == -3600 && zone.until == INT64_MAX,
            "one type for ever");
    test_ok(!clock_zone_read(data, size - 1, 0, &zone), "a file that ends too soon");
    size = make(data, 0, 0);
    test_ok(!clock_zone_read(data, size, 0, &zone), "no type");
    size = make(data, 1, 1);
    data[48] = 1;
    test_ok(!clock_zone_read(data, size, 1, &zone), "an index of no type");
    data[48] = 0;
    test_ok(clock_zone_read(data, size, 0, &zone) && zone.from == 0, "from the first time on");
    test_ok(!clock_zone_read(data, size, -1, &zone), "before the first time");
    memset(data + 20, 0xff, 24);
    test_ok(!clock_zone_read(data, CLOCK_ZONE_MAX, 0, &zone), "counts below zero");
    memset(data + 20, 0x7f, 24);
    test_ok(!clock_zone_read(data, CLOCK_ZONE_MAX, 0, &zone), "counts beyond everything");
    make(data, 0, 1);
    data[31] = 1;
    test_ok(!clock_zone_read(data, CLOCK_ZONE_MAX, 0, &zone), "leap seconds");
    test_ok(!clock_zone_read(data, 0, 0, &zone), "an empty file");
}

static void test_local(void)
{
    struct tm ours, libc;
    time_t now = clock_date();

    setenv("TZ", "XXX-5:30", 1);
    clock_local(now, &ours);
    test_ok(ours.tm_gmtoff == 19800, "TZ goes first");
    unsetenv("TZ");
    tzset();
    clock_local(now, &ours);
    localtime_r(&now, &libc);
    test_ok(ours.tm_gmtoff == libc.tm_gmtoff && ours.tm_hour == libc.tm_hour &&
                ours.tm_mday == libc.tm_mday && ours.tm_year == libc.tm_year,
            "the system's own zone");
}

int main(void)
{
    test_made();
    test_local();
    test_system_zones();
    return test_end();
}
