/* The JVM inside the client: its start, the threads' way into it, and the natives that dev.slate.device.Native declares. */
#include "slate.h"

#include <cpuid.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <time.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

struct counters *slate_counters;

/* Written by Java: lowest and highest host address (exclusive) of all memory slots. */
static _Atomic uint64_t watched[2] = {UINT64_MAX, 0};

static enum { NOT_STARTED, RUNNING, FAILED, INHERITED } state;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static JavaVM *vm;
static jclass device;
static jmethodID method_ioctl, method_release, method_refresh, method_invalidate, method_pseudo_file, method_pseudo_mode, method_pseudo_write, method_exit;
static pthread_key_t detach_key;

void slate_say(const char *format, ...) {
    char text[1024];
    int n = snprintf(text, sizeof text, "slate: ");
    va_list list;
    va_start(list, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n - 1, format, list);
    va_end(list);
    if ((size_t)n > sizeof text - 2) n = sizeof text - 2;
    text[n++] = '\n';
    raw(SYS_write, 2, (long)text, n, 0, 0, 0);
}

bool jvm_running(void) {
    return state == RUNNING;
}
bool jvm_inherited(void) {
    return state == INHERITED;
}

/* ------------------------------------------------------------------------------------------------------- natives */

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
/* How long this thread has been ready and not running: the second number of its schedstat. */
NATIVE(jlong, native_run_delay) {
    UNUSED;
    if (!self.schedstat) self.schedstat = 1 + (int)raw(SYS_openat, AT_FDCWD, (long)"/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC, 0, 0, 0);
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
/* How many of the 512 pages from hva lie in a huge page: PAGEMAP_SCAN knows (Linux 6.7). */
NATIVE(jboolean, native_huge_mapped, jlong hva) {
    UNUSED;
    struct region {
        uint64_t start, end, categories;
    } found;
    struct {
        uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, inverted, mask, any, returned;
    } scan = {.size = 96, .start = (uint64_t)hva, .end = (uint64_t)hva + (2 << 20), .vec = (uint64_t)&found, .vec_len = 1, .mask = 1 << 6, .returned = 1 << 6};
    static _Atomic int pagemap = -2; /* of this process: a child opens its own */
    static pid_t owner;
    if (pagemap == -2 || owner != getpid()) {
        owner = getpid();
        pagemap = (int)raw(SYS_openat, AT_FDCWD, (long)"/proc/self/pagemap", O_RDONLY | O_CLOEXEC, 0, 0, 0);
    }
    if (pagemap < 0) return false;
    long n = raw(SYS_ioctl, pagemap, 0xc0606610 /* PAGEMAP_SCAN */, (long)&scan, 0, 0, 0);
    return n == 1 && found.start == scan.start && found.end == scan.end;
}

/* A descriptor that reads, writes, maps and polls as little as KVM's do. */
static int plain_descriptor(void) {
    return (int)raw(SYS_epoll_create1, O_CLOEXEC, 0, 0, 0, 0, 0);
}

/*
 * A new file for Java: its handle, and its descriptor in the upper half. A file with pages is a memfd, so that the client's
 * mmap is the kernel's own; `area` of them are mapped here for Java.
 */
NATIVE(jlong, native_new_file, jint kind, jlong bytes, jboolean readOnly) {
    UNUSED;
    uint32_t handle = file_new((enum kind)kind);
    if (!handle) return -EMFILE;
    struct file *f = &slate_files[handle];
    long fd;
    if (bytes) {
        fd = raw(SYS_memfd_create, (long)(kind == KIND_VCPU ? "kvm-vcpu" : kind == KIND_VM ? "kvm-ring" : "kvm-stats"), MFD_CLOEXEC, 0, 0, 0, 0);
        if (fd < 0) goto failed;
        long r = raw(SYS_ftruncate, fd, bytes, 0, 0, 0, 0);
        if (r == 0) r = raw(SYS_mmap, 0, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (r < 0 && r >= -4095) {
            raw(SYS_close, fd, 0, 0, 0, 0, 0);
            fd = r;
            goto failed;
        }
        f->area = (char *)r;
        f->area_bytes = (size_t)bytes;
        if (kind == KIND_VM) { /* the page is not the descriptor's own: no client maps a VM */
            f->page_fd = (int)fd;
            fd = plain_descriptor();
            if (fd < 0) goto failed;
        }
        if (readOnly) {
            char path[64];
            snprintf(path, sizeof path, "/proc/self/fd/%ld", fd);
            long only = raw(SYS_openat, AT_FDCWD, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0);
            if (only >= 0) {
                raw(SYS_close, fd, 0, 0, 0, 0, 0);
                fd = only;
            }
        }
    } else {
        fd = plain_descriptor();
        if (fd < 0) goto failed;
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
    return (jlong)watched;
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
    for (jsize at = 0; at < n;) {
        long w = raw(SYS_write, 2, (long)bytes + at, n - at, 0, 0, 0);
        if (w <= 0 && w != -EINTR) break;
        if (w > 0) at += (jsize)w;
    }
    (*env)->ReleaseByteArrayElements(env, text, bytes, JNI_ABORT);
}
NATIVE(jstring, native_environment, jstring name) {
    (void)type;
    const char *n = (*env)->GetStringUTFChars(env, name, NULL);
    if (!n) return NULL;
    const char *value = getenv(n);
    (*env)->ReleaseStringUTFChars(env, name, n);
    return value ? (*env)->NewStringUTF(env, value) : NULL;
}
NATIVE(jint, native_pid) {
    UNUSED;
    return getpid();
}
NATIVE(void, native_quit, jint status) {
    UNUSED;
    _exit(status);
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
    ROW("runDelay", "()J", native_run_delay),
    ROW("map", "(JJ)J", native_map),
    ROW("unmap", "(JJ)V", native_unmap),
    ROW("addCode", "(JJJ)I", native_addCode),
    ROW("removeCode", "(J)V", native_removeCode),
    ROW("hugeMapped", "(J)Z", native_huge_mapped),
    ROW("newFile", "(IJZ)J", native_new_file),
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
    ROW("quit", "(I)V", native_quit),
};

static bool register_natives(JNIEnv *env) {
    jclass native = (*env)->FindClass(env, "dev/slate/device/Native");
    return native && (*env)->RegisterNatives(env, native, natives, sizeof natives / sizeof *natives) == 0;
}

/* Loaded by System.load (dev.slate.device.Training and tests): the natives alone, nothing is interposed. */
PUBLIC jint JNI_OnLoad(JavaVM *loader, void *reserved) {
    (void)reserved;
    JNIEnv *env;
    if ((*loader)->GetEnv(loader, (void **)&env, JNI_VERSION_10) != JNI_OK) return JNI_ERR;
    return register_natives(env) ? JNI_VERSION_10 : JNI_ERR;
}

/* --------------------------------------------------------------------------------------------------------- start */

enum { MAX_OPTIONS = 64 };
struct options {
    JavaVMOption list[MAX_OPTIONS];
    int count;
};

static void add_option(struct options *o, const char *format, ...) {
    if (o->count == MAX_OPTIONS) return;
    char *text = NULL;
    va_list list;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0) text = NULL;
    va_end(list);
    if (text) o->list[o->count++].optionString = text;
}

/* device/jvm.options: options apart by white space, comments from # to the end of the line. */
static bool read_options(struct options *o, const char *home) {
    char path[4096], line[1024];
    snprintf(path, sizeof path, "%s/device/jvm.options", home);
    FILE *file = REAL(fopen)(path, "re");
    if (!file) {
        slate_say("can't read %s (%s); start the program with `slate run`.", path, strerror(errno));
        return false;
    }
    while (fgets(line, sizeof line, file)) {
        char *rest = NULL;
        line[strcspn(line, "#")] = 0;
        for (char *word = strtok_r(line, " \t\r\n", &rest); word; word = strtok_r(NULL, " \t\r\n", &rest)) add_option(o, "%s", word);
    }
    fclose(file);
    return true;
}

static bool describe_failure(JNIEnv *env, const char *what) {
    slate_say("%s failed; this is a fault of the installation (`slate build --force` rebuilds it).", what);
    if ((*env)->ExceptionCheck(env)) (*env)->ExceptionDescribe(env);
    (*env)->ExceptionClear(env);
    return false;
}

static bool bind_classes(JNIEnv *env) {
    if (!register_natives(env)) return describe_failure(env, "binding dev.slate.device.Native");
    jclass local = (*env)->FindClass(env, "dev/slate/device/Device");
    if (!local) return describe_failure(env, "loading dev.slate.device.Device");
    device = (*env)->NewGlobalRef(env, local);
    const struct {
        jmethodID *id;
        const char *name, *signature;
    } methods[] = {
        {&method_ioctl, "ioctl", "(IIIJJ)J"},
        {&method_release, "release", "(I)V"},
        {&method_refresh, "refresh", "(I)V"},
        {&method_invalidate, "invalidate", "(ZJJ)V"},
        {&method_pseudo_file, "pseudoFile", "(Ljava/lang/String;)[B"},
        {&method_pseudo_mode, "pseudoMode", "(Ljava/lang/String;)I"},
        {&method_pseudo_write, "pseudoWrite", "(Ljava/lang/String;[B)I"},
        {&method_exit, "exit", "()V"},
    };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        *methods[i].id = (*env)->GetStaticMethodID(env, device, methods[i].name, methods[i].signature);
        if (!*methods[i].id) return describe_failure(env, "binding dev.slate.device.Device");
    }
    jmethodID start = (*env)->GetStaticMethodID(env, device, "start", "()V");
    if (!start) return describe_failure(env, "binding dev.slate.device.Device");
    (*env)->CallStaticVoidMethod(env, device, start);
    if ((*env)->ExceptionCheck(env)) return describe_failure(env, "starting dev.slate.device.Device");
    return true;
}

static void detach(void *unused) {
    (void)unused;
    enter();
    signals_unregister();
    char *scratch = self.scratch;
    self.scratch = NULL; /* the wrapper looks at it */
    atomic_signal_fence(memory_order_seq_cst);
    free(scratch);
    if (self.env && state == RUNNING) (*vm)->DetachCurrentThread(vm);
    self.env = NULL;
    if (self.schedstat > 0) raw(SYS_close, self.schedstat - 1, 0, 0, 0, 0, 0);
    self.schedstat = 0;
    leave();
}

void jvm_at_thread_exit(void) {
    pthread_setspecific(detach_key, &self);
}

void jvm_thread_end(void) {
    if (!self.registration) return;
    pthread_setspecific(detach_key, NULL);
    detach(NULL);
}

static bool adopt(JNIEnv *env) {
    char *scratch = calloc(1, SCRATCH_BYTES + sizeof(struct mailbox));
    if (!scratch) return false;
    self.scratch = scratch;
    self.env = env;
    if (!self.registration) signals_register();
    return true;
}

static void at_exit(void) {
    if (state != RUNNING || self.depth) return;
    enter();
    JNIEnv *env;
    JavaVMAttachArgs arguments = {.version = JNI_VERSION_10};
    if ((*vm)->AttachCurrentThreadAsDaemon(vm, (void **)&env, &arguments) == JNI_OK) (*env)->CallStaticVoidMethod(env, device, method_exit);
    leave();
}

static bool create(void) {
    const char *home = getenv("SLATE_HOME"), *java = getenv("SLATE_JAVA_HOME"), *classes = getenv("SLATE_CLASSPATH");
    if (!home || !java || !classes) {
        slate_say("SLATE_HOME, SLATE_JAVA_HOME and SLATE_CLASSPATH are not all set; start the program with `slate run`.");
        return false;
    }
    static struct options options;
    add_option(&options, "-Djava.class.path=%s", classes);
    const char *cache = getenv("SLATE_AOT_CACHE");
    if (cache) add_option(&options, "-XX:AOTCache=%s", cache);
    if (!read_options(&options, home)) return false;
    char path[4096];
    snprintf(path, sizeof path, "%s/lib/server/libjvm.so", java);
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_DEEPBIND);
    jint (*create_vm)(JavaVM **, void **, void *) = library ? (jint(*)(JavaVM **, void **, void *))dlsym(library, "JNI_CreateJavaVM") : NULL;
    if (!create_vm) {
        slate_say("can't load the JVM: %s; `slate doctor` says what is missing.", dlerror());
        return false;
    }
    if (!rebind((const void *)create_vm, "sigaction", (void *)jvm_sigaction)) {
        slate_say("%s calls no sigaction() that Slate can stand before; use a JDK 25 of Temurin or Debian.", path);
        return false;
    }
    signals_own_faults();
    JavaVMInitArgs arguments = {.version = JNI_VERSION_10, .nOptions = options.count, .options = options.list};
    JNIEnv *env;
    jint error = create_vm(&vm, (void **)&env, &arguments);
    if (error) {
        slate_say("the JVM did not start (JNI error %d); its own message is above.", error);
        return false;
    }
    if (!bind_classes(env) || !adopt(env)) return false;
    atexit(at_exit);
    return true;
}

/* Inside enter(). Every signal is blocked meanwhile, so that the JVM's own threads are born without any of the client's. */
static bool start(void) {
    pthread_mutex_lock(&start_lock);
    if (state == NOT_STARTED) {
        sigset_t all, old;
        int cancel;
        sigfillset(&all);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
        pthread_sigmask(SIG_BLOCK, &all, &old);
        state = create() ? RUNNING : FAILED;
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_setcancelstate(cancel, NULL);
    }
    pthread_mutex_unlock(&start_lock);
    return state == RUNNING;
}

/* Makes this thread one of the JVM's. Inside enter(). */
COLD static bool attach(void) {
    if (state == INHERITED || !start()) return false;
    if (self.env) return true; /* it was this thread that started the JVM */
    JNIEnv *env;
    JavaVMAttachArgs arguments = {.version = JNI_VERSION_10};
    if ((*vm)->AttachCurrentThreadAsDaemon(vm, (void **)&env, &arguments) != JNI_OK) {
        slate_say("a thread can't enter the JVM: no memory for it?");
        return false;
    }
    return adopt(env);
}

/* ------------------------------------------------------------------------------------------------------- the way in */

/* Java catches its own; what comes through all the same is a bug or the end of memory. */
static bool failed(JNIEnv *env) {
    if (!(*env)->ExceptionCheck(env)) return false;
    (*env)->ExceptionDescribe(env);
    (*env)->ExceptionClear(env);
    return true;
}

enum { KVM_RUN_REQUEST = 0xae80 };

HOT long jvm_ioctl(uint32_t handle, unsigned long request, long argument) {
    struct file *f = &slate_files[handle];
    if (UNLIKELY(state == INHERITED && f->java)) return -EIO;
    if (UNLIKELY(!self.env) && !attach()) return -ENODEV;
    JNIEnv *env = self.env;
    struct mailbox *mail = mailbox_of(&self);
    atomic_store_explicit(&mail->signalled, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (UNLIKELY(self.held | (uint64_t)self.cancel_seen)) atomic_store_explicit(&mail->signalled, 1, memory_order_relaxed);
    bool run = request == KVM_RUN_REQUEST;
    bool masked = run && UNLIKELY(f->has_run_mask);
    uint64_t old_mask = 0;
    if (masked) old_mask = signals_begin_run(f->run_mask);
    long r = (*env)->CallStaticLongMethod(env, device, method_ioctl, (jint)handle, (jint)f->kind, (jint)request, (jlong)argument, (jlong)self.scratch);
    if (UNLIKELY(failed(env))) r = -EIO;
    if (masked) signals_end_run(old_mask);
    if (UNLIKELY(slate_counters != NULL)) {
        atomic_fetch_add_explicit(&slate_counters->ioctls, 1, memory_order_relaxed);
        if (run) atomic_fetch_add_explicit(&slate_counters->runs, 1, memory_order_relaxed);
    }
    return r;
}

/* Brackets the ways into Java other than ioctl(): no handler and no cancellation meanwhile. */
static int enter_java(void) {
    int cancel;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
    enter();
    return cancel;
}
static void leave_java(int cancel) {
    leave();
    pthread_setcancelstate(cancel, NULL);
}

void jvm_release(uint32_t handle) {
    if (state != RUNNING) return;
    int cancel = enter_java();
    if (self.env || attach()) {
        (*self.env)->CallStaticVoidMethod(self.env, device, method_release, (jint)handle);
        failed(self.env);
    }
    leave_java(cancel);
}

void jvm_refresh(uint32_t handle) {
    if (state != RUNNING) return;
    int cancel = enter_java();
    if (self.env || attach()) {
        (*self.env)->CallStaticVoidMethod(self.env, device, method_refresh, (jint)handle);
        failed(self.env);
    }
    leave_java(cancel);
}

bool jvm_watches(uintptr_t start, size_t bytes) {
    return state == RUNNING && start < atomic_load_explicit(&watched[1], memory_order_relaxed) &&
           start + bytes > atomic_load_explicit(&watched[0], memory_order_relaxed);
}

void jvm_invalidate(bool begin, uintptr_t start, size_t bytes) {
    int cancel = enter_java();
    if (self.env || attach()) {
        (*self.env)->CallStaticVoidMethod(self.env, device, method_invalidate, (jboolean)begin, (jlong)start, (jlong)(start + bytes));
        failed(self.env);
    }
    leave_java(cancel);
}

char *jvm_pseudo_file(const char *path, size_t *bytes) {
    char *copy = NULL;
    int cancel = enter_java();
    if (self.env || attach()) {
        JNIEnv *env = self.env;
        jstring name = (*env)->NewStringUTF(env, path);
        jbyteArray content = name ? (*env)->CallStaticObjectMethod(env, device, method_pseudo_file, name) : NULL;
        if (!failed(env) && content) {
            *bytes = (size_t)(*env)->GetArrayLength(env, content);
            copy = malloc(*bytes + 1);
            if (copy) (*env)->GetByteArrayRegion(env, content, 0, (jsize)*bytes, (jbyte *)copy);
            (*env)->DeleteLocalRef(env, content);
        }
        if (name) (*env)->DeleteLocalRef(env, name);
    }
    leave_java(cancel);
    return copy;
}

int jvm_pseudo_mode(const char *path) {
    int mode = 0;
    int cancel = enter_java();
    if (self.env || attach()) {
        JNIEnv *env = self.env;
        jstring name = (*env)->NewStringUTF(env, path);
        if (name) mode = (*env)->CallStaticIntMethod(env, device, method_pseudo_mode, name);
        if (failed(env)) mode = 0;
        if (name) (*env)->DeleteLocalRef(env, name);
    }
    leave_java(cancel);
    return mode;
}

int jvm_pseudo_write(const char *path, const char *text, size_t bytes) {
    int error = -ENOMEM;
    int cancel = enter_java();
    if (self.env || attach()) {
        JNIEnv *env = self.env;
        jstring name = (*env)->NewStringUTF(env, path);
        jbyteArray content = name ? (*env)->NewByteArray(env, (jsize)bytes) : NULL;
        if (content) {
            (*env)->SetByteArrayRegion(env, content, 0, (jsize)bytes, (const jbyte *)text);
            error = (*env)->CallStaticIntMethod(env, device, method_pseudo_write, name, content);
            (*env)->DeleteLocalRef(env, content);
        }
        if (failed(env)) error = -EIO;
        if (name) (*env)->DeleteLocalRef(env, name);
    }
    leave_java(cancel);
    return error;
}

static void in_child(void) {
    if (state == RUNNING) state = INHERITED;
    pthread_mutex_init(&start_lock, NULL);
    files_in_child();
    signals_in_child();
    self.env = NULL;
    self.depth = 0;
    self.serving = 0;
    self.schedstat = 0; /* the parent's thread's */
}

void jvm_in_child(void) {
    in_child();
}

__attribute__((constructor)) static void load(void) {
    files_start();
    pthread_atfork(NULL, NULL, in_child);
    pthread_key_create(&detach_key, detach);
    const char *counters = getenv("SLATE_COUNTERS");
    if (!counters) return;
    long fd = raw(SYS_openat, AT_FDCWD, (long)counters, O_RDWR | O_CREAT | O_CLOEXEC, 0644, 0, 0);
    if (fd < 0) return;
    raw(SYS_ftruncate, fd, 64, 0, 0, 0, 0);
    long at = raw(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    if (at >= 0 || at < -4095) slate_counters = (struct counters *)at;
}
