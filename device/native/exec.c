/*
 * What the client starts. The door goes along: its variables are put back into an environment that was cleaned. And what gets past
 * it all the same (a program without the shim, system calls of the client's own) meets the fence: a seccomp filter under which a
 * request of KVM's never comes to the kernel. With the shim it arrives here as a signal, and is served or refused like any other.
 */
#include "slate.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static bool is_text(const char *text) {
    char part[256];
    for (;;) {
        size_t n = sizeof part - (uintptr_t)text % sizeof part; /* not over a page's end */
        if (slate_read(part, text, n)) return false;
        if (memchr(part, 0, n)) return true;
        text += n;
    }
}

bool exec_is_readable(const char *path, char *const *environment) {
    if (!is_text(path)) return false;
    for (char *const *e = environment, *text; e; e++) {
        if (slate_read(&text, e, sizeof text)) return false;
        if (!text) break;
        if (!is_text(text)) return false;
    }
    return true;
}

static size_t name_length(const char *variable) {
    return strcspn(variable, "=") + 1;
}

static const char *const *find(char *const *environment, const char *variable) {
    size_t n = name_length(variable);
    for (char *const *e = environment; e && *e; e++) {
        if (!strncmp(*e, variable, n)) return (const char *const *)e;
    }
    return NULL;
}

static bool readable(const char *path) {
    return raw(SYS_faccessat2, AT_FDCWD, (long)path, R_OK, AT_EACCESS, 0, 0) == 0 || raw(SYS_faccessat, AT_FDCWD, (long)path, R_OK, 0, 0, 0) == 0;
}

/* The dynamic linker takes no LD_PRELOAD for a program that gains rights. */
static bool gains_rights(int dirfd, const char *path, int flags) {
    struct stat st;
    if (raw(SYS_newfstatat, dirfd, (long)path, (long)&st, flags & AT_EMPTY_PATH, 0, 0) || raw(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, 0) == 1) return false;
    return ((st.st_mode & S_ISUID) && st.st_uid != geteuid()) || ((st.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st.st_gid != getegid());
}

static char **extended(char *const *environment, bool preload) {
    const char *const *old = find(environment, "LD_PRELOAD=");
    size_t entries = 2, text = strlen(slate_library) + (old ? strlen(*old) : 0) + 32;
    for (char *const *e = environment; e && *e; e++) entries++;
    for (const char *const *v = slate_variables; *v; v++) entries++;
    /* In pages of its own: this may be a child that shares its parent's memory, in the middle of posix_spawn(). */
    long at = raw(SYS_mmap, 0, (long)(entries * sizeof(char *) + text), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at < 0 && at >= -4095) return (char **)environment;
    char **list = (char **)at, *room = (char *)(list + entries);
    size_t n = 0;
    for (char *const *e = environment; e && *e; e++) {
        if (!preload || !old || *e != *old) list[n++] = *e;
    }
    for (const char *const *v = slate_variables; *v; v++) {
        if (!find(environment, *v)) list[n++] = (char *)*v;
    }
    if (preload) {
        list[n++] = room;
        room = stpcpy(stpcpy(room, "LD_PRELOAD="), slate_library);
        if (old && (*old)[11]) stpcpy(stpcpy(room, ":"), *old + 11);
    }
    return list;
}

char **exec_environment(int dirfd, const char *path, char *const *environment, int flags) {
    if (!slate_library || !path) return (char **)environment;
    end_of_client();
    const char *const *preload = find(environment, "LD_PRELOAD=");
    bool has = preload && strstr(*preload, slate_library);
    if (!readable(slate_library)) {
        slate_say("%s is started where %s can't be read (another root, or another user): it has no /dev/kvm. Let it see that folder and %s.", path,
                  slate_library, slate_variable("SLATE_JAVA_HOME") ? slate_variable("SLATE_JAVA_HOME") : "the JDK");
        return (char **)environment;
    }
    if (gains_rights(dirfd, path, flags)) {
        slate_say("%s is setuid or setgid, and the dynamic linker loads no shim into such a program: it has no /dev/kvm.", path);
    }
    for (const char *const *v = slate_variables; has && *v; v++) has = find(environment, *v);
    return has ? (char **)environment : extended(environment, !preload || !strstr(*preload, slate_library));
}

/* ---- The fence ---- */

static bool raise_fence(void) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x40000000 | 514, 2, 5), /* x32 */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 54, 0, 3), /* i386 */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xff00),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0xae00, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP | FENCE),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return raw(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, (long)&program, 0, 0, 0) == 0;
}

/* There is a device here that somebody could open. */
static bool machine_has_device(void) {
    struct stat st;
    return raw(SYS_newfstatat, AT_FDCWD, (long)"/dev/kvm", (long)&st, 0, 0, 0) == 0 && path_is_device(&st);
}

/*
 * Whoever may install a filter without giving up the gain of rights by exec gets the fence everywhere; others where there is a
 * device to be kept from.
 */
void fence_start(void) {
    const char *fence = slate_variable("SLATE_FENCE");
    bool up = fence && !strcmp(fence, "up");
    if (!up && !(fence && !strcmp(fence, "off"))) {
        up = raise_fence();
        if (!up && (machine_has_device() || fence)) {
            raw(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);
            up = raise_fence();
        }
        if (up) slate_set_variable("SLATE_FENCE=up");
    }
    if (up) signals_own_traps();
}
