// SPDX-License-Identifier: ISC
//
// text: bytes that grow.
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>

// Starts zeroed; free(bytes) ends it. Always has a NUL after its bytes, once it has any.
struct text {
    char *bytes;
    size_t size, capacity;
    bool no_memory; // an allocation failed, and the text is not whole
};

void text_append(struct text *text, const char *bytes, size_t size);

// The same of a string, without its NUL.
void text_append_string(struct text *text, const char *string);

// Makes TEXT as long as it was when it had SIZE bytes.
void text_cut(struct text *text, size_t size);

#endif
