package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.R8;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RBP;
import static dev.slate.cpu.translate.x64.Registers.RBX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RDI;
import static dev.slate.cpu.translate.x64.Registers.RDX;
import static dev.slate.cpu.translate.x64.Registers.RSI;
import static dev.slate.cpu.translate.x64.Registers.RSP;

import dev.slate.cpu.CpuState;

/** The code that all translations share: the one way in, and the ways out. */
final class Stubs {
    /** {@code long enter(long stateBlock, long target)}. */
    final long enter;
    /** {@code long cpuid(long leafAndSubleaf, long to)}: stores EAX, EBX, ECX, EDX there. */
    final long cpuid;

    /** RCX: linear address; EAX: site. */
    final long miss;
    /** RCX: linear address; EAX: site. */
    final long invalidate;
    /** EAX: site. */
    final long interpret;

    final long kick;
    final long link;
    /** EAX: site. */
    final long cross;
    /**
     * Called, not jumped to, when the jump cache's entry at offset RCX is not that of the rip in RAX. Returns when it is now, with RCX as it was, or
     * leaves with {@link Exits#LOOK_UP}; {@link StateBlock#SITE} is set. Clobbers EFLAGS.
     */
    final long lookUp;
    /**
     * Called, not jumped to. RCX: a page's record. Returns with RCX as it was and the page proved, or leaves with {@link Exits#CROSS};
     * {@link StateBlock#SITE} is set. Clobbers RAX and EFLAGS.
     */
    final long prove;
    /** The same for the jump cache's entry at offset RCX, leaving with {@link Exits#LOOK_UP}. */
    final long proveEntry;
    /** Goes on at the rip in {@link StateBlock#RIP}, flags saved; leaves with {@link Exits#LOOK_UP} where it does not know the code there. */
    final long arrive;
    /**
     * As {@link #arrive}, at the rip in RAX, for the link whose site is in {@link StateBlock#SITE} and which was set for another place. Where the code
     * is not known, or too often otherwise ({@link StateBlock#PATIENCE}), it leaves with {@link Exits#CROSS} instead.
     */
    final long elsewhere;
    /**
     * RET goes to the rip in RAX, and takes RCX bytes from the guest's stack, which is not where {@link Returns} lead. {@link StateBlock#SITE}, the
     * instruction's with {@link Sites#ARRIVED}, is set; flags are saved.
     */
    final long returnTo;
    /** RAX: the instruction of host code that faulted. */
    final long fault;
    /** {@link StateBlock#TARGET} says where to go on with the vector registers loaded; flags are saved. */
    final long vectors;

    /**
     * Called, by log2 of the item's bytes: as many items of a repeated MOVS as lie on the pages at hand. {@link StateBlock#SPARE} has the
     * host's source, {@link StateBlock#STRING_TO} its destination; guest registers follow. Clobbers RAX, RCX and EFLAGS.
     */
    final long[] moves = new long[4];
    /** The same for STOS. */
    final long[] stores = new long[4];

    private final long stringsEnd;

    final TlbStubs tlb;

    /** @param avx the host has YMM registers */
    Stubs(Assembler a, boolean avx) {
        long base = a.here();
        cpuid = base;
        emitCpuid(a);
        long leave = a.here();
        emitLeave(a, avx);
        miss = a.here();
        a.store(R15, StateBlock.ADDRESS, RCX);
        leaveWithSite(a, Exits.MISS, leave);
        invalidate = a.here();
        a.store(R15, StateBlock.ADDRESS, RCX);
        leaveWithSite(a, Exits.INVALIDATE, leave);
        interpret = a.here();
        leaveWithSite(a, Exits.INTERPRET, leave);
        kick = a.here();
        leaveWithSite(a, Exits.KICK, leave);
        link = a.here();
        leaveWithSite(a, Exits.LINK, leave);
        cross = a.here();
        leaveWithSite(a, Exits.CROSS, leave);
        long find = a.here();
        emitFind(a, base);
        lookUp = a.here();
        a.call(find);
        int found = a.jumpForwardIf(Assembler.E);
        a.store(R15, StateBlock.RIP, RAX);
        a.store32Constant(R15, StateBlock.EXIT, Exits.LOOK_UP);
        a.jump(leave);
        a.bind(found);
        bytes(a, 0xc3);
        long compare = a.here();
        emitCompare(a);
        long compared = a.here();
        fault = a.here();
        emitFault(a, compare, compared, leave);
        prove = a.here();
        a.call(compare);
        int proved = a.jumpForwardIf(Assembler.E);
        a.store32Constant(R15, StateBlock.EXIT, Exits.CROSS);
        a.jump(leave);
        a.bind(proved);
        bytes(a, 0xc3);
        proveEntry = a.here();
        emitProveEntry(a, compare, leave);
        long empty = a.here();
        a.load(RSP, R15, StateBlock.RETURNS);
        a.store(R15, StateBlock.RIP, RAX);
        arrive = a.here();
        a.store32Constant(R15, StateBlock.SITE, Sites.ARRIVAL);
        a.load(RAX, R15, StateBlock.RIP);
        long returned = a.here();
        emitArrive(a);
        returnTo = a.here();
        emitReturnTo(a, returned);
        elsewhere = a.here();
        emitElsewhere(a, find, leave);
        for (int size = 0; size < 4; size++) {
            moves[size] = a.here();
            emitString(a, size, true);
            stores[size] = a.here();
            emitString(a, size, false);
        }
        stringsEnd = a.here();
        tlb = new TlbStubs(a, miss);
        long load = a.here();
        emitLoadVectors(a, avx);
        vectors = a.here();
        emitVectors(a, load, leave);
        enter = a.here();
        emitEnter(a, load, empty);
    }

    private void emitReturnTo(Assembler a, long returned) {
        int rsp = Registers.home(CpuState.RSP);
        a.store(R15, StateBlock.SPARE, RCX);
        a.mov(RCX, RAX);
        bytes(a, 0x48, 0xc1, 0xe1, 16, 0x48, 0xc1, 0xf9, 16); // shl rcx, 16; sar rcx, 16
        a.arithmetic(Assembler.CMP, RCX, RAX);
        int far = a.jumpForwardIf(Assembler.NE);
        a.store(R15, StateBlock.RIP, RAX);
        a.arithmeticMemory(Assembler.ADD, rsp, R15, StateBlock.SPARE);
        a.store32Constant(R15, StateBlock.SHADOW, 0);
        a.arithmeticMemory(Assembler.CMP, RSP, R15, StateBlock.RETURNS);
        a.jumpIf(Assembler.E, returned);
        // By a return, so that the host's processor goes on expecting what the others lead to.
        a.movConstant64(RCX, returned);
        a.store(RSP, 0, RCX);
        a.returnPast(Returns.ENTRY - 8);
        // It may not be canonical.
        a.bind(far);
        a.load32(RAX, R15, StateBlock.SITE);
        a.jump(interpret);
    }

    private void emitArrive(Assembler a) {
        Emission.jumpEntry(a);
        int known = a.jumpForwardIf(Assembler.E);
        a.call(lookUp);
        a.bind(known);
        emitGoToEntry(a);
    }

    /**
     * Called: looks for the code of the rip in RAX, and enters it in the jump cache at offset RCX; ZF says whether it has been found. Clobbers no
     * register.
     */
    private static void emitFind(Assembler a, long base) {
        bytes(a, 0x52, 0x53, 0x55, 0x56, 0x57, 0x41, 0x50); // push rdx, rbx, rbp, rsi, rdi, r8
        a.load32(RBX, R15, StateBlock.EPOCH);
        a.arithmeticConstant32(Assembler.AND, RBX, X64Translator.MODES - 1);
        a.mov(RDX, RAX);
        a.arithmeticConstant(Assembler.AND, RDX, -4096);
        a.arithmetic(Assembler.OR, RDX, RBX);
        a.mov(RDI, RDX);
        bytes(a, 0x48, 0xc1, 0xef, 12); // shr rdi, 12
        a.mov32(RSI, RDI);
        a.shiftRight32(RSI, 10);
        a.arithmetic32(Assembler.XOR, RDI, RSI);
        a.arithmeticConstant32(Assembler.AND, RDI, StateBlock.PLACE_COUNT - 1);
        a.shiftLeft32(RDI, StateBlock.PLACE_SHIFT);
        a.arithmeticIndexed(Assembler.CMP, RDX, R15, RDI, StateBlock.PLACES);
        int noPage = a.jumpForwardIf(Assembler.NE);
        a.loadIndexed(RBX, R15, RDI, StateBlock.PLACES + StateBlock.PLACE_RECORD);
        a.load(RSI, RBX, PageRecords.LINES);
        a.load32(RDX, RSI, PageRecords.TABLE_MASK);
        a.load(RSI, RSI, PageRecords.TABLE);
        a.mov32(RBP, RAX);
        a.arithmeticConstant32(Assembler.AND, RBP, 4095);
        a.arithmeticConstant32(Assembler.ADD, RBP, 1);
        bytes(a, 0x69, 0xfd); // imul edi, ebp, SPREAD
        a.int32(PageRecords.SPREAD);
        a.shiftRight32(RDI, 16);
        long next = a.here();
        a.arithmetic32(Assembler.AND, RDI, RDX);
        bytes(a, 0x4c, 0x8b, 0x04, 0xfe); // mov r8, [rsi + 8 * rdi]
        bytes(a, 0x4d, 0x85, 0xc0); // test r8, r8
        int noUnit = a.jumpForwardIf(Assembler.E);
        bytes(a, 0xff, 0xc7); // inc edi
        bytes(a, 0x41, 0x39, 0xe8); // cmp r8d, ebp
        a.jumpIf(Assembler.NE, next);
        bytes(a, 0x49, 0xc1, 0xe8, 32); // shr r8, 32
        a.movConstant64(RDI, base);
        bytes(a, 0x49, 0x01, 0xf8); // add r8, rdi
        // Whoever was there before may come again: if that happens often there is more room for them.
        a.arithmetic32(Assembler.XOR, RDX, RDX);
        a.arithmeticIndexed(Assembler.CMP, RDX, R15, RCX, 0);
        int free = a.jumpForwardIf(Assembler.E);
        a.arithmetic32MemoryConstant(Assembler.ADD, R15, StateBlock.CONFLICTS, 1);
        a.compare32Constant(R15, StateBlock.CONFLICTS, JumpCache.CONFLICTS);
        int isShort = a.jumpForwardIf(Assembler.AE);
        a.bind(free);
        a.storeIndexed(R15, RCX, 0, RAX);
        a.storeIndexed(R15, RCX, JumpCache.CODE, R8);
        a.storeIndexed(R15, RCX, JumpCache.RECORD, RBX);
        a.mov(RDX, RAX);
        a.arithmeticConstant(Assembler.AND, RDX, -4096);
        a.storeIndexed(R15, RCX, JumpCache.PLACE, RDX);
        a.arithmetic32(Assembler.CMP, RAX, RAX);
        a.bind(noPage);
        long out = a.here();
        bytes(a, 0x41, 0x58, 0x5f, 0x5e, 0x5d, 0x5b, 0x5a, 0xc3); // pop r8, rdi, rsi, rbp, rbx, rdx; ret
        a.bind(noUnit);
        a.bind(isShort);
        a.arithmeticConstant(Assembler.CMP, RSP, 0);
        a.jump(out);
    }

    private void emitElsewhere(Assembler a, long find, long leave) {
        a.store(R15, StateBlock.RIP, RAX);
        a.arithmetic32MemoryConstant(Assembler.SUB, R15, StateBlock.PATIENCE, 1);
        int set = a.jumpForwardIf(Assembler.S);
        Emission.jumpEntry(a);
        int known = a.jumpForwardIf(Assembler.E);
        a.call(find);
        int unknown = a.jumpForwardIf(Assembler.NE);
        a.bind(known);
        a.store32Constant(R15, StateBlock.SITE, Sites.ARRIVAL);
        emitGoToEntry(a);
        a.bind(set);
        a.bind(unknown);
        a.store32Constant(R15, StateBlock.EXIT, Exits.CROSS);
        a.jump(leave);
    }

    /** Proves the page of the jump cache's entry at RCX and goes there; {@link StateBlock#SITE} is {@link Sites#ARRIVAL}. */
    private void emitGoToEntry(Assembler a) {
        a.loadIndexed(RAX, R15, RCX, JumpCache.RECORD);
        a.load(RAX, RAX, PageRecords.PROVED);
        a.arithmeticMemory(Assembler.CMP, RAX, R15, StateBlock.EPOCH);
        int proved = a.jumpForwardIf(Assembler.E);
        a.call(proveEntry);
        a.bind(proved);
        Emission.goToEntry(a);
    }

    /** @param compare where a comparison's code is, up to {@code compared}: guest registers that it needs are on the stack */
    private static void emitFault(Assembler a, long compare, long compared, long leave) {
        a.store(R15, StateBlock.ADDRESS, RAX);
        a.movConstant64(RCX, compare);
        a.arithmetic(Assembler.SUB, RAX, RCX);
        a.arithmeticConstant(Assembler.CMP, RAX, (int) (compared - compare));
        int elsewhere = a.jumpForwardIf(Assembler.AE);
        bytes(a, 0x5f, 0x5e, 0x5b, 0x5a); // pop rdi, rsi, rbx, rdx
        a.bind(elsewhere);
        a.store32Constant(R15, StateBlock.EXIT, Exits.FAULT);
        a.jump(leave);
    }

    private static void emitProveEntry(Assembler a, long compare, long leave) {
        bytes(a, 0x51); // push rcx
        a.loadIndexed(RCX, R15, RCX, JumpCache.RECORD);
        a.call(compare);
        bytes(a, 0x59); // pop rcx
        int proved = a.jumpForwardIf(Assembler.E);
        a.loadIndexed(RAX, R15, RCX, 0);
        a.store(R15, StateBlock.RIP, RAX);
        a.store32Constant(R15, StateBlock.EXIT, Exits.LOOK_UP);
        a.jump(leave);
        a.bind(proved);
        bytes(a, 0xc3);
    }

    /** Proves the page whose record RCX has: ZF says whether it is. Clobbers RAX. What it puts away {@link #emitFault} brings back. */
    private static void emitCompare(Assembler a) {
        bytes(a, 0x51, 0x52, 0x53, 0x56, 0x57); // push rcx, rdx, rbx, rsi, rdi
        a.load32(RAX, R15, StateBlock.EPOCH);
        a.arithmeticConstant32(Assembler.AND, RAX, X64Translator.MODES - 1);
        bytes(a, 0x3b, 0x41, PageRecords.MODE); // cmp eax, [rcx + MODE]
        int otherMode = a.jumpForwardIf(Assembler.NE);
        bytes(a, 0x8b, 0x41, PageRecords.WHICH); // mov eax, [rcx + WHICH]
        a.loadIndexed(RDX, R15, RAX, 0);
        int[] isMapped = new int[PageRecords.SPACES];
        for (int i = 0; i < isMapped.length; i++) {
            a.arithmeticMemory(Assembler.CMP, RDX, RCX, PageRecords.MAPPED + 8 * i);
            isMapped[i] = a.jumpForwardIf(Assembler.E);
        }
        int mayHaveMoved = a.jumpForward();
        for (int place : isMapped) {
            a.bind(place);
        }
        a.load(RCX, RCX, PageRecords.LINES);
        a.load(RAX, R15, StateBlock.EPOCH);
        a.arithmeticMemory(Assembler.CMP, RAX, RCX, PageRecords.MATCHED);
        int matched = a.jumpForwardIf(Assembler.E);
        a.compare32Constant(RCX, PageRecords.CLOSED, 0);
        int closed = a.jumpForwardIf(Assembler.NE);
        a.load(RSI, RCX, PageRecords.HVA);
        a.load(RDI, RCX, PageRecords.COPIES);
        a.load32(RDX, RCX, PageRecords.COUNT);
        a.lea(RCX, RCX, PageRecords.NUMBERS);
        long next = a.here();
        bytes(a, 0x0f, 0xb6, 0x01); // movzx eax, byte [rcx]
        a.shiftLeft32(RAX, 6);
        a.arithmetic(Assembler.ADD, RAX, RSI);
        int[] changed = new int[PageRecords.LINE / 8];
        for (int k = 0; k < changed.length; k++) {
            a.load(RBX, RAX, 8 * k);
            a.arithmeticMemory(Assembler.CMP, RBX, RDI, 8 * k);
            changed[k] = a.jumpForwardIf(Assembler.NE);
        }
        a.lea(RCX, RCX, 1);
        a.lea(RDI, RDI, PageRecords.LINE);
        bytes(a, 0xff, 0xca); // dec edx
        a.jumpIf(Assembler.NE, next);
        a.load(RDX, R15, StateBlock.EPOCH);
        bytes(a, 0x48, 0x8b, 0x44, 0x24, 32); // mov rax, [rsp + 32]: the record
        a.load(RAX, RAX, PageRecords.LINES);
        a.store(RAX, PageRecords.MATCHED, RDX);
        a.bind(matched);
        bytes(a, 0x5f, 0x5e, 0x5b, 0x5a, 0x59); // pop rdi, rsi, rbx, rdx, rcx
        a.load(RAX, R15, StateBlock.EPOCH);
        a.store(RCX, PageRecords.PROVED, RAX);
        a.arithmetic32(Assembler.CMP, RAX, RAX);
        bytes(a, 0xc3);
        a.bind(otherMode);
        a.bind(mayHaveMoved);
        a.bind(closed);
        for (int place : changed) {
            a.bind(place);
        }
        bytes(a, 0x5f, 0x5e, 0x5b, 0x5a, 0x59, 0xc3);
    }

    /** Whether the host's code at {@code address} executes a string instruction. */
    boolean isString(long address) {
        return address >= moves[0] && address < stringsEnd;
    }

    private static void emitString(Assembler a, int size, boolean moves) {
        int count = Registers.home(CpuState.RCX);
        bytesLeft(a, RAX, RDI);
        if (moves) {
            bytesLeft(a, RCX, RSI);
            a.arithmetic32(Assembler.CMP, RCX, RAX);
            bytes(a, 0x0f, 0x42, 0xc1); // cmovb eax, ecx
        }
        a.mov32(RCX, RAX);
        a.shiftRight32(RCX, size);
        a.arithmetic(Assembler.CMP, RCX, count);
        bytes(a, 0x49, 0x0f, 0x47, 0xc8 | count & 7); // cmova rcx, count
        a.store(R15, StateBlock.STRING_COUNT, RCX);
        a.store(R15, StateBlock.STRING_RDI, RDI);
        a.load(RDI, R15, StateBlock.STRING_TO);
        if (moves) {
            a.store(R15, StateBlock.STRING_RSI, RSI);
            a.load(RSI, R15, StateBlock.SPARE);
        } else {
            a.mov(RAX, Registers.home(CpuState.RAX));
        }
        a.byte1(0xf3);
        if (size == 1) {
            a.byte1(0x66);
        } else if (size == 3) {
            a.byte1(0x48);
        }
        a.byte1((moves ? 0xa4 : 0xaa) | (size == 0 ? 0 : 1));
        a.load(RCX, R15, StateBlock.STRING_COUNT);
        a.arithmetic(Assembler.SUB, count, RCX);
        bytes(a, 0x48, 0xc1, 0xe1, size); // shl rcx, size
        a.load(RDI, R15, StateBlock.STRING_RDI);
        a.arithmetic(Assembler.ADD, RDI, RCX);
        if (moves) {
            a.load(RSI, R15, StateBlock.STRING_RSI);
            a.arithmetic(Assembler.ADD, RSI, RCX);
        }
        bytes(a, 0xc3);
    }

    /** The number of bytes from the address in {@code at} to its page's end. */
    private static void bytesLeft(Assembler a, int to, int at) {
        a.mov32(to, at);
        bytes(a, 0xf7, 0xd0 | to); // not
        a.arithmeticConstant32(Assembler.AND, to, 4095);
        a.arithmeticConstant32(Assembler.ADD, to, 1);
    }

    private static void leaveWithSite(Assembler a, int exit, long leave) {
        a.store32(R15, StateBlock.SITE, RAX);
        a.store32Constant(R15, StateBlock.EXIT, exit);
        a.jump(leave);
    }

    static void bytes(Assembler a, int... code) {
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

    private static void emitEnter(Assembler a, long load, long empty) {
        bytes(a, 0x53, 0x55); // push rbx, rbp
        bytes(a, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); // push r12 to r15
        a.lea(R15, RDI, 128);
        a.store(R15, StateBlock.HOST_RSP, RSP);
        a.store(R15, StateBlock.TARGET, RSI);
        a.arithmeticConstant(Assembler.AND, RSP, -Returns.BYTES);
        a.movConstant64(RAX, empty);
        a.pushConstant(0);
        a.push(RAX);
        a.store(R15, StateBlock.RETURNS, RSP);
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
        a.load(RSP, R15, StateBlock.HOST_RSP);
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
    static void mxcsr(Assembler a, int digit, int offset) {
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
