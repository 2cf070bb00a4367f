/* masked_sse and masked_mse in C, as a port: docs/ports.md says what the lines mean.

   cc -O2 -o port examples/port.c -lm
   python -m wavemae.properties --command ./port

   With -DMISTAKE it multiplies by the mask where it should select, so that NaN leaks. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { X_RECON, X, MASK, UPSTREAM, TENSORS };
static const char *const NAMES[TENSORS] = {"x_recon", "x", "mask", "upstream"};

typedef struct {
    char dtype[32], shape[64]; /* as they stand in the line: float32, and 2,3 */
    long bytes;
    unsigned char *data;
} Tensor;

/* Floating-point formats. */

typedef struct {
    const char *name;
    int size, fraction, lowest; /* bytes, stored bits of the fraction, smallest normal exponent */
} Format;

static const Format FORMATS[] = {
    {"float16", 2, 10, -14}, {"bfloat16", 2, 7, -126}, {"float32", 4, 23, -126}, {"float64", 8, 52, -1022}};

static const Format *format(const char *name) {
    for (int i = 0; i < 4; i++)
        if (!strcmp(FORMATS[i].name, name)) return &FORMATS[i];
    return NULL;
}

static double widened(const Format *f, const unsigned char *at) {
    uint16_t bits;
    float single;
    double number;
    if (f->size == 8) return memcpy(&number, at, 8), number;
    if (f->size == 4) return memcpy(&single, at, 4), single;
    memcpy(&bits, at, 2);
    int exponent = (bits & 0x7fff) >> f->fraction, highest = 0x7fff >> f->fraction;
    int fraction = bits & ((1 << f->fraction) - 1);
    if (exponent == highest)
        number = fraction ? NAN : INFINITY;
    else if (exponent)
        number = ldexp(fraction + (1 << f->fraction), exponent - 1 + f->lowest - f->fraction);
    else
        number = ldexp(fraction, f->lowest - f->fraction);
    return bits & 0x8000 ? -number : number;
}

static void narrowed(const Format *f, double number, unsigned char *at) {
    if (f->size == 8) {
        memcpy(at, &number, 8);
    } else if (f->size == 4) {
        float single = (float)number;
        memcpy(at, &single, 4);
    } else {
        uint16_t sign = signbit(number) ? 0x8000 : 0, infinite = 0x7fff >> f->fraction << f->fraction;
        double units = 0;
        if (isnan(number)) {
            units = 0x7fff;
        } else if (isinf(number)) {
            units = infinite;
        } else if (number != 0) {
            int exponent;
            frexp(number, &exponent);
            exponent = exponent - 1 < f->lowest ? f->lowest : exponent - 1;
            units = rint(ldexp(fabs(number), f->fraction - exponent)); /* half to even */
            units += ldexp(exponent - f->lowest, f->fraction);
            if (units > infinite) units = infinite;
        }
        uint16_t bits = sign | (uint16_t)units;
        memcpy(at, &bits, 2);
    }
}

/* The loss. Pairwise, so that a term passes few additions: C6 allows 256. */

static double summed(const double *a, const double *b, const unsigned char *mask, long n) {
    if (n > 64) return summed(a, b, mask, n / 2) + summed(a + n / 2, b + n / 2, mask + n / 2, n - n / 2);
    double total = 0;
    for (long i = 0; i < n; i++) {
        double d = a[i] - b[i];
#ifdef MISTAKE
        total += mask[i] * d * d;
#else
        if (mask[i]) total += d * d;
#endif
    }
    return total;
}

static double divisor(const char *reduction, const unsigned char *mask, long rows, long n) {
    long count = 0;
    if (!strcmp(reduction, "sum")) return 1;
    if (!strcmp(reduction, "batch_mean")) return rows ? rows : 1;
    for (long i = 0; i < n; i++) count += mask[i];
    return count ? count : 1;
}

static double gradient(double a, double b, double upstream, double by) {
    return 2 * (a - b) * upstream / by;
}

/* The line. Its keys stand in a fixed order, and no string that is right holds a quote. */

static const char *field(const char *line, const char *key, char *out, size_t room) {
    char quoted[32];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *from = strstr(line, quoted);
    if (!from) return NULL;
    from += strlen(quoted);
    const char *ends = *from == '"' ? "\"" : *from == '[' ? "]" : ",}";
    from += *from == '"' || *from == '[';
    size_t length = strcspn(from, ends);
    snprintf(out, room, "%.*s", (int)length, from);
    for (char *c = out; *c; c++)
        if (*c == '\\') *c = '?'; /* what is escaped is not right, and is not to be said again */
    return from + length;
}

static void fault(const char *id, const char *kind, const char *what, const char *got, const char *way) {
    printf("{\"id\":%s,\"fault\":\"%s\",\"message\":\"%s, got %s; %s\"}\n", id, kind, what, got, way);
}

/* Says why the call is refused, and returns 1; or returns 0. */
static int refused(const char *id, const Tensor *t, const char *reduction) {
    char what[200], got[100];
    for (int i = X_RECON; i <= X; i++)
        if (!format(t[i].dtype)) {
            snprintf(what, sizeof what, "%s must be float16, bfloat16, float32 or float64", NAMES[i]);
            return fault(id, "dtype", what, t[i].dtype, "convert it first"), 1;
        }
    if (strcmp(t[MASK].dtype, "bool"))
        return fault(id, "dtype", "mask must be bool, true where masked", t[MASK].dtype, "compare it with 0"), 1;
    for (int i = X_RECON; i <= MASK; i++) {
        const char *comma = strchr(t[i].shape, ',');
        snprintf(got, sizeof got, "(%s)", t[i].shape);
        snprintf(what, sizeof what, "%s must have two dimensions (B, L)", NAMES[i]);
        if (!comma || strchr(comma + 1, ',')) return fault(id, "shape", what, got, "reshape it"), 1;
        snprintf(what, sizeof what, "%s must have the shape of x_recon, (%s)", NAMES[i], t[0].shape);
        if (strcmp(t[i].shape, t[X_RECON].shape))
            return fault(id, "shape", what, got, "nothing is broadcast"), 1;
    }
    if (strcmp(reduction, "sum") && strcmp(reduction, "mean") && strcmp(reduction, "batch_mean")) {
        snprintf(got, sizeof got, "'%.80s'", reduction);
        return fault(id, "reduction", "reduction must be sum, mean or batch_mean", got, "choose one"), 1;
    }
    return 0;
}

static void answer(const char *id, const char *line, const Tensor *t, const char *reduction) {
    long rows, columns;
    if (refused(id, t, reduction)) return;
    sscanf(t[X_RECON].shape, "%ld,%ld", &rows, &columns);
    long n = rows * columns;
    const Format *formats[2] = {format(t[X_RECON].dtype), format(t[X].dtype)};
    double *values[2];
    for (int i = 0; i < 2; i++) {
        values[i] = malloc((size_t)n * sizeof(double) + 1);
        for (long k = 0; k < n; k++) values[i][k] = widened(formats[i], t[i].data + k * formats[i]->size);
    }
    const unsigned char *mask = t[MASK].data;
    double by = divisor(reduction, mask, rows, n);
    int wide = formats[0]->size == 8 || formats[1]->size == 8;
    const Format *result = format(wide ? "float64" : "float32");
    printf("{\"id\":%s,\"tensors\":[", id);
    if (strstr(line, "\"value\"")) {
        unsigned char number[8];
        narrowed(result, summed(values[0], values[1], mask, n) / by, number);
        printf("{\"name\":\"value\",\"dtype\":\"%s\",\"shape\":[],\"bytes\":%d}]}\n", result->name, result->size);
        fwrite(number, 1, (size_t)result->size, stdout);
    } else {
        double upstream = widened(result, t[UPSTREAM].data);
        int wanted[2] = {!!strstr(line, "\"grad_x_recon\""), !!strstr(line, "\"grad_x\"")};
        for (int i = 0; i < 2; i++)
            if (wanted[i])
                printf("%s{\"name\":\"grad_%s\",\"dtype\":\"%s\",\"shape\":[%s],\"bytes\":%ld}",
                       i && wanted[0] ? "," : "", NAMES[i], t[i].dtype, t[i].shape, n * formats[i]->size);
        printf("]}\n");
        for (int i = 0; i < 2; i++)
            for (long k = 0; wanted[i] && k < n; k++) {
                unsigned char number[8];
                double g = mask[k] ? gradient(values[i][k], values[!i][k], upstream, by) : 0;
                narrowed(formats[i], g, number);
                fwrite(number, 1, (size_t)formats[i]->size, stdout);
            }
    }
    free(values[0]);
    free(values[1]);
}

int main(void) {
    char *line = NULL, id[24], function[16], reduction[256], bytes[24];
    size_t room = 0;
    printf("{\"protocol\":1,\"name\":\"C\"}\n"); /* claims everything that a port can */
    fflush(stdout);
    while (getline(&line, &room, stdin) > 0) {
        Tensor tensors[TENSORS] = {0};
        const char *at = strstr(line, "\"tensors\"");
        for (int i = 0; i < TENSORS && (at = strstr(at, "\"name\"")); i++) {
            at = field(at, "dtype", tensors[i].dtype, sizeof tensors[i].dtype);
            at = field(at, "shape", tensors[i].shape, sizeof tensors[i].shape);
            at = field(at, "bytes", bytes, sizeof bytes);
            tensors[i].bytes = atol(bytes);
            tensors[i].data = malloc((size_t)tensors[i].bytes + 1);
            if (fread(tensors[i].data, 1, (size_t)tensors[i].bytes, stdin) < (size_t)tensors[i].bytes) return 1;
        }
        field(line, "id", id, sizeof id);
        field(line, "function", function, sizeof function);
        if (strstr(line, "\"reduction\":null"))
            strcpy(reduction, strcmp(function, "masked_sse") ? "mean" : "batch_mean");
        else
            field(line, "reduction", reduction, sizeof reduction);
        answer(id, line, tensors, reduction);
        fflush(stdout);
        for (int i = 0; i < TENSORS; i++) free(tensors[i].data);
    }
    free(line);
    return 0;
}
