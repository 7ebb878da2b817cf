/*
 * The border is the system call. A client may reach the kernel by functions of libc that no preloaded library can stand before:
 * those that it looks up in libc itself (dlsym, ctypes, RTLD_DEEPBIND), and libc's own calls (fopen, posix_spawn, free). So the
 * places in libc's code that make the system calls which matter are led here: `mov $number, %eax; ...; syscall`, whose first
 * instruction is as long as a jump. The system call instruction itself stays, and the kernel's answers are still made there.
 */
#include "slate.h"

#include <elf.h>
#include <link.h>

extern const char slate_site[];

static const short WANTED[] = {
    SYS_open, SYS_openat, SYS_openat2, SYS_creat, SYS_ioctl, SYS_close, SYS_close_range, SYS_dup, SYS_dup2, SYS_dup3, SYS_fcntl,
    SYS_stat, SYS_lstat, SYS_fstat, SYS_newfstatat, SYS_statx, SYS_access, SYS_faccessat, SYS_faccessat2, SYS_readlink, SYS_readlinkat,
    SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise, SYS_mremap, SYS_ftruncate, SYS_execve, SYS_execveat, SYS_mount, SYS_chroot,
    SYS_pivot_root, SYS_unshare, SYS_setns, SYS_setresuid, SYS_setuid, SYS_prctl, SYS_seccomp, SYS_sigaltstack, SYS_sendmsg,
};

static bool wanted(uint32_t number) {
    for (size_t i = 0; i < sizeof WANTED / sizeof *WANTED; i++) {
        if ((uint32_t)WANTED[i] == number) return true;
    }
    return false;
}

/* Length of a move between registers or of a constant into one, which may be executed elsewhere; 0: something else. */
static size_t movable(const uint8_t *p) {
    size_t rex = (*p & 0xf0) == 0x40;
    const uint8_t *op = p + rex;
    if ((*op == 0x89 || *op == 0x8b || *op == 0x31 || *op == 0x63) && (op[1] & 0xc0) == 0xc0) return rex + 2;
    if (*op >= 0xb9 && *op <= 0xbf && !(rex && (*p & 8))) return rex + 5;
    return 0;
}

/* Bytes from the `mov` to its `syscall`, or 0. */
static size_t distance(const uint8_t *mov, const uint8_t *end) {
    const uint8_t *p = mov + 5;
    for (int i = 0; i < 4 && p + 8 < end; i++) {
        if (p[0] == 0x0f && p[1] == 0x05) return (size_t)(p - mov);
        size_t n = movable(p);
        if (!n) return 0;
        p += n;
    }
    return 0;
}

long slate_syscall(long number, ...);

struct island {
    uint8_t *start, *at, *end;
};
enum { SITE_BYTES = 64 };

static void put(struct island *i, const void *bytes, size_t n) {
    memcpy(i->at, bytes, n);
    i->at += n;
}
static void put32(struct island *i, uint32_t value) {
    put(i, &value, 4);
}
static void put_target(struct island *i, const void *target) {
    put32(i, (uint32_t)((const uint8_t *)target - (i->at + 4)));
}

/* Code near libc that asks the door and goes on behind the site's system call, or at it. */
static void *bridge(struct island *i, const uint8_t *mov, size_t to_syscall) {
    static const uint8_t SKIP_RED_ZONE[] = {0x48, 0x8d, 0x64, 0x24, 0x80}, BACK[] = {0x48, 0x8d, 0xa4, 0x24, 0x80, 0, 0, 0};
    static const uint8_t CALL_HEAD[] = {0xff, 0x15}, JC[] = {0x0f, 0x82}, JMP[] = {0xe9};
    void *code = i->at;
    put(i, mov + 5, to_syscall - 5);
    put(i, mov, 5);
    put(i, SKIP_RED_ZONE, sizeof SKIP_RED_ZONE);
    put(i, CALL_HEAD, 2);
    put_target(i, i->start); /* the word there: slate_site */
    put(i, BACK, sizeof BACK);
    put(i, JC, 2);
    put_target(i, mov + to_syscall + 2);
    put(i, JMP, 1);
    put_target(i, mov + to_syscall);
    return code;
}

static bool writable(const uint8_t *from, size_t bytes, bool yes) {
    uintptr_t page = (uintptr_t)from & -4096ul, end = ((uintptr_t)from + bytes + 4095) & -4096ul;
    return raw(SYS_mprotect, (long)page, (long)(end - page), PROT_READ | PROT_EXEC | (yes ? PROT_WRITE : 0), 0, 0, 0) == 0;
}

enum { JUMP_BYTES = 5 };
/* What is there is writable. */
static void lead(uint8_t *from, const void *to) {
    uint8_t jump[JUMP_BYTES] = {0xe9};
    int32_t far = (int32_t)((const uint8_t *)to - (from + JUMP_BYTES));
    memcpy(jump + 1, &far, 4);
    memcpy(from, jump, JUMP_BYTES);
}

/* Pages within reach of a jump from libc. */
static uint8_t *near(uintptr_t base, uintptr_t end, size_t bytes) {
    for (uintptr_t step = 0; step < (1ul << 30); step += 1 << 20) {
        long at = raw(SYS_mmap, (long)(end + step), (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at < 0 && at >= -4095) return NULL;
        intptr_t far = at - (intptr_t)base;
        if (far > -(1l << 30) && far < 1l << 30) return (uint8_t *)at;
        raw(SYS_munmap, at, (long)bytes, 0, 0, 0, 0);
    }
    return NULL;
}

/* Without one of these the old way, standing before libc's functions, knows more. */
static const short NEEDED[] = {SYS_openat, SYS_ioctl, SYS_close, SYS_dup, SYS_dup2, SYS_dup3, SYS_fcntl, SYS_execve,
                               SYS_mmap,   SYS_munmap, SYS_mprotect, SYS_madvise, SYS_newfstatat};

static bool patched;
bool libc_patched(void) {
    return patched;
}

/* Counts the sites in *seen by their numbers; leads them to the island, where there is one. */
static size_t walk(const uint8_t *code, size_t bytes, struct island *i, uint16_t *seen) {
    size_t found = 0;
    const uint8_t *end = code + bytes;
    for (const uint8_t *p = code; (p = memchr(p, 0xb8, (size_t)(end - p))) && p + 16 < end; p++) {
        uint32_t number;
        memcpy(&number, p + 1, 4);
        size_t to_syscall = number < 1024 && wanted(number) ? distance(p, end) : 0;
        if (!to_syscall) continue;
        found++;
        seen[number]++;
        if (i && i->at + SITE_BYTES <= i->end) lead((uint8_t *)p, bridge(i, p, to_syscall));
    }
    return found;
}

static size_t walk_code(const uint8_t *base, struct island *i, uint16_t *seen, uintptr_t *end) {
    const ElfW(Ehdr) *header = (const void *)base;
    const ElfW(Phdr) *segment = (const void *)(base + header->e_phoff);
    size_t sites = 0;
    for (int k = 0; k < header->e_phnum; k++) {
        if (segment[k].p_type != PT_LOAD) continue;
        *end = segment[k].p_vaddr + segment[k].p_memsz;
        if (!(segment[k].p_flags & PF_X)) continue;
        const uint8_t *code = base + segment[k].p_vaddr;
        if (i && !writable(code, segment[k].p_filesz, true)) continue; /* all at once: two calls for each of 140 sites are a seventh of what /bin/true takes */
        sites += walk(code, segment[k].p_filesz, i, seen);
        if (i) writable(code, segment[k].p_filesz, false);
    }
    return sites;
}

void libc_patch(void *inside, void *function) {
    static const uint8_t JMP_AHEAD[] = {0xff, 0x25, 0, 0, 0, 0};
    Dl_info where;
    if (!inside || !function || !dladdr(inside, &where)) return;
    uint16_t seen[1024] = {0};
    uintptr_t end = 0;
    size_t sites = walk_code(where.dli_fbase, NULL, seen, &end);
    for (size_t k = 0; k < sizeof NEEDED / sizeof *NEEDED; k++) {
        if (!seen[NEEDED[k]]) return;
    }
    size_t bytes = (64 + sites * SITE_BYTES + 4095) & -4096ul;
    uintptr_t base = (uintptr_t)where.dli_fbase;
    struct island i = {.start = near(base, (base + end + 65535) & -65536ul, bytes)};
    if (!i.start) return;
    i.end = i.start + bytes;
    i.at = i.start + 16;
    memcpy(i.start, &(const void *){slate_site}, 8);
    uint8_t *to_syscall = i.at;
    put(&i, JMP_AHEAD, sizeof JMP_AHEAD);
    put(&i, &(const void *){(const void *)slate_syscall}, 8);
    walk_code(where.dli_fbase, &i, seen, &end);
    raw(SYS_mprotect, (long)i.start, (long)bytes, PROT_READ | PROT_EXEC, 0, 0, 0);
    if (!writable(function, JUMP_BYTES, true)) return;
    lead(function, to_syscall);
    writable(function, JUMP_BYTES, false);
    patched = true;
}
