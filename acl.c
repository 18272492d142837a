// SPDX-License-Identifier: ISC
#include "acl.h"

#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>

struct prefix {
    union host_address address;
    unsigned bits;
};

// Parses LENGTH bytes "ADDRESS/BITS". Returns NULL, or what is expected instead.
static const char *parse_prefix(const char *pattern, size_t length, struct prefix *prefix)
{
    const char *slash = memchr(pattern, '/', length), *p = slash + 1, *end = pattern + length;
    size_t host_length = (size_t)(slash - pattern);
    unsigned widest;
    char host[INET6_ADDRSTRLEN];

    if (host_length >= sizeof host)
        return "an address before the '/'";
    memcpy(host, pattern, host_length);
    host[host_length] = '\0';
    // Not HOST_IPV4's octal parts: who may come in must not depend on how a zero is read.
    memset(&prefix->address, 0, sizeof prefix->address);
    if (inet_pton(AF_INET, host, &prefix->address.in.sin_addr) == 1)
        prefix->address.any.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, host, &prefix->address.in6.sin6_addr) == 1)
        prefix->address.any.sa_family = AF_INET6;
    else
        return "a whole address without wildcards before the '/'";
    widest = prefix->address.any.sa_family == AF_INET ? 32 : 128;
    if (p == end || end - p > 3)
        return widest == 32 ? "a number from 0 to 32 after the '/'"
                            : "a number from 0 to 128 after the '/'";
    prefix->bits = 0;
    for (; p < end && isdigit((unsigned char)*p); p++)
        prefix->bits = prefix->bits * 10 + (unsigned)(*p - '0');
    if (p < end || prefix->bits > widest)
        return widest == 32 ? "a number from 0 to 32 after the '/'"
                            : "a number from 0 to 128 after the '/'";
    return NULL;
}

static bool prefix_covers(const struct prefix *prefix, const union host_address *address)
{
    const uint8_t *a = (const uint8_t *)&prefix->address.in.sin_addr;
    const uint8_t *b = (const uint8_t *)&address->in.sin_addr;
    size_t bytes = prefix->bits / 8;
    unsigned rest = prefix->bits % 8;

    if (prefix->address.any.sa_family != address->any.sa_family)
        return false;
    if (address->any.sa_family == AF_INET6) {
        a = prefix->address.in6.sin6_addr.s6_addr;
        b = address->in6.sin6_addr.s6_addr;
    }
    return memcmp(a, b, bytes) == 0 && (rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0);
}

// Backtracks to the last '*' only, so the time is at most LENGTH times the text's.
static bool glob_matches(const char *pattern, size_t length, const char *text)
{
    const char *end = pattern + length, *star = NULL, *star_text = NULL;

    for (;;) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            star_text = text;
        } else if (*text != '\0' && pattern < end && (*pattern == '?' || *pattern == *text)) {
            pattern++;
            text++;
        } else if (*text == '\0' && pattern == end) {
            return true;
        } else if (star && *star_text != '\0') {
            pattern = star;
            text = ++star_text;
        } else {
            return false;
        }
    }
}

bool acl_prefix(const char *pattern, size_t length, union host_address *address, unsigned *bits)
{
    struct prefix prefix;

    if (!memchr(pattern, '/', length) || parse_prefix(pattern, length, &prefix))
        return false;
    *address = prefix.address;
    *bits = prefix.bits;
    return true;
}

bool acl_pattern_matches(const char *pattern, size_t length, const struct acl_client *client)
{
    if (memchr(pattern, '/', length)) {
        struct prefix prefix;
        union host_address mapped;

        if (parse_prefix(pattern, length, &prefix))
            return false;
        if (prefix_covers(&prefix, &client->address))
            return true;
        return client->mapped_text[0] != '\0' &&
               host_address(client->mapped_text, 0, &mapped) > 0 && prefix_covers(&prefix, &mapped);
    }
    return glob_matches(pattern, length, client->text) ||
           (client->mapped_text[0] != '\0' && glob_matches(pattern, length, client->mapped_text));
}

// Whether one of the patterns in TEXT, commas between them, matches.
static bool any_matches(const char *text, const struct acl_client *client)
{
    for (;;) {
        size_t length = strcspn(text, ",");

        if (acl_pattern_matches(text, length, client))
            return true;
        if (text[length] == '\0')
            return false;
        text += length + 1;
    }
}

void acl_client_set(struct acl_client *client, const union host_address *address, bool mapped)
{
    memset(client, 0, sizeof *client);
    client->address = *address;
    if (host_unmap(&client->address))
        mapped = true;
    host_text(&client->address, client->text);
    if (client->address.any.sa_family == AF_INET && mapped) {
        static const char prefix[] = "::ffff:";

        memcpy(client->mapped_text, prefix, sizeof prefix - 1);
        memcpy(client->mapped_text + sizeof prefix - 1, client->text, INET_ADDRSTRLEN);
    }
    if (client->text[0] == '\0')
        client->address.any.sa_family = AF_UNSPEC;
}

// Sets *INDEX to the first of PATTERNS' texts that matches, compiled lists before all others; to
// their number where none does. Returns false where a compiled list cannot tell: each is asked, so
// that one in ruins lets nobody in whatever the others say.
static bool find_match(const struct acl *acl, const struct acl_patterns *patterns,
                       const struct acl_client *client, size_t *index)
{
    *index = patterns->count;
    for (size_t i = 0; i < patterns->count; i++) {
        int found = 0;

        if (patterns->text[i][0] == ACL_COMPILED)
            found = acl->look_up ? acl->look_up(patterns->text[i] + 1, client) : -1;
        if (found < 0)
            return false;
        if (found > 0 && *index == patterns->count)
            *index = i;
    }
    for (size_t i = 0; *index == patterns->count && i < patterns->count; i++)
        if (patterns->text[i][0] != ACL_COMPILED && any_matches(patterns->text[i], client))
            *index = i;
    return true;
}

struct acl_decision acl_check(const struct acl *acl, const struct acl_client *client)
{
    struct acl_decision decision = {.verdict = ACL_ALLOWED};

    for (int i = 0; i < ACL_LISTS; i++) {
        const struct acl_patterns *patterns = &acl->list[i];
        enum acl_list list = (enum acl_list)i;
        bool allow = list == ACL_GLOBAL_ALLOW || list == ACL_ALLOW;
        size_t index;

        if (patterns->count == 0)
            continue;
        if (client->address.any.sa_family == AF_UNSPEC ||
            !find_match(acl, patterns, client, &index))
            return (struct acl_decision){.verdict = allow ? ACL_NOT_ALLOWED : ACL_DENIED,
                                         .list = list};
        if (index == patterns->count && allow)
            return (struct acl_decision){.verdict = ACL_NOT_ALLOWED, .list = list};
        if (index == patterns->count)
            continue;
        decision = (struct acl_decision){
            .verdict = ACL_ALLOWED, .list = list, .index = index, .matched = true};
        if (!allow) {
            decision.verdict = ACL_DENIED;
            return decision;
        }
    }
    return decision;
}

// Asked for every byte of every list of a command line.
static bool is_pattern_byte(char c)
{
    return (c >= '0' && c <= '9') || c == '.' || c == '*' || (c >= 'a' && c <= 'f') ||
           (c >= 'A' && c <= 'F') || (c != '\0' && strchr(":[]?/", c));
}

const char *acl_pattern_error(const char *pattern, size_t length)
{
    struct prefix prefix;

    if (length == 0)
        return "an address pattern";
    for (size_t i = 0; i < length; i++)
        if (!is_pattern_byte(pattern[i]))
            return "digits, letters from a to f, '.', ':', '*' or '?'";
    return memchr(pattern, '/', length) ? parse_prefix(pattern, length, &prefix) : NULL;
}

static bool is_path(const char *text)
{
    for (const char *p = text; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
    return text[0] == '/' && strlen(text) < PATH_MAX;
}

bool acl_patterns_valid(const char *text)
{
    if (text[0] == ACL_COMPILED)
        return is_path(text + 1);
    for (;;) {
        size_t length = strcspn(text, ",");

        if (acl_pattern_error(text, length))
            return false;
        if (text[length] == '\0')
            return true;
        text += length + 1;
    }
}

const char *acl_pattern_useless(const char *pattern)
{
    char canonical[INET6_ADDRSTRLEN] = "";
    uint8_t bytes[16];

    if (strchr(pattern, '/'))
        return NULL;
    if (strpbrk(pattern, "[]"))
        return "addresses are written without brackets";
    if (strpbrk(pattern, "ABCDEF"))
        return "addresses are written with small letters";
    if (strpbrk(pattern, "*?"))
        return NULL;
    if (inet_pton(AF_INET, pattern, bytes) == 1)
        inet_ntop(AF_INET, bytes, canonical, sizeof canonical);
    else if (inet_pton(AF_INET6, pattern, bytes) == 1 && bytes[0] == 0xfe && bytes[1] >> 6 == 2)
        return "a link-local client comes with its interface, as in fe80::1%eth0";
    else if (inet_pton(AF_INET6, pattern, bytes) == 1)
        inet_ntop(AF_INET6, bytes, canonical, sizeof canonical);
    else if (host_kind(pattern) == HOST_IPV4)
        return "addresses are written in their shortest form";
    else
        return "it is not a whole address, and has no wildcard";
    return strcmp(canonical, pattern) == 0 ? NULL : "addresses are written in their shortest form";
}
