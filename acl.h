// SPDX-License-Identifier: ISC
//
// acl: which clients may connect. Pure: patterns and an address in, a verdict out.
//
// A pattern is what rinetd knows, a glob over the address's text in which '*' stands for any run
// of characters and '?' for exactly one, compared byte by byte, case and all; or, an extension, a
// prefix in CIDR notation ("10.0.0.0/8", RFC 4632; "2001:db8::/32", RFC 4291).
//
// Patterns too many for a command line are in a compiled list, which a text names: "@/PATH". What
// is in it is asked of the caller.
#ifndef ACL_H
#define ACL_H

#include <stdbool.h>
#include <stddef.h>

#include "host.h"

// The lists in the order in which they are asked.
enum acl_list { ACL_GLOBAL_ALLOW, ACL_GLOBAL_DENY, ACL_ALLOW, ACL_DENY };
#define ACL_LISTS 4

// COUNT texts, each one pattern, several with commas between them, or ACL_COMPILED and a path.
struct acl_patterns {
    const char *const *text;
    size_t count;
};

// Begins a text that names a compiled list.
#define ACL_COMPILED '@'

// A client: its address in plain form, and whether it came as an IPv4-mapped IPv6 address, which
// is then matched in both forms.
struct acl_client {
    char text[HOST_TEXT_MAX];
    char mapped_text[HOST_TEXT_MAX]; // "" where it was not mapped
    union host_address address;      // family AF_UNSPEC where the client has no IP address
};

struct acl {
    struct acl_patterns list[ACL_LISTS];
    // Whether the compiled list at PATH has CLIENT: 1 or 0, or -1 where it cannot be told, which
    // refuses the client. NULL: it never can.
    int (*look_up)(const char *path, const struct acl_client *client);
};

enum acl_verdict {
    ACL_ALLOWED,
    ACL_NOT_ALLOWED, // there are allow patterns, and none matches
    ACL_DENIED,      // a deny pattern matches
};

struct acl_decision {
    enum acl_verdict verdict;
    enum acl_list list; // the list that decided; for ACL_ALLOWED, the last allow list that matched
    size_t index;       // the text in that list that matched
    bool matched;       // whether `list` and `index` mean anything: some pattern matched
};

// Sets CLIENT up for an address. IPv4-mapped addresses are made plain; MAPPED says that an IPv4
// address came through an IPv6 listener even so (a superserver may have made it plain before).
void acl_client_set(struct acl_client *client, const union host_address *address, bool mapped);

// The verdict on CLIENT: refused unless every list lets it pass. A client without an IP address
// passes only where all lists are empty.
struct acl_decision acl_check(const struct acl *acl, const struct acl_client *client);

// Whether the LENGTH bytes at PATTERN, which are well-formed, match CLIENT.
bool acl_pattern_matches(const char *pattern, size_t length, const struct acl_client *client);

// Takes the LENGTH bytes at PATTERN, a well-formed pattern, apart where they are a prefix: its
// address and how many bits of it count. Returns whether they are.
bool acl_prefix(const char *pattern, size_t length, union host_address *address, unsigned *bits);

// What is wrong with the LENGTH bytes at PATTERN as one pattern, as "expected …" would continue;
// NULL where nothing is. The empty pattern is wrong.
const char *acl_pattern_error(const char *pattern, size_t length);

// Whether TEXT is well-formed: patterns with commas between them, every one of them, at least one;
// or ACL_COMPILED and an absolute path.
bool acl_patterns_valid(const char *text);

// Whether a well-formed PATTERN can match no address at all, since an address is never written so:
// "127.0.0.01", "FE80::1", "10.1.". Returns why, as a clause, or NULL; sound, not complete.
const char *acl_pattern_useless(const char *pattern);

#endif
