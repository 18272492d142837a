// SPDX-License-Identifier: ISC
#include "stock.h"

#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES 4096

bool stock_put(struct stock *stock, struct stock_queue *queue, const void *data, size_t size)
{
    uint16_t link = stock->free;

    if (queue->count == STOCK_EACH || size > STOCK_BLOCK_BYTES ||
        (queue->count > 0 && stock->used >= STOCK_BLOCKS - STOCK_FIRSTS))
        return false;
    if (link)
        stock->free = stock->blocks[link - 1].next;
    else if (stock->fresh < STOCK_BLOCKS)
        link = ++stock->fresh;
    else
        return false;
    memcpy(stock->data[link - 1], data, size);
    stock->blocks[link - 1] = (struct stock_block){.end = (uint32_t)size};
    if (queue->count > 0)
        stock->blocks[queue->last - 1].next = link;
    else
        queue->first = link;
    queue->last = link;
    queue->count++;
    stock->used++;
    return true;
}

const unsigned char *stock_first(const struct stock *stock, const struct stock_queue *queue,
                                 size_t *size)
{
    const struct stock_block *block = &stock->blocks[queue->first - 1];

    *size = block->end - block->start;
    return stock->data[queue->first - 1] + block->start;
}

void stock_take(struct stock *stock, struct stock_queue *queue, size_t size)
{
    uint16_t link = queue->first;
    struct stock_block *block = &stock->blocks[link - 1];

    block->start += (uint32_t)size;
    if (block->start < block->end)
        return;
    // A block stays in memory for what comes next, but not all that it once took.
    if (block->end > PAGE_BYTES)
        madvise(stock->data[link - 1] + PAGE_BYTES, STOCK_BLOCK_BYTES - PAGE_BYTES, MADV_DONTNEED);
    queue->first = block->next;
    queue->count--;
    stock->used--;
    block->next = stock->free;
    stock->free = link;
}

void stock_clear(struct stock *stock, struct stock_queue *queue)
{
    while (queue->count > 0)
        stock_take(stock, queue, STOCK_BLOCK_BYTES);
}
