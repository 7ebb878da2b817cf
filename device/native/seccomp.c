/*
 * The client's own seccomp filters. What a JVM does on a thread that runs a vCPU is not what a VMM's filter allows, and its answer is
 * often to kill that thread. The filter is seen before it is installed; it is run here for the calls that Slate needs, and they
 * stay allowed, with a line that says which.
 */
#include "slate.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>

/* What Slate needs, most of it once the virtual machines exist: short, and held by tests that allow nothing else. */
enum { OF_MACHINES = 1, OF_LOADED = 2 /* whatever a program is that the loader brought in */, OF_FS = 4 /* ... where it exchanges FS by calls */ };
static const struct {
    int number;
    const char *name;
    int when;
} NEEDED[] = {
    {SYS_futex, "futex", OF_MACHINES},
    {SYS_madvise, "madvise", OF_MACHINES},
    {SYS_mmap, "mmap", OF_MACHINES},
    {SYS_munmap, "munmap", OF_MACHINES},
    {SYS_mprotect, "mprotect", OF_MACHINES}, /* of libc's malloc: where two threads allocate at once, one gets an arena of its own */
    {SYS_sched_yield, "sched_yield", OF_MACHINES},
    {SYS_sched_getaffinity, "sched_getaffinity", OF_MACHINES}, /* before HotSpot adds a compiler thread */
    {SYS_clock_nanosleep, "clock_nanosleep", OF_MACHINES},
    {SYS_rt_sigprocmask, "rt_sigprocmask", OF_MACHINES},
    {SYS_rt_tgsigqueueinfo, "rt_tgsigqueueinfo", OF_MACHINES},
    {SYS_getpid, "getpid", OF_MACHINES},
    {SYS_gettid, "gettid", OF_MACHINES},
    {SYS_sigaltstack, "sigaltstack", OF_MACHINES},
    {SYS_pread64, "pread64", OF_MACHINES}, /* of a class of the JDK's, once */
    {SYS_exit, "exit", OF_MACHINES},
    {SYS_memfd_create, "memfd_create", OF_MACHINES}, /* the descriptors of VMs and vCPUs to come */
    {SYS_ftruncate, "ftruncate", OF_MACHINES},
    {SYS_fcntl, "fcntl", OF_MACHINES},
    {SYS_fstat, "fstat", OF_MACHINES},
    {SYS_close, "close", OF_MACHINES},
    {SYS_rt_sigreturn, "rt_sigreturn", OF_MACHINES | OF_LOADED},
    {SYS_prctl, "prctl", OF_LOADED}, /* user dispatch, at a thread's beginning and end, where the next three come, too */
    {SYS_get_robust_list, "get_robust_list", OF_LOADED},
    {SYS_set_robust_list, "set_robust_list", OF_LOADED},
    {334 /* SYS_rseq */, "rseq", OF_LOADED},
    {SYS_arch_prctl, "arch_prctl", OF_FS},
};
/* What the JVM's start needs beside. */
static const struct {
    int number;
    const char *name;
} STARTS[] = {
    {SYS_openat, "openat"},       {SYS_read, "read"},         {SYS_pread64, "pread64"},     {SYS_close, "close"},           {SYS_mmap, "mmap"},
    {SYS_mprotect, "mprotect"},   {SYS_munmap, "munmap"},     {SYS_clone3, "clone3"},       {SYS_set_robust_list, "set_robust_list"},
    {SYS_uname, "uname"},         {SYS_readlink, "readlink"}, {SYS_newfstatat, "newfstatat"}, {SYS_lseek, "lseek"},         {SYS_sysinfo, "sysinfo"},
    {SYS_prlimit64, "prlimit64"}, {SYS_getcwd, "getcwd"},     {SYS_access, "access"},       {SYS_sched_getaffinity, "sched_getaffinity"},
    {SYS_rt_sigaction, "rt_sigaction"}, {SYS_memfd_create, "memfd_create"}, {SYS_prctl, "prctl"}, {SYS_futex, "futex"}, {SYS_madvise, "madvise"},
};

enum { NEEDS = sizeof NEEDED / sizeof *NEEDED };

/* What the statistics folder and the end of the client need beside; they do without. */
static const int FILES[] = {SYS_openat, SYS_mkdir, SYS_unlink, SYS_rmdir, SYS_newfstatat, SYS_getdents64, SYS_write, SYS_ftruncate, SYS_utimensat};

/* The action of a filter for a call whose other arguments are 0. A program that is wrong is the kernel's to refuse: 0 is as good as any. */
static uint32_t action_for(const struct sock_filter *code, unsigned length, int number, uint64_t first, uint64_t second) {
    const struct seccomp_data data = {.nr = number, .arch = AUDIT_ARCH_X86_64, .args = {first, second}};
    uint32_t a = 0, x = 0, memory[BPF_MEMWORDS] = {0};
    for (unsigned at = 0; at < length; at++) {
        const struct sock_filter *i = &code[at];
        uint32_t operand = BPF_SRC(i->code) == BPF_X ? x : i->k;
        switch (BPF_CLASS(i->code)) {
        case BPF_LD:
            if (BPF_MODE(i->code) == BPF_ABS && i->k <= sizeof data - 4) memcpy(&a, (const char *)&data + i->k, 4);
            else if (BPF_MODE(i->code) == BPF_MEM) a = memory[i->k % BPF_MEMWORDS];
            else a = BPF_MODE(i->code) == BPF_LEN ? (uint32_t)sizeof data : i->k;
            break;
        case BPF_LDX: x = BPF_MODE(i->code) == BPF_MEM ? memory[i->k % BPF_MEMWORDS] : BPF_MODE(i->code) == BPF_LEN ? (uint32_t)sizeof data : i->k; break;
        case BPF_ST: memory[i->k % BPF_MEMWORDS] = a; break;
        case BPF_STX: memory[i->k % BPF_MEMWORDS] = x; break;
        case BPF_ALU:
            switch (BPF_OP(i->code)) {
            case BPF_ADD: a += operand; break;
            case BPF_SUB: a -= operand; break;
            case BPF_MUL: a *= operand; break;
            case BPF_DIV: a = operand ? a / operand : 0; break;
            case BPF_AND: a &= operand; break;
            case BPF_OR: a |= operand; break;
            case BPF_XOR: a ^= operand; break;
            case BPF_LSH: a = operand < 32 ? a << operand : 0; break;
            case BPF_RSH: a = operand < 32 ? a >> operand : 0; break;
            case BPF_NEG: a = -a; break;
            }
            break;
        case BPF_JMP: {
            bool yes = false;
            switch (BPF_OP(i->code)) {
            case BPF_JA: at += i->k; continue;
            case BPF_JEQ: yes = a == operand; break;
            case BPF_JGT: yes = a > operand; break;
            case BPF_JGE: yes = a >= operand; break;
            case BPF_JSET: yes = a & operand; break;
            }
            at += yes ? i->jt : i->jf;
            break;
        }
        case BPF_RET: return BPF_RVAL(i->code) == BPF_A ? a : i->k;
        case BPF_MISC:
            if (BPF_MISCOP(i->code) == BPF_TAX) x = a;
            else a = x;
            break;
        }
    }
    return 0;
}

static uint32_t action(const struct sock_filter *code, unsigned length, int number) {
    return action_for(code, length, number, 0, 0);
}

static bool passes(uint32_t action) {
    uint32_t what = action & SECCOMP_RET_ACTION_FULL;
    return what == SECCOMP_RET_ALLOW || what == SECCOMP_RET_LOG || what == SECCOMP_RET_USER_NOTIF;
}
static bool allows(const struct sock_filter *code, unsigned length, int number) {
    return passes(action(code, length, number));
}

enum { MOST = 16 };
static const struct sock_fprog *_Atomic installed[MOST]; /* null behind the last; two threads may each install one at once */

static const struct sock_fprog *installed_at(unsigned i) {
    return i < MOST ? atomic_load(&installed[i]) : NULL;
}
bool seccomp_filtered(void) {
    return atomic_load_explicit(&installed[0], memory_order_relaxed) != NULL;
}
bool seccomp_allows(long number) {
    const struct sock_fprog *f;
    for (unsigned i = 0; (f = installed_at(i)); i++) {
        if (!allows(f->filter, f->len, (int)number)) return false;
    }
    return true;
}

bool seccomp_allows_libraries(void) {
    static const int numbers[] = {SYS_stat, SYS_lstat, SYS_newfstatat, SYS_fstat, SYS_access, SYS_readlink, SYS_openat, SYS_read, SYS_lseek, SYS_mprotect};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (!seccomp_allows(numbers[i])) return false;
    }
    return true;
}

bool seccomp_allows_ioctl(unsigned long request) {
    const struct sock_fprog *f;
    for (unsigned i = 0; (f = installed_at(i)); i++) {
        if (!passes(action_for(f->filter, f->len, SYS_ioctl, 0, request))) return false;
    }
    return true;
}

/* libc takes clone() where clone3() does not exist, as filters say that want to see the flags. */
bool seccomp_allows_threads(void) {
    const uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    const struct sock_fprog *f;
    for (unsigned i = 0; (f = installed_at(i)); i++) {
        uint32_t newer = action(f->filter, f->len, SYS_clone3);
        bool older = newer == (SECCOMP_RET_ERRNO | ENOSYS) && passes(action_for(f->filter, f->len, SYS_clone, flags, 0));
        if (!passes(newer) && !older) return false;
    }
    return true;
}

const char *seccomp_forbids_start(void) {
    const struct sock_fprog *f;
    for (unsigned i = 0; (f = installed_at(i)); i++) {
        for (size_t k = 0; k < sizeof STARTS / sizeof *STARTS; k++) {
            uint32_t what = action(f->filter, f->len, STARTS[k].number) & SECCOMP_RET_ACTION_FULL;
            if (what != SECCOMP_RET_ERRNO && !allows(f->filter, f->len, STARTS[k].number)) return STARTS[k].name;
        }
    }
    return NULL;
}

/* The filter with a head that lets the needed calls pass. */
static struct sock_fprog *widened(const struct sock_fprog *filter, const bool *forbidden) {
    unsigned extra = 3, rules = 0;
    for (unsigned i = 0; i < NEEDS; i++) rules += forbidden[i];
    if (rules) extra += rules + 4;
    if (filter->len + extra > BPF_MAXINSNS) rules = 0;
    size_t bytes = sizeof(struct sock_fprog) + (filter->len + extra) * sizeof(struct sock_filter);
    long at = raw(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at >= -4095) return NULL;
    struct sock_fprog *out = (struct sock_fprog *)at;
    struct sock_filter *code = (struct sock_filter *)(out + 1);
    unsigned n = 0;
    if (rules) {
        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, (uint8_t)(rules + 2));
        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
        unsigned left = rules;
        for (unsigned i = 0; i < NEEDS; i++) {
            if (forbidden[i]) code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)NEEDED[i].number, (uint8_t)left--, 0);
        }
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, 0); /* the filter begins with A = 0 */
    }
    memcpy(code + n, filter->filter, filter->len * sizeof *code);
    *out = (struct sock_fprog){(unsigned short)(n + filter->len), code};
    return out;
}

/* The option of a VMM whose filter is in the way, by its name. */
const char *seccomp_option(void) {
    static const char *const OPTIONS[][2] = {
        {"firecracker", "firecracker: --no-seccomp"},  {"cloud-hypervisor", "cloud-hypervisor: --seccomp false"},
        {"crosvm", "crosvm: --disable-sandbox"},       {"qemu-system", "QEMU: -sandbox off"},
        {"solo5-hvt", "Solo5: build it with -DHVT_DROP_PRIVILEGES=0"},
    };
    static char name[256];
    long n = raw(SYS_readlinkat, AT_FDCWD, (long)"/proc/self/exe", (long)name, sizeof name - 1, 0, 0);
    name[n > 0 ? n : 0] = 0;
    const char *slash = strrchr(*loaded_program ? loaded_program : name, '/');
    for (size_t i = 0; slash && i < sizeof OPTIONS / sizeof *OPTIONS; i++) {
        if (!strncmp(slash + 1, OPTIONS[i][0], strlen(OPTIONS[i][0]))) return OPTIONS[i][1];
    }
    return NULL;
}

static const struct sock_fprog *installs(const struct sock_fprog *filter, bool all_threads) {
    bool client = jvm_running() || (door_has_device() && jvm_start());
    bool forbidden[NEEDS] = {false}, kills = false, files = true;
    char names[512] = "";
    int now = (client ? OF_MACHINES : 0) | (*loaded_program ? OF_LOADED : 0) | (slate_fs_by_call ? OF_FS : 0);
    for (unsigned i = 0; i < NEEDS; i++) {
        forbidden[i] = NEEDED[i].when & now && !allows(filter->filter, filter->len, NEEDED[i].number);
        if (forbidden[i]) snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? ", " : "", NEEDED[i].name);
    }
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) files &= allows(filter->filter, filter->len, FILES[i]);
    for (int number = 0; number < 460 && !kills; number++) kills = (action(filter->filter, filter->len, number) & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_KILL_THREAD;
    if (client && !files) jvm_filtered();
    if (client) natives_open(); /* what Slate opens late otherwise */
    struct sock_fprog *out = widened(filter, forbidden);
    if (!out) return NULL;
    if (*names) {
        const char *help = seccomp_option();
        slate_say("the seccomp filter that the program installs forbids %s, which Slate needs: the filter is installed without that%s%s.", names,
                  help ? "; to have none: " : "", help ? help : "");
    }
    if (client && all_threads && !files) end_blind();
    else if (client && kills) end_watch();
    const struct sock_fprog *none = NULL;
    for (unsigned i = 0; i < MOST && !atomic_compare_exchange_strong(&installed[i], &none, out); i++) none = NULL;
    return out;
}

const struct sock_fprog *seccomp_installs(const struct sock_fprog *client, bool all_threads) {
    struct sock_fprog filter;
    if (slate_read(&filter, client, sizeof filter) || !filter.len || filter.len > BPF_MAXINSNS || !is_ours()) return NULL;
    size_t bytes = filter.len * sizeof *filter.filter;
    long copy = raw(SYS_mmap, 0, (long)bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy < 0 && copy >= -4095) return NULL;
    bool read = slate_read((void *)copy, filter.filter, bytes) == 0;
    filter.filter = (struct sock_filter *)copy;
    const struct sock_fprog *out = read ? installs(&filter, all_threads) : NULL;
    raw(SYS_munmap, copy, (long)bytes, 0, 0, 0, 0);
    return out;
}
