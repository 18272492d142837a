// SPDX-License-Identifier: ISC
#include "host.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PREFIX "unix:"

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x21 || *text == 0x7f)
            return false;
    return true;
}

// A group of digits, octal after a zero, as inet_aton(3) reads it. Returns what follows it, or
// NULL.
static const char *parse_byte(const char *text, uint32_t *address)
{
    unsigned base = text[0] == '0' ? 8 : 10, byte = 0;
    const char *p;

    for (p = text; *p >= '0' && *p <= '9'; p++) {
        byte = byte * base + (unsigned)(*p - '0');
        if ((unsigned)(*p - '0') >= base || byte > 255)
            return NULL;
    }
    *address = *address << 8 | byte;
    return p > text ? p : NULL;
}

// Four groups; inet_aton(3) takes more forms than that, and a name may look like one.
static bool parse_quad(const char *text, struct in_addr *in)
{
    uint32_t address = 0;

    for (int group = 0; group < 4; group++) {
        if (group > 0 && *text++ != '.')
            return false;
        text = parse_byte(text, &address);
        if (!text)
            return false;
    }
    in->s_addr = htonl(address);
    return *text == '\0';
}

static bool parse_ipv4(const char *text, struct in_addr *in)
{
    in->s_addr = INADDR_ANY;
    return strcmp(text, "0") == 0 || parse_quad(text, in);
}

// A last label that inet_aton(3) would take as a number makes getaddrinfo(3) read the whole as an
// address, whatever stands before it.
static bool is_numeric_label(const char *label, size_t length)
{
    if (length >= 2 && label[0] == '0' && (label[1] == 'x' || label[1] == 'X'))
        return strspn(label + 2, "0123456789abcdefABCDEF") >= length - 2;
    return strspn(label, "0123456789") >= length;
}

static bool is_name(const char *text)
{
    size_t total = strlen(text), length;
    const char *label = text;

    if (total > 0 && text[total - 1] == '.')
        total--;
    if (total == 0 || total > HOST_NAME_MAX_BYTES)
        return false;
    for (;; label += length + 1) {
        const char *p;

        length = strcspn(label, ".");
        if (length == 0 || length > 63 || label[0] == '-')
            return false;
        for (p = label; p < label + length; p++)
            if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
                return false;
        if (label + length >= text + total)
            return !is_numeric_label(label, length);
    }
}

enum host_kind host_kind(const char *text)
{
    struct in_addr in;
    struct in6_addr in6;

    if (!is_printable(text))
        return HOST_BAD;
    if (strncmp(text, UNIX_PREFIX, sizeof UNIX_PREFIX - 1) == 0) {
        const char *path = text + sizeof UNIX_PREFIX - 1;
        size_t length = strlen(path);

        // A path needs its NUL in sun_path; the '@' of an abstract name stands for one.
        if ((path[0] != '/' && path[0] != '@') || length < 2 ||
            length >= sizeof((struct sockaddr_un *)0)->sun_path)
            return HOST_BAD;
        return HOST_UNIX;
    }
    if (parse_ipv4(text, &in))
        return HOST_IPV4;
    if (inet_pton(AF_INET6, text, &in6) == 1)
        return HOST_IPV6;
    return is_name(text) ? HOST_NAME : HOST_BAD;
}

socklen_t host_address(const char *text, unsigned port, union host_address *address)
{
    size_t length;

    memset(address, 0, sizeof *address);
    switch (host_kind(text)) {
    case HOST_IPV4:
        address->in.sin_family = AF_INET;
        address->in.sin_port = htons((uint16_t)port);
        parse_ipv4(text, &address->in.sin_addr);
        return sizeof address->in;
    case HOST_IPV6:
        address->in6.sin6_family = AF_INET6;
        address->in6.sin6_port = htons((uint16_t)port);
        inet_pton(AF_INET6, text, &address->in6.sin6_addr);
        return sizeof address->in6;
    case HOST_UNIX:
        text += sizeof UNIX_PREFIX - 1;
        length = strlen(text);
        address->un.sun_family = AF_UNIX;
        memcpy(address->un.sun_path, text, length);
        if (text[0] != '@')
            return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
        // The size is part of an abstract name: no NUL at its end.
        address->un.sun_path[0] = '\0';
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    case HOST_NAME:
    case HOST_BAD:
        break;
    }
    return 0;
}

bool host_unmap(union host_address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};

    if (address->any.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&address->in6.sin6_addr))
        return false;
    in.sin_port = address->in6.sin6_port;
    memcpy(&in.sin_addr, &address->in6.sin6_addr.s6_addr[12], sizeof in.sin_addr);
    memset(address, 0, sizeof *address);
    address->in = in;
    return true;
}

// inet_ntop(3) does this by way of printf(3) in musl, which costs more than all the rest that is
// done with an address.
static void write_quad(const struct in_addr *in, char *text)
{
    uint32_t address = ntohl(in->s_addr);

    for (int shift = 24; shift >= 0; shift -= 8) {
        unsigned byte = address >> shift & 255;

        if (byte >= 100)
            *text++ = (char)('0' + byte / 100);
        if (byte >= 10)
            *text++ = (char)('0' + byte / 10 % 10);
        *text++ = (char)('0' + byte % 10);
        *text++ = shift > 0 ? '.' : '\0';
    }
}

void host_text(const union host_address *address, char text[static HOST_TEXT_MAX])
{
    const struct sockaddr_in6 *in6 = &address->in6;
    size_t length;

    text[0] = '\0';
    if (address->any.sa_family == AF_INET)
        write_quad(&address->in.sin_addr, text);
    if (address->any.sa_family != AF_INET6)
        return;
    inet_ntop(AF_INET6, &in6->sin6_addr, text, HOST_TEXT_MAX);
    if (in6->sin6_scope_id == 0 || !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
        return;
    length = strlen(text);
    text[length++] = '%';
    if (!if_indextoname(in6->sin6_scope_id, text + length))
        snprintf(text + length, HOST_TEXT_MAX - length, "%u", in6->sin6_scope_id);
}

unsigned host_port(const union host_address *address)
{
    if (address->any.sa_family == AF_INET)
        return ntohs(address->in.sin_port);
    if (address->any.sa_family == AF_INET6)
        return ntohs(address->in6.sin6_port);
    return 0;
}

bool host_same(const union host_address *a, const union host_address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return false;
    if (a->any.sa_family == AF_INET)
        return a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return a->any.sa_family == AF_INET6 &&
           memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

bool host_is_wildcard(const union host_address *address)
{
    if (address->any.sa_family == AF_INET)
        return address->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

void host_make_concrete(union host_address *address)
{
    host_unmap(address);
    if (!host_is_wildcard(address))
        return;
    if (address->any.sa_family == AF_INET)
        address->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        address->in6.sin6_addr = in6addr_loopback;
}
