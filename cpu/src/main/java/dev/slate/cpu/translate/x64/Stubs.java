package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RDI;
import static dev.slate.cpu.translate.x64.Registers.RSI;

/** The code that all translations share: the one way in, and the ways out. */
final class Stubs {
    /** {@code long enter(long stateBlock, long target)}. */
    final long enter;
    /** {@code long cpuid(long leafAndSubleaf, long to)}: stores EAX, EBX, ECX, EDX there. */
    final long cpuid;

    /** RCX: linear address; EAX: site. */
    final long miss;
    /** EAX: site. */
    final long interpret;

    final long kick;
    final long link;
    /** RAX: the instruction of host code that faulted. */
    final long fault;
    /** {@link StateBlock#RIP} is set. */
    final long dispatch;
    /** {@link StateBlock#TARGET} says where to go on with the vector registers loaded; flags are saved. */
    final long vectors;

    /** @param avx the host has YMM registers */
    Stubs(Assembler a, boolean avx) {
        cpuid = a.here();
        emitCpuid(a);
        long leave = a.here();
        emitLeave(a, avx);
        miss = a.here();
        a.store(R15, StateBlock.ADDRESS, RCX);
        leaveWithSite(a, Exits.MISS, leave);
        interpret = a.here();
        leaveWithSite(a, Exits.INTERPRET, leave);
        kick = a.here();
        leaveWithSite(a, Exits.KICK, leave);
        link = a.here();
        leaveWithSite(a, Exits.LINK, leave);
        dispatch = a.here();
        a.store32Constant(R15, StateBlock.EXIT, Exits.DISPATCH);
        a.jump(leave);
        fault = a.here();
        a.store(R15, StateBlock.ADDRESS, RAX);
        a.store32Constant(R15, StateBlock.EXIT, Exits.FAULT);
        a.jump(leave);
        long load = a.here();
        emitLoadVectors(a, avx);
        vectors = a.here();
        emitVectors(a, load, leave);
        enter = a.here();
        emitEnter(a, load);
    }

    private static void leaveWithSite(Assembler a, int exit, long leave) {
        a.store32(R15, StateBlock.SITE, RAX);
        a.store32Constant(R15, StateBlock.EXIT, exit);
        a.jump(leave);
    }

    private static void bytes(Assembler a, int... code) {
        for (int b : code) {
            a.byte1(b);
        }
    }

    private static void emitCpuid(Assembler a) {
        bytes(a, 0x53); // push rbx
        bytes(a, 0x89, 0xf8); // mov eax, edi
        bytes(a, 0x48, 0xc1, 0xef, 0x20); // shr rdi, 32
        bytes(a, 0x89, 0xf9); // mov ecx, edi
        bytes(a, 0x0f, 0xa2); // cpuid
        bytes(a, 0x89, 0x06); // mov [rsi], eax
        bytes(a, 0x89, 0x5e, 0x04); // mov [rsi+4], ebx
        bytes(a, 0x89, 0x4e, 0x08); // mov [rsi+8], ecx
        bytes(a, 0x89, 0x56, 0x0c); // mov [rsi+12], edx
        bytes(a, 0x5b, 0xc3); // pop rbx; ret
    }

    private static void emitEnter(Assembler a, long load) {
        bytes(a, 0x53, 0x55); // push rbx, rbp
        bytes(a, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); // push r12 to r15
        a.lea(R15, RDI, 128);
        a.store(R15, StateBlock.TARGET, RSI);
        a.compare32Constant(R15, StateBlock.WANT_VECTORS, 0);
        int without = a.jumpForwardIf(Assembler.E);
        a.byte1(0xe8); // call
        a.int32((int) (load - (a.here() + 4)));
        a.bind(without);
        for (int guest = 0; guest < 16; guest++) {
            if (Registers.home(guest) != Registers.IN_BLOCK) {
                a.load(Registers.home(guest), R15, StateBlock.GPR + 8 * guest);
            }
        }
        a.jumpMemory(R15, StateBlock.TARGET);
    }

    private static void emitLeave(Assembler a, boolean avx) {
        for (int guest = 0; guest < 16; guest++) {
            if (Registers.home(guest) != Registers.IN_BLOCK) {
                a.store(R15, StateBlock.GPR + 8 * guest, Registers.home(guest));
            }
        }
        a.compare32Constant(R15, StateBlock.VECTORS, StateBlock.VECTORS_LOADED);
        int without = a.jumpForwardIf(Assembler.NE);
        for (int i = 0; i < 16; i++) {
            vector(a, avx, 0x11, i);
        }
        mxcsr(a, 3, StateBlock.GUEST_MXCSR);
        mxcsr(a, 2, StateBlock.HOST_MXCSR);
        a.store32Constant(R15, StateBlock.VECTORS, StateBlock.VECTORS_HERE);
        if (avx) {
            bytes(a, 0xc5, 0xf8, 0x77); // vzeroupper: the JVM's code need not wait for upper halves
        }
        a.bind(without);
        bytes(a, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c); // pop r15 to r12
        bytes(a, 0x5d, 0x5b, 0xc3); // pop rbp, rbx; ret
    }

    private static void emitLoadVectors(Assembler a, boolean avx) {
        mxcsr(a, 3, StateBlock.HOST_MXCSR);
        mxcsr(a, 2, StateBlock.GUEST_MXCSR);
        for (int i = 0; i < 16; i++) {
            vector(a, avx, 0x10, i);
        }
        a.store32Constant(R15, StateBlock.VECTORS, StateBlock.VECTORS_LOADED);
        bytes(a, 0xc3);
    }

    /** MOVUPS or VMOVUPS ymm. */
    private static void vector(Assembler a, boolean avx, int opcode, int register) {
        int disp = StateBlock.YMM + 32 * register;
        if (avx) {
            bytes(a, 0xc4, (register < 8 ? 0x80 : 0) | 0x41, 0x7c, opcode);
        } else {
            bytes(a, 0x41 | register >> 3 << 2, 0x0f, opcode);
        }
        a.memory(register, R15, disp);
    }

    /** LDMXCSR (2) or STMXCSR (3). */
    private static void mxcsr(Assembler a, int digit, int offset) {
        bytes(a, 0x41, 0x0f, 0xae);
        a.memory(digit, R15, offset);
    }

    private static void emitVectors(Assembler a, long load, long leave) {
        a.compare32Constant(R15, StateBlock.VECTORS, StateBlock.VECTORS_HERE);
        int notHere = a.jumpForwardIf(Assembler.NE);
        a.byte1(0xe8);
        a.int32((int) (load - (a.here() + 4)));
        a.jumpMemory(R15, StateBlock.TARGET);
        a.bind(notHere);
        a.store32Constant(R15, StateBlock.EXIT, Exits.VECTORS);
        a.jump(leave);
    }
}
