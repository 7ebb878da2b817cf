/*
 * What a client costs that creates a virtual machine with four vCPUs and exits: the whole life of the process, exec to exit. The
 * parent never touches /dev/kvm; each child is a process of its own.
 *
 *   cc -O2 -o start-up start-up.c && slate run --quiet -- ./start-up [children]
 *
 * Prints wall-clock time, processor time and peak resident memory: best and median.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VCPUS = 4, MOST = 1000 };

static int child(void) {
    int device = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    int vm = ioctl(device, KVM_CREATE_VM, 0);
    for (int i = 0; i < VCPUS; i++) {
        if (ioctl(vm, KVM_CREATE_VCPU, i) < 0) {
            fprintf(stderr, "start-up: KVM_CREATE_VCPU: %s\n", strerror(errno));
            return 1;
        }
    }
    return 0;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *name, double *values, int n, const char *unit) {
    qsort(values, (size_t)n, sizeof *values, by_value);
    printf("%-16s best %7.1f %s   median %7.1f %s\n", name, values[0], unit, values[n / 2], unit);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "child")) return child();
    int n = argc > 1 ? atoi(argv[1]) : 20;
    static double wall[MOST], cpu[MOST], memory[MOST];
    if (n < 1 || n > MOST) n = 20;
    for (int i = 0; i < n; i++) {
        double begin = now_ms();
        pid_t pid = fork();
        if (pid == 0) {
            execl("/proc/self/exe", "start-up", "child", (char *)NULL);
            _exit(127);
        }
        int status;
        struct rusage used;
        if (wait4(pid, &status, 0, &used) != pid || status != 0) {
            fprintf(stderr, "start-up: the child failed (status %d)\n", status);
            return 1;
        }
        wall[i] = now_ms() - begin;
        cpu[i] = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
        memory[i] = used.ru_maxrss / 1024.0;
    }
    print("wall clock", wall, n, "ms");
    print("processor", cpu, n, "ms");
    print("peak resident", memory, n, "MB");
    return 0;
}
