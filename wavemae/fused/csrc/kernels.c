/* real.h compiled in both precisions, and again for each instruction set that is worth it. Which
is used is decided when the module is loaded. Products and sums are rounded one by one
(-ffp-contract=off), so all give the same bits. */
#include "native.h"

#include <string.h>

#define JOIN3_(a, b, c) a##_##b##_##c
#define JOIN3(a, b, c) JOIN3_(a, b, c)

#if defined(__GNUC__) || defined(__clang__)
#define LOOSE(type) type __attribute__((aligned(1), may_alias))
#else
#define LOOSE(type) type
#endif

/* Elements of a tensor, whose memory need not be aligned to them. */
typedef LOOSE(float) loose_float;
typedef LOOSE(double) loose_double;
typedef LOOSE(uint16_t) loose_half;

/* Elements that follow one another. */
typedef struct {
    const char *data;
    int kind;
} sequence;

#include "halves.h"

/* Plain C, in which the loops take what has the precision they compute in. */
#define TAKES(kind) ((kind) == KIND)
#define ELEMENT(from, i) (((const LOOSE_REAL *)from.data)[i])
#define ADD_GROUPS(a, a_kind, b, b_kind, m, n, sums, chosen) 0
#define WRITE_GROUPS(a, a_kind, b, b_kind, m, n, scale, g) 0
#define READ_HALVES(to, from, n) 0
#define WRITE_HALVES(to, from, n) 0

#define VARIANT plain
#define TARGET
#define REAL float
#define LOOSE_REAL loose_float
#define BITS uint32_t
#define KIND FLOAT32
#include "real.h"
#undef REAL
#undef LOOSE_REAL
#undef BITS
#undef KIND
#define REAL double
#define LOOSE_REAL loose_double
#define BITS uint64_t
#define KIND FLOAT64
#include "real.h"
#undef VARIANT
#undef TARGET

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#define WITH_AVX2
#include <cpuid.h>
#include <immintrin.h>

#include "avx2.h"

#define VARIANT avx2
#define TARGET AVX2
#include "real.h"
#undef REAL
#undef LOOSE_REAL
#undef BITS
#undef KIND
#undef TAKES
#undef ELEMENT
#undef ADD_GROUPS
#undef WRITE_GROUPS
#undef READ_HALVES
#undef WRITE_HALVES

#define REAL float
#define LOOSE_REAL loose_float
#define BITS uint32_t
#define KIND FLOAT32
#define TAKES(kind) ((kind) <= FLOAT32)
#define ELEMENT(from, i) element_avx2(from.data, i, from.kind)
#define ADD_GROUPS add_groups_avx2
#define WRITE_GROUPS gradient_groups_avx2
#define READ_HALVES read_halves_avx2
#define WRITE_HALVES write_halves_avx2
#include "real.h"

/* Asked of the processor, and whether the system keeps its wide registers. */
static int has_avx2(void) {
    const unsigned needed = bit_OSXSAVE | bit_AVX | bit_F16C;
    unsigned a, b, c, d, kept, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & needed) != needed) return 0;
    __asm__("xgetbv" : "=a"(kept), "=d"(high) : "c"(0));
    if ((kept & 6) != 6) return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_AVX2);
}
#endif

static int always(void) { return 1; }

const variant variants[] = {
    {"plain", always, {sums_float_plain, sums_double_plain},
     {gradients_float_plain, gradients_double_plain}},
#ifdef WITH_AVX2
    {"avx2", has_avx2, {sums_float_avx2, sums_double_avx2},
     {gradients_float_avx2, gradients_double_avx2}},
#endif
    {NULL, NULL, {NULL, NULL}, {NULL, NULL}},
};
