/*
 * What a fork of many children does to a shadow MMU: the workload of the experiment rmap-fork, after Peter Xu's rmap_fork.
 *
 * A parent address space maps a number of pages. Each fork makes page tables for a child in which the same pages stand read-only, takes
 * the parent's write permission at the first fork, and lets the child read every page and write to some, which the #PF handler answers with a
 * copy. All children live at once, then they exit one after the other: every entry is cleared, the copies and the tables are freed.
 *
 * Parameters: memory bytes, children, pages of the parent, one page in how many a child writes to (0: none), rounds.
 *
 * Characters: as rounds.h says; the answer is the number of page faults.
 *
 * Marks: 100 before the first fork, 101 when all children live, 102 when all have gone, each once a round; 0 at the end. A failure:
 * 1 out of memory, 2 a page fault that nothing explains, 3 a child sees what it should not.
 */
#include "guest.h"
#include "rounds.h"

#define MARK_START 100
#define MARK_PEAK 101
#define MARK_END 102
#define OUT_OF_MEMORY 1
#define BAD_FAULT 2
#define BAD_CONTENT 3

#define PRESENT 1ul
#define WRITABLE 2ul
#define USER 4ul
#define TABLE (PRESENT | WRITABLE | USER)
#define FRAME 0x000ffffffffff000ul
#define ENTRIES 512ul
/* The forked memory: the second entry of the top-level table; the first is the kernel's, which all address spaces share. */
#define BASE (1ul << 39)
#define ERROR_WRITE 2

#define MAX_CHILDREN 4096

typedef uint64_t table[ENTRIES];

extern table boot_pml4;
extern char image_end[];

static struct gate idt[256];
static uint64_t *current;
static uint64_t children[MAX_CHILDREN];
static uint64_t faults;

struct frame {
    uint64_t rip, cs, rflags, rsp, ss;
};

/* ---------------------------------------------------------------- page frames, as a stack threaded through the free pages */

static uint64_t free_frames, next_frame, memory_end;

static uint64_t take_frame(void)
{
    uint64_t frame = free_frames;

    if (frame) {
        free_frames = *(uint64_t *)frame;
        return frame;
    }
    if (next_frame + PAGE > memory_end)
        mark(OUT_OF_MEMORY);
    frame = next_frame;
    next_frame += PAGE;
    return frame;
}

static void free_frame(uint64_t frame)
{
    *(uint64_t *)frame = free_frames;
    free_frames = frame;
}

static uint64_t *new_table(void)
{
    uint64_t frame = take_frame();
    uint64_t *to = (uint64_t *)frame, count = ENTRIES;

    asm volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    return (uint64_t *)frame;
}

static void copy_page(uint64_t to, uint64_t from)
{
    uint64_t count = ENTRIES;

    asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

/* ---------------------------------------------------------------- address spaces */

static uint64_t *next_level(uint64_t *entries, uint64_t index)
{
    if (!(entries[index] & PRESENT))
        entries[index] = (uint64_t)new_table() | TABLE;
    return (uint64_t *)(entries[index] & FRAME);
}

/* The last-level entry for an address above BASE. */
static uint64_t *entry(uint64_t *pml4, uint64_t address)
{
    uint64_t *pdpt = next_level(pml4, address >> 39 & 511);
    uint64_t *directory = next_level(pdpt, address >> 30 & 511);

    return next_level(directory, address >> 21 & 511) + (address >> 12 & 511);
}

static uint64_t *new_space(void)
{
    uint64_t *pml4 = new_table();

    pml4[0] = boot_pml4[0];
    return pml4;
}

static void switch_to(uint64_t *pml4)
{
    current = pml4;
    write_cr3((uint64_t)pml4);
}

__attribute__((interrupt)) static void page_fault(struct frame *frame, uint64_t error)
{
    uint64_t address = read_cr2();

    (void)frame;
    faults++;
    if (!(error & ERROR_WRITE) || address < BASE)
        mark(BAD_FAULT);
    uint64_t *at = entry(current, address);
    uint64_t copy = take_frame();
    copy_page(copy, *at & FRAME);
    *at = copy | PRESENT | WRITABLE | USER;
    invlpg(address);
}

static uint64_t *fork(uint64_t *parent, uint64_t pages)
{
    uint64_t *child = new_space();

    for (uint64_t i = 0; i < pages; i++) {
        uint64_t *from = entry(parent, BASE + i * PAGE);

        if (*from & WRITABLE)
            *from &= ~WRITABLE;
        *entry(child, BASE + i * PAGE) = *from;
    }
    return child;
}

static void run_child(uint64_t number, uint64_t pages, uint64_t write_every)
{
    for (uint64_t i = 0; i < pages; i++) {
        volatile uint64_t *at = (volatile uint64_t *)(BASE + i * PAGE);

        if (*at != i)
            mark(BAD_CONTENT);
        if (write_every && i % write_every == 0) {
            *at = i + number + 1;
            if (*at != i + number + 1)
                mark(BAD_CONTENT);
        }
    }
}

/*
 * A child exits as a kernel lets it: in its own address space all entries are cleared and the TLB is flushed, which makes a shadow MMU look at
 * them; then the tables are taken apart and freed. Frames that the parent maps stay.
 */
static void exit_child(uint64_t *child, uint64_t *parent, uint64_t pages)
{
    switch_to(child);
    for (uint64_t i = 0; i < pages; i++) {
        uint64_t *at = entry(child, BASE + i * PAGE);
        uint64_t frame = *at & FRAME;

        *at = 0;
        if (frame != (*entry(parent, BASE + i * PAGE) & FRAME))
            free_frame(frame);
    }
    write_cr3((uint64_t)child);
    switch_to(parent);

    uint64_t *pdpt = (uint64_t *)(child[1] & FRAME);
    child[1] = 0;
    for (uint64_t i = 0; i < ENTRIES; i++) {
        if (!(pdpt[i] & PRESENT))
            continue;
        uint64_t *directory = (uint64_t *)(pdpt[i] & FRAME);

        pdpt[i] = 0;
        for (uint64_t j = 0; j < ENTRIES; j++) {
            if (!(directory[j] & PRESENT))
                continue;
            uint64_t frame = directory[j] & FRAME;

            directory[j] = 0;
            free_frame(frame);
        }
        free_frame((uint64_t)directory);
    }
    free_frame((uint64_t)pdpt);
    free_frame((uint64_t)child);
}

static void put(char character) { out8(PORT_CHARACTER, character); }

int main(const uint64_t *parameters)
{
    uint64_t count = parameters[1], pages = parameters[2], write_every = parameters[3], rounds = parameters[4];

    if (count > MAX_CHILDREN)
        return OUT_OF_MEMORY;
    memory_end = parameters[0];
    next_frame = (uint64_t)image_end;
    set_gate(&idt[14], (void (*)(void))page_fault);
    load_idt(idt, 256);

    uint64_t *parent = new_space();
    switch_to(parent);
    put('B');
    for (uint64_t round = 0; round < rounds; round++) {
        for (uint64_t i = 0; i < pages; i++) {
            uint64_t *at = entry(parent, BASE + i * PAGE);

            *at = (*at & PRESENT ? *at & FRAME : take_frame()) | PRESENT | WRITABLE | USER;
            invlpg(BASE + i * PAGE);
            *(volatile uint64_t *)(BASE + i * PAGE) = i;
        }
        mark(MARK_START);
        for (uint64_t n = 0; n < count; n++) {
            uint64_t *child = fork(parent, pages);

            children[n] = (uint64_t)child;
            switch_to(child);
            run_child(n, pages, write_every);
            switch_to(parent);
        }
        mark(MARK_PEAK);
        for (uint64_t n = 0; n < count; n++)
            exit_child((uint64_t *)children[n], parent, pages);
        /* A fork gives the parent's write permission back only by a copy or, as here, when nobody shares any more. */
        write_cr3((uint64_t)parent);
        run_child(count, pages, 0);
        mark(MARK_END);
    }
    put_answer(1, rounds ? faults / rounds : 0, put);
    return 0;
}
