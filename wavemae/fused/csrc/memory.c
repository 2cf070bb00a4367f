/* Memory that a gradient is written to, before the system has handed it out. */
#include "native.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>

#define MAPPED ((int64_t)1 << 25) /* bytes from which on glibc always maps memory afresh */
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* of Linux 5.14; what an older one does not know it refuses */
#endif

/* Fresh memory comes page by page as it is written, which costs more than the arithmetic. Asking
for all pages of a part at one go costs less, and changes nothing where they are there already. */
void populate(const problem *p, const view *v, int64_t part) {
    const int64_t elements = p->rows * p->columns, bytes = bytes_of(v->kind);
    const int64_t past = first_block(p, part + 1) * BLOCK;
    const uintptr_t inside = (uintptr_t)sysconf(_SC_PAGESIZE) - 1;
    place at = place_of(p, first_block(p, part)); /* a block, and from here on the whole part */
    if (v->data == NULL || p->tiled || elements * bytes < MAPPED) return;
    at.count = (past < elements ? past : elements) - first_block(p, part) * BLOCK;
    if (!in_sequence(p, v, &at, bytes)) return;
    const uintptr_t from = (uintptr_t)address(v, &at), to = from + (uintptr_t)(at.count * bytes);
    const uintptr_t first = (from + inside) & ~inside, last = to & ~inside; /* whole pages */
    if (first < last) (void)madvise((void *)first, last - first, MADV_POPULATE_WRITE);
}
#else
void populate(const problem *p, const view *v, int64_t part) { (void)p, (void)v, (void)part; }
#endif
