/*
 * A Linux program without a libc; any other that is linked statically and asks for little will do (musl's hello, for instance).
 *
 *   cc -O2 -ffreestanding -fno-pie -fno-stack-protector -nostdlib -static -o guest guest.c
 */
static long call(long number, long a, long b, long c) {
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return r;
}

static long fibonacci(int n) {
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

void _start(void) {
    static const char text[] = "Hello from a Linux program in a guest's user mode\n";
    long wrote = call(1, 1, (long)text, sizeof text - 1), unknown = call(400, 0, 0, 0);
    call(231, wrote == sizeof text - 1 && unknown == -38 && fibonacci(24) == 46368 ? 42 : 1, 0, 0);
    for (;;) {
    }
}
