// SPDX-License-Identifier: ISC
//
// acl against a naive matcher: a glob by plain recursion, a prefix bit by bit.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "acl.h"

#define PATTERN_MAX 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool naive_glob(const char *pattern, const char *text)
{
    if (*pattern == '\0')
        return *text == '\0';
    if (*pattern == '*')
        return naive_glob(pattern + 1, text) || (*text && naive_glob(pattern, text + 1));
    return *text && (*pattern == '?' || *pattern == *text) && naive_glob(pattern + 1, text + 1);
}

static bool bit(const uint8_t *bytes, int i)
{
    return bytes[i / 8] >> (7 - i % 8) & 1;
}

static bool naive_prefix(const char *pattern, const char *text)
{
    char host[PATTERN_MAX + 1];
    uint8_t a[16], b[16];
    const char *slash = strchr(pattern, '/');
    int family, bits = atoi(slash + 1);

    snprintf(host, sizeof host, "%.*s", (int)(slash - pattern), pattern);
    family = strchr(host, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, host, a) != 1 || inet_pton(family, text, b) != 1)
        return false;
    for (int i = 0; i < bits; i++)
        if (bit(a, i) != bit(b, i))
            return false;
    return true;
}

static bool naive(const char *pattern, const char *text)
{
    return strchr(pattern, '/') ? naive_prefix(pattern, text) : naive_glob(pattern, text);
}

static void check(const char *pattern, const union host_address *address, bool mapped)
{
    struct acl_client client;
    struct acl acl;
    bool expected;

    memset(&acl, 0, sizeof acl);
    acl.list[ACL_DENY] = (struct acl_patterns){&pattern, 1};
    acl_client_set(&client, address, mapped);
    expected = naive(pattern, client.text) ||
               (client.mapped_text[0] && naive(pattern, client.mapped_text));
    if ((acl_check(&acl, &client).verdict == ACL_DENIED) != expected)
        abort();
    if (acl_pattern_useless(pattern) && expected)
        abort();
    // A list of two of the same decides as one does.
    acl.list[ACL_ALLOW] = acl.list[ACL_DENY];
    acl.list[ACL_DENY].count = 0;
    if ((acl_check(&acl, &client).verdict == ACL_ALLOWED) != expected)
        abort();
}

// A byte for the family, 16 for the address, the rest is the pattern.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    union host_address address;
    char pattern[PATTERN_MAX + 1];
    int stars = 0;

    if (size < 17)
        return 0;
    memset(&address, 0, sizeof address);
    if (data[0] & 1) {
        address.any.sa_family = AF_INET6;
        memcpy(&address.in6.sin6_addr, data + 1, 16);
    } else {
        address.any.sa_family = AF_INET;
        memcpy(&address.in.sin_addr, data + 1, 4);
    }
    size -= 17;
    if (size > PATTERN_MAX)
        size = PATTERN_MAX;
    memcpy(pattern, data + 17, size);
    pattern[size] = '\0';
    // A compiled list is no pattern.
    if (pattern[0] == ACL_COMPILED)
        return 0;
    if (acl_patterns_valid(pattern) && !strchr(pattern, ',') &&
        acl_pattern_error(pattern, strlen(pattern)))
        abort();
    if (acl_pattern_error(pattern, strlen(pattern)))
        return 0;
    // The naive matcher takes exponential time.
    for (const char *p = pattern; *p; p++)
        stars += *p == '*';
    if (stars <= 6)
        check(pattern, &address, data[0] & 2);
    return 0;
}
