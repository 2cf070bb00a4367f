/* The float32 loops for processors with AVX2 and F16C, by hand: what compilers make of the widening
of mask bytes and halves takes up to three times as long. Eight elements at a time, the same
operations on each in the same order as in real.h, and so the same bits. */

#define AVX2 __attribute__((target("avx2,f16c")))

/* Eight values of a dtype that widens to float32. */
static inline AVX2 __m256 load_avx2(const char *from, int64_t i, int kind) {
    if (kind == FLOAT32) return _mm256_loadu_ps((const float *)from + i);
    __m128i halves = _mm_loadu_si128((const __m128i *)((const loose_half *)from + i));
    if (kind == FLOAT16) return _mm256_cvtph_ps(halves);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
}

static inline float element_avx2(const char *from, int64_t i, int kind) {
    if (kind == FLOAT32) return ((const loose_float *)from)[i];
    if (kind == FLOAT16) return float_of_float16(((const loose_half *)from)[i]);
    return float_of_bfloat16(((const loose_half *)from)[i]);
}

static inline AVX2 __m256 select_avx2(__m256 values, const uint8_t *m) {
    __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)m));
    __m256i outside = _mm256_cmpeq_epi32(wide, _mm256_setzero_si256());
    return _mm256_andnot_ps(_mm256_castsi256_ps(outside), values);
}

/* Adds the squares of as many whole groups of LANES as there are, and returns how many elements
that were. */
static inline __attribute__((always_inline)) AVX2 int64_t
add_kinds_avx2(const char *a, int a_kind, const char *b, int b_kind, const uint8_t *m, int64_t n,
               float *sums, uint8_t *chosen) {
    int64_t i = 0, groups = n / LANES;
    __m256 s[LANES / 8];
    __m256i unchosen[LANES / 32], zero = _mm256_setzero_si256();
    uint8_t counted[LANES];
    for (int k = 0; k < LANES / 8; k++) s[k] = _mm256_setzero_ps();
    for (int k = 0; k < LANES / 32; k++) unchosen[k] = zero;
    for (; i < groups * LANES; i += LANES) {
#pragma GCC unroll 8
        for (int k = 0; k < LANES / 8; k++) {
            __m256 d = _mm256_sub_ps(load_avx2(a, i + 8 * k, a_kind),
                                     load_avx2(b, i + 8 * k, b_kind));
            d = select_avx2(d, m + i + 8 * k);
            s[k] = _mm256_add_ps(s[k], _mm256_mul_ps(d, d));
        }
#pragma GCC unroll 2
        for (int k = 0; k < LANES / 32; k++) {
            __m256i bytes = _mm256_loadu_si256((const __m256i *)(m + i + 32 * k));
            unchosen[k] = _mm256_sub_epi8(unchosen[k], _mm256_cmpeq_epi8(bytes, zero));
        }
    }
    for (int k = 0; k < LANES / 8; k++) _mm256_storeu_ps(sums + 8 * k, s[k]);
    for (int k = 0; k < LANES / 32; k++)
        _mm256_storeu_si256((__m256i *)(counted + 32 * k), unchosen[k]);
    for (int k = 0; k < LANES; k++) chosen[k] = (uint8_t)(groups - counted[k]);
    return i;
}

static inline __attribute__((always_inline)) AVX2 int64_t
gradient_kinds_avx2(const char *a, int a_kind, const char *b, int b_kind, const uint8_t *m,
                    int64_t n, float scale, loose_float *g) {
    int64_t i = 0;
    __m256 scales = _mm256_set1_ps(scale);
    for (; i + 8 <= n; i += 8) {
        __m256 d = _mm256_sub_ps(load_avx2(a, i, a_kind), load_avx2(b, i, b_kind));
        d = _mm256_mul_ps(_mm256_add_ps(d, d), scales);
        _mm256_storeu_ps((float *)g + i, select_avx2(d, m + i));
    }
    return i;
}

/* The same, with the kinds known to the compiler. */
#define PAIRS(call)                                                                               \
    switch (a_kind * 4 + b_kind) {                                                                \
        case FLOAT16 * 4 + FLOAT16: return call(FLOAT16, FLOAT16);                                \
        case FLOAT16 * 4 + BFLOAT16: return call(FLOAT16, BFLOAT16);                              \
        case FLOAT16 * 4 + FLOAT32: return call(FLOAT16, FLOAT32);                                \
        case BFLOAT16 * 4 + FLOAT16: return call(BFLOAT16, FLOAT16);                              \
        case BFLOAT16 * 4 + BFLOAT16: return call(BFLOAT16, BFLOAT16);                            \
        case BFLOAT16 * 4 + FLOAT32: return call(BFLOAT16, FLOAT32);                              \
        case FLOAT32 * 4 + FLOAT16: return call(FLOAT32, FLOAT16);                                \
        case FLOAT32 * 4 + BFLOAT16: return call(FLOAT32, BFLOAT16);                              \
        default: return call(FLOAT32, FLOAT32);                                                   \
    }

AVX2 static int64_t add_groups_avx2(const char *a, int a_kind, const char *b, int b_kind,
                                    const uint8_t *m, int64_t n, float *sums, uint8_t *chosen) {
#define CALL(first, second) add_kinds_avx2(a, first, b, second, m, n, sums, chosen)
    PAIRS(CALL)
#undef CALL
}

AVX2 static int64_t gradient_groups_avx2(const char *a, int a_kind, const char *b, int b_kind,
                                         const uint8_t *m, int64_t n, float scale,
                                         loose_float *g) {
#define CALL(first, second) gradient_kinds_avx2(a, first, b, second, m, n, scale, g)
    PAIRS(CALL)
#undef CALL
}
#undef PAIRS

/* Halves in sequence to float32 and back; both return how many they did. */
AVX2 static int64_t read_halves_avx2(float *to, const loose_half *from, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(to + i, load_avx2((const char *)from, i, FLOAT16));
    return i;
}

AVX2 static int64_t write_halves_avx2(loose_half *to, const float *from, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(to + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT));
    return i;
}
