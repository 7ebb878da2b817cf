/*
 * strlen and memchr as a C library has them for AVX2: the first 32 bytes unaligned where they do not leave the page, then whole aligned
 * vectors, four of them a turn.
 */
    .text
    .globl  string_length, find_byte

/* uint64_t string_length(const char *string) */
    .balign 64
string_length:
    vpxor   %xmm0, %xmm0, %xmm0
    movq    %rdi, %rdx
    movl    %edi, %eax
    andl    $4095, %eax
    cmpl    $4096 - 32, %eax
    ja      5f
    vpcmpeqb (%rdi), %ymm0, %ymm1
    vpmovmskb %ymm1, %eax
    testl   %eax, %eax
    jz      1f
    tzcntl  %eax, %eax
    vzeroupper
    ret
5:  /* The aligned vector in which it begins; what lies before it is shifted away. */
    andq    $-32, %rdi
    vpcmpeqb (%rdi), %ymm0, %ymm1
    vpmovmskb %ymm1, %eax
    movl    %edx, %ecx
    sarxl   %ecx, %eax, %eax
    testl   %eax, %eax
    jz      2f
    tzcntl  %eax, %eax
    vzeroupper
    ret
1:  andq    $-32, %rdi
2:  addq    $32, %rdi
    testl   $127, %edi
    jz      3f
    vpcmpeqb (%rdi), %ymm0, %ymm1
    vpmovmskb %ymm1, %eax
    testl   %eax, %eax
    jz      2b
    jmp     4f
    .balign 16
3:  vmovdqa (%rdi), %ymm1
    vpminub 32(%rdi), %ymm1, %ymm2
    vmovdqa 64(%rdi), %ymm3
    vpminub 96(%rdi), %ymm3, %ymm4
    vpminub %ymm4, %ymm2, %ymm5
    vpcmpeqb %ymm5, %ymm0, %ymm5
    vpmovmskb %ymm5, %ecx
    subq    $-128, %rdi
    testl   %ecx, %ecx
    jz      3b
    addq    $-128, %rdi
    vpcmpeqb %ymm1, %ymm0, %ymm1
    vpmovmskb %ymm1, %eax
    testl   %eax, %eax
    jnz     4f
    addq    $32, %rdi
    vpcmpeqb %ymm2, %ymm0, %ymm2
    vpmovmskb %ymm2, %eax
    testl   %eax, %eax
    jnz     4f
    addq    $32, %rdi
    vpcmpeqb %ymm3, %ymm0, %ymm3
    vpmovmskb %ymm3, %eax
    testl   %eax, %eax
    jnz     4f
    addq    $32, %rdi
    movl    %ecx, %eax
4:  tzcntl  %eax, %eax
    addq    %rdi, %rax
    subq    %rdx, %rax
    vzeroupper
    ret

/* const char *find_byte(const char *string, int byte, uint64_t bytes) */
    .balign 64
find_byte:
    testq   %rdx, %rdx
    jz      8f
    vmovd   %esi, %xmm0
    vpbroadcastb %xmm0, %ymm0
    addq    %rdi, %rdx              /* the end */
    movl    %edi, %ecx
    andl    $4095, %ecx
    cmpl    $4096 - 32, %ecx
    ja      5f
    vpcmpeqb (%rdi), %ymm0, %ymm1
    vpmovmskb %ymm1, %eax
    testl   %eax, %eax
    jnz     4f
    andq    $-32, %rdi
    jmp     1f
5:  movl    %edi, %ecx
    andq    $-32, %rdi
    vpcmpeqb (%rdi), %ymm0, %ymm1
    vpmovmskb %ymm1, %eax
    andl    $31, %ecx
    shrl    %cl, %eax
    shll    %cl, %eax
    testl   %eax, %eax
    jnz     4f
1:  addq    $32, %rdi
    cmpq    %rdx, %rdi
    jae     7f
    testl   $127, %edi
    jz      3f
2:  vpcmpeqb (%rdi), %ymm0, %ymm1
    vpmovmskb %ymm1, %eax
    testl   %eax, %eax
    jz      1b
    jmp     4f
    .balign 16
3:  vpcmpeqb (%rdi), %ymm0, %ymm1
    vpcmpeqb 32(%rdi), %ymm0, %ymm2
    vpcmpeqb 64(%rdi), %ymm0, %ymm3
    vpcmpeqb 96(%rdi), %ymm0, %ymm4
    vpor    %ymm1, %ymm2, %ymm5
    vpor    %ymm3, %ymm4, %ymm6
    vpor    %ymm5, %ymm6, %ymm5
    vpmovmskb %ymm5, %ecx
    testl   %ecx, %ecx
    jnz     6f
    subq    $-128, %rdi
    cmpq    %rdx, %rdi
    jb      3b
    jmp     7f
6:  vpmovmskb %ymm1, %eax
    testl   %eax, %eax
    jnz     4f
    addq    $32, %rdi
    vpmovmskb %ymm2, %eax
    testl   %eax, %eax
    jnz     4f
    addq    $32, %rdi
    vpmovmskb %ymm3, %eax
    testl   %eax, %eax
    jnz     4f
    addq    $32, %rdi
    vpmovmskb %ymm4, %eax
4:  tzcntl  %eax, %eax
    addq    %rdi, %rax
    cmpq    %rdx, %rax
    jae     7f
    vzeroupper
    ret
7:  vzeroupper
8:  xorl    %eax, %eax
    ret
    .section .note.GNU-stack, "", @progbits
