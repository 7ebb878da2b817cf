/*
 * Where slate-loader and the prebuilt demo begin, in place of crt1.o. The one of glibc 2.34 and later asks for a
 * __libc_start_main of that version; the first version of it is in every glibc. No constructors and destructors of the program's own are run: neither has any.
 */
        .symver __libc_start_main, __libc_start_main@GLIBC_2.2.5
        .globl  _start
_start:
        xor     %ebp, %ebp
        mov     %rdx, %r9               /* the dynamic linker's destructor */
        pop     %rsi                    /* argc */
        mov     %rsp, %rdx              /* argv */
        and     $-16, %rsp
        push    %rax
        push    %rsp                    /* stack end */
        xor     %r8d, %r8d
        xor     %ecx, %ecx
        mov     main@GOTPCREL(%rip), %rdi
        call    *__libc_start_main@GOTPCREL(%rip)
        hlt
        .section .note.GNU-stack, "", @progbits
