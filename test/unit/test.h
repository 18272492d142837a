// SPDX-License-Identifier: ISC
//
// test: results in the Test Anything Protocol. A main ends with `return test_end();`.
#ifndef TEST_H
#define TEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static int test_count, test_failures;

// Counts one result; the name is a printf(3) format. Returns whether it is good.
__attribute__((format(printf, 2, 3))) static inline bool test_ok(bool good, const char *name, ...)
{
    va_list arguments;

    test_failures += !good;
    printf("%sok %d - ", good ? "" : "not ", ++test_count);
    va_start(arguments, name);
    vprintf(name, arguments);
    va_end(arguments);
    putchar('\n');
    return good;
}

// Prints the plan; returns the exit status.
static inline int test_end(void)
{
    printf("1..%d\n", test_count);
    return test_failures > 0;
}

#endif
