/* The kernels in one precision, REAL, for one instruction set: included by kernels.c. */

#define NAMED(name) JOIN3(name, REAL, VARIANT)

/* n elements of a tensor, `step` bytes apart, are read to, or written from, every `stride`-th place
of `room`. `some_read` and `some_written` may do the first of those that follow one another. */
#define STRIPS(kind, type, loose, read, written, some_read, some_written)                          \
    TARGET static void NAMED(read_##kind)(void *room, int64_t stride, char *memory, int64_t step,  \
                                          int64_t n) {                                             \
        REAL *restrict to = room;                                                                  \
        const char *restrict from = memory;                                                        \
        if (step == (int64_t)sizeof(type) && stride == 1)                                          \
            for (int64_t i = some_read(to, (const loose *)from, n); i < n; i++)                    \
                to[i] = (REAL)read(((const loose *)from)[i]);                                      \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                        \
                to[i * stride] = (REAL)read(*(const loose *)(from + i * step));                    \
    }                                                                                              \
    TARGET static void NAMED(write_##kind)(void *room, int64_t stride, char *memory, int64_t step, \
                                           int64_t n) {                                            \
        const REAL *restrict from = room;                                                          \
        char *restrict to = memory;                                                                \
        if (step == (int64_t)sizeof(type) && stride == 1)                                          \
            for (int64_t i = some_written((loose *)to, from, n); i < n; i++)                       \
                ((loose *)to)[i] = (type)written(from[i]);                                         \
        else                                                                                       \
            for (int64_t i = 0; i < n; i++)                                                        \
                *(loose *)(to + i * step) = (type)written(from[i * stride]);                       \
    }

/* Halves are reached by way of float32, as in torch, also from float64. */
#define AS_FLOAT16(value) float16_of_float((float)(value))
#define AS_BFLOAT16(value) bfloat16_of_float((float)(value))
#define NONE(to, from, n) 0
STRIPS(float16, uint16_t, loose_half, float_of_float16, AS_FLOAT16, READ_HALVES, WRITE_HALVES)
STRIPS(bfloat16, uint16_t, loose_half, float_of_bfloat16, AS_BFLOAT16, NONE, NONE)
STRIPS(float32, float, loose_float, , , NONE, NONE)
STRIPS(float64, double, loose_double, , , NONE, NONE)
#undef STRIPS
#undef AS_FLOAT16
#undef AS_BFLOAT16
#undef NONE

static const strip NAMED(reads)[] = {NAMED(read_float16), NAMED(read_bfloat16),
                                     NAMED(read_float32), NAMED(read_float64)};
static const strip NAMED(writes)[] = {NAMED(write_float16), NAMED(write_bfloat16),
                                      NAMED(write_float32), NAMED(write_float64)};

/* The values at a place: where they are if the loops take them from there, or brought to `room`. */
TARGET static sequence NAMED(values)(const problem *p, const view *v, const place *at,
                                     REAL *restrict room) {
    sequence found = {address(v, at), v->kind};
    if (!v->negated && TAKES(v->kind) && in_sequence(p, v, at, bytes_of(v->kind))) return found;
    for_strips(p, v, at, NAMED(reads)[v->kind], room, sizeof(REAL));
    if (v->negated)
        for (int64_t i = 0; i < at->count; i++) room[i] = -room[i];
    found.data = (const char *)room;
    found.kind = KIND;
    return found;
}

/* The value if chosen, or else 0: its bits are cleared, NaN or not. */
static inline TARGET REAL NAMED(selected)(REAL value, uint8_t chosen) {
    union {
        REAL value;
        BITS bits;
    } both = {value};
    both.bits &= chosen ? ~(BITS)0 : 0;
    return both.value;
}

TARGET static void NAMED(add_block)(sequence a, sequence b, const uint8_t *restrict m, int64_t n,
                                    double *restrict high, double *restrict low, int64_t *count) {
    REAL sums[LANES] = {0};
    uint8_t chosen[LANES] = {0}; /* BLOCK / LANES at most */
    int64_t i = ADD_GROUPS(a.data, a.kind, b.data, b.kind, m, n, sums, chosen);
    for (; i < n; i += LANES) {
        int width = n - i < LANES ? (int)(n - i) : LANES;
        for (int k = 0; k < width; k++) {
            REAL difference = NAMED(selected)(ELEMENT(a, i + k) - ELEMENT(b, i + k), m[i + k]);
            sums[k] += difference * difference;
        }
        for (int k = 0; k < width; k++) chosen[k] += m[i + k] != 0;
    }
    for (int k = 0; k < LANES; k++) {
        double sum = high[k] + sums[k], back = sum - high[k];
        if (KIND == FLOAT64) low[k] += (high[k] - (sum - back)) + (sums[k] - back);
        high[k] = sum;
        *count += chosen[k];
    }
}

TARGET static void NAMED(sums)(void *context, int64_t part) {
    const problem *p = context;
    REAL a_room[BLOCK], b_room[BLOCK];
    uint8_t m_room[BLOCK];
    double high[LANES] = {0}, low[LANES] = {0};
    partial found = {0, 0, 0};
    for (int64_t block = first_block(p, part); block < first_block(p, part + 1); block++) {
        place at = place_of(p, block);
        sequence a = NAMED(values)(p, &p->views[X_RECON], &at, a_room);
        sequence b = NAMED(values)(p, &p->views[X], &at, b_room);
        NAMED(add_block)(a, b, mask_bytes(p, &at, m_room), at.count, high, low, &found.count);
    }
    for (int k = 0; k < LANES; k++) {
        partial lane = {high[k], high[k] - high[k] == 0 ? low[k] : 0, 0};
        add_partial(&found, &lane);
    }
    p->partials[part] = found;
}

TARGET static void NAMED(write_block)(sequence a, sequence b, const uint8_t *restrict m, int64_t n,
                                      REAL scale, LOOSE_REAL *restrict g) {
    for (int64_t i = WRITE_GROUPS(a.data, a.kind, b.data, b.kind, m, n, scale, g); i < n; i++) {
        REAL difference = ELEMENT(a, i) - ELEMENT(b, i);
        g[i] = NAMED(selected)((difference + difference) * scale, m[i]);
    }
}

/* Where a gradient is to be written: its own place, if that is as the loops write, or `room`. */
TARGET static LOOSE_REAL *NAMED(place_for)(const problem *p, const view *to, const place *at,
                                           REAL *room) {
    int direct = to->kind == KIND && in_sequence(p, to, at, sizeof(REAL));
    return direct ? (LOOSE_REAL *)address(to, at) : room;
}

TARGET static void NAMED(gradients)(void *context, int64_t part) {
    const problem *p = context;
    const view *to = &p->views[FOR_RECON], *opposite = &p->views[FOR_X];
    REAL a_room[BLOCK], b_room[BLOCK], room[BLOCK];
    uint8_t m_room[BLOCK];
    populate(p, to, part);
    populate(p, opposite, part);
    for (int64_t block = first_block(p, part); block < first_block(p, part + 1); block++) {
        place at = place_of(p, block);
        sequence a = NAMED(values)(p, &p->views[X_RECON], &at, a_room);
        sequence b = NAMED(values)(p, &p->views[X], &at, b_room);
        LOOSE_REAL *g = NAMED(place_for)(p, to, &at, room), *h;
        NAMED(write_block)(a, b, mask_bytes(p, &at, m_room), at.count, (REAL)p->scale, g);
        if (g == room) for_strips(p, to, &at, NAMED(writes)[to->kind], room, sizeof(REAL));
        if (opposite->data == NULL) continue;
        h = NAMED(place_for)(p, opposite, &at, room);
        for (int64_t i = 0; i < at.count; i++) h[i] = -g[i];
        if (h == room)
            for_strips(p, opposite, &at, NAMED(writes)[opposite->kind], room, sizeof(REAL));
    }
}

#undef NAMED
