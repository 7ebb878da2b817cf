/*
 * slate-loader FILE ARGV0 [ARGUMENT]...: a process for a program into which libslate.so cannot be preloaded. It is preloaded into this
 * one, and brings the program in (load.c).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

__asm__(".symver dlsym, dlsym@GLIBC_2.2.5"); /* as in slate.h */

int main(int argc, char **argv, char **envp) {
    void (*load)(int, char **, char **) = (void (*)(int, char **, char **))dlsym(RTLD_DEFAULT, "slate_load");
    if (!load) {
        fputs("slate: slate-loader has no libslate.so preloaded; `slate run` starts it.\n", stderr);
        return 126;
    }
    load(argc, argv, envp);
    return 126;
}
