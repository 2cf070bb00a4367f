/* What the parts of the native evaluator share; see ../native.py for what it computes and why. */
#ifndef WAVEMAE_NATIVE_H
#define WAVEMAE_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define BLOCK 1024 /* elements that are converted, added up or written at one go */
#define LANES 64   /* sums side by side: in a block each of them takes BLOCK / LANES terms */
#define TILE 32    /* TILE × TILE is a BLOCK, for arguments that are laid out in different orders */

enum kind { FLOAT16, BFLOAT16, FLOAT32, FLOAT64, TRUTH };

/* An argument or a gradient: where it is, and how many bytes its elements are apart. */
typedef struct {
    char *data;
    int64_t row, column;
    int kind;
    int negated; /* torch negates lazily: the value is minus what the memory holds */
} view;

/* What the blocks of one part add up to: high + low, and the number of True. */
typedef struct {
    double high, low;
    int64_t count;
} partial;

enum { X_RECON, X, MASK, FOR_RECON, FOR_X, VIEWS };

/* A call. Gradients that are not wanted have no data, and for a loss both have none. */
typedef struct {
    view views[VIEWS];
    int64_t rows, columns;
    int64_t blocks, blocks_in_part, parts;
    int tiled;
    double scale;
    partial *partials;
} problem;

/* Where a block lies: from an element on, through the ends of rows; or `height` rows of a tile. */
typedef struct {
    int64_t row, column, height, width, count;
} place;

/* Reads or writes one strip of a place: n elements, `step` bytes apart in a tensor's memory and
`stride` elements apart in the room. */
typedef void (*strip)(void *room, int64_t stride, char *memory, int64_t step, int64_t n);

int64_t bytes_of(int kind);
void arrange(problem *);
int64_t first_block(const problem *, int64_t part);
place place_of(const problem *, int64_t block);
int in_sequence(const problem *, const view *, const place *, int64_t bytes);
char *address(const view *, const place *);
void for_strips(const problem *, const view *, const place *, strip, void *room, int64_t bytes);
const uint8_t *mask_bytes(const problem *, const place *, uint8_t *room);
void add_partial(partial *, const partial *);
void populate(const problem *, const view *, int64_t part);

/* The kernels as compiled for one instruction set. All take a `problem` and one of its parts. */
typedef struct {
    const char *name;
    int (*usable)(void);
    void (*sums[2])(void *, int64_t); /* in float32 and in float64 */
    void (*gradients[2])(void *, int64_t);
} variant;

extern const variant variants[]; /* better ones later; ends with one that has no name */

/* Calls run(context, part) for every part, on at most so many threads, the caller's among them. */
void in_parallel(void (*run)(void *, int64_t), void *context, int64_t parts, int64_t threads);
int prepare_threads(void);

/* GOMP_parallel: runs a function on so many threads, the caller's among them, and waits for all. */
typedef void (*fork_join)(void (*)(void *), void *, unsigned, unsigned);
void share_threads(fork_join start); /* or NULL: threads of our own */

#endif
