/*
 * The heap of the JDK's libraries. KVM leaves a client's heap alone, and so does Slate: what libjvm allocates and frees, on the
 * client's own threads too, is here. Spans of 64 KiB in one reserved range: of blocks of one size, or runs for a large one. What
 * does not lie in the range was allocated by libc inside one of its functions, from the client's malloc.
 */
#include "slate.h"

#include <sched.h>
#include <sys/resource.h>

enum { SPAN = 65536, SPANS = 16384, CLASSES = 41, LARGEST = 40960, LARGE = CLASSES, GROW = 16, MOST_WARM = 256 };

struct block {
    struct block *next;
};
struct class {
    atomic_flag lock;
    struct block *free;
    char *fresh, *end; /* of the newest span */
};

static char *base;
static uint8_t kinds[SPANS];   /* of a span: its class, or LARGE; plus 1 */
static uint16_t lengths[SPANS]; /* of a large block, in spans, at its first one; of a hole, too */
static struct class classes[CLASSES];
static atomic_flag spans_lock = ATOMIC_FLAG_INIT;
static uint32_t used;  /* spans ever taken */
static uint32_t opened; /* spans with access */
static uint32_t most;   /* spans that are reserved */
/*
 * Free spans that keep their pages, MOST_WARM at most: a compiler frees and allocates large arrays all the time, and to give a page
 * back interrupts every processor that runs a thread of the client's.
 */
static bool warm[SPANS];
static uint32_t warm_count;

/* Not libc's: a client's ThreadSanitizer stands before those, and sees none of the locks by which memory here goes from thread to thread. */
static void copy(void *to, const void *from, size_t bytes) {
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}
static void fill(void *at, int value, size_t bytes) {
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(value) : "memory");
}

static void lock(atomic_flag *l) {
    for (int i = 0; atomic_flag_test_and_set_explicit(l, memory_order_acquire); i++) {
        if (i < 100) __builtin_ia32_pause();
        else sched_yield();
    }
}
static void unlock(atomic_flag *l) {
    atomic_flag_clear_explicit(l, memory_order_release);
}

/* Sizes 16, 32 .. 128, then four for every doubling. */
static unsigned class_of(size_t bytes) {
    if (bytes <= 128) return bytes ? (unsigned)((bytes - 1) >> 4) : 0;
    unsigned log = 63 - (unsigned)__builtin_clzl(bytes - 1);
    return 8 + (log - 7) * 4 + (unsigned)(((bytes - 1) >> (log - 2)) & 3);
}
static size_t size_of(unsigned class) {
    if (class < 8) return (class + 1) * 16;
    return (size_t)(5 + ((class - 8) & 3)) << (5 + (class - 8) / 4);
}

/* A run of spans, under their lock; NULL: the range is full. */
static char *take_spans(uint32_t count, unsigned kind) {
    if (!base) {
        struct rlimit space; /* where the client's address space is limited, it is not to go for what is hardly ever used */
        bool narrow = raw(SYS_prlimit64, 0, RLIMIT_AS, 0, (long)&space, 0, 0) == 0 && space.rlim_cur != RLIM_INFINITY;
        most = narrow ? SPANS / 16 : SPANS;
        long at = raw(SYS_mmap, 0, (long)SPAN * (most + 1), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at < 0 && at >= -4095) return NULL;
        base = (char *)((at + SPAN - 1) & -SPAN);
    }
    uint32_t first = used;
    for (uint32_t i = 0; i < used; i += lengths[i]) { /* the first hole that is large enough */
        if (kinds[i] || lengths[i] < count) continue;
        uint32_t rest = lengths[i] - count;
        if (rest) lengths[i + count] = (uint16_t)rest;
        first = i;
        break;
    }
    if (first == used) {
        if (first + count > most) return NULL;
        used = first + count;
    }
    if (used > opened) { /* by mmap, which a client's filter allows sooner than mprotect */
        uint32_t to = used + GROW < most ? used + GROW : most;
        long at = raw(SYS_mmap, (long)(base + (size_t)opened * SPAN), (long)(to - opened) * SPAN, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
        if (at < 0 && at >= -4095) {
            if (first + count == used) used = first;
            return NULL;
        }
        opened = to;
    }
    for (uint32_t i = first; i < first + count; i++) warm_count -= warm[i];
    fill(warm + first, false, count);
    fill(kinds + first, (int)kind + 1, count);
    lengths[first] = (uint16_t)count;
    return base + (size_t)first * SPAN;
}

static bool is_here(const void *p) {
    return base && (size_t)((const char *)p - base) < (size_t)SPAN * most;
}
static uint32_t span_of(const void *p) {
    return (uint32_t)((size_t)((const char *)p - base) / SPAN);
}

void *heap_malloc(size_t bytes) {
    if (bytes > LARGEST) {
        if (bytes > (size_t)SPAN * (UINT16_MAX / 2)) return NULL;
        lock(&spans_lock);
        void *p = take_spans((uint32_t)((bytes + SPAN - 1) / SPAN), LARGE);
        unlock(&spans_lock);
        return p;
    }
    unsigned class = class_of(bytes);
    size_t size = size_of(class);
    struct class *c = &classes[class];
    lock(&c->lock);
    struct block *p = c->free;
    if (p) {
        c->free = p->next;
    } else {
        if (c->fresh + size > c->end || !c->fresh) {
            lock(&spans_lock);
            c->fresh = take_spans(1, class);
            unlock(&spans_lock);
            c->end = c->fresh ? c->fresh + SPAN : NULL;
        }
        p = (struct block *)c->fresh;
        if (p) c->fresh += size;
    }
    unlock(&c->lock);
    return p;
}

static void (*client_free(void))(void *) {
    static void (*found)(void *);
    if (!found) found = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
    return found;
}

void heap_free(void *p) {
    if (!p) return;
    if (!is_here(p)) {
        client_free()(p);
        return;
    }
    uint32_t span = span_of(p);
    unsigned kind = kinds[span] - 1u;
    if (kind == LARGE) {
        uint32_t count = lengths[span];
        lock(&spans_lock);
        bool keeps = warm_count + count <= MOST_WARM;
        if (!keeps) { /* nobody takes them meanwhile */
            unlock(&spans_lock);
            raw(SYS_madvise, (long)p, (long)count * SPAN, MADV_DONTNEED, 0, 0, 0);
            lock(&spans_lock);
        } else {
            warm_count += count;
        }
        fill(kinds + span, 0, count);
        fill(warm + span, keeps, count);
        uint32_t next = span + count;
        if (next < used && !kinds[next]) lengths[span] = (uint16_t)(lengths[next] + count < UINT16_MAX ? count + lengths[next] : count);
        unlock(&spans_lock);
        return;
    }
    struct class *c = &classes[kind];
    lock(&c->lock);
    ((struct block *)p)->next = c->free;
    c->free = p;
    unlock(&c->lock);
}

void *heap_calloc(size_t n, size_t bytes) {
    size_t all;
    if (__builtin_mul_overflow(n, bytes, &all)) return NULL;
    void *p = heap_malloc(all);
    if (p) fill(p, 0, all);
    return p;
}

void *heap_realloc(void *old, size_t bytes) {
    if (!old) return heap_malloc(bytes);
    if (!is_here(old)) {
        void *(*client)(void *, size_t) = (void *(*)(void *, size_t))dlsym(RTLD_DEFAULT, "realloc");
        return client(old, bytes);
    }
    uint32_t span = span_of(old);
    size_t had = kinds[span] - 1u == LARGE ? (size_t)lengths[span] * SPAN : size_of(kinds[span] - 1u);
    if (bytes <= had && (bytes > had / 2 || had <= 64)) return old;
    void *p = heap_malloc(bytes);
    if (!p) return NULL;
    copy(p, old, had < bytes ? had : bytes);
    heap_free(old);
    return p;
}

/* A block of a power of two lies at a multiple of its size. */
void *heap_aligned_alloc(size_t alignment, size_t bytes) {
    if (alignment > SPAN) return NULL;
    size_t size = 16;
    while (size < bytes || size < alignment) size *= 2;
    return heap_malloc(size);
}
int heap_posix_memalign(void **out, size_t alignment, size_t bytes) {
    *out = heap_aligned_alloc(alignment, bytes);
    return *out ? 0 : ENOMEM;
}
char *heap_strdup(const char *text) {
    size_t n = strlen(text) + 1;
    char *p = heap_malloc(n);
    if (p) copy(p, text, n);
    return p;
}

/* libc's qsort() sorts in memory of malloc's. This one (heapsort) needs none. */
static void swap(char *a, char *b, size_t size) {
    for (; size; size--, a++, b++) {
        char t = *a;
        *a = *b;
        *b = t;
    }
}
static void sift(char *of, size_t root, size_t n, size_t size, int (*compare)(const void *, const void *)) {
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && compare(of + child * size, of + (child + 1) * size) < 0) child++;
        if (compare(of + root * size, of + child * size) >= 0) return;
        swap(of + root * size, of + child * size, size);
    }
}
void heap_qsort(void *of, size_t n, size_t size, int (*compare)(const void *, const void *)) {
    for (size_t root = n / 2; root-- > 0;) sift(of, root, n, size, compare);
    for (size_t end = n; end-- > 1;) {
        swap(of, (char *)of + end * size, size);
        sift(of, 0, end, size, compare);
    }
}
