/* Halves to float32 and back in integers: exact one way, to the nearest even the other. */

static inline float float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of_bfloat16(uint16_t half) { return float_of_bits((uint32_t)half << 16); }

static inline uint16_t bfloat16_of_float(float value) {
    uint32_t bits = bits_of_float(value);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);
}

static inline float float_of_float16(uint16_t half) {
    uint32_t magnitude = half & 0x7fff, sign = (uint32_t)(half & 0x8000) << 16;
    uint32_t normal = (magnitude << 13) + (112u << 23); /* the exponents are biased by 15 and 127 */
    uint32_t special = normal + (112u << 23);           /* infinity and NaN: all ones on both sides */
    uint32_t small = bits_of_float((float)(int32_t)magnitude * 0x1p-24f); /* subnormals count 2⁻²⁴ */
    uint32_t bits = magnitude >= 0x7c00 ? special : magnitude < 0x400 ? small : normal;
    return float_of_bits(bits | sign);
}

static inline uint16_t float16_of_float(float value) {
    uint32_t bits = bits_of_float(value), magnitude = bits & 0x7fffffff;
    /* Below 2⁻¹⁴ steps are 2⁻²⁴: a sum with ½ has its last place there, and is rounded by it. */
    uint32_t small = bits_of_float(float_of_bits(magnitude) + 0.5f) - 0x3f000000;
    uint32_t normal = (magnitude + 0xfff + (magnitude >> 13 & 1) - (112u << 23)) >> 13;
    uint32_t half = magnitude < (113u << 23) ? small : normal;
    if (magnitude >= 0x477ff000) half = 0x7c00; /* 65520 and more */
    if (magnitude > 0x7f800000) half = 0x7e00;
    return (uint16_t)(half | (bits >> 16 & 0x8000));
}
