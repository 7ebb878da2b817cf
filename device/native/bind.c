/*
 * What libjvm.so calls when it names a function of libc. It is loaded with RTLD_DEEPBIND, so that its names mean libc's own and
 * never the client's: a client may export a memset or malloc of its own (KVM's selftests export byte loops), on which the
 * garbage collector and the compilers would then run. One name it must share with the client all the same: sigaction.
 */
#include "slate.h"

#include <elf.h>
#include <link.h>

struct wish {
    uintptr_t inside; /* any address of the library */
    const char *name;
    void *function;
    int slots; /* changed so far; -1: a slot could not be written */
};

/* Points every slot of the table that the wish names at its function. The table lies in pages that the linker made read-only. */
static void rebind_slots(const ElfW(Rela) *table, size_t bytes, const ElfW(Sym) *symbols, const char *strings, uintptr_t base, struct wish *w) {
    for (const ElfW(Rela) *r = table; (const char *)r < (const char *)table + bytes; r++) {
        unsigned type = ELF64_R_TYPE(r->r_info);
        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
        if (strcmp(strings + symbols[ELF64_R_SYM(r->r_info)].st_name, w->name)) continue;
        void **slot = (void **)(base + r->r_offset);
        uintptr_t page = (uintptr_t)slot & -4096ul;
        if (raw(SYS_mprotect, (long)page, 4096, PROT_READ | PROT_WRITE, 0, 0, 0) < 0) {
            w->slots = -1;
            return;
        }
        *slot = w->function;
        raw(SYS_mprotect, (long)page, 4096, PROT_READ, 0, 0, 0);
        w->slots++;
    }
}

static int rebind_library(struct dl_phdr_info *info, size_t size, void *wish) {
    (void)size;
    struct wish *w = wish;
    const ElfW(Dyn) *dynamic = NULL;
    bool holds = false;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD) holds |= w->inside - from < p->p_memsz;
        if (p->p_type == PT_DYNAMIC) dynamic = (const ElfW(Dyn) *)from;
    }
    if (!holds || !dynamic) return 0;
    const ElfW(Sym) *symbols = NULL;
    const ElfW(Rela) *rela = NULL, *plt = NULL;
    const char *strings = NULL;
    size_t rela_bytes = 0, plt_bytes = 0;
    for (const ElfW(Dyn) *d = dynamic; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) { /* glibc has made the pointers absolute */
        case DT_SYMTAB: symbols = (const ElfW(Sym) *)d->d_un.d_ptr; break;
        case DT_STRTAB: strings = (const char *)d->d_un.d_ptr; break;
        case DT_RELA: rela = (const ElfW(Rela) *)d->d_un.d_ptr; break;
        case DT_RELASZ: rela_bytes = d->d_un.d_val; break;
        case DT_JMPREL: plt = (const ElfW(Rela) *)d->d_un.d_ptr; break;
        case DT_PLTRELSZ: plt_bytes = d->d_un.d_val; break;
        }
    }
    if (rela) rebind_slots(rela, rela_bytes, symbols, strings, info->dlpi_addr, w);
    if (plt && w->slots >= 0) rebind_slots(plt, plt_bytes, symbols, strings, info->dlpi_addr, w);
    return 1;
}

bool rebind(const void *inside, const char *name, void *function) {
    struct wish w = {(uintptr_t)inside, name, function, 0};
    dl_iterate_phdr(rebind_library, &w);
    return w.slots > 0;
}
