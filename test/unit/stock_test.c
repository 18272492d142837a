// SPDX-License-Identifier: ISC
#include "stock.h"

#include <string.h>

#include "test.h"

static struct stock stock;
static unsigned char bytes[STOCK_BLOCK_BYTES + 1];

static bool put(struct stock_queue *queue, const char *text)
{
    return stock_put(&stock, queue, text, strlen(text));
}

// Whether TEXT is what is left of the first of QUEUE.
static bool is_first(const struct stock_queue *queue, const char *text)
{
    size_t size;
    const unsigned char *data = stock_first(&stock, queue, &size);

    return size == strlen(text) && memcmp(data, text, size) == 0;
}

// Fills the stock by queues of EACH, and returns how many blocks that were.
static unsigned fill(struct stock_queue *queues, unsigned count, unsigned each)
{
    unsigned put_in = 0;

    for (unsigned i = 0; i < count; i++)
        for (unsigned n = 0; n < each; n++)
            put_in += put(&queues[i], "x");
    return put_in;
}

static void test_order(void)
{
    struct stock_queue one = {0}, other = {0};

    test_ok(put(&one, "first") && put(&other, "else") && put(&one, "") && put(&one, "third"),
            "there is room for a few");
    test_ok(one.count == 3 && is_first(&one, "first") && is_first(&other, "else"),
            "each queue has its own");
    stock_take(&stock, &one, 2);
    test_ok(one.count == 3 && is_first(&one, "rst"), "a part is taken");
    stock_take(&stock, &one, 3);
    test_ok(one.count == 2 && is_first(&one, ""), "the rest of it makes the next the first");
    stock_take(&stock, &one, 0);
    test_ok(one.count == 1 && is_first(&one, "third"), "an empty one is taken, too");
    stock_clear(&stock, &one);
    test_ok(one.count == 0 && is_first(&other, "else"), "to clear one leaves the other");
    test_ok(put(&one, "again") && is_first(&one, "again"), "what was cleared is used again");
    stock_clear(&stock, &one);
    stock_clear(&stock, &other);
    test_ok(stock.used == 0, "nothing is left");
}

static void test_sizes(void)
{
    struct stock_queue queue = {0};
    size_t size;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 256);
    test_ok(!stock_put(&stock, &queue, bytes, sizeof bytes) && queue.count == 0,
            "what is larger than a block is refused");
    for (int round = 0; round < 3; round++) {
        const unsigned char *data;

        stock_put(&stock, &queue, bytes, STOCK_BLOCK_BYTES);
        data = stock_first(&stock, &queue, &size);
        test_ok(size == STOCK_BLOCK_BYTES && memcmp(data, bytes, size) == 0,
                "a whole block is kept as it was");
        stock_clear(&stock, &queue);
    }
}

static void test_limits(void)
{
    static struct stock_queue queues[STOCK_BLOCKS];
    struct stock_queue queue = {0};
    unsigned all;

    test_ok(fill(&queue, 1, STOCK_EACH) == STOCK_EACH && !put(&queue, "x") &&
                queue.count == STOCK_EACH,
            "a queue has %d at most", STOCK_EACH);
    stock_clear(&stock, &queue);
    all = fill(queues, STOCK_BLOCKS / STOCK_EACH, STOCK_EACH);
    test_ok(all >= STOCK_BLOCKS - STOCK_FIRSTS && all < STOCK_BLOCKS,
            "some queues do not take all that there is");
    test_ok(put(&queue, "first") && !put(&queue, "second"), "which is left to the first of others");
    stock_clear(&stock, &queue);
    for (unsigned i = 0; i < STOCK_BLOCKS; i++)
        if (queues[i].count == 0)
            all += put(&queues[i], "x");
    test_ok(all == STOCK_BLOCKS, "all are used in the end");
    test_ok(!put(&queue, "x") && queue.count == 0, "and then there is none");
    stock_take(&stock, &queues[0], 1);
    test_ok(put(&queue, "x") && !put(&queues[0], "x"), "until one is taken");
}

int main(void)
{
    test_order();
    test_sizes();
    test_limits();
    return test_end();
}
