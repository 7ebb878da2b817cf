/*
 * What the JDK's libraries call when they name a function of libc: libc's own and never the client's. A client may export a memset or
 * malloc of its own (KVM's selftests export byte loops), on which the garbage collector and the compilers would then run. That is what
 * RTLD_DEEPBIND is for; but it counts from the first constructor on, when what is allocated must be the client's as what libc
 * allocates is, and sanitizers refuse it. So it is done here, afterwards. Some names are led to the shim.
 */
#include "slate.h"

#include <elf.h>
#include <link.h>

struct wish {
    struct binding *bindings;
    size_t count;
};

static struct binding *wished(const char *name, const struct wish *w) {
    for (size_t i = 0; i < w->count; i++) {
        if (!strcmp(name, w->bindings[i].name)) return &w->bindings[i];
    }
    return NULL;
}

struct library {
    const char *name;
    const ElfW(Dyn) *dynamic;
    uintptr_t base, relro, relro_end;
    void *handle; /* finds what the library and what it needs define, not the client */
    const ElfW(Sym) *symbols;
    const char *strings;
};

/* Points the slots of a table at the wished functions. Where the linker made their pages read-only they are again afterwards. */
static void rebind_slots(const ElfW(Rela) *table, size_t bytes, const struct library *l, const struct wish *w) {
    for (const ElfW(Rela) *r = table; (const char *)r < (const char *)table + bytes; r++) {
        unsigned type = ELF64_R_TYPE(r->r_info);
        if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT) continue;
        const ElfW(Sym) *symbol = &l->symbols[ELF64_R_SYM(r->r_info)];
        const char *name = l->strings + symbol->st_name;
        struct binding *b = wished(name, w);
        if (!b && (!l->handle || symbol->st_shndx != SHN_UNDEF || (type == R_X86_64_GLOB_DAT && ELF64_ST_TYPE(symbol->st_info) != STT_FUNC))) continue;
        void *function = b ? b->function : dlsym(l->handle, name);
        void **slot = (void **)(l->base + r->r_offset);
        if (b) b->found = true;
        if (!function || *slot == function) continue;
        uintptr_t page = (uintptr_t)slot & -4096ul;
        bool closed = page >= (l->relro & -4096ul) && page < l->relro_end;
        if (closed && raw(SYS_mprotect, (long)page, 4096, PROT_READ | PROT_WRITE, 0, 0, 0) < 0) continue;
        *slot = function;
        if (closed) raw(SYS_mprotect, (long)page, 4096, PROT_READ, 0, 0, 0);
    }
}

static void rebind_library(struct library *l, const struct wish *w) {
    const ElfW(Rela) *rela = NULL, *plt = NULL;
    size_t rela_bytes = 0, plt_bytes = 0;
    for (const ElfW(Dyn) *d = l->dynamic; d->d_tag != DT_NULL; d++) {
        switch (d->d_tag) { /* glibc has made the pointers absolute */
        case DT_SYMTAB: l->symbols = (const ElfW(Sym) *)d->d_un.d_ptr; break;
        case DT_STRTAB: l->strings = (const char *)d->d_un.d_ptr; break;
        case DT_RELA: rela = (const ElfW(Rela) *)d->d_un.d_ptr; break;
        case DT_RELASZ: rela_bytes = d->d_un.d_val; break;
        case DT_JMPREL: plt = (const ElfW(Rela) *)d->d_un.d_ptr; break;
        case DT_PLTRELSZ: plt_bytes = d->d_un.d_val; break;
        }
    }
    if (rela) rebind_slots(rela, rela_bytes, l, w);
    if (plt) rebind_slots(plt, plt_bytes, l, w);
}

enum { MOST = 64 };
struct found {
    const char *folder;
    struct library libraries[MOST];
    size_t count;
};
static uintptr_t done[MOST]; /* bases of libraries that are bound */
static size_t done_count;

static int find_library(struct dl_phdr_info *info, size_t size, void *argument) {
    (void)size;
    struct found *f = argument;
    if (!info->dlpi_name || strncmp(info->dlpi_name, f->folder, strlen(f->folder)) || f->count == MOST) return 0;
    for (size_t i = 0; i < done_count; i++) {
        if (done[i] == info->dlpi_addr) return 0;
    }
    struct library *l = &f->libraries[f->count];
    *l = (struct library){.name = info->dlpi_name, .base = info->dlpi_addr};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_DYNAMIC) l->dynamic = (const ElfW(Dyn) *)(l->base + p->p_vaddr);
        if (p->p_type == PT_GNU_RELRO) {
            l->relro = l->base + p->p_vaddr;
            l->relro_end = (l->relro + p->p_memsz) & -4096ul;
        }
    }
    if (l->dynamic) f->count++;
    return 0;
}

void rebind(const char *folder, void *(*open)(const char *, int), struct binding *bindings, size_t count) {
    static struct found found; /* the keeper's alone */
    struct wish w = {bindings, count};
    found.folder = folder;
    found.count = 0;
    dl_iterate_phdr(find_library, &found);
    for (size_t i = 0; i < found.count && done_count < MOST; i++) {
        found.libraries[i].handle = open(found.libraries[i].name, RTLD_LAZY | RTLD_NOLOAD);
        rebind_library(&found.libraries[i], &w);
        done[done_count++] = found.libraries[i].base;
    }
}
