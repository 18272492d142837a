// SPDX-License-Identifier: ISC
#include "clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ZONE_FILE    "/etc/localtime"
#define HEADER_BYTES 44 // tzfile(5), RFC 8536, section 3
#define TYPE_BYTES   6
#define VDSO_CALLS   24

// The first block of a file has times of 4 bytes, the second, which old files lack, of 8.
struct block {
    const unsigned char *times, *indices, *types;
    size_t count, type_count, time_bytes, size;
};

// vdso(7) answers in a tenth of the time of a system call, but what it takes to find it, and two
// page faults, cost as much as some 24 of those: more than a short connection asks. Where a long
// has 32 bits the kernel's struct timespec may be another than the libc's.
static struct timespec read_clock(clockid_t id)
{
    struct timespec now = {0};

#ifdef __LP64__
    static unsigned asked;

    if (asked < VDSO_CALLS) {
        asked++;
        syscall(SYS_clock_gettime, id, &now);
        return now;
    }
#endif
    clock_gettime(id, &now);
    return now;
}

int64_t clock_ms(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);

    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

time_t clock_date(void)
{
    return read_clock(CLOCK_REALTIME).tv_sec;
}

static int64_t read_number(const unsigned char *bytes, size_t size)
{
    uint64_t number = bytes[0] & 0x80 ? UINT64_MAX : 0;

    for (size_t i = 0; i < size; i++)
        number = number << 8 | bytes[i];
    return (int64_t)number;
}

static bool find_block(const unsigned char *data, size_t size, size_t time_bytes,
                       struct block *block)
{
    static const size_t count_of_leaps = 2, count_of_times = 3, count_of_types = 4;
    size_t counts[6];

    if (size < HEADER_BYTES || memcmp(data, "TZif", 4) != 0)
        return false;
    for (size_t i = 0; i < 6; i++) {
        int64_t count = read_number(data + 20 + 4 * i, 4);

        if (count < 0 || count > CLOCK_ZONE_MAX)
            return false;
        counts[i] = (size_t)count;
    }
    block->count = counts[count_of_times];
    block->type_count = counts[count_of_types];
    block->time_bytes = time_bytes;
    block->times = data + HEADER_BYTES;
    block->indices = block->times + block->count * time_bytes;
    block->types = block->indices + block->count;
    block->size = HEADER_BYTES + block->count * (time_bytes + 1) + block->type_count * TYPE_BYTES +
                  counts[0] + counts[1] + counts[5];
    return counts[count_of_leaps] == 0 && block->type_count > 0 && block->size <= size;
}

// Whether the last line of a file may be a rule of a time that changes twice a year.
static bool may_change(const unsigned char *data, size_t size)
{
    if (size >= CLOCK_ZONE_MAX || data[size - 1] != '\n')
        return true;
    for (size--; size > 0 && data[size - 1] != '\n'; size--)
        if (data[size - 1] == ',')
            return true;
    return false;
}

static int64_t time_of(const struct block *block, size_t i)
{
    return read_number(block->times + i * block->time_bytes, block->time_bytes);
}

bool clock_zone_read(const unsigned char *data, size_t size, int64_t when, struct clock_zone *zone)
{
    struct block block;
    size_t next, type;
    bool has_second;

    if (!find_block(data, size, 4, &block))
        return false;
    has_second = data[4] != '\0';
    // It is empty where the second has times beyond 2037.
    if (has_second && block.count == 0 &&
        !find_block(data + block.size, size - block.size, 8, &block))
        return false;
    for (next = block.count; next > 0 && time_of(&block, next - 1) > when; next--)
        ;
    if (next == block.count && has_second && may_change(data, size))
        return false;
    if (next == 0 && block.count > 0)
        return false;
    type = next > 0 ? block.indices[next - 1] : 0;
    if (type >= block.type_count)
        return false;
    zone->ahead = (int32_t)read_number(block.types + type * TYPE_BYTES, 4);
    zone->from = next > 0 ? time_of(&block, next - 1) : INT64_MIN;
    zone->until = next < block.count ? time_of(&block, next) : INT64_MAX;
    return true;
}

// What is on the stack here is to be no part of its caller's frame.
__attribute__((noinline)) static bool read_zone(int64_t when, struct clock_zone *zone)
{
    unsigned char data[CLOCK_ZONE_MAX];
    int fd = open(ZONE_FILE, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    ssize_t size;

    if (fd < 0)
        return false;
    size = read(fd, data, sizeof data);
    close(fd);
    return size > 0 && clock_zone_read(data, (size_t)size, when, zone);
}

// musl's localtime_r(3) maps the file, which takes three times as long as to read it.
void clock_local(time_t when, struct tm *local)
{
    static struct clock_zone zone;
    time_t shifted;

    if (getenv("TZ") || ((when < zone.from || when >= zone.until) && !read_zone(when, &zone))) {
        localtime_r(&when, local);
        return;
    }
    shifted = when + zone.ahead;
    gmtime_r(&shifted, local);
    local->tm_gmtoff = zone.ahead;
}
