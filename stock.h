// SPDX-License-Identifier: ISC
//
// stock: datagrams that are held for somebody, each in a block of a fixed number.
#ifndef STOCK_H
#define STOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STOCK_BLOCKS      512
#define STOCK_BLOCK_BYTES 65536
#define STOCK_EACH        16  // of one queue at most
#define STOCK_FIRSTS      192 // left to those that hold nothing yet

struct stock_block {
    uint16_t next; // of its queue, or of those that are free, plus one
    uint32_t start, end;
};

// Large, and mostly never touched. Starts as zeros, as a queue does.
struct stock {
    struct stock_block blocks[STOCK_BLOCKS];
    uint16_t free, fresh, used;
    _Alignas(4096) unsigned char data[STOCK_BLOCKS][STOCK_BLOCK_BYTES];
};

struct stock_queue {
    uint16_t first, last, count;
};

// Appends the SIZE bytes at DATA to QUEUE. Returns whether there was room.
bool stock_put(struct stock *stock, struct stock_queue *queue, const void *data, size_t size);

// The first of QUEUE, which must have one, from what is left of it on.
const unsigned char *stock_first(const struct stock *stock, const struct stock_queue *queue,
                                 size_t *size);

// Takes SIZE bytes off the first of QUEUE, which is gone then where all of it is.
void stock_take(struct stock *stock, struct stock_queue *queue, size_t size);

void stock_clear(struct stock *stock, struct stock_queue *queue);

#endif
