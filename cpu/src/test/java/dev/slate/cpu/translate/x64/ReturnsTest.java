package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.HostMemory;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Where code returns to: to what called it, most often, and to whatever else the guest's stack says. */
@Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
final class ReturnsTest extends SmallGuest {
    private static final int FUNCTION = 0x30_0000;
    private static final int OTHER = 0x30_1000;
    private static final int SUPERVISORS = 0x40_0000;
    private static final int WORDS = 0x10_0000;
    private static final int ROUNDS = 300;

    @BeforeEach
    void translator() {
        translate(2);
    }

    /** call or, of the opcode for it, jmp */
    private void branch(int opcode, int to) {
        bytes(opcode);
        int32(to - (at + 4));
    }

    private void call(int to) {
        branch(0xe8, to);
    }

    private void runs() {
        s.gpr[CpuState.RBX] = 0;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK);
    }

    /** Repeats the code, which counts in RBX where it goes on and in RSI where it does not. */
    private void roundsOfRbxAndNoneOfRsi() {
        repeat(ROUNDS);
        s.gpr[CpuState.RSI] = 0;
        runs();
        assertThat(s.gpr[CpuState.RSI]).isZero();
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(ROUNDS);
        hardlyLeft();
    }

    /** Once all is known and looked up, nothing leaves any more. */
    private void hardlyLeft() {
        assertThat(memory.cpu.translation.entries).isBetween(1L, 40L);
    }

    /** And than a thread's stack of the host has: 16 bytes for each call were 1.6 MB. */
    @Test
    void from_deeper_than_there_is_room_for() {
        int depth = 100_000;
        int rounds = 20;
        at = FUNCTION;
        bytes(0xff, 0xc9, 0x74, 0x05); // dec %ecx; jz over the call
        call(FUNCTION);
        bytes(0x48, 0xff, 0xc3, 0xc3); // inc %rbx; ret
        at = CODE;
        bytes(0xb9);
        int32(depth);
        call(FUNCTION);
        repeat(rounds);
        runs();
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(rounds * depth);
        hardlyLeft();
    }

    @Test
    void to_where_the_function_has_changed_it_to() {
        at = FUNCTION;
        bytes(0x48, 0x83, 0x04, 0x24, 3, 0xc2, 16, 0); // addq $3,(%rsp); ret $16
        at = OTHER;
        bytes(0x6a, 1, 0x6a, 2); // push $1; push $2
        call(FUNCTION);
        bytes(0x48, 0xff, 0xc6, 0x48, 0xff, 0xc3, 0xc3); // inc %rsi; inc %rbx; ret
        at = CODE;
        call(OTHER);
        roundsOfRbxAndNoneOfRsi();
    }

    /** As kernels have their indirect branches where processors guess at those. */
    @Test
    void to_a_register_by_way_of_a_call() {
        int thunk = FUNCTION + 0x100;
        at = thunk;
        call(thunk + 9);
        bytes(0xf3, 0x90, 0xeb, 0xfc); // pause; jmp back
        bytes(0x48, 0x89, 0x04, 0x24, 0xc3); // mov %rax,(%rsp); ret
        at = FUNCTION;
        bytes(0x48, 0xff, 0xc3, 0xc3); // inc %rbx; ret
        at = OTHER;
        bytes(0xb8);
        int32(FUNCTION);
        call(thunk);
        bytes(0x48, 0xff, 0xc3, 0xc3);
        at = CODE;
        call(OTHER);
        repeat(ROUNDS);
        runs();
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(2 * ROUNDS);
        hardlyLeft();
    }

    @Test
    void past_those_who_have_called_in_between() {
        at = FUNCTION;
        bytes(0x49, 0x89, 0xe4); // mov %rsp,%r12
        call(OTHER);
        bytes(0x48, 0xff, 0xc6); // inc %rsi
        at = OTHER;
        bytes(0x4c, 0x89, 0xe4, 0xc3); // mov %r12,%rsp; ret
        at = OTHER + 0x100;
        bytes(0x48, 0xff, 0xc3, 0xc3);
        at = CODE;
        call(FUNCTION);
        call(OTHER + 0x100);
        roundsOfRbxAndNoneOfRsi();
    }

    /** At rip 0, too, which is what stands where nothing has been called. */
    @Test
    void where_nothing_was_called() {
        at = 0;
        bytes(0x48, 0xff, 0xc3, 0x41, 0xff, 0xe6); // inc %rbx; jmp *%r14
        at = FUNCTION;
        bytes(0x48, 0xff, 0xc3, 0x41, 0xff, 0xe6);
        at = CODE;
        bytes(0x49, 0xbe);
        int64(CODE + 13);
        bytes(0x6a, 0, 0xc3); // push $0; ret
        bytes(0x49, 0xbe);
        int64(CODE + 29);
        bytes(0x68);
        int32(FUNCTION);
        bytes(0xc3);
        repeat(ROUNDS);
        runs();
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(2 * ROUNDS);
        hardlyLeft();
    }

    @Test
    void not_to_where_no_address_is() {
        int ret = CODE + 15;
        // lea behind the return,%rax; cmp $1,%r15; cmove %rdx,%rax; push %rax; ret
        bytes(0x48, 0x8d, 0x05, 10, 0, 0, 0, 0x49, 0x83, 0xff, 1, 0x48, 0x0f, 0x44, 0xc2, 0x50, 0xc3);
        for (long nowhere : new long[] {1L << 47, 0x5ca7_0000_0000_0000L, Long.MIN_VALUE}) {
            at = ret + 2;
            repeat(ROUNDS);
            s.gpr[CpuState.RDX] = nowhere;
            s.gpr[CpuState.RSP] = STACK;
            s.rip = CODE;
            // There is no handler.
            assertThat(memory.cpu.run()).isEqualTo(CpuExit.SHUTDOWN);
            assertThat(s.gpr[15]).isEqualTo(1);
            assertThat(s.rip).isEqualTo(ret + 1);
            assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK - 8);
        }
        hardlyLeft();
    }

    /** Nor from a call that is the last before there are none. */
    @Test
    void not_over_the_end_of_addresses() {
        long end = 1L << 47;
        // The last entry of each table that leads there.
        HostMemory.put64(memory.hva(TABLES + 8 * 255), 0x6000 | 7);
        HostMemory.put64(memory.hva(0x6000 + 8 * 511), 0x7000 | 7);
        HostMemory.put64(memory.hva(0x7000 + 8 * 511), FUNCTION & -1L << 21 | 0x87);
        int last = (FUNCTION & -1 << 21) + (1 << 21);
        at = last - 32;
        bytes(0x48, 0xff, 0xc3, 0xc3); // inc %rbx; ret
        at = last - 2;
        bytes(0xff, 0xd0); // call *%rax
        memory.cpu.flushTlb();
        s.gpr[CpuState.RAX] = end - 32;
        s.gpr[CpuState.RBX] = 0;
        for (int i = 1; i < 10; i++) {
            s.gpr[CpuState.RSP] = STACK;
            s.rip = end - 2;
            assertThat(memory.cpu.run()).isEqualTo(CpuExit.SHUTDOWN);
            assertThat(s.rip).isEqualTo(end - 29);
            assertThat(s.gpr[CpuState.RSP]).isEqualTo(STACK - 8);
            assertThat(s.gpr[CpuState.RBX]).isEqualTo(i);
        }
        assertThat(memory.cpu.translation.entries).isPositive();
    }

    /**
     * The caller's code is changed by another thread while it calls; the function waits for that, and serializes. It has waited once before, so that all of it
     * is code and nothing leaves.
     */
    @Test
    void to_the_code_that_is_there_now() throws Exception {
        at = OTHER;
        call(FUNCTION);
        bytes(0x48, 0xff, 0xc6, 0xc3); // inc %rsi; ret
        at = FUNCTION;
        bytes(0x44, 0x89, 0x3c, 0x25); // mov %r15d,WORDS
        int32(WORDS);
        bytes(0x44, 0x3b, 0x3c, 0x25); // cmp WORDS + 64,%r15d; jl back; serialize; ret
        int32(WORDS + 64);
        bytes(0x7c, 0xee, 0x0f, 0x01, 0xe8, 0xc3);
        at = CODE;
        call(OTHER);
        repeat(10_000);
        s.gpr[CpuState.RSI] = 0;
        long round = memory.hva(WORDS);
        long until = round + 64;
        long code = memory.hva(OTHER + 5 + 2);
        HostMemory.put32(round, Integer.MAX_VALUE);
        HostMemory.put32(until, 5000);
        CompletableFuture<Void> other = CompletableFuture.runAsync(() -> {
            waitFor(round, 4999);
            HostMemory.put32(until, 2);
            waitFor(round, 1);
            HostMemory.put8(code, 0xc3); // inc %rbx
            HostMemory.put32(until, 0);
        });
        runs();
        other.get();
        assertThat(s.gpr[CpuState.RSI]).isEqualTo(9999);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(1);
    }

    private static void waitFor(long round, int number) {
        while (HostMemory.get32(round) != number) {
            LockSupport.parkNanos(1_000_000);
        }
        LockSupport.parkNanos(20_000_000);
    }

    /** A kernel returns to where its user called from, and goes on there as a kernel. */
    @Test
    void in_the_mode_that_returns() {
        int handler = CODE + 0x100;
        int user = FUNCTION;
        // The kernel's return is code before the user comes, so that nothing leaves for it.
        call(handler + 12);
        bytes(0x41, 0xff, 0xcc, 0x75, 0xf6, 0x48, 0x0f, 0x07); // dec %r12d; jne back; sysretq
        at = handler;
        // dec %r13; cmove %r14,%rsi; je on; sysretq; on: ret
        bytes(0x49, 0xff, 0xcd, 0x49, 0x0f, 0x44, 0xf6, 0x74, 3, 0x48, 0x0f, 0x07, 0xc3);
        at = user;
        call(user + 0x40);
        // mov (%rsi),%rax; add %rax,%rbx; dec %r15; jne back; hlt
        bytes(0x48, 0x8b, 0x06, 0x48, 0x01, 0xc3, 0x49, 0xff, 0xcf, 0x75, 0xf0, 0xf4);
        at = user + 0x40;
        bytes(0x0f, 0x05, 0xc3); // syscall; ret
        long entry = memory.hva(TABLES + 8192) + 8L * (SUPERVISORS >> 21);
        HostMemory.put64(entry, HostMemory.get64(entry) & ~4L);
        HostMemory.put64(memory.hva(SUPERVISORS), 1000);
        HostMemory.put64(memory.hva(WORDS), 1);
        memory.cpu.flushTlb();
        s.efer |= CpuState.EFER_SCE;
        s.star = 0x0013_0008_0000_0000L;
        s.lstar = handler;
        s.gpr[CpuState.RCX] = user;
        s.gpr[11] = 2;
        s.gpr[CpuState.RSI] = WORDS;
        s.gpr[12] = ROUNDS;
        s.gpr[13] = ROUNDS;
        s.gpr[14] = SUPERVISORS;
        s.gpr[15] = ROUNDS;
        runs();
        assertThat(s.cpl).isZero();
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(ROUNDS - 1 + 1000);
        hardlyLeft();
    }
}
