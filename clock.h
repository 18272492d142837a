// SPDX-License-Identifier: ISC
//
// clock: the time, at little cost to a process that asks for it but a few times in its life.
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

// CLOCK_MONOTONIC, in milliseconds.
int64_t clock_ms(void);

// time(2).
time_t clock_date(void);

#endif
