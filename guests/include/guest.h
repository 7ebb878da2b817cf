/* What C lacks on the bare machine. */
#ifndef GUEST_H
#define GUEST_H

#include <stdint.h>

#define PAGE 4096ul

/* Ports of README.md. */
#define PORT_CHARACTER 0xe9
#define PORT_MARK 0xf4

static inline void out8(uint16_t port, uint8_t value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
static inline void out32(uint16_t port, uint32_t value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory"); }

static inline uint32_t in32(uint16_t port)
{
    uint32_t value;

    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
    return value;
}

/* A phase of the guest is reached, or it has failed; the loader sees the number. */
static inline void mark(uint32_t number) { out32(PORT_MARK, number); }

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;

    asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t index, uint64_t value)
{
    asm volatile("wrmsr" : : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t low, high;

    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

static inline uint64_t read_cr0(void)
{
    uint64_t value;

    asm volatile("mov %%cr0, %0" : "=r"(value));
    return value;
}

static inline void write_cr0(uint64_t value) { asm volatile("mov %0, %%cr0" : : "r"(value) : "memory"); }

static inline uint64_t read_cr2(void)
{
    uint64_t value;

    asm volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

static inline uint64_t read_cr3(void)
{
    uint64_t value;

    asm volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

static inline void write_cr3(uint64_t value) { asm volatile("mov %0, %%cr3" : : "r"(value) : "memory"); }
static inline void invlpg(uint64_t address) { asm volatile("invlpg (%0)" : : "r"(address) : "memory"); }

/* A gate of the IDT for 64-bit mode (SDM 3A 7.14.1). */
struct gate {
    uint16_t offset_low, selector;
    uint8_t ist, type;
    uint16_t offset_middle;
    uint32_t offset_high, reserved;
};

static inline void set_gate(struct gate *gate, void (*handler)(void))
{
    uint64_t offset = (uint64_t)handler;

    *gate = (struct gate){.offset_low = offset, .selector = 8, .type = 0x8e, .offset_middle = offset >> 16, .offset_high = offset >> 32};
}

static inline void load_idt(struct gate *gates, unsigned count)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) pointer = {count * sizeof(struct gate) - 1, (uint64_t)gates};

    asm volatile("lidt %0" : : "m"(pointer));
}

#endif
