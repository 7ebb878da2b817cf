/*
 * A unikernel: counts the primes below a million, says how long the host's clock took, and halts.
 *
 *   cc -O2 -ffreestanding -fno-pie -fno-stack-protector -mno-red-zone -nostdlib -static -o guest guest.c
 */
#include "hvt.h"

static void call(uint16_t port, volatile void *structure) {
    __asm__ volatile("outl %0, %1" : : "a"((uint32_t)(uintptr_t)structure), "d"(port) : "memory");
}
static void puts_(const char *text) {
    uint64_t n = 0;
    while (text[n]) n++;
    volatile struct hvt_puts p = {(uintptr_t)text, n};
    call(HVT_PUTS, &p);
}
static void number(uint64_t value) {
    char digits[24], *at = digits + 23;
    *at = 0;
    do {
        *--at = (char)('0' + value % 10);
    } while (value /= 10);
    puts_(at);
}

void _start(const struct hvt_boot_info *boot) {
    static uint8_t composite[1000000];
    volatile struct hvt_walltime begin, end;
    unsigned primes = 0;
    puts_("unikernel: ");
    puts_(boot->argument);
    puts_("\n");
    call(HVT_WALLTIME, &begin);
    for (unsigned i = 2; i < sizeof composite; i++) {
        if (composite[i]) continue;
        primes++;
        for (unsigned j = 2 * i; j < sizeof composite; j += i) composite[j] = 1;
    }
    call(HVT_WALLTIME, &end);
    number(primes);
    puts_(end.nanoseconds > begin.nanoseconds ? " primes, and the clock went on\n" : " primes, and the clock stood\n");
    volatile struct hvt_halt halt = {primes == 78498 ? 7 : 1};
    for (;;) call(HVT_HALT, &halt);
}
