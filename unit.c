// SPDX-License-Identifier: ISC
#include "unit.h"

#include <stdio.h>
#include <string.h>

// The length of the UTF-8 sequence at BYTE (RFC 3629, section 4), or 0 where there is none.
static size_t utf8_length(const unsigned char *byte)
{
    unsigned low = 0x80, high = 0xbf;
    size_t length;

    if (byte[0] < 0x80)
        return 1;
    if (byte[0] < 0xc2 || byte[0] > 0xf4)
        return 0;
    length = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
    // Overlong forms, surrogates, and what is beyond U+10FFFF.
    if (byte[0] == 0xe0)
        low = 0xa0;
    else if (byte[0] == 0xf0)
        low = 0x90;
    if (byte[0] == 0xed)
        high = 0x9f;
    else if (byte[0] == 0xf4)
        high = 0x8f;
    if (byte[1] < low || byte[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (byte[i] < 0x80 || byte[i] > 0xbf)
            return 0;
    return length;
}

bool unit_is_utf8(const char *text)
{
    const unsigned char *byte = (const unsigned char *)text;
    size_t length;

    for (; *byte; byte += length) {
        length = utf8_length(byte);
        if (length == 0)
            return false;
    }
    return true;
}

// Appends the TEXT with each byte of TWICE doubled, each of ESCAPED after a backslash, and what is
// neither printable nor UTF-8 in hexadecimal.
static void add(struct text *to, const char *text, const char *twice, const char *escaped)
{
    const unsigned char *byte = (const unsigned char *)text;

    while (*byte) {
        size_t length = *byte < 0x20 || *byte == 0x7f ? 0 : utf8_length(byte);
        char hex[8];

        if (length == 0) {
            snprintf(hex, sizeof hex, "\\x%02x", *byte);
            text_append_string(to, hex);
            byte++;
            continue;
        }
        if (strchr(escaped, *byte))
            text_append_string(to, "\\");
        else if (strchr(twice, *byte))
            text_append(to, (const char *)byte, 1);
        text_append(to, (const char *)byte, length);
        byte += length;
    }
}

void unit_add_value(struct text *to, const char *value)
{
    size_t length = strlen(value);

    add(to, value, "%", "");
    // A backslash at the end of a line would join the next to it; a blank there is not read.
    if (length > 0 && value[length - 1] == '\\')
        text_append_string(to, " ");
}

void unit_add_argument(struct text *to, const char *argument, bool first)
{
    text_append_string(to, "\"");
    add(to, argument, first ? "%" : "%$", "\\\"");
    text_append_string(to, "\"");
}

bool unit_is_path(const char *path)
{
    if (path[0] != '/' || !unit_is_utf8(path))
        return false;
    for (const char *p = path; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            return false;
        if (strncmp(p, "/..", 3) == 0 && (p[3] == '/' || p[3] == '\0'))
            return false;
    }
    return true;
}

void unit_add_path(struct text *to, const char *prefix, const char *path)
{
    text_append_string(to, "\"");
    text_append_string(to, prefix);
    add(to, path, "%", "\\\"");
    text_append_string(to, "\"");
}
