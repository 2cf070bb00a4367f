/* In which order a call goes through its arguments, and into which blocks and parts it is cut.

All of it follows from sizes and strides and nothing from the number of threads: so does the order
of the additions. */
#include "native.h"

#define FEWEST_BLOCKS 16 /* in a part: some microseconds of work */
#define MOST_PARTS 2048  /* so that what they add up to takes little room */

static int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void transpose(problem *p) {
    int64_t rows = p->rows;
    p->rows = p->columns;
    p->columns = rows;
    for (int i = 0; i < VIEWS; i++) {
        int64_t row = p->views[i].row;
        p->views[i].row = p->views[i].column;
        p->views[i].column = row;
    }
}

int64_t bytes_of(int kind) {
    static const int64_t bytes[] = {2, 2, 4, 8, 1};
    return bytes[kind];
}

void arrange(problem *p) {
    int by_rows = 0, by_columns = 0, joined = 1;
    p->blocks = p->parts = p->tiled = 0;
    if (p->rows == 0 || p->columns == 0) return;
    if (p->columns == 1) transpose(p);
    for (int i = 0; i < VIEWS && p->rows > 1; i++) {
        const view *v = &p->views[i];
        if (v->data == NULL || v->row == 0 || v->column == 0) continue; /* as good either way */
        if (v->row < v->column)
            by_columns = 1;
        else
            by_rows = 1;
    }
    if (by_columns && !by_rows) transpose(p);
    for (int i = 0; i < VIEWS && p->rows > 1; i++)
        joined &= p->views[i].data == NULL || p->views[i].row == p->columns * p->views[i].column;
    if (joined) {
        p->columns *= p->rows;
        p->rows = 1;
    }
    p->tiled = by_columns && by_rows;
    p->blocks = p->tiled ? ceil_div(p->rows, TILE) * ceil_div(p->columns, TILE)
                         : ceil_div(p->rows * p->columns, BLOCK);
    p->blocks_in_part = ceil_div(p->blocks, MOST_PARTS);
    if (p->blocks_in_part < FEWEST_BLOCKS) p->blocks_in_part = FEWEST_BLOCKS;
    p->parts = ceil_div(p->blocks, p->blocks_in_part);
}

int64_t first_block(const problem *p, int64_t part) {
    return least(part * p->blocks_in_part, p->blocks);
}

place place_of(const problem *p, int64_t block) {
    place at;
    if (p->tiled) {
        int64_t across = ceil_div(p->columns, TILE);
        at.row = block / across * TILE;
        at.column = block % across * TILE;
        at.height = least(TILE, p->rows - at.row);
        at.width = least(TILE, p->columns - at.column);
        at.count = at.height * at.width;
    } else {
        int64_t first = block * BLOCK;
        at.row = first / p->columns;
        at.column = first % p->columns;
        at.height = at.width = 0;
        at.count = least(BLOCK, p->rows * p->columns - first);
    }
    return at;
}

/* Whether the elements of a place follow one another in memory. */
int in_sequence(const problem *p, const view *v, const place *at, int64_t bytes) {
    if (v->column != bytes) return 0;
    if (p->tiled) return at->height == 1;
    return at->column + at->count <= p->columns || v->row == p->columns * bytes;
}

char *address(const view *v, const place *at) {
    return v->data + at->row * v->row + at->column * v->column;
}

/* Goes through a place of a tensor, along its shorter strides, and through the room beside it. */
void for_strips(const problem *p, const view *v, const place *at, strip run, void *room,
                int64_t bytes) {
    char *to = room, *memory = address(v, at);
    if (p->tiled && v->row < v->column) {
        for (int64_t c = 0; c < at->width; c++)
            run(to + c * bytes, at->width, memory + c * v->column, v->row, at->height);
    } else if (p->tiled) {
        for (int64_t r = 0; r < at->height; r++)
            run(to + r * at->width * bytes, 1, memory + r * v->row, v->column, at->width);
    } else {
        int64_t row = at->row, column = at->column, left = at->count;
        while (left > 0) {
            int64_t n = least(left, p->columns - column);
            run(to, 1, v->data + row * v->row + column * v->column, v->column, n);
            to += n * bytes;
            left -= n;
            column = 0;
            row++;
        }
    }
}

static void read_bytes(void *room, int64_t stride, char *memory, int64_t step, int64_t n) {
    uint8_t *to = room;
    if (step == 1 && stride == 1)
        for (int64_t i = 0; i < n; i++) to[i] = (uint8_t)memory[i];
    else
        for (int64_t i = 0; i < n; i++) to[i * stride] = (uint8_t)memory[i * step];
}

const uint8_t *mask_bytes(const problem *p, const place *at, uint8_t *room) {
    const view *v = &p->views[MASK];
    if (in_sequence(p, v, at, 1)) return (const uint8_t *)address(v, at);
    for_strips(p, v, at, read_bytes, room, 1);
    return room;
}

/* Adds without losing what a rounding leaves behind. Infinity less infinity is no such rest: it is
dropped, and the infinity stands. */
void add_partial(partial *sum, const partial *term) {
    double high = sum->high + term->high, back = high - sum->high;
    double rest = (sum->high - (high - back)) + (term->high - back);
    double low = sum->low + term->low + rest;
    sum->high = high;
    sum->low = high - high == 0 ? low : 0;
    sum->count += term->count;
}
