/*
 * What the kernel's exec does, for a program that is to live in this process: its segments (and its interpreter's, where it has one),
 * a stack with arguments, environment and auxiliary vector, a heap for brk(), and the jump.
 */
#include "loaded.h"

#include <asm/hwcap2.h>
#include <elf.h>
#include <limits.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>

char loaded_program[4096], loaded_file[4096];
bool slate_fs_by_call;

static __attribute__((format(printf, 1, 2), noreturn)) void refuse(const char *format, ...) {
    char text[800];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    slate_say("%s", text);
    _exit(126);
}

/* ------------------------------------------------------------------------------------------------------------ brk */

static uintptr_t heap, heap_now, heap_end; /* one lock would be the client's libc's: it calls brk() under its own */

/* The loader's own heap is its libc's: the client gets another, behind its image as under the kernel. */
static void reserve_heap(uintptr_t behind) {
    for (size_t bytes = (size_t)1 << 30; bytes >= (1 << 20); bytes >>= 2) {
        long at = raw(SYS_mmap, (long)behind, (long)bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (at != (long)behind) {
            if (at > 0) raw(SYS_munmap, at, (long)bytes, 0, 0, 0, 0);
            continue;
        }
        heap = heap_now = behind;
        heap_end = behind + bytes;
        return;
    }
}

long loaded_brk(uintptr_t end) {
    if (end < heap || end > heap_end || !heap) return (long)heap_now;
    uintptr_t old = (heap_now + 4095) & -4096ul, new = (end + 4095) & -4096ul;
    if (new > old && raw(SYS_mprotect, (long)old, (long)(new - old), PROT_READ | PROT_WRITE, 0, 0, 0) < 0) return (long)heap_now;
    if (new < old) {
        if (madvise((void *)new, old - new, MADV_DONTNEED) < 0) return (long)heap_now; /* Slate's: a guest may have it */
        mprotect((void *)new, old - new, PROT_NONE);
    }
    heap_now = end;
    return (long)end;
}

/* ------------------------------------------------------------------------------------------------------- segments */

struct image {
    uintptr_t base, low, high, entry, headers;
    size_t header_bytes, header_count;
    bool executable_stack;
    char interpreter[PATH_MAX];
};

static int protection_of(uint32_t flags) {
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

static void map_image(const char *path, struct image *image) {
    memset(image, 0, sizeof *image);
    int fd = (int)raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0) refuse("%s can't be opened: %s", path, strerror(-fd));
    Elf64_Ehdr header;
    Elf64_Phdr segments[128];
    if (pread(fd, &header, sizeof header, 0) != sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_machine != EM_X86_64 || (header.e_type != ET_EXEC && header.e_type != ET_DYN))
        refuse("%s is no program for x86-64.", path);
    size_t bytes = header.e_phnum * sizeof *segments;
    if (header.e_phentsize != sizeof *segments || header.e_phnum > 128 || pread(fd, segments, bytes, (off_t)header.e_phoff) != (ssize_t)bytes)
        refuse("%s has program headers that can't be read.", path);

    uintptr_t low = UINTPTR_MAX, high = 0, alignment = 4096;
    for (int i = 0; i < header.e_phnum; i++) {
        const Elf64_Phdr *p = &segments[i];
        if (p->p_type == PT_INTERP && p->p_filesz < sizeof image->interpreter && pread(fd, image->interpreter, p->p_filesz, (off_t)p->p_offset) < 0)
            refuse("the name of %s's dynamic linker can't be read.", path);
        if (p->p_type == PT_GNU_STACK) image->executable_stack = p->p_flags & PF_X;
        if (p->p_type != PT_LOAD) continue;
        if (p->p_vaddr < low) low = p->p_vaddr & -4096ul;
        if (p->p_vaddr + p->p_memsz > high) high = p->p_vaddr + p->p_memsz;
        if (p->p_align > alignment && !(p->p_align & (p->p_align - 1))) alignment = p->p_align;
    }
    if (low >= high) refuse("%s has nothing to load.", path);
    high = (high + 4095) & -4096ul;
    long at;
    if (header.e_type == ET_EXEC) {
        at = raw(SYS_mmap, (long)low, (long)(high - low), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
        if (at != (long)low) refuse("%s wants the addresses from %#lx to %#lx, which are taken in this process; link it with -static-pie.", path, low, high);
    } else {
        at = raw(SYS_mmap, 0, (long)(high - low + alignment), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at < 0 && at >= -4095) refuse("there is no address space for %s.", path);
        uintptr_t aligned = ((uintptr_t)at + alignment - 1) & -alignment;
        image->base = aligned - low;
    }
    for (int i = 0; i < header.e_phnum; i++) {
        const Elf64_Phdr *p = &segments[i];
        if (p->p_type == PT_PHDR) image->headers = image->base + p->p_vaddr;
        if (p->p_type != PT_LOAD || !p->p_memsz) continue;
        uintptr_t start = image->base + p->p_vaddr, page = start & -4096ul, file_end = start + p->p_filesz, end = start + p->p_memsz;
        int protection = protection_of(p->p_flags);
        if (p->p_offset <= header.e_phoff && header.e_phoff + bytes <= p->p_offset + p->p_filesz && !image->headers)
            image->headers = start + header.e_phoff - p->p_offset;
        if (p->p_filesz) {
            at = raw(SYS_mmap, (long)page, (long)(file_end - page), protection, MAP_PRIVATE | MAP_FIXED, fd, (long)(p->p_offset & -4096ul));
            if (at != (long)page) refuse("a segment of %s can't be mapped: %s", path, strerror((int)-at));
        }
        uintptr_t behind = (file_end + 4095) & -4096ul;
        if (!p->p_filesz) behind = page;
        /* To the page's end, as under the kernel: ld.so counts on it. */
        if (p->p_memsz > p->p_filesz && protection & PROT_WRITE && p->p_filesz) memset((void *)file_end, 0, behind - file_end);
        if (end > behind) {
            at = raw(SYS_mmap, (long)behind, (long)(end - behind), protection, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
            if (at != (long)behind) refuse("there is no memory for %s.", path);
        }
    }
    for (int i = 0; i < header.e_phnum; i++) {
        if (segments[i].p_type == PT_LOAD && (segments[i].p_flags & (PF_X | PF_W)) == PF_X)
            rewrite_go(image->base + segments[i].p_vaddr, segments[i].p_filesz);
    }
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    image->low = image->base + low;
    image->high = image->base + high;
    image->entry = image->base + header.e_entry;
    image->header_bytes = header.e_phentsize;
    image->header_count = header.e_phnum;
}

/* ---------------------------------------------------------------------------------------------------------- stack */

struct pile {
    uintptr_t at, floor;
};
static uintptr_t put(struct pile *p, const void *bytes, size_t n) {
    if (p->at - p->floor < n + 65536) refuse("the arguments and the environment do not fit on a stack.");
    p->at -= n;
    memcpy((void *)p->at, bytes, n);
    return p->at;
}

/* Slate's own library is no business of a program that it cannot be loaded into; exec.c brings it back. */
static void without_slate(const char *value, char *out) {
    const char *library = slate_library;
    size_t n = strlen(library);
    *out = 0;
    for (const char *p = value; *p; p += strcspn(p, ": ")) {
        p += strspn(p, ": ");
        size_t length = strcspn(p, ": ");
        if (!length || (length == n && !strncmp(p, library, n))) continue;
        if (*out) strcat(out, ":");
        strncat(out, p, length);
    }
}

static uintptr_t build_stack(const struct image *image, uintptr_t interpreter_base, int argc, char **argv, char **envp, uintptr_t *lowest) {
    struct rlimit limit;
    size_t bytes = 8 << 20;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur > bytes) bytes = (limit.rlim_cur + 4095) & -4096ul;
    if (bytes > (size_t)1 << 30) bytes = (size_t)1 << 30;
    int protection = PROT_READ | PROT_WRITE | (image->executable_stack ? PROT_EXEC : 0);
    long at = raw(SYS_mmap, 0, (long)(bytes + 4096), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if ((at < 0 && at >= -4095) || raw(SYS_mprotect, at + 4096, (long)bytes, protection, 0, 0, 0) < 0) refuse("there is no memory for a stack.");
    *lowest = (uintptr_t)at + 4096;
    struct pile pile = {(uintptr_t)at + 4096 + bytes - 64, *lowest};

    int envc = 0;
    while (envp[envc]) envc++;
    const Elf64_auxv_t *given = (const Elf64_auxv_t *)(envp + envc + 1);
    int auxc = 0;
    while (given[auxc].a_type != AT_NULL) auxc++;

    uintptr_t name = put(&pile, loaded_program, strlen(loaded_program) + 1);
    uint64_t seed[2];
    if (getrandom(seed, sizeof seed, 0) != sizeof seed) seed[0] = seed[1] = __builtin_ia32_rdtsc();
    pile.at &= -16ul;
    uintptr_t random = put(&pile, seed, sizeof seed);
    size_t count = (size_t)(1 + argc + 1 + envc + 1) + 2 * (size_t)(auxc + 6);
    uint64_t *words = malloc(count * sizeof *words);
    if (!words) refuse("there is no memory for the arguments.");
    size_t n = 0;
    words[n++] = (uint64_t)argc;
    for (int i = 0; i < argc; i++) words[n++] = put(&pile, argv[i], strlen(argv[i]) + 1);
    words[n++] = 0;
    for (int i = 0; i < envc; i++) {
        if (!strncmp(envp[i], "LD_PRELOAD=", 11)) {
            char *rest = malloc(strlen(envp[i]) + 1);
            if (!rest) refuse("there is no memory for the environment.");
            strcpy(rest, "LD_PRELOAD=");
            without_slate(envp[i] + 11, rest + 11);
            if (rest[11]) words[n++] = put(&pile, rest, strlen(rest) + 1);
            free(rest);
        } else {
            words[n++] = put(&pile, envp[i], strlen(envp[i]) + 1);
        }
    }
    words[n++] = 0;
    for (int i = 0; i < auxc; i++) {
        uint64_t value = given[i].a_un.a_val;
        switch (given[i].a_type) {
        case AT_PHDR: value = image->headers; break;
        case AT_PHENT: value = image->header_bytes; break;
        case AT_PHNUM: value = image->header_count; break;
        case AT_BASE: value = interpreter_base; break;
        case AT_ENTRY: value = image->entry; break;
        case AT_EXECFN: value = name; break;
        case AT_RANDOM: value = random; break;
        case AT_HWCAP2:
            if (slate_fs_by_call) value &= ~(uint64_t)HWCAP2_FSGSBASE; /* or it would change FS behind our back */
            break;
        case AT_EXECFD: continue;
        default: break;
        }
        words[n++] = given[i].a_type;
        words[n++] = value;
    }
    words[n++] = AT_NULL;
    words[n++] = 0;
    pile.at = (pile.at - n * sizeof *words) & -16ul;
    if (pile.at < pile.floor + 65536) refuse("the arguments and the environment do not fit on a stack.");
    memcpy((void *)pile.at, words, n * sizeof *words);
    free(words);
    return pile.at;
}

/* ---------------------------------------------------------------------------------------------------------- start */

static bool is_elf(const char *path) {
    char magic[SELFMAG] = {0};
    int fd = (int)raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
    if (fd < 0) return true; /* map_image() says why */
    raw(SYS_read, fd, (long)magic, sizeof magic, 0, 0, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    return !memcmp(magic, ELFMAG, SELFMAG);
}

/* A program without a name comes by a descriptor, which stays open as long as the program may ask for itself. */
static void find_program(const char *file) {
    snprintf(loaded_file, sizeof loaded_file, "%s", file);
    if (!strncmp(file, "/proc/self/fd/", 14)) {
        long n = raw(SYS_readlinkat, AT_FDCWD, (long)file, (long)loaded_program, sizeof loaded_program - 1, 0, 0);
        if (n > 0) {
            raw(SYS_fcntl, atoi(file + 14), F_SETFD, FD_CLOEXEC, 0, 0, 0);
            return;
        }
    }
    if (!realpath(file, loaded_program)) snprintf(loaded_program, sizeof loaded_program, "%s", file);
    strcpy(loaded_file, loaded_program);
}

/* Of the loader (loader.c): runs the program in file argv[1], whose arguments are argv[2] and up, in this process. */
PUBLIC void slate_load(int argc, char **argv, char **envp);
PUBLIC void slate_load(int argc, char **argv, char **envp) {
    if (argc < 3) refuse("slate-loader: `slate run` starts this program.");
    find_program(argv[1]);
    if (!is_elf(argv[1])) { /* a script for a program that has to be loaded */
        struct exec_plan plan;
        long error = exec_on_slate(&plan, AT_FDCWD, argv[1], argv + 2, envp, 0);
        refuse("%s can't be run: %s", argv[1], strerror((int)-error));
    }
    slate_fs_by_call = !(getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) || getenv("SLATE_NO_FSGSBASE"); /* a test's */
    rewrite_start();
    struct image image, interpreter = {0};
    map_image(argv[1], &image);
    uintptr_t entry = image.entry;
    if (image.interpreter[0]) {
        map_image(image.interpreter, &interpreter);
        entry = interpreter.entry;
    }
    reserve_heap(image.high);
    if (!heap) {
        long at = raw(SYS_mmap, 0, 1 << 26, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at > 0) {
            raw(SYS_munmap, at, 1 << 26, 0, 0, 0, 0);
            reserve_heap((uintptr_t)at);
        }
    }
    uintptr_t lowest;
    uintptr_t sp = build_stack(&image, interpreter.base, argc - 2, argv + 2, envp, &lowest);
    const char *slash = strrchr(argv[1], '/');
    prctl(PR_SET_NAME, slash ? slash + 1 : argv[1], 0, 0, 0);

    signals_for_loaded(slate_trap);
    signals_own_faults();
    const char *missing = loaded_start_tasks();
    if (missing) refuse("%s can't run on Slate here: it makes its system calls itself, and %s. Link it dynamically with glibc.", argv[1], missing);
    struct kernel_ucontext c = {.flags = 2 | 4 /* SS is valid, and to be restored as it is */};
    raw(SYS_rt_sigprocmask, SIG_BLOCK, 0, (long)&c.mask, 8, 0, 0);
    c.mask &= ~SIGSYS_MASK;
    c.regs[RIP] = entry;
    c.regs[RSP] = sp;
    c.regs[EFLAGS] = 0x202;
    c.regs[SEGMENTS] = 0x33 | (uint64_t)0x2b << 48;
    loaded_run(loaded_first_task(), &c);
}
