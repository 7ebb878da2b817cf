/*
 * Sites that are met often. A `mov $number, %eax` right before a `syscall` becomes a jump to a trampoline, which loads the number, keeps
 * the address behind the `syscall` in RCX and goes the quick way (trap.S). The `syscall` itself stays: who jumps to it, or is on its way
 * back from it, finds it, and the quick way falls back on it. One instruction is replaced by one of the same length, so no thread can
 * stand inside. Go's one function for system calls has its number in RAX already; what is replaced there are two moves, before the
 * program has run at all.
 */
#include "loaded.h"

#include <cpuid.h>
#include <linux/membarrier.h>

enum { OFTEN = 64, SITES = 1024, REGION_BYTES = 65536, ROOM = 32, SYNC_CORE = MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE };

/* What each call is; all others trap. */
uint8_t slate_call_kind[CALLS] = {
    [SYS_ioctl] = CALL_IOCTL,
    [SYS_read] = CALL_FILE,      [SYS_write] = CALL_FILE,     [SYS_pread64] = CALL_FILE,      [SYS_pwrite64] = CALL_FILE,
    [SYS_readv] = CALL_FILE,     [SYS_writev] = CALL_FILE,    [SYS_lseek] = CALL_FILE,        [SYS_fsync] = CALL_FILE,
    [SYS_fdatasync] = CALL_FILE, [SYS_sendto] = CALL_FILE,    [SYS_sendmsg] = CALL_FILE,      [SYS_recvfrom] = CALL_FILE,
    [SYS_futex] = CALL_PLAIN,    [SYS_poll] = CALL_PLAIN,     [SYS_epoll_wait] = CALL_PLAIN,  [SYS_nanosleep] = CALL_PLAIN,
    [SYS_getpid] = CALL_PLAIN,   [SYS_gettid] = CALL_PLAIN,   [SYS_getppid] = CALL_PLAIN,     [SYS_clock_nanosleep] = CALL_PLAIN,
    [SYS_getuid] = CALL_PLAIN,   [SYS_tgkill] = CALL_PLAIN,   [SYS_sched_yield] = CALL_PLAIN, [SYS_clock_gettime] = CALL_PLAIN,
    [SYS_setitimer] = CALL_PLAIN, [SYS_timer_settime] = CALL_PLAIN, [SYS_timerfd_settime] = CALL_PLAIN, [SYS_getrusage] = CALL_PLAIN,
};

static bool possible;

/* Guards what follows; a fork waits for it, or its child would have a site half written. */
static atomic_flag lock = ATOMIC_FLAG_INIT;

static struct site {
    _Atomic uintptr_t at; /* of the instruction behind */
    _Atomic uint32_t met; /* UINT32_MAX: left as it is */
} sites[SITES];

/* Trampolines lie within reach of a jump. Seen twice, so that neither mapping can be written and executed. */
static struct region {
    char *code, *written;
    uint32_t used;
} regions[16];
static struct {
    uint32_t displaced; /* bytes from the original site that it begins with */
    uintptr_t site;     /* where these stood */
} trampolines[16][REGION_BYTES / ROOM];

void rewrite_lock(void) {
    while (atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) raw(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}
void rewrite_unlock(void) {
    atomic_flag_clear_explicit(&lock, memory_order_release);
}

void rewrite_start(void) {
    unsigned a, b, c, d;
    if (!__builtin_cpu_supports("avx")) return;
    __cpuid_count(0xd, 1, a, b, c, d);
    if (!(a & 2) /* XSAVEC */) return;
    uint32_t bytes = 576; /* of the compact form, from the sizes of its parts */
    for (unsigned part = 2; part < 8; part++) {
        if (!(0xe7 >> part & 1)) continue;
        __cpuid_count(0xd, part, a, b, c, d);
        bytes += a + 63;
    }
    if (bytes > REGISTER_BYTES || raw(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0, 0, 0, 0) < 0) return;
    possible = true;
}

static struct region *region_near(uintptr_t site) {
    const int64_t reach = (int64_t)0x7fff0000;
    for (int i = 0; i < 16; i++) {
        struct region *r = &regions[i];
        if (r->code) {
            int64_t d = (int64_t)r->code - (int64_t)site;
            if (d < reach && d > -reach && r->used < REGION_BYTES / ROOM) return r;
            continue;
        }
        own_begin();
        long fd = file_memory("slate-calls", MFD_CLOEXEC);
        own_end(-1);
        if (fd < 0) return NULL;
        if (file_size(fd, REGION_BYTES) < 0) {
            raw(SYS_close, fd, 0, 0, 0, 0, 0);
            return NULL;
        }
        long written = raw(SYS_mmap, 0, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), code = -1;
        for (int64_t step = 0x100000; step < reach && written > 0; step += 0x1000000) {
            for (int sign = -1; sign <= 1; sign += 2) {
                int64_t at = ((int64_t)site & -REGION_BYTES) + sign * step;
                if (at < 0x10000) continue;
                code = raw(SYS_mmap, at, REGION_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0);
                if (code == at) goto found;
            }
        }
    found:
        raw(SYS_close, fd, 0, 0, 0, 0, 0);
        if (code < 0) return NULL;
        r->written = (char *)written;
        r->code = (char *)code;
        return r;
    }
    return NULL;
}

/* The trampoline for a site: `displaced` bytes of it, then the way to slate_quick with `behind` in RCX. */
static char *trampoline(uintptr_t site, size_t displaced, uintptr_t behind) {
    struct region *r = region_near(site);
    if (!r) return NULL;
    uint32_t n = r->used++;
    trampolines[r - regions][n].displaced = (uint32_t)displaced;
    trampolines[r - regions][n].site = site;
    char *out = r->written + n * ROOM, *code = r->code + n * ROOM;
    memcpy(out, (void *)site, displaced);
    out += displaced;
    int32_t d = (int32_t)((int64_t)behind - (int64_t)(code + displaced + 7));
    memcpy(out, "\x48\x8d\x0d", 3); /* lea behind(%rip), %rcx */
    memcpy(out + 3, &d, 4);
    memcpy(out + 7, "\xff\x25\0\0\0\0", 6); /* jmp *0(%rip) */
    uintptr_t quick = (uintptr_t)slate_quick;
    memcpy(out + 13, &quick, 8);
    return code;
}

static bool readable_code(uintptr_t at, size_t bytes, char *copy) {
    return slate_copy(copy, (void *)at, bytes) == 0;
}

static bool open_pages(uintptr_t site, bool open) {
    uintptr_t page = site & -4096ul, end = (site + 16 + 4095) & -4096ul;
    return raw(SYS_mprotect, (long)page, (long)(end - page), PROT_READ | PROT_EXEC | (open ? PROT_WRITE : 0), 0, 0, 0) == 0;
}

/* Whether the program has mapped [at, at + 16) to be executed and not written, from a file. */
static bool is_text(uintptr_t at) {
    char text[4096];
    size_t have = 0;
    bool is = false;
    long fd = own_open("/proc/self/maps", O_RDONLY);
    if (fd < 0) return false;
    for (;;) {
        long n = raw(SYS_read, fd, (long)text + (long)have, (long)(sizeof text - 1 - have), 0, 0, 0);
        if (n <= 0) break;
        have += (size_t)n;
        text[have] = 0;
        char *line = text, *end;
        while ((end = strchr(line, '\n'))) {
            *end = 0;
            char *next;
            uintptr_t from = strtoul(line, &next, 16), to = strtoul(next + (*next == '-'), &next, 16);
            if (at >= from && at + 16 <= to) is = !strncmp(next, " r-xp", 5) && strchr(next, '/');
            line = end + 1;
        }
        have -= (size_t)(line - text);
        memmove(text, line, have);
        if (have >= sizeof text - 1) break;
    }
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return is;
}

static void sync_cores(void) {
    if (raw(SYS_membarrier, SYNC_CORE, 0, 0, 0, 0, 0) == 0) return;
    raw(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0, 0, 0, 0); /* a child of fork() */
    raw(SYS_membarrier, SYNC_CORE, 0, 0, 0, 0, 0);
}

/* A jump in place of the five bytes of one instruction, while other threads execute it: they spin on the first two meanwhile. */
static bool replace(uintptr_t site, const char *target) {
    if ((site & 63) == 63) return false; /* its first two bytes lie in two lines */
    int32_t d = (int32_t)((int64_t)target - (int64_t)(site + 5));
    uint8_t jump[5] = {0xe9};
    memcpy(jump + 1, &d, 4);
    uint16_t spin = 0xfeeb, head;
    memcpy(&head, jump, 2);
    if (!open_pages(site, true)) return false;
    __atomic_store((uint16_t *)site, &spin, __ATOMIC_SEQ_CST);
    sync_cores();
    for (int i = 2; i < 5; i++) __atomic_store_n((uint8_t *)site + i, jump[i], __ATOMIC_SEQ_CST);
    sync_cores();
    __atomic_store((uint16_t *)site, &head, __ATOMIC_SEQ_CST);
    sync_cores();
    open_pages(site, false);
    return true;
}

/* `mov $number, %eax` stands before the call at `behind` - 2, and is no tail of a longer instruction. */
static bool loads_number(uintptr_t behind, long number) {
    uint8_t b[12];
    uint32_t n;
    if (!readable_code(behind - 12, sizeof b, (char *)b) || b[5] != 0xb8 || b[10] != 0x0f || b[11] != 0x05) return false;
    memcpy(&n, b + 6, 4);
    if (n != (uint32_t)number) return false;
    if (b[4] >= 0x40 && b[4] <= 0x4f) return false; /* a prefix: another register */
    for (int i = 1; i < 5; i++) {                    /* what has an immediate behind a displacement or a register */
        if (b[i] == 0xc7 || b[i] == 0x81 || b[i] == 0x69 || b[i] == 0xf7) return false;
    }
    return true;
}

/* The client's filters allow what that takes. */
static bool may_rewrite(void) {
    static const int CALLS_OF_IT[] = {SYS_openat, SYS_read, SYS_close, SYS_memfd_create, SYS_ftruncate, SYS_fcntl, SYS_mmap, SYS_mprotect, SYS_membarrier};
    for (size_t i = 0; i < sizeof CALLS_OF_IT / sizeof *CALLS_OF_IT; i++) {
        if (!seccomp_allows(CALLS_OF_IT[i])) return false;
    }
    return true;
}

static bool rewrite(uintptr_t behind, long number) {
    uintptr_t site = behind - 7;
    if (!may_rewrite() || !loads_number(behind, number) || !is_text(site)) return false;
    char *target = trampoline(site, 5, behind);
    return target && replace(site, target);
}

void rewrite_met(uintptr_t behind, long number) {
    if (!possible || (unsigned long)number >= CALLS || !slate_call_kind[number]) return;
    size_t slot = behind * 0x9e3779b97f4a7c15u >> 54;
    struct site *s = &sites[slot];
    uintptr_t at = atomic_load_explicit(&s->at, memory_order_relaxed);
    if (at != behind) { /* the later one has the place */
        atomic_store_explicit(&s->at, behind, memory_order_relaxed);
        atomic_store_explicit(&s->met, 0, memory_order_relaxed);
    }
    uint32_t met = atomic_load_explicit(&s->met, memory_order_relaxed);
    if (met == UINT32_MAX) return;
    atomic_store_explicit(&s->met, met + 1, memory_order_relaxed);
    if (met < OFTEN || atomic_flag_test_and_set_explicit(&lock, memory_order_acquire)) return;
    if (atomic_exchange(&s->met, UINT32_MAX) != UINT32_MAX) rewrite(behind, number);
    rewrite_unlock();
}

/*
 * internal/runtime/syscall.Syscall6 and its older homes: mov %rsi,%r10; mov %rdi,%rdx; mov %rcx,%rsi; mov %rbx,%rdi; syscall;
 * cmp $-4095,%rax. Called before the program runs.
 */
void rewrite_go(uintptr_t text, size_t bytes) {
    static const char FUNCTION[] = "\x49\x89\xf2\x48\x89\xfa\x48\x89\xce\x48\x89\xdf\x0f\x05\x48\x3d\x01\xf0\xff\xff";
    if (!possible) return;
    const char *found = memmem((void *)text, bytes, FUNCTION, sizeof FUNCTION - 1);
    if (!found) return;
    uintptr_t site = (uintptr_t)found + 6;
    char *target = trampoline(site, 6, site + 8);
    if (!target || !open_pages(site, true)) return;
    int32_t d = (int32_t)((int64_t)target - (int64_t)(site + 5));
    *(uint8_t *)site = 0xe9;
    memcpy((char *)site + 1, &d, 4);
    *(uint8_t *)(site + 5) = 0x90;
    open_pages(site, false);
}

/* A signal met a trampoline or the quick way while the client's registers stood: where the client is in its own eyes. */
void rewrite_leave(struct task *t, struct kernel_ucontext *c) {
    uint64_t rip = c->regs[RIP];
    if (rip >= (uintptr_t)slate_quick && rip < (uintptr_t)slate_quick_taken) {
        c->regs[RIP] = c->regs[RCX] - 2;
        return;
    }
    if (rip >= (uintptr_t)slate_quick_given && rip < (uintptr_t)slate_quick_end) {
        static const uint8_t ARGUMENT[6] = {RDI, RSI, RDX, R10, R8, R9};
        for (int i = 0; i < 6; i++) c->regs[ARGUMENT[i]] = t->saved[i];
        c->regs[RAX] = t->result;
        c->regs[RBX] = t->rbx;
        c->regs[RIP] = c->regs[RCX] = t->return_rip;
        c->mask &= ~t->unblock;
        return;
    }
    for (int i = 0; i < 16 && regions[i].code; i++) {
        uint64_t place = rip - (uintptr_t)regions[i].code;
        if (place >= REGION_BYTES) continue;
        uint32_t displaced = trampolines[i][place / ROOM].displaced;
        uintptr_t site = trampolines[i][place / ROOM].site;
        if (place % ROOM < displaced) {
            c->regs[RIP] = site;
        } else if (place % ROOM == displaced) {
            c->regs[RIP] = site + displaced; /* its registers are loaded: the call itself comes next */
        } else {
            c->regs[RIP] = c->regs[RCX] - 2;
        }
        return;
    }
}

/* On the thread's host stack, from trap.S. */
long slate_quick_ioctl(int fd, unsigned long request, long argument, struct task *t) {
    if (UNLIKELY(t->borrowed)) return -EIO;
    int r = ioctl(fd, request, argument);
    return r < 0 ? -errno : r;
}

/* A signal met Slate in the middle of the way back to the client: from its beginning again, with this one waiting. */
void rewrite_again(struct kernel_ucontext *c) {
    uint64_t rip = c->regs[RIP];
    if (rip >= (uintptr_t)slate_quick_giving && rip < (uintptr_t)slate_quick_end) c->regs[RIP] = (uintptr_t)slate_quick_again;
}

/* The program makes GS its own, and the quick way can't see whose it is without FSGSBASE: nothing goes there any more. */
void rewrite_without_gs(void) {
    memset(slate_call_kind, CALL_TRAPS, sizeof slate_call_kind);
}
