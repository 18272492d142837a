// SPDX-License-Identifier: ISC
//
// clock: the time, at little cost to a process that asks for it but a few times in its life.
#ifndef CLOCK_H
#define CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

// How far local time is ahead of UTC, in seconds, from one point in time to before another.
struct clock_zone {
    int64_t from, until;
    int32_t ahead;
};

// CLOCK_MONOTONIC, in milliseconds.
int64_t clock_ms(void);

// time(2).
time_t clock_date(void);

// Sets the date, the time and tm_gmtoff in LOCAL, and nothing else that means anything, as
// localtime_r(3) does; a change of the time zone may not be seen.
void clock_local(time_t when, struct tm *local);

// What the SIZE bytes at DATA, the beginning of a tzfile(5) and less than CLOCK_ZONE_MAX where that
// is all of it, say of WHEN. Returns false where they are not one, are not enough, or leave it to
// the rule at the end of the file, or have leap seconds. Pure.
#define CLOCK_ZONE_MAX 2048
bool clock_zone_read(const unsigned char *data, size_t size, int64_t when, struct clock_zone *zone);

#endif
