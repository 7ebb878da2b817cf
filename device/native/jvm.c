/* The JVM inside the client: its start, and the threads' way into it. */
#include "slate.h"

#include <link.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <time.h>

/* STARTING: a thread holds start_lock for it, libjvm and its threads may be there. RUNNING is said last: what Java is called by is there then. */
enum state { NOT_STARTED, STARTING, RUNNING, FAILED, INHERITED };
static _Atomic enum state state;
static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static JavaVM *vm;
static jclass device;
static jmethodID method_ioctl, method_release, method_refresh, method_invalidate, method_pseudo_file, method_pseudo_mode, method_pseudo_write, method_exit, method_filtered, method_confined;
static pthread_key_t detach_key;

bool jvm_running(void) {
    return state == RUNNING;
}
bool jvm_inherited(void) {
    return state == INHERITED;
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

/* jvm.options: options apart by white space, comments from # to the end of the line. */
static bool read_options(struct options *o, const char *path) {
    char line[1024];
    own_begin();
    FILE *file = REAL(fopen)(path, "re");
    own_end(-1);
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
    jthrowable thrown = (*env)->ExceptionOccurred(env);
    (*env)->ExceptionClear(env);
    jclass exhausted = thrown ? (*env)->FindClass(env, "java/lang/OutOfMemoryError") : NULL;
    if (exhausted && (*env)->IsInstanceOf(env, thrown, exhausted)) {
        slate_say("the JVM did not start: there is no more memory, address space or no more threads for this process (ulimit -a shows its limits).");
        return false;
    }
    slate_say("%s failed; this is a fault of the installation (`slate build --force` rebuilds it).", what);
    if (thrown && (*env)->Throw(env, thrown) == 0) (*env)->ExceptionDescribe(env);
    (*env)->ExceptionClear(env);
    return false;
}

static bool bind_classes(JNIEnv *env) {
    if (!natives_register(env)) return describe_failure(env, "binding dev.slate.device.Native");
    jclass local = (*env)->FindClass(env, "dev/slate/device/Device");
    if (!local) return describe_failure(env, "loading dev.slate.device.Device");
    device = (*env)->NewGlobalRef(env, local);
    const struct {
        jmethodID *id;
        const char *name, *signature;
    } methods[] = {
        {&method_ioctl, "ioctl", "(J)V"},
        {&method_release, "release", "(I)V"},
        {&method_refresh, "refresh", "(I)V"},
        {&method_invalidate, "invalidate", "(ZJJ)V"},
        {&method_pseudo_file, "pseudoFile", "(Ljava/lang/String;)[B"},
        {&method_pseudo_mode, "pseudoMode", "(Ljava/lang/String;)I"},
        {&method_pseudo_write, "pseudoWrite", "(Ljava/lang/String;[B)I"},
        {&method_exit, "exit", "()V"},
        {&method_filtered, "filtered", "()V"},
        {&method_confined, "confined", "()V"},
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

static long detach_there(void *unused) {
    (void)unused;
    return (*vm)->DetachCurrentThread(vm);
}

/* Inside enter(). */
static void depart(void) {
    if (self.env && state == RUNNING) on_java_stack(detach_there, NULL);
    self.env = NULL;
    stack_unmap();
}

static void detach(void *unused) {
    (void)unused;
    enter();
    signals_unregister();
    depart();
    if (self.schedstat > 0) own_close(self.schedstat - 1);
    self.schedstat = 0;
    leave();
    if (state == RUNNING) end_thread_gone();
}

void jvm_at_thread_exit(void) {
    pthread_setspecific(detach_key, &self);
}

void jvm_thread_end(void) {
    if (!self.registration) return;
    pthread_setspecific(detach_key, NULL);
    detach(NULL);
}

/* ---- The keeper: a thread of Slate's that starts the JVM and loads its libraries, so that the client's heap stays as it was ---- */

/* What other threads have a thread of Slate's do, one job after the other. */
struct errands {
    pthread_mutex_t lock;
    pthread_cond_t asked, done;
    enum { NO_JOB, JOB_WAITS, JOB_RUNS, JOB_DONE } job;
    void *(*function)(void *);
    void *argument, *result;
};
#define ERRANDS {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, NO_JOB, NULL, NULL, NULL}
static struct errands keeping = ERRANDS;
/*
 * Of the changer, a thread that Java knows from its start: a change of memory waits for vCPUs to let go of it, and one of them may be
 * waiting for the keeper to load a library.
 */
static struct errands changing = ERRANDS;
static bool has_changer;
static bool watching;
static __thread bool is_keeper;

/* Leaves the lock taken. */
static void finish_job(struct errands *e, void *result) {
    pthread_mutex_lock(&e->lock);
    e->result = result;
    e->job = JOB_DONE;
    pthread_cond_broadcast(&e->done);
}

/* Under the lock. */
static bool does_a_job(struct errands *e) {
    if (e->job != JOB_WAITS) return false;
    e->job = JOB_RUNS;
    pthread_mutex_unlock(&e->lock);
    finish_job(e, e->function(e->argument));
    return true;
}

static void *keeper(void *unused) {
    (void)unused;
    self.jvm_thread = is_keeper = true;
    end_own_thread(true);
    pthread_mutex_lock(&keeping.lock);
    for (;;) {
        if (does_a_job(&keeping)) continue;
        if (watching) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 250000000;
            if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
            }
            pthread_cond_timedwait(&keeping.asked, &keeping.lock, &until);
            if (keeping.job != JOB_WAITS) {
                watching = false; /* before the look: who wakes the keeper meanwhile sets it again */
                pthread_mutex_unlock(&keeping.lock);
                bool more = end_poll();
                pthread_mutex_lock(&keeping.lock);
                watching |= more;
            }
        } else {
            pthread_cond_wait(&keeping.asked, &keeping.lock);
        }
    }
    return NULL;
}

static void *changer(void *unused) {
    (void)unused;
    self.jvm_thread = true;
    end_own_thread(true);
    pthread_mutex_lock(&changing.lock);
    for (;;) {
        if (!does_a_job(&changing)) pthread_cond_wait(&changing.asked, &changing.lock);
    }
    return NULL;
}

void keeper_wake(void) {
    if (state != RUNNING) return;
    pthread_mutex_lock(&keeping.lock);
    watching = true;
    pthread_cond_broadcast(&keeping.asked);
    pthread_mutex_unlock(&keeping.lock);
}

/* Inside enter(), on a thread of the client's or libjvm's. */
static void *errand(struct errands *e, void *(*function)(void *), void *argument) {
    pthread_mutex_lock(&e->lock);
    while (e->job != NO_JOB) pthread_cond_wait(&e->done, &e->lock);
    e->function = function;
    e->argument = argument;
    e->job = JOB_WAITS;
    pthread_cond_broadcast(&e->asked);
    while (e->job != JOB_DONE) pthread_cond_wait(&e->done, &e->lock);
    e->job = NO_JOB;
    void *result = e->result;
    pthread_cond_broadcast(&e->done);
    pthread_mutex_unlock(&e->lock);
    return result;
}

/* For libjvm too. */
void *keeper_does(void *(*function)(void *), void *argument) {
    return is_keeper ? function(argument) : errand(&keeping, function, argument);
}

/* The JVM gives up while it starts: that has failed, and the thread goes no further. */
void keeper_start_failed(void) {
    if (is_keeper) finish_job(&keeping, NULL);
    else pthread_mutex_lock(&keeping.lock);
    pthread_mutex_unlock(&keeping.lock);
    for (;;) pause();
}

static char jvm_folder[4096], jvm_file[4096];

static void at_exit(void) {
    if (state == RUNNING && !self.depth) jvm_exit();
}

/*
 * Sets where Java is and adds the options that say where the classes are; returns the file of all other options, or null. In a source
 * tree `slate run` says it in the environment. In a distribution it all stands beside this library, wherever that was unpacked.
 */
static const char *find_home(struct options *o) {
    static char file[4096 + 16], lib[4096];
    const char *home = slate_variable("SLATE_HOME"), *java = slate_variable("SLATE_JAVA_HOME"), *classes = slate_variable("SLATE_CLASSPATH");
    if (home && java && classes) {
        add_option(o, "-Djava.class.path=%s", classes);
        const char *cache = slate_variable("SLATE_AOT_CACHE");
        if (cache) add_option(o, "-XX:AOTCache=%s", cache);
        snprintf(jvm_folder, sizeof jvm_folder, "%s/", java);
        snprintf(file, sizeof file, "%s/device/jvm.options", home);
    } else {
        Dl_info own;
        if (!dladdr((void *)find_home, &own) || !realpath(own.dli_fname, lib)) return NULL;
        *strrchr(lib, '/') = 0;
        snprintf(file, sizeof file, "%s/../runtime", lib);
        if (!realpath(file, jvm_folder)) return NULL; /* what rebind() compares with names that the JVM made */
        strncat(jvm_folder, "/", sizeof jvm_folder - strlen(jvm_folder) - 1);
        snprintf(file, sizeof file, "%s/jvm.options", lib);
        add_option(o, "-Djava.class.path=%1$s/slate-cpu.jar:%1$s/slate-kvm.jar:%1$s/slate-debug.jar:%1$s/slate-device.jar", lib);
        bindings_jars(lib);
        add_option(o, "-XX:AOTCache=%s/slate.aot", lib);
        add_option(o, "-Xlog:aot*=off"); /* `slate doctor` says when the cache does not fit; without it the start is slower, no more */
    }
    snprintf(jvm_file, sizeof jvm_file, "%slib/server/libjvm.so", jvm_folder);
    return file;
}

static _Atomic int c2_thread; /* 0: not known, or behind */

static bool is_c2(int thread) {
    char path[64], name[16] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/comm", thread);
    long fd = own_open(path, O_RDONLY);
    if (fd < 0) return false;
    raw(SYS_read, fd, (long)name, sizeof name - 1, 0, 0, 0);
    raw(SYS_close, fd, 0, 0, 0, 0, 0);
    if (strncmp(name, "C2 ", 3)) return false;
    atomic_store(&c2_thread, thread);
    return true;
}
static void find_c2(void) {
    if (seccomp_allows(SYS_getdents64)) end_any_thread(is_c2, false);
}

/*
 * What C2 makes is only a faster form of what C1 has made already, and takes seconds of a processor in a machine's first minute. Where
 * all processors are busy a guest that is machine code would wait for it; it takes what they leave. Guests that are none wait for nothing
 * else. A client's filter may forbid it later.
 */
void jvm_c2_behind(void) {
    int thread = state != INHERITED && is_ours() ? atomic_exchange(&c2_thread, 0) : 0;
    if (!thread || !seccomp_allows(SYS_getpriority) || !seccomp_allows(SYS_setpriority)) return;
    long nice = 20 - raw(SYS_getpriority, PRIO_PROCESS, thread, 0, 0, 0, 0); /* the client's */
    raw(SYS_setpriority, PRIO_PROCESS, thread, nice < 9 ? nice + 10 : 19, 0, 0, 0);
}

/* On the keeper. Not null: it runs. */
static void *create(void *unused) {
    (void)unused;
    static struct options options;
    const char *file = find_home(&options);
    if (!file) {
        slate_say("SLATE_HOME, SLATE_JAVA_HOME and SLATE_CLASSPATH are not all set; start the program with `slate run`.");
        return NULL;
    }
    if (!read_options(&options, file)) return NULL;
    unsigned long heap = room_for_heap();
    if (heap) add_option(&options, "-Xmx%lum", heap);
    if (options.count < MAX_OPTIONS) options.list[options.count++] = (JavaVMOption){(char *)"vfprintf", (void *)bindings_print};
    void *library = bindings_open(jvm_folder, jvm_file);
    jint (*create_vm)(JavaVM **, void **, void *) = library ? (jint(*)(JavaVM **, void **, void *))dlsym(library, "JNI_CreateJavaVM") : NULL;
    if (!create_vm) {
        slate_say("can't load the JVM: %s; `slate doctor` says what is missing.", dlerror());
        return NULL;
    }
    if (!bindings_make(jvm_file)) return NULL;
    signals_own_faults();
    JavaVMInitArgs arguments = {.version = JNI_VERSION_10, .nOptions = options.count, .options = options.list};
    JNIEnv *env;
    bindings_hear(true);
    jint error = create_vm(&vm, (void **)&env, &arguments);
    if (error) bindings_say_why();
    bindings_hear(false);
    if (error || !bind_classes(env)) return NULL;
    find_c2();
    return vm;
}

static void *attach_changer(void *unused) {
    (void)unused;
    JavaVMAttachArgs arguments = {.version = JNI_VERSION_10};
    JNIEnv *env;
    return (*vm)->AttachCurrentThreadAsDaemon(vm, (void **)&env, &arguments) == JNI_OK ? vm : NULL;
}

/* 0 or -errno. Inside enter(). Every signal is blocked meanwhile, so that the JVM's own threads are born without any of the client's. */
static long start(void) {
    pthread_mutex_lock(&start_lock);
    if (state == NOT_STARTED) {
        sigset_t all, old;
        int cancel;
        pthread_t id;
        sigfillset(&all);
        sigdelset(&all, SIGSEGV); /* stands_in() needs it */
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
        pthread_sigmask(SIG_BLOCK, &all, &old);
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        /* The client's thread-local storage is taken out of a thread's stack. */
        size_t (*least)(const pthread_attr_t *) = (size_t(*)(const pthread_attr_t *))dlsym(RTLD_DEFAULT, "__pthread_get_minstack");
        pthread_attr_setstacksize(&attributes, (2 << 20) + (least ? least(&attributes) : 0));
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        const char *forbidden = seccomp_forbids_start();
        if (forbidden) {
            slate_say("the program has installed a seccomp filter that ends it for %s, and then uses /dev/kvm: the JVM that Slate needs can't be "
                      "started. Open /dev/kvm before the filter comes, or run without the filter.", forbidden);
        }
        bool may = !forbidden && room_for_jvm(), later = may && !room_for_descriptors();
        if (later) goto out;
        state = STARTING;
        int error = may ? REAL(pthread_create)(&id, &attributes, keeper, NULL) : EPERM;
        if (error && may) slate_say("the JVM needs a thread, and there can be none (%s).", strerror(error));
        if (!error && errand(&keeping, create, NULL)) {
            has_changer = !REAL(pthread_create)(&id, &attributes, changer, NULL) && errand(&changing, attach_changer, NULL);
            atexit(at_exit);
            if (end_is_awaited()) signals_keep_ends();
            state = RUNNING;
            end_look();
        } else {
            state = FAILED;
            bindings_say_why();
        }
    out:
        pthread_sigmask(SIG_SETMASK, &old, NULL);
        pthread_setcancelstate(cancel, NULL);
    }
    long r = state == RUNNING ? 0 : state == NOT_STARTED ? -EMFILE : -ENODEV;
    pthread_mutex_unlock(&start_lock);
    return r;
}

static long attach_there(void *env) {
    JavaVMAttachArgs arguments = {.version = JNI_VERSION_10};
    return (*vm)->AttachCurrentThreadAsDaemon(vm, (void **)env, &arguments);
}

/* Makes this thread one of the JVM's: 0 or -errno. Inside enter(). */
COLD static long attach(void) {
    static atomic_flag first = ATOMIC_FLAG_INIT;
    long r = state == INHERITED ? -ENODEV : start();
    if (r) return r;
    if (!self.stack && !stack_map()) {
        slate_say("a thread can't enter the JVM: no memory for its stack.");
        return -ENOMEM;
    }
    JNIEnv *env;
    if (on_java_stack(attach_there, &env) != JNI_OK) {
        slate_say("a thread can't enter the JVM: no memory for it?");
        return -ENOMEM;
    }
    self.env = env;
    /* The client may use up its descriptors: no class could be read from a file then. */
    if (!atomic_flag_test_and_set(&first) && own_may_run_out()) jvm_confined();
    return 0;
}

/* The client is itself a Java program: there is a libjvm that is not ours. */
static int is_libjvm(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
    return slash && !strcmp(slash, "/libjvm.so");
}
bool jvm_foreign(void) {
    /* Asked again behind the look: another thread may be loading ours. */
    return state == NOT_STARTED && dl_iterate_phdr(is_libjvm, NULL) && state == NOT_STARTED;
}

/* ------------------------------------------------------------------------------------------------------- the way in */

/* Java catches its own; what comes through all the same is a bug or the end of memory. */
static bool failed(JNIEnv *env) {
    if (!(*env)->ExceptionCheck(env)) return false;
    (*env)->ExceptionDescribe(env);
    (*env)->ExceptionClear(env);
    return true;
}

enum { KVM_RUN_REQUEST = 0xae80, KVM_GET_API_VERSION_REQUEST = 0xae00 };

HOT static long ioctl_there(void *mailbox) {
    struct mailbox *mail = mailbox;
    const jvalue argument = {.j = (jlong)self.scratch};
    (*self.env)->CallStaticVoidMethodA(self.env, device, method_ioctl, &argument);
    if (LIKELY(mail->answer != NO_ANSWER)) return mail->answer;
    failed(self.env);
    return -EIO;
}

/* What can be said without a JVM, so that a program that only looks does not start one, and its children may. */
COLD static bool without_java(const struct file *f, unsigned long request, long argument, long *r) {
    if (f->kind == KIND_FOREIGN) {
        *r = -EIO; /* as KVM: a VM is for the process that made it */
        return true;
    }
    if (state == INHERITED) {
        if (f->java) *r = -EIO;
        else slate_say("request 0x%lx in a fork of a process that already runs virtual machines on Slate: a JVM does not survive fork(). "
                       "Fork before the parent's first use of /dev/kvm, or exec().", request & 0xffffffff);
        if (!f->java) *r = -ENODEV;
        return true;
    }
    if (state == RUNNING || f->kind != KIND_SYSTEM || request != KVM_GET_API_VERSION_REQUEST) return false;
    *r = argument ? -EINVAL : 12;
    return true;
}

HOT long jvm_ioctl(uint32_t handle, unsigned long request, long argument) {
    struct file *f = &slate_files[handle];
    if (UNLIKELY(!self.env)) {
        long r;
        if (without_java(f, request, argument, &r)) return r;
        if ((r = attach())) return r;
    }
    struct mailbox *mail = mailbox_of(&self);
    atomic_store_explicit(&mail->signalled, 0, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (UNLIKELY(self.held | (uint64_t)self.cancel_seen)) atomic_store_explicit(&mail->signalled, 1, memory_order_relaxed);
    bool run = request == KVM_RUN_REQUEST;
    bool masked = run && UNLIKELY(f->has_run_mask);
    uint64_t old_mask = 0;
    if (masked) old_mask = signals_begin_run(f->run_mask);
    mail->handle = handle;
    mail->kind = f->kind;
    mail->number = (uint32_t)request;
    mail->argument = argument;
    mail->answer = NO_ANSWER;
    long r = on_java_stack(ioctl_there, mail);
    if (masked) signals_end_run(old_mask);
    if (UNLIKELY(slate_counters != NULL)) {
        atomic_fetch_add_explicit(&slate_counters->ioctls, 1, memory_order_relaxed);
        if (run) atomic_fetch_add_explicit(&slate_counters->runs, 1, memory_order_relaxed);
    }
    return r;
}

bool jvm_start(void) {
    enter();
    bool running = state == RUNNING || start() == 0;
    leave();
    return running;
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

/*
 * Whatever else a client's thread has for Java. Where Java does not know the thread yet it is known for this alone: a descriptor may be
 * closed on a thread's last way, when nothing would detach it any more.
 */
static bool upcall(long (*f)(void *), void *u) {
    int cancel = enter_java();
    bool stays = self.env, can = stays || attach() == 0;
    if (can) {
        on_java_stack(f, u);
        failed(self.env);
        if (!stays) depart();
    }
    leave_java(cancel);
    return can;
}

/* A call of one of Device's methods. */
struct upcall {
    jmethodID method;
    uint32_t handle;
    const char *text, *content;
    size_t bytes;
    char *copy;
    long result;
};
static long release_there(void *u) {
    (*self.env)->CallStaticVoidMethod(self.env, device, ((struct upcall *)u)->method, (jint)((struct upcall *)u)->handle);
    return 0;
}
void jvm_release(uint32_t handle) {
    struct upcall u = {.method = method_release, .handle = handle};
    if (state == RUNNING) upcall(release_there, &u);
}
void jvm_refresh(uint32_t handle) {
    struct upcall u = {.method = method_refresh, .handle = handle};
    if (state == RUNNING) upcall(release_there, &u);
}

static long call_there(void *u) {
    (*self.env)->CallStaticVoidMethod(self.env, device, ((struct upcall *)u)->method);
    return 0;
}
void jvm_exit(void) {
    struct upcall u = {.method = method_exit};
    upcall(call_there, &u);
}
void jvm_confined(void) {
    struct upcall u = {.method = method_confined};
    upcall(call_there, &u);
}
void jvm_filtered(void) {
    struct upcall u = {.method = method_filtered};
    upcall(call_there, &u);
}

HOT bool jvm_watches(const struct range *r) {
    uint64_t start = atomic_load_explicit(&slate_watched.start, memory_order_relaxed), end = atomic_load_explicit(&slate_watched.end, memory_order_relaxed);
    if (LIKELY(state != RUNNING || r->start >= end || r->start + r->bytes <= start)) return false;
    if (r->start > start) start = r->start;
    if (r->start + r->bytes < end) end = r->start + r->bytes;
    for (uint64_t granule = start >> GRANULE_SHIFT; granule << GRANULE_SHIFT < end; granule++) {
        uint64_t word = atomic_load_explicit(&slate_watched.granules[granule / 64], memory_order_relaxed);
        if (word >> granule % 64 & 1) return true;
        if (!word) granule |= 63;
    }
    return false;
}

struct change {
    const struct range *ranges;
    int count;
    long number;
    const long *arguments;
    long result;
};
static void invalidate(JNIEnv *env, bool begin, const struct range *r) {
    (*env)->CallStaticVoidMethod(env, device, method_invalidate, (jboolean)begin, (jlong)r->start, (jlong)(r->start + r->bytes));
    failed(env);
}
static void change_with(JNIEnv *env, struct change *c) {
    const long *a = c->arguments;
    for (int i = 0; i < c->count; i++) invalidate(env, true, &c->ranges[i]);
    c->result = raw(c->number, a[0], a[1], a[2], a[3], a[4], a[5]);
    for (int i = c->count; i-- > 0;) invalidate(env, false, &c->ranges[i]);
}
static long change_there(void *change) {
    change_with(self.env, change);
    return 0;
}
static void *change_elsewhere(void *change) {
    JNIEnv *env;
    if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_10) == JNI_OK) change_with(env, change);
    return NULL;
}
/*
 * A thread that Java does not know must not become known to it here: that takes memory by libc's malloc(), and it may be malloc() that changes
 * the memory, with its lock held. The changer makes the change for it; the memory is the whole process's.
 */
COLD static void change_by_another(struct change *c) {
    sigset_t all, old;
    int cancel = enter_java();
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    errand(has_changer ? &changing : &keeping, change_elsewhere, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    leave_java(cancel);
}
long jvm_changes(const struct range *ranges, int count, long number, const long a[6]) {
    struct change c = {ranges, count, number, a, -EAGAIN};
    if (self.env) upcall(change_there, &c);
    else change_by_another(&c);
    return c.result;
}

static long pseudo_file_there(void *call) {
    struct upcall *u = call;
    JNIEnv *env = self.env;
    jstring name = (*env)->NewStringUTF(env, u->text);
    jbyteArray content = name ? (*env)->CallStaticObjectMethod(env, device, method_pseudo_file, name) : NULL;
    if (!failed(env) && content) {
        u->bytes = (size_t)(*env)->GetArrayLength(env, content);
        u->copy = malloc(u->bytes + 1);
        if (u->copy) (*env)->GetByteArrayRegion(env, content, 0, (jsize)u->bytes, (jbyte *)u->copy);
        (*env)->DeleteLocalRef(env, content);
    }
    if (name) (*env)->DeleteLocalRef(env, name);
    return 0;
}
char *jvm_pseudo_file(const char *path, size_t *bytes) {
    struct upcall u = {.text = path};
    upcall(pseudo_file_there, &u);
    *bytes = u.bytes;
    return u.copy;
}

static long pseudo_mode_there(void *call) {
    struct upcall *u = call;
    JNIEnv *env = self.env;
    jstring name = (*env)->NewStringUTF(env, u->text);
    if (name) u->result = (*env)->CallStaticIntMethod(env, device, method_pseudo_mode, name);
    if (failed(env)) u->result = 0;
    if (name) (*env)->DeleteLocalRef(env, name);
    return 0;
}
int jvm_pseudo_mode(const char *path) {
    struct upcall u = {.text = path};
    upcall(pseudo_mode_there, &u);
    return (int)u.result;
}

static long pseudo_write_there(void *call) {
    struct upcall *u = call;
    JNIEnv *env = self.env;
    jstring name = (*env)->NewStringUTF(env, u->text);
    jbyteArray content = name ? (*env)->NewByteArray(env, (jsize)u->bytes) : NULL;
    if (content) {
        (*env)->SetByteArrayRegion(env, content, 0, (jsize)u->bytes, (const jbyte *)u->content);
        u->result = (*env)->CallStaticIntMethod(env, device, method_pseudo_write, name, content);
        (*env)->DeleteLocalRef(env, content);
    }
    if (failed(env)) u->result = -EIO;
    if (name) (*env)->DeleteLocalRef(env, name);
    return 0;
}
int jvm_pseudo_write(const char *path, const char *text, size_t bytes) {
    struct upcall u = {.text = path, .content = text, .bytes = bytes, .result = -ENOMEM};
    upcall(pseudo_write_there, &u);
    return (int)u.result;
}

void jvm_in_child(void) {
    if (state == RUNNING || state == STARTING) state = INHERITED; /* the thread that starts it is not here */
    pthread_mutex_init(&start_lock, NULL);
    files_in_child();
    signals_in_child();
    self.env = NULL;
    self.depth = 0;
    self.serving = 0;
    self.on_stack = false;
    self.schedstat = 0; /* the parent's thread's */
}

void jvm_load(void) {
    pthread_atfork(NULL, NULL, jvm_in_child);
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
