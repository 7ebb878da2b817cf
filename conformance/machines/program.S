/*
 * A program of 16 bits for a BIOS, as DOS's were: the boot sector reads the rest of the disk by INT 13h to 1000:0100, where it runs like a .COM
 * file and uses nothing but the BIOS: memory (INT 12h), the clock (INT 1Ah, for which the timer's interrupts must come), text (INT 10h), a sum
 * over its own file in segments, and power-off (INT 15h, APM).
 *
 *   as --32 program.S -o program.o && ld -m elf_i386 -Ttext 0 --oformat binary program.o -o program
 */
        .code16
        .globl  _start
_start:
        .set    FILE, 0x1000
        .set    SECTORS, 8
        ljmp    $0x07c0, $begin
begin:
        movw    $FILE, %ax
        movw    %ax, %es
        movw    $0x100, %bx
        movw    $0x0200 + SECTORS, %ax
        movw    $2, %cx                 /* from the second sector on */
        xorb    %dh, %dh
        int     $0x13
        jc      broken
        ljmp    $FILE, $0x100
broken:
        hlt
        jmp     broken
        .org    510
        .word   0xaa55

        /* From here on an offset is that of its label here, less 512, plus 100h. */
        .set    ORIGIN, 512 - 0x100
com:
        movw    %cs, %ax
        movw    %ax, %ds
        movw    %ax, %ss
        movw    $0xfffe, %sp
        sti
        movw    $hello - ORIGIN, %si
        call    print
        int     $0x12
        call    number
        movw    $memory - ORIGIN, %si
        call    print

        /* Three ticks of the BIOS's clock. */
        call    ticks
        movw    %dx, %di
        addw    $3, %di
wait:
        hlt
        call    ticks
        cmpw    %di, %dx
        js      wait
        movw    $clock - ORIGIN, %si
        call    print

        /* The numbers from 1 to 200, in a segment of their own, backwards, then added up: 20100. */
        movw    $0x2000, %ax
        movw    %ax, %es
        movw    $398, %di
        movw    $200, %cx
        std
store:
        movw    %cx, %ax
        stosw
        loop    store
        cld
        pushw   %ds
        movw    %es, %ax
        movw    %ax, %ds
        xorw    %si, %si
        xorw    %dx, %dx
        movw    $200, %cx
add:
        lodsw
        addw    %ax, %dx
        loop    add
        popw    %ds
        movw    %dx, %ax
        call    number
        movw    $sum - ORIGIN, %si
        call    print

        /* APM: connect, version 1.2, off. */
        movw    $0x5301, %ax
        xorw    %bx, %bx
        int     $0x15
        movw    $0x530e, %ax
        xorw    %bx, %bx
        movw    $0x0102, %cx
        int     $0x15
        movw    $0x5307, %ax
        movw    $1, %bx
        movw    $3, %cx
        int     $0x15
stay:
        hlt
        jmp     stay

ticks:                                  /* in DX */
        xorb    %ah, %ah
        int     $0x1a
        ret

number:                                 /* AX, in decimal */
        movw    $10, %bx
        xorw    %cx, %cx
digit:
        xorw    %dx, %dx
        divw    %bx
        pushw   %dx
        incw    %cx
        testw   %ax, %ax
        jnz     digit
put:
        popw    %ax
        addb    $'0', %al
        call    character
        loop    put
        ret

print:                                  /* the text at SI */
        lodsb
        testb   %al, %al
        jz      printed
        call    character
        jmp     print
printed:
        ret

character:
        pushw   %bx
        movb    $0x0e, %ah
        movw    $7, %bx
        int     $0x10
        popw    %bx
        ret

hello:  .asciz  "A PROGRAM OF 16 BITS\r\n"
memory: .asciz  " KIB OF MEMORY\r\n"
clock:  .asciz  "THREE TICKS\r\n"
sum:    .asciz  " IS THE SUM\r\n"
        .org    512 * (1 + SECTORS)
