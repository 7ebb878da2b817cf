/* What a client does with its guest's memory: door's neighbour, run by DoorTest as that is. */
#include "doors.h"

#include <linux/kvm_para.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void *runs_for_ever(void *machine) {
    for (;;) ioctl(((struct machine *)machine)->vcpu, KVM_RUN, 0);
    return NULL;
}
static void others_go_on_while_a_vcpu_waits_for_a_page(void) {
    static const uint8_t TOUCH[] = {0x88, 0x07, 0x83, 0xc3, 0x40, 0xeb, 0xf9}; /* mov [bx], al; add bx, 64; again */
    int kvm = device(), u = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP};
    if (u < 0 || ioctl(u, UFFDIO_API, &api)) SKIP("this user or kernel has no userfaultfd with write protection");
    struct machine m = boot(kvm, TOUCH, sizeof TOUCH);
    /* Private memory: what older kernels can protect. */
    CHECK(mmap(m.memory, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == m.memory);
    memset(m.memory, 0, 0x40000);
    memcpy(m.memory + 0x1000, TOUCH, sizeof TOUCH);
    struct kvm_sregs sregs;
    CHECK(ioctl(m.vcpu, KVM_GET_SREGS, &sregs) == 0);
    sregs.ds.base = 0x20000;
    sregs.ds.selector = 0x2000;
    CHECK(ioctl(m.vcpu, KVM_SET_SREGS, &sregs) == 0);
    struct uffdio_register r = {.range = {(uintptr_t)m.memory + 0x20000, 0x10000}, .mode = UFFDIO_REGISTER_MODE_WP};
    if (ioctl(u, UFFDIO_REGISTER, &r)) SKIP("this kernel protects no such memory");
    pthread_t id;
    pthread_create(&id, NULL, runs_for_ever, &m);
    usleep(300000);
    struct uffdio_writeprotect w = {.range = r.range, .mode = UFFDIO_WRITEPROTECT_MODE_WP};
    CHECK(ioctl(u, UFFDIO_WRITEPROTECT, &w) == 0);
    struct pollfd p = {u, POLLIN, 0};
    CHECK(poll(&p, 1, 10000) == 1);
    for (int i = 0; i < 300; i++) runs(kvm); /* the collector runs meanwhile, and needs every thread */
    w.mode = 0;
    CHECK(ioctl(u, UFFDIO_WRITEPROTECT, &w) == 0);
    _exit(0);
}
static void memory_that_free_gives_back(void) {
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    char *block = malloc(MEMORY + 4096);
    uint8_t *page = (uint8_t *)(((uintptr_t)block + 4095) & -4096ul);
    memcpy(page, m.memory, MEMORY / 2);
    struct kvm_userspace_memory_region region = {.memory_size = 0};
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    region = (struct kvm_userspace_memory_region){.memory_size = MEMORY, .userspace_addr = (uintptr_t)page};
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    turn(&m);
    free(block); /* of a size that malloc maps, and so unmaps */
    CHECK(ioctl(m.vcpu, KVM_RUN, 0) == -1 && errno == EFAULT);
}
/* malloc() changes memory with its own lock held: a thread that never came to the device must not need it to be let in. */
static pthread_barrier_t heap_is_known, heap_is_watched;
static void *grows_its_heap(void *heap) {
    *(void **)heap = malloc(100);
    pthread_barrier_wait(&heap_is_known);
    pthread_barrier_wait(&heap_is_watched);
    void *last = NULL;
    for (int i = 0; i < 4000; i++) {
        void **next = malloc(2000);
        *next = last;
        last = next;
    }
    while (last) {
        void *next = *(void **)last;
        free(last);
        last = next;
    }
    return NULL;
}
static void a_thread_that_knows_no_vm_changes_its_heap(void) {
    pthread_t thread;
    void *heap;
    pthread_barrier_init(&heap_is_known, NULL, 2);
    pthread_barrier_init(&heap_is_watched, NULL, 2);
    /* Before the JVM's threads: malloc() gives a heap of its own to no more than eight a processor. */
    CHECK(pthread_create(&thread, NULL, grows_its_heap, &heap) == 0);
    pthread_barrier_wait(&heap_is_known);
    struct machine m = boot(device(), OUT_HLT, sizeof OUT_HLT);
    /* All that glibc may make of this heap. */
    uint64_t size = 64 << 20, start = (uint64_t)heap & -size;
    struct kvm_userspace_memory_region region = {.slot = 7, .guest_phys_addr = 1ul << 32, .memory_size = size, .userspace_addr = start};
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    pthread_barrier_wait(&heap_is_watched);
    CHECK(pthread_join(thread, NULL) == 0);
    turn(&m);
}
static void locked_memory(void) {
    struct rlimit limit;
    if (getuid() && (getrlimit(RLIMIT_MEMLOCK, &limit) || limit.rlim_cur != RLIM_INFINITY)) SKIP("this user can't lock that much");
    CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
    runs(device());
}
static void the_heap_is_as_it_was(void) {
    int kvm = device(), vm = ioctl(kvm, KVM_CREATE_VM, 0);
    CHECK(ioctl(vm, KVM_CREATE_VCPU, 0) >= 0);
    uint64_t *fresh = malloc(160);
    for (int i = 2; i < 20; i++) CHECK(fresh[i] == 0);
}

/* ------------------------------------------------------------------------------------------- pages that are awaited */

/*
 * Somebody needs pages that the client gives later (a userfaultfd): a vCPU that loads, stores, fetches or walks its page tables, the
 * hypervisor for a request or a guest's MSR, or a request's own argument. Others go on meanwhile, however often garbage is collected.
 */
enum { AWAITED = 0x20000, AWAITED_BYTES = 0x8000, PAGES = AWAITED_BYTES / 4096, PORT = 0x10 };
static struct machine waiting;
static const char *need;
static _Atomic int exits, done;

static void *needs_pages(void *unused) {
    if (!strcmp(need, "translate")) {
        struct kvm_translation t = {.linear_address = CODE};
        CHECK(ioctl(waiting.vcpu, KVM_TRANSLATE, &t) == 0 && t.valid && t.physical_address == CODE);
    } else if (!strcmp(need, "argument")) {
        CHECK(ioctl(waiting.vcpu, KVM_GET_REGS, waiting.memory + AWAITED + 4096 - 64) == 0);
    } else {
        for (;;) {
            CHECK(ioctl(waiting.vcpu, KVM_RUN, 0) == 0 && waiting.run->exit_reason == KVM_EXIT_IO);
            if (++exits == PAGES) break;
        }
    }
    done = 1;
    return NULL;
}
/* How many pages are awaited one after the other, and what they hold. */
static int fill_pages(uint8_t *pages) {
    if (!strcmp(need, "fetch")) {
        for (int i = 0; i < PAGES; i++) { /* out 0x10, al; jmp to the next */
            uint16_t next = (uint16_t)((AWAITED >> 4) + ((i + 1) % PAGES << 8));
            memcpy(pages + i * 4096, (uint8_t[]){0xe6, PORT, 0xea, 0, 0, (uint8_t)next, (uint8_t)(next >> 8)}, 7);
        }
    }
    if (!strcmp(need, "walk") || !strcmp(need, "translate")) {
        uint64_t *tables = (uint64_t *)pages;
        tables[0] = AWAITED + 0x1000 + 3;
        tables[0x1000 / 8] = AWAITED + 0x2000 + 3;
        tables[0x2000 / 8] = 0x83;
        return 3;
    }
    return !strcmp(need, "clock") ? 1 : !strcmp(need, "argument") ? 2 : PAGES;
}
static void prepare(void) {
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rip = CODE, .rflags = 2};
    bool longs = !strcmp(need, "walk") || !strcmp(need, "translate");
    if (longs) begin_long(&waiting, regs);
    else begin_real(&waiting, regs);
    CHECK(ioctl(waiting.vcpu, KVM_GET_SREGS, &sregs) == 0);
    if (longs) {
        sregs.cr3 = AWAITED;
    } else {
        sregs.ds.base = AWAITED;
        sregs.ds.selector = AWAITED >> 4;
    }
    CHECK(ioctl(waiting.vcpu, KVM_SET_SREGS, &sregs) == 0);
    static const uint8_t LOADS[] = {0x8a, 0x07, 0xe6, PORT, 0x81, 0xc3, 0x00, 0x10, 0xeb, 0xf6}, /* mov al, [bx]; out; add bx, 4096; again */
        STORES[] = {0x88, 0x07, 0xe6, PORT, 0x81, 0xc3, 0x00, 0x10, 0xeb, 0xf6}, JUMPS[] = {0xea, 0, 0, 0, AWAITED >> 12},
        OUTS[] = {0xe6, PORT, 0xeb, 0xfc},
        CLOCK[] = {0x66, 0xb9, 0x01, 0x4d, 0x56, 0x4b, 0x66, 0xb8, 0x01, 0x00, 0x02, 0x00, 0x66, 0x31, 0xd2, 0x0f, 0x30, 0xe6, PORT, 0xeb, 0xfc};
    const struct {
        const char *need;
        const uint8_t *code;
        size_t bytes;
    } codes[] = {{"load", LOADS, sizeof LOADS}, {"store", STORES, sizeof STORES}, {"fetch", JUMPS, sizeof JUMPS}, {"clock", CLOCK, sizeof CLOCK}, {need, OUTS, sizeof OUTS}};
    int i = 0;
    while (strcmp(codes[i].need, need)) i++;
    memcpy(waiting.memory + CODE, codes[i].code, codes[i].bytes);
}
static void others_go_on_while_somebody_waits_for_a_page(void) {
    bool minor = !strcmp(arguments[2], "minor");
    need = arguments[3];
    alarm(100);
    int kvm = device(), u = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    struct uffdio_api api = {.api = UFFD_API, .features = minor ? UFFD_FEATURE_MINOR_SHMEM : UFFD_FEATURE_MISSING_SHMEM};
    if (u < 0 || ioctl(u, UFFDIO_API, &api)) SKIP("this user or kernel has no userfaultfd for faults of this kind");
    waiting = make_vm(kvm);
    int file = memfd_create("guest", 0);
    CHECK(ftruncate(file, MEMORY) == 0);
    uint8_t *behind = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    waiting.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    CHECK(behind != MAP_FAILED && waiting.memory != MAP_FAILED);
    struct kvm_userspace_memory_region region = {.memory_size = MEMORY, .userspace_addr = (uintptr_t)waiting.memory};
    CHECK(ioctl(waiting.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    make_vcpu(&waiting, 0);
    prepare();
    static uint8_t pages[AWAITED_BYTES] __attribute__((aligned(4096)));
    int count = fill_pages(pages);
    if (minor) memcpy(behind + AWAITED, pages, sizeof pages);
    struct uffdio_register r = {.range = {(uintptr_t)waiting.memory + AWAITED, AWAITED_BYTES}, .mode = minor ? UFFDIO_REGISTER_MODE_MINOR : UFFDIO_REGISTER_MODE_MISSING};
    if (ioctl(u, UFFDIO_REGISTER, &r)) SKIP("this kernel watches no such memory");
    pthread_t id;
    CHECK(pthread_create(&id, NULL, needs_pages, NULL) == 0);
    for (int i = 0; i < count; i++) {
        struct uffd_msg fault;
        CHECK(read(u, &fault, sizeof fault) == sizeof fault && fault.event == UFFD_EVENT_PAGEFAULT);
        uint64_t at = fault.arg.pagefault.address & -4096ul;
        for (int k = 0; k < 3; k++) runs(kvm); /* the collector needs every thread meanwhile */
        CHECK(!done && (minor ? !!(fault.arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_MINOR) : true));
        if (minor) {
            struct uffdio_continue give = {.range = {at, 4096}};
            CHECK(ioctl(u, UFFDIO_CONTINUE, &give) == 0);
        } else {
            struct uffdio_copy give = {.dst = at, .src = (uintptr_t)pages + (at - r.range.start), .len = 4096};
            CHECK(ioctl(u, UFFDIO_COPY, &give) == 0);
        }
    }
    CHECK(pthread_join(id, NULL) == 0 && done);
}

/* ----------------------------------------------------------------------------------------- which changes are noticed */

/*
 * A change of the client's memory matters where a slot is, and nowhere else: there is a bit for every 2 MiB, in words for 128 MiB. Slots
 * at every edge of both, changed by themselves and along with much that is no slot's.
 */
enum { GRANULE = 2 << 20, WORD = 64 * GRANULE, AREA = 4 * WORD, SLOT_AT = 16 << 20 };
static void slot_is_watched(char *area, size_t from, size_t bytes) {
    static const uint8_t BOTH[] = {0x8a, 0x06, 0xe6, PORT, 0x8a, 0x07, 0xe6, PORT, 0xeb, 0xf6}; /* mov al, [esi]; out; mov al, [edi]; out; again */
    struct machine m = boot(device(), BOTH, sizeof BOTH);
    struct kvm_sregs sregs;
    CHECK(ioctl(m.vcpu, KVM_GET_SREGS, &sregs) == 0);
    sregs.cr0 |= 1;
    sregs.cs = (struct kvm_segment){.limit = 0xffffffff, .selector = 8, .type = 11, .present = 1, .s = 1, .db = 1, .g = 1};
    sregs.ss = sregs.ds = sregs.es = (struct kvm_segment){.limit = 0xffffffff, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
    struct kvm_regs regs = {.rip = CODE, .rflags = 2, .rsi = SLOT_AT, .rdi = SLOT_AT + bytes - 4096};
    CHECK(ioctl(m.vcpu, KVM_SET_SREGS, &sregs) == 0 && ioctl(m.vcpu, KVM_SET_REGS, &regs) == 0);
    char *first = area + from, *last = first + bytes - 4096;
    CHECK(mprotect(first, bytes, PROT_READ | PROT_WRITE) == 0);
    struct kvm_userspace_memory_region region = {.slot = 1, .guest_phys_addr = SLOT_AT, .memory_size = bytes, .userspace_addr = (uintptr_t)first};
    CHECK(ioctl(m.vm, KVM_SET_USER_MEMORY_REGION, &region) == 0);
    const struct {
        char *start, *end;
    } changes[] = {{first, first + 4096}, {last, last + 4096}, {area, first + 4096}, {last, area + AREA}, {area, area + AREA}, {first, last + 4096}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        *first = 'f', *last = 'l';
        for (int k = 0; k < 4; k++) {
            CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0 && m.run->exit_reason == KVM_EXIT_IO);
            CHECK(((char *)m.run)[m.run->io.data_offset] == (first == last || k % 2 ? 'l' : 'f'));
        }
        CHECK(mprotect(changes[i].start, (size_t)(changes[i].end - changes[i].start), PROT_NONE) == 0);
        if (changes[i].start > first) CHECK(ioctl(m.vcpu, KVM_RUN, 0) == 0);
        FAILS(ioctl(m.vcpu, KVM_RUN, 0), EFAULT);
        CHECK(mprotect(first, bytes, PROT_READ | PROT_WRITE) == 0 && ioctl(m.vcpu, KVM_SET_REGS, &regs) == 0);
    }
}
static void changes_are_noticed_at_every_edge(void) {
    static const size_t PAGE = 4096, slots[][2] = { /* where, and how long */
        {0, PAGE}, {GRANULE - PAGE, PAGE}, {GRANULE - PAGE, 2 * PAGE}, {GRANULE, GRANULE}, {WORD - PAGE, PAGE}, {WORD, PAGE}, {WORD - PAGE, 2 * PAGE},
        {WORD - GRANULE, GRANULE}, {2 * WORD - PAGE, WORD + 2 * PAGE}, {GRANULE, 3 * WORD}, {WORD + GRANULE, 2 * WORD}, {3 * WORD + 63 * GRANULE, GRANULE}, {AREA - PAGE, PAGE},
    };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        pid_t child = fork(); /* what was watched once stays so while there is a machine */
        if (!child) {
            char *room = mmap(NULL, 2 * AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            CHECK(room != MAP_FAILED);
            slot_is_watched((char *)(((uintptr_t)room + AREA - 1) & -(uintptr_t)AREA), slots[i][0], slots[i][1]);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        if (status) fprintf(stderr, "a slot of %#zx at %#zx: %#x\n", slots[i][1], slots[i][0], status);
        CHECK(status == 0);
    }
}

static const struct promise tests[] = {
    TEST(others_go_on_while_a_vcpu_waits_for_a_page), TEST(memory_that_free_gives_back), TEST(a_thread_that_knows_no_vm_changes_its_heap),
    TEST(changes_are_noticed_at_every_edge), TEST(locked_memory),
    /* What the test starts in a way of its own. */
    TEST(the_heap_is_as_it_was), TEST(others_go_on_while_somebody_waits_for_a_page),
};
enum { TESTS = sizeof tests / sizeof *tests, BY_THE_TEST = 2 };

int main(int argc, char **argv) {
    return keep_promises(argc, argv, tests, TESTS - BY_THE_TEST, TESTS);
}
