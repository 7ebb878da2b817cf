/* The natives that dev.slate.device.Native declares. */
#include "slate.h"

#include <limits.h>
#include <cpuid.h>
#include <linux/futex.h>
#include <time.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

struct counters *slate_counters;
struct watched slate_watched;

#define NATIVE(result, name, ...) static result JNICALL name(JNIEnv *env, jclass type, ##__VA_ARGS__)
#define UNUSED (void)env, (void)type

NATIVE(jint, native_copy_in, jlong to, jlong client, jlong bytes) {
    UNUSED;
    return (jint)slate_copy((void *)to, (const void *)client, (size_t)bytes);
}
NATIVE(jint, native_copy_out, jlong client, jlong from, jlong bytes) {
    UNUSED;
    return (jint)slate_copy((void *)client, (const void *)from, (size_t)bytes);
}
NATIVE(jint, native_populate, jlong hva, jlong bytes, jboolean write) {
    UNUSED;
    for (;;) {
        long r = raw(SYS_madvise, hva, bytes, write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ, 0, 0, 0);
        if (r != -EINTR && r != -EAGAIN) return (jint)-r;
        if (self.held) return EINTR;
    }
}
NATIVE(jlong, native_read_tsc) {
    UNUSED;
    __builtin_ia32_lfence(); /* no earlier than the loads before it: guests compare counters through memory */
    return (jlong)__builtin_ia32_rdtsc();
}
NATIVE(jlong, native_cpuid, jint leaf, jint subleaf, jlong into) {
    UNUSED;
    unsigned *r = (unsigned *)into;
    __cpuid_count(leaf, subleaf, r[0], r[1], r[2], r[3]);
    return 0;
}
NATIVE(void, native_await, jlong word, jint expected, jlong nanos) {
    UNUSED;
    struct timespec t = {.tv_sec = nanos / 1000000000, .tv_nsec = nanos % 1000000000};
    raw(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nanos == INT64_MAX ? 0 : (long)&t, 0, 0);
}
NATIVE(jboolean, native_may_load_libraries) {
    UNUSED;
    return !seccomp_filtered() || seccomp_allows_libraries();
}
NATIVE(void, native_put_c2_behind) {
    UNUSED;
    jvm_c2_behind();
}
/* How long this thread has been ready and not running: the second number of its schedstat. */
NATIVE(jlong, native_run_delay) {
    UNUSED;
    if (!self.schedstat && !seccomp_allows(SYS_openat)) self.schedstat = -1;
    if (!self.schedstat) {
        own_begin();
        self.schedstat = 1 + (int)own_end(raw(SYS_openat, AT_FDCWD, (long)"/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC, 0, 0, 0));
    }
    char text[96];
    long n = self.schedstat > 0 ? raw(SYS_pread64, self.schedstat - 1, (long)text, sizeof text - 1, 0, 0, 0) : 0;
    if (n <= 0) return 0;
    text[n] = 0;
    const char *space = strchr(text, ' ');
    return space ? strtoll(space, NULL, 10) : 0;
}
NATIVE(void, native_wake, jlong word) {
    UNUSED;
    raw(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}
NATIVE(jlong, native_map, jlong bytes, jlong alignment) {
    UNUSED;
    if (alignment < 4096) alignment = 4096;
    size_t length = ((size_t)bytes + 4095) & ~(size_t)4095;
    size_t slack = alignment > 4096 ? (size_t)alignment : 0;
    long at = raw(SYS_mmap, 0, (long)(length + slack), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at >= -4095) return at;
    if (!slack) return at;
    long aligned = (at + alignment - 1) & -alignment;
    if (aligned > at) raw(SYS_munmap, at, aligned - at, 0, 0, 0, 0);
    long rest = at + (long)(length + slack) - (aligned + (long)length);
    if (rest > 0) raw(SYS_munmap, aligned + (long)length, rest, 0, 0, 0, 0);
    return aligned;
}
NATIVE(void, native_unmap, jlong hva, jlong bytes) {
    UNUSED;
    raw(SYS_munmap, hva, (bytes + 4095) & ~4095L, 0, 0, 0, 0);
}

NATIVE(jint, native_addCode, jlong start, jlong end, jlong resume) {
    UNUSED;
    return code_range_add((uintptr_t)start, (uintptr_t)end, (uintptr_t)resume);
}

NATIVE(void, native_removeCode, jlong start) {
    UNUSED;
    code_range_remove((uintptr_t)start);
}
/* Of /proc/self/pagemap. A child of fork() has no JVM that would ask. */
enum { UNOPENED = INT_MIN };
static _Atomic int pagemap = UNOPENED;
void natives_open(void) {
    int was = UNOPENED;
    if (atomic_load_explicit(&pagemap, memory_order_relaxed) != UNOPENED) return;
    own_begin();
    int fd = (int)own_end(raw(SYS_openat, AT_FDCWD, (long)"/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0, 0, 0));
    if (!atomic_compare_exchange_strong(&pagemap, &was, fd) && fd >= 0) own_close(fd);
}

/*
 * Whether the 512 pages from hva, a multiple of their size, are one huge page: PAGEMAP_SCAN knows (Linux 6.7). It is asked about the first: an
 * entry that maps it huge maps all of them. Asked about all, the kernel would look at each of 512 small ones, 1.3 us more.
 */
NATIVE(jboolean, native_huge_mapped, jlong hva) {
    UNUSED;
    enum { SCAN = 0xc0606610 };
    struct region {
        uint64_t start, end, categories;
    } found;
    struct {
        uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, any, returned;
    } scan = {.size = 96, .start = (uint64_t)hva, .end = (uint64_t)hva + 4096, .vec = (uint64_t)&found, .vec_len = 1, .mask = 1 << 6, .returned = 1 << 6};
    natives_open();
    if (pagemap < 0 || (UNLIKELY(seccomp_filtered()) && !seccomp_allows_ioctl(SCAN))) return false;
    long n = raw(SYS_ioctl, pagemap, SCAN, (long)&scan, 0, 0, 0);
    return n == 1;
}

/*
 * A new file for Java: its handle, and its descriptor in the upper half. It is a memfd, as the client's mmap of a vCPU is the kernel's
 * own; its pages are mapped here for Java.
 */
NATIVE(jlong, native_new_file, jint kind, jint id, jlong bytes) {
    UNUSED;
    uint32_t handle = file_new((enum kind)kind);
    if (!handle) return -EMFILE;
    struct file *f = &slate_files[handle];
    f->id = id;
    char name[40] = "slate:kvm-vm";
    if (kind == KIND_VCPU) snprintf(name, sizeof name, "slate:kvm-vcpu:%d", id);
    if (kind == KIND_STATS) snprintf(name, sizeof name, "slate:kvm-stats");
    /* The pages of a VM are not its descriptor's own, since no client maps a VM; those of statistics are opened again. */
    bool own = bytes && kind != KIND_VCPU;
    if (own) own_begin();
    long fd = file_descriptor(name, (size_t)bytes);
    if (own) fd = own_end(fd);
    if (fd < 0) goto failed;
    if (bytes) {
        long r = raw(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (r < 0 && r >= -4095) {
            own_close(fd);
            fd = r;
            goto failed;
        }
        f->area = (char *)r;
        f->area_bytes = (size_t)bytes;
        if (kind == KIND_VM) {
            f->page_fd = (int)fd;
            fd = file_descriptor(name, 0);
            if (fd < 0) goto failed;
        }
        if (kind == KIND_STATS) {
            char path[64];
            snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
            long only = raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
            own_close(fd);
            fd = only;
            if (fd < 0) goto failed;
        }
    }
    return (jlong)handle | (jlong)fd << 32;
failed:
    file_put(handle);
    return fd;
}
NATIVE(void, native_show_ring, jint vcpuHandle, jint vmHandle) {
    UNUSED;
    atomic_fetch_add(&slate_files[vmHandle].references, 1); /* the VM's ioctl is under way: there is one already */
    slate_files[vcpuHandle].vm = (uint32_t)vmHandle;
}
NATIVE(jlong, native_area, jint handle) {
    UNUSED;
    return (jlong)slate_files[handle].area;
}
/* Java has made its side: the descriptor works from here on. */
NATIVE(jint, native_install, jint handle, jint fd) {
    UNUSED;
    struct file *f = &slate_files[handle];
    f->java = true;
    if (slate_counters && f->kind == KIND_VM) slate_counters->vms++;
    if (slate_counters && f->kind == KIND_VCPU) slate_counters->vcpus++;
    return file_install((uint32_t)handle, fd);
}
NATIVE(jint, native_handle, jint fd) {
    UNUSED;
    uint32_t handle = file_get(fd);
    if (handle) file_put(handle);
    return (jint)handle;
}
/* Java could not make its side. */
NATIVE(void, native_abandon, jint handle, jint fd) {
    UNUSED;
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    file_put((uint32_t)handle);
}
NATIVE(void, native_signal_mask, jint handle, jboolean set, jlong mask) {
    UNUSED;
    slate_files[handle].run_mask = (uint64_t)mask;
    slate_files[handle].has_run_mask = set;
}
NATIVE(jlong, native_watched) {
    UNUSED;
    return (jlong)&slate_watched;
}
NATIVE(void, native_count_exits, jlong exits) {
    UNUSED;
    if (slate_counters) atomic_fetch_add_explicit(&slate_counters->exits, (uint64_t)exits, memory_order_relaxed);
}
NATIVE(jboolean, native_counting) {
    UNUSED;
    return slate_counters != NULL;
}
NATIVE(void, native_say, jbyteArray text) {
    UNUSED;
    jsize n = (*env)->GetArrayLength(env, text);
    jbyte *bytes = (*env)->GetByteArrayElements(env, text, NULL);
    if (!bytes) return;
    slate_write((const char *)bytes, (size_t)n);
    (*env)->ReleaseByteArrayElements(env, text, bytes, JNI_ABORT);
}
NATIVE(jstring, native_environment, jstring name) {
    (void)type;
    const char *n = (*env)->GetStringUTFChars(env, name, NULL);
    if (!n) return NULL;
    const char *value = strncmp(n, "SLATE_", 6) ? getenv(n) : slate_variable(n);
    (*env)->ReleaseStringUTFChars(env, name, n);
    return value ? (*env)->NewStringUTF(env, value) : NULL;
}
NATIVE(jint, native_pid) {
    UNUSED;
    return getpid();
}
NATIVE(jint, native_uid) {
    UNUSED;
    return (jint)getuid();
}
NATIVE(void, native_quit, jint status) {
    UNUSED;
    raw(SYS_exit_group, status, 0, 0, 0, 0, 0);
}

#define ROW(name, signature, function) {(char *)name, (char *)signature, (void *)function}
static const JNINativeMethod natives[] = {
    ROW("copyIn", "(JJJ)I", native_copy_in),
    ROW("copyOut", "(JJJ)I", native_copy_out),
    ROW("populate", "(JJZ)I", native_populate),
    ROW("readTsc", "()J", native_read_tsc),
    ROW("cpuid", "(IIJ)J", native_cpuid),
    ROW("await", "(JIJ)V", native_await),
    ROW("wake", "(J)V", native_wake),
    ROW("mayLoadLibraries", "()Z", native_may_load_libraries),
    ROW("putC2Behind", "()V", native_put_c2_behind),
    ROW("runDelay", "()J", native_run_delay),
    ROW("map", "(JJ)J", native_map),
    ROW("unmap", "(JJ)V", native_unmap),
    ROW("addCode", "(JJJ)I", native_addCode),
    ROW("removeCode", "(J)V", native_removeCode),
    ROW("hugeMapped", "(J)Z", native_huge_mapped),
    ROW("newFile", "(IIJ)J", native_new_file),
    ROW("area", "(I)J", native_area),
    ROW("showRing", "(II)V", native_show_ring),
    ROW("eventFd", "(I)I", eventfd_own),
    ROW("eventFdId", "(I)J", eventfd_id),
    ROW("eventFdSignal", "(I)V", eventfd_signal),
    ROW("eventFdDrain", "(I)V", eventfd_drain),
    ROW("eventFdPending", "(I)Z", eventfd_pending),
    ROW("closeDescriptor", "(I)V", eventfd_close),
    ROW("epollCreate", "()I", eventfd_epoll),
    ROW("epollControl", "(IZI)I", eventfd_epoll_control),
    ROW("epollWait", "(IJI)I", eventfd_epoll_wait),
    ROW("install", "(II)I", native_install),
    ROW("handle", "(I)I", native_handle),
    ROW("abandon", "(II)V", native_abandon),
    ROW("signalMask", "(IZJ)V", native_signal_mask),
    ROW("watched", "()J", native_watched),
    ROW("countExits", "(J)V", native_count_exits),
    ROW("counting", "()Z", native_counting),
    ROW("say", "([B)V", native_say),
    ROW("environment", "(Ljava/lang/String;)Ljava/lang/String;", native_environment),
    ROW("pid", "()I", native_pid),
    ROW("uid", "()I", native_uid),
    ROW("quit", "(I)V", native_quit),
};

bool natives_register(JNIEnv *env) {
    jclass native = (*env)->FindClass(env, "dev/slate/device/Native");
    return native && (*env)->RegisterNatives(env, native, natives, sizeof natives / sizeof *natives) == 0;
}

/* Loaded by System.load (dev.slate.device.Training and tests): the natives alone, nothing is interposed. */
PUBLIC jint JNI_OnLoad(JavaVM *loader, void *reserved) {
    (void)reserved;
    JNIEnv *env;
    if ((*loader)->GetEnv(loader, (void **)&env, JNI_VERSION_10) != JNI_OK) return JNI_ERR;
    return natives_register(env) ? JNI_VERSION_10 : JNI_ERR;
}
