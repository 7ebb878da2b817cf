/*
 * Which priority HotSpot's second compiler has (docs/decisions/0037). As client.c: each test is a function, run by its name in a process of
 * its own.
 */
#include "guests.h"

#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* in al, dx; jmp back */
static const uint8_t PORT_LOOP[] = {0xec, 0xeb, 0xfd};
/* Blocks of their own with a count between them, then in al, dx; jmp back. */
#define BLOCK 0xff, 0xc1, 0x75, 0 /* inc ecx; jnz on */
#define BLOCKS BLOCK, BLOCK, BLOCK, BLOCK, BLOCK, BLOCK, BLOCK, BLOCK
static const uint8_t MANY_BLOCKS[] = {BLOCKS, BLOCKS, BLOCKS, 0xec, 0xeb, 0x9d};

static struct machine boot(const uint8_t *code, size_t bytes) {
    struct machine m = make_vm(open_device(O_CLOEXEC));
    give_memory(&m, MAP_PRIVATE, code, bytes);
    make_vcpu(&m, 0);
    begin_long(&m, (struct kvm_regs){.rsp = 0x8000, .rdx = 0x40});
    return m;
}
static void exits(const struct machine *m) {
    for (int i = 0; i < 1000; i++) CHECK(ioctl(m->vcpu, KVM_RUN, 0) == 0 && m->run->exit_reason == KVM_EXIT_IO);
}

/* Number of threads of C2's with the priority; all others have the client's. */
static int c2_has(int nice) {
    int found = 0, own = getpriority(PRIO_PROCESS, 0);
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        char path[300], name[32] = "";
        int thread = atoi(entry->d_name);
        snprintf(path, sizeof path, "/proc/self/task/%d/comm", thread);
        FILE *comm = thread ? fopen(path, "r") : NULL;
        if (!comm) continue;
        int c2 = fgets(name, sizeof name, comm) && !strncmp(name, "C2 ", 3);
        fclose(comm);
        errno = 0;
        int priority = getpriority(PRIO_PROCESS, thread);
        if (errno) continue; /* it has ended */
        CHECK(c2 || priority == own);
        found += c2 && priority == nice;
    }
    closedir(tasks);
    return found;
}
static int behind(int nice) {
    return nice < 9 ? nice + 10 : 19;
}

static void c2_runs_behind_a_guest_that_is_machine_code(void) {
    struct machine m = boot(MANY_BLOCKS, sizeof MANY_BLOCKS);
    int own = getpriority(PRIO_PROCESS, 0);
    CHECK(c2_has(own));
    exits(&m);
    CHECK(c2_has(behind(own)));
}
static void c2_of_a_client_with_a_low_priority_has_the_lowest(void) {
    CHECK(setpriority(PRIO_PROCESS, 0, 15) == 0);
    struct machine m = boot(MANY_BLOCKS, sizeof MANY_BLOCKS);
    exits(&m);
    CHECK(c2_has(19));
}
static void c2_runs_beside_a_guest_that_does_little_but_exit(void) {
    struct machine m = boot(PORT_LOOP, sizeof PORT_LOOP);
    exits(&m);
    CHECK(c2_has(getpriority(PRIO_PROCESS, 0)));
}
static void c2_runs_behind_where_a_filter_comes(void) {
    struct sock_filter allow = {.code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW};
    struct sock_fprog program = {1, &allow};
    boot(PORT_LOOP, sizeof PORT_LOOP);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(c2_has(behind(getpriority(PRIO_PROCESS, 0))));
}

static const struct promise tests[] = {
    TEST(c2_runs_behind_a_guest_that_is_machine_code),
    TEST(c2_of_a_client_with_a_low_priority_has_the_lowest),
    TEST(c2_runs_beside_a_guest_that_does_little_but_exit),
    TEST(c2_runs_behind_where_a_filter_comes),
};

int main(int argc, char **argv) {
    return KEEP(argc, argv, tests);
}
