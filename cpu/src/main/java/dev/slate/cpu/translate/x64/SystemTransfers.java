package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RDX;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/**
 * RFLAGS as a whole, what goes between user and kernel: SYSCALL, SYSRET, SWAPGS; what a handler of page faults does: reads of CR2, INVLPG;
 * the time-stamp counter.
 *
 * <p>SYSCALL and SYSRET go on in code of another mode without leaving: the epoch's low byte, which is the mode, is what tells the pages of
 * one from those of the other. Segment registers and CPL follow when code leaves ({@link StateBlock#TRANSFERS}).
 */
abstract class SystemTransfers extends Reencoding {
    private static final int R11 = StateBlock.GPR + 8 * 11;
    /** The low byte of an epoch: mode, and the generation's bit that says user. */
    static final int MODE_BYTE = 0xff;

    /** Flags that SYSRET brings back in code; those that it does not bring at all are among the others, for which it is interpreted. */
    private static final int RETURNED = CpuState.IF | CpuState.DF | CpuState.IOPL | CpuState.NT | CpuState.ID;

    /** Flags in R11 for which SYSRET is the interpreter's: a trap, a check of alignment, and what no SYSCALL leaves there. */
    static final int RETURN_ASKS = CpuState.SYSTEM_FLAGS & ~RETURNED;

    SystemTransfers(Stubs stubs, Sites sites, long guestFeatures, Shapes shapes, long noRecord) {
        super(stubs, sites, guestFeatures, shapes, noRecord);
    }

    /** RFLAGS without RF and VM to RAX, as PUSHF and SYSCALL show it; clobbers RCX. */
    private void flagsImage() {
        a.load32(RAX, R15, StateBlock.FLAGS);
        a.mov32(RCX, RAX);
        a.shiftRight32(RAX, 8);
        a.arithmeticConstant32(Assembler.AND, RAX, CpuState.STATUS_FLAGS & 0xff | CpuState.RFLAGS_FIXED);
        a.arithmeticConstant32(Assembler.AND, RCX, 1);
        a.shiftLeft32(RCX, 11);
        a.arithmetic32(Assembler.OR, RAX, RCX);
        a.load32(RCX, R15, StateBlock.SYSTEM);
        a.arithmeticConstant32(Assembler.AND, RCX, ~(CpuState.RF | CpuState.VM));
        a.arithmetic32(Assembler.OR, RAX, RCX);
    }

    /** The status flags from an image in EAX; clobbers RAX and RCX. */
    private void statusFromImage() {
        a.mov32(RCX, RAX);
        a.shiftRight32(RCX, 11);
        a.arithmeticConstant32(Assembler.AND, RCX, 1);
        raw(0x0f, 0xb6, 0xc0); // movzx eax, al
        a.shiftLeft32(RAX, 8);
        a.arithmetic32(Assembler.OR, RAX, RCX);
        a.store32(R15, StateBlock.FLAGS, RAX);
    }

    /** An operation of EAX or ECX and a word of the block, by its opcode. */
    private void block32(int opcode, int register, int offset) {
        raw(0x41, opcode);
        a.memory(register, R15, offset);
    }

    void pushFlags() {
        beginAccess();
        flagsImage();
        a.store(R15, StateBlock.SPARE, RAX);
        pushRcxProbed(8);
        a.load(RAX, R15, StateBlock.SPARE);
        a.store(RCX, 0, RAX);
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), -8);
    }

    /** POPF at CPL 0 that changes no more of the system flags than IF, nor that while an interrupt waits for it: the interpreter is asked. */
    void popFlags() {
        beginAccess();
        a.mov(RCX, Registers.home(CpuState.RSP));
        probe(READ, 8, 1);
        a.load(RAX, RCX, 0);
        a.load32(RCX, R15, StateBlock.SYSTEM);
        a.arithmetic32(Assembler.XOR, RCX, RAX);
        block32(0x85, RCX, StateBlock.POPF_ASKS); // test
        later.interpret(a.jumpForwardIf(Assembler.NE), site(0, next, 0));
        a.arithmeticConstant32(Assembler.AND, RCX, CpuState.IF);
        // XOR of what differs sets IF to the image's.
        block32(0x31, RCX, StateBlock.SYSTEM); // xor
        statusFromImage();
        a.lea(Registers.home(CpuState.RSP), Registers.home(CpuState.RSP), 8);
    }

    /** RDTSC and RDTSCP: behind the loads before it, since guests compare counters through memory. */
    void readCounter() {
        beginAccess();
        a.compare32Constant(R15, StateBlock.TSC_ASKS, 0);
        later.interpret(a.jumpForwardIf(Assembler.NE), site(0, next, 0));
        raw(0x0f, 0xae, 0xe8); // lfence
        raw(0x0f, 0x31); // rdtsc
        raw(0x48, 0xc1, 0xe2, 32); // shl rdx, 32
        a.arithmetic(Assembler.OR, RAX, RDX);
        a.arithmeticMemory(Assembler.ADD, RAX, R15, StateBlock.TSC_OFFSET);
        a.mov(RDX, RAX);
        raw(0x48, 0xc1, 0xea, 32); // shr rdx, 32
        a.mov32(Registers.home(CpuState.RAX), RAX);
        if (op == Op.RDTSCP) {
            a.load32(Registers.home(CpuState.RCX), R15, StateBlock.TSC_AUX);
        }
    }

    /** SWAPGS at CPL 0; changes no flag. */
    void swapGs() {
        a.load(RAX, R15, StateBlock.GS_BASE);
        a.load(RCX, R15, StateBlock.KERNEL_GS_BASE);
        a.store(R15, StateBlock.KERNEL_GS_BASE, RAX);
        a.store(R15, StateBlock.GS_BASE, RCX);
    }

    /** MOV from CR2 at CPL 0, always 64 bits; changes no flag. */
    void readFaultAddress() {
        a.load(RAX, R15, StateBlock.CR2);
        write(Insn.rm(w0), RAX);
    }

    /** INVLPG at CPL 0: the processor does it, without another look at the instruction. */
    void invalidatePage() {
        beginAccess();
        address();
        int site = site(0, next, 0);
        a.movConstant(RAX, site);
        a.jump(stubs.invalidate);
        sites.resume(site, a.here());
        // A serializing event: this page is to be proved again, too.
        crossJump(next);
    }

    /** SYSCALL at CPL 3 (APM 3, SDM 2B). */
    void systemCall() {
        beginAccess();
        poll();
        a.compare32Constant(R15, StateBlock.KERNEL_MODE, 0);
        later.interpret(a.jumpForwardIf(Assembler.E), site(0, 0, 0));
        flagsImage();
        a.store(R15, R11, RAX);
        a.load32(RCX, R15, StateBlock.SYSCALL_KEEPS);
        block32(0x21, RCX, StateBlock.SYSTEM); // and
        a.arithmetic32(Assembler.AND, RAX, RCX);
        statusFromImage();
        position(Registers.home(CpuState.RCX), next);
        a.store32Constant(R15, StateBlock.TRANSFERS, StateBlock.CALLED);
        a.load32(RCX, R15, StateBlock.KERNEL_MODE);
        a.load(RAX, R15, StateBlock.LSTAR);
        arrive();
    }

    /** 64-bit SYSRET at CPL 0 to the lower half of the address space, whoever made the processor: there no check of RCX differs. */
    void systemReturn() {
        beginAccess();
        poll();
        int slow = site(0, 0, 0);
        a.compare32Constant(R15, StateBlock.USER_MODE, 0);
        later.interpret(a.jumpForwardIf(Assembler.E), slow);
        a.mov(RAX, Registers.home(CpuState.RCX));
        raw(0x48, 0xc1, 0xe8, 47); // shr rax, 47
        later.interpret(a.jumpForwardIf(Assembler.NE), slow);
        a.load32(RAX, R15, R11);
        block32(0x85, RAX, StateBlock.SYSRET_ASKS); // test
        later.interpret(a.jumpForwardIf(Assembler.NE), slow);
        a.mov32(RCX, RAX);
        a.arithmeticConstant32(Assembler.AND, RCX, RETURNED);
        a.store32(R15, StateBlock.SYSTEM, RCX);
        statusFromImage();
        a.arithmetic32MemoryConstant(Assembler.OR, R15, StateBlock.TRANSFERS, StateBlock.RETURNED);
        a.load32(RCX, R15, StateBlock.USER_MODE);
        a.mov(RAX, Registers.home(CpuState.RCX));
        arrive();
    }

    /** The instruction is over: goes on at the rip in RAX, in the mode whose byte ECX has. */
    private void arrive() {
        a.store(R15, StateBlock.RIP, RAX);
        a.load(RAX, R15, StateBlock.EPOCH);
        a.arithmeticConstant(Assembler.AND, RAX, ~MODE_BYTE);
        a.arithmetic(Assembler.OR, RAX, RCX);
        a.store(R15, StateBlock.EPOCH, RAX);
        forgetReturns();
        a.load(RAX, R15, StateBlock.RIP);
        lookUp(Sites.ARRIVED);
        goToEntry(a);
    }
}
