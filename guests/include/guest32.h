/* What C lacks on the bare 32-bit machine. */
#ifndef GUEST32_H
#define GUEST32_H

#include <stdint.h>

static inline void out8(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
static inline void out32(uint16_t port, uint32_t value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory"); }

static inline void print(const char *text)
{
    while (*text)
        out8(0xe9, *text++);
}

extern uint64_t gdt[];

static inline void set_descriptor(unsigned selector, uint32_t base, uint32_t limit, uint8_t access, uint8_t flags)
{
    gdt[selector >> 3] = (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40
                         | (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

/* Gates of the IDT and of descriptor tables alike: a task gate has the offset 0. */
static inline uint64_t gate(uint16_t selector, uint32_t offset, uint8_t access)
{
    return (offset & 0xffff) | (uint64_t)selector << 16 | (uint64_t)access << 40 | (uint64_t)(offset >> 16) << 48;
}

static inline void load_idt(uint64_t *gates, unsigned count)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) pointer = {count * 8 - 1, (uint32_t)gates};

    asm volatile("lidt %0" : : "m"(pointer));
}

/* Ends the guest with a failure. */
static inline void __attribute__((noreturn)) fail(uint32_t number)
{
    out32(0xf4, number);
    for (;;)
        asm volatile("hlt");
}

static inline void expect(int truth, uint32_t number)
{
    if (!truth)
        fail(number);
}

#endif
