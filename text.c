// SPDX-License-Identifier: ISC
#include "text.h"

#include <stdlib.h>
#include <string.h>

void text_append(struct text *text, const char *bytes, size_t size)
{
    if (text->no_memory)
        return;
    if (text->capacity - text->size <= size) {
        size_t capacity = text->capacity ? text->capacity : 512;
        char *grown;

        while (capacity - text->size <= size)
            capacity *= 2;
        grown = realloc(text->bytes, capacity);
        if (!grown) {
            text->no_memory = true;
            return;
        }
        text->bytes = grown;
        text->capacity = capacity;
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

void text_append_string(struct text *text, const char *string)
{
    text_append(text, string, strlen(string));
}

void text_cut(struct text *text, size_t size)
{
    if (!text->bytes)
        return;
    text->size = size;
    text->bytes[size] = '\0';
}
