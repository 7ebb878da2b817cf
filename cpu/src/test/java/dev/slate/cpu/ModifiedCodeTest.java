package dev.slate.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Code that is written after it was decoded (SDM 3A 9.1.3, 12.6): through paging, by the guest and from outside. */
class ModifiedCodeTest {
    private static final int TABLES = 0x1000;
    private static final int CODE = 0x20_0000;

    final PhysicalMemory memory = new PhysicalMemory(8 << 20);
    private final CpuState s = memory.cpu.s;

    ModifiedCodeTest() {
        memory.mapAll();
        memory.longMode(TABLES);
        HostMemory.put64(memory.hva(TABLES + 8192 + 8 * 100), CODE | 0x87);
        s.gpr[CpuState.RSP] = 0x18_0000;
    }

    @AfterEach
    void close() {
        memory.close();
    }

    private void code(int at, String hex) {
        byte[] bytes = HexFormat.of().parseHex(hex.replace(" ", ""));
        HostMemory.copyIn(bytes, 0, memory.hva(at), bytes.length);
    }

    private void halts(long rip) {
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(rip);
    }

    @Test
    void aStoreThroughAnotherVirtualPageChangesTheNextInstructionOfTheRunningBlock() {
        // movb $0x77,ALIAS+9; mov $1,%eax; hlt
        code(CODE, "c6042509 00800c77 b801000000 f4");
        s.rip = CODE;
        halts(CODE + 13);
        assertThat(s.gpr[CpuState.RAX]).isEqualTo(0x77);
    }

    @Test
    void codeThatRanAtBothVirtualPagesChangesAtBoth() {
        // mov $1,%eax; ret
        code(CODE + 0x100, "b801000000 c3");
        // call CODE+100; mov %eax,%ebx; call *ALIAS+100; add %eax,%ebx; movb $5,CODE+101; call both again,
        // into ecx; hlt
        code(CODE, "e8fb000000 89c3 be0001800c ffd6 01c3" + "c604250101200005 e8e3000000 89c1 ffd6 01c1 f4");
        s.rip = CODE;
        assertThat(memory.cpu.run()).isEqualTo(CpuExit.HLT);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(2);
        assertThat(s.gpr[CpuState.RCX]).isEqualTo(10);
    }

    @Test
    void aRepeatedStoreOverItsOwnLoopIsSeen() {
        // lea CODE+20,%rdi; mov $0x90,%al; mov $4,%ecx; rep stosb; then four HLTs that have become NOPs; hlt
        code(CODE, "48c7c720002000 b090 b904000000 f3aa");
        code(CODE + 16, "90909090");
        code(CODE + 0x20, "f4f4f4f4 f4");
        code(CODE + 0x14, "eb0a");
        s.rip = CODE + 0x20;
        halts(CODE + 0x20);
        s.rip = CODE;
        halts(CODE + 0x24);
    }

    @Test
    void aStoreBesideCodeOnItsPageEndsNoBlockAndMakesNoneCompareItsBytes() {
        // mov $8,%ecx; 1: mov %ecx,CODE+64(,%rcx,8); lock xadd %eax,CODE+3000; dec %ecx; jnz 1b; hlt
        code(CODE, "b908000000 890ccd40002000 f00fc10425b80b2000 ffc9 75ec f4");
        s.rip = CODE;
        halts(CODE + 25);
        long epoch = memory.cpu.codeEpoch;
        s.rip = CODE;
        halts(CODE + 25);
        assertThat(memory.cpu.codeEpoch).isEqualTo(epoch);
        assertThat(HostMemory.get8(memory.hva(CODE + 64 + 8))).isEqualTo(1);
        // One line lower the first stores meet the code, and the block ends there each time.
        HostMemory.put8(memory.hva(CODE + 8), 0x38);
        memory.cpu.serialize();
        epoch = memory.cpu.codeEpoch;
        s.rip = CODE;
        halts(CODE + 25);
        assertThat(memory.cpu.codeEpoch).isEqualTo(epoch);
        HostMemory.put8(memory.hva(CODE + 8), 0x30);
        memory.cpu.serialize();
        epoch = memory.cpu.codeEpoch;
        s.rip = CODE;
        halts(CODE + 25);
        assertThat(memory.cpu.codeEpoch).isEqualTo(epoch + 1);
    }

    @Test
    void aJumpOverAPagesEndIsCodeOnBothPages() {
        // mov $2,%ecx; 1: jmp CODE+fff; 2: movb $0x13,CODE+1000; dec %ecx; jnz 1b; hlt; 3: mov $7,%ebx; hlt
        code(CODE, "b902000000 e9f50f0000 c604250010200013 ffc9 75ef f4 bb07000000 f4");
        // jmp 2b, which the store makes jmp 3b: nothing else is code on the second page.
        code(CODE + 0xfff, "e906f0ffff");
        s.rip = CODE;
        halts(CODE + 28);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(7);
    }

    @Test
    void aStoreUnderWatchIntoCodeIsSeen() {
        // A store that must not be kept in the TLB at all: with every access observed.
        code(CODE, "c6042509 00800c77 b801000000 f4");
        memory.cpu.observers.memory = new CpuObserver() {
            @Override
            public void loaded(long la, int bytes, long value) {}

            @Override
            public void stored(long la, int bytes, long value) {}

            @Override
            public void delivered(int vector, boolean hasErrorCode, int errorCode) {}
        };
        s.rip = CODE;
        halts(CODE + 13);
        assertThat(s.gpr[CpuState.RAX]).isEqualTo(0x77);
    }

    /**
     * Functions of seven bytes side by side over lines and a page's end, which random stores of every kind and through both names change:
     * each call does what memory says then. Of the function over the page's end the low byte is before it, or behind.
     */
    @ParameterizedTest
    @ValueSource(ints = {CODE + 0x1f00, CODE + 0x1f03})
    void randomStoresIntoCodeAreSeenByTheNextCall(int area) {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        Random random = new Random(seed);
        int functions = 80;
        long alias = 0x0c80_0000L - CODE;
        // mov $imm,%eax; ret; nop
        for (int i = 0; i < functions; i++) {
            code(area + 7 * i, "b8%02x000000c390".formatted(i));
        }
        String[] stores = {
            "881f", // mov %bl,(%rdi)
            "891f", // mov %ebx,(%rdi)
            "48891f", // mov %rbx,(%rdi)
            "871f", // xchg %ebx,(%rdi)
            "f0301f", // lock xor %bl,(%rdi)
            "f048311f", // lock xor %rbx,(%rdi)
            "660fd607", // movq %xmm0,(%rdi)
            "0f1107", // movups %xmm0,(%rdi)
            "48ab", // stosq
            "f3aa" // rep stosb
        };
        // call *%rsi; mov %rbp,%rax; the store; call *%rsi; hlt.
        // Nothing serializes in between: what is seen are the stores themselves.
        for (int i = 0; i < stores.length; i++) {
            code(CODE + 64 * i, "ffd64889e8" + stores[i] + "ffd6f4");
        }
        for (int step = 0; step < 20_000; step++) {
            int f = random.nextInt(functions);
            int g = random.nextBoolean() ? f : random.nextInt(functions);
            int at = area + 7 * f + (random.nextBoolean() ? 1 : random.nextInt(8) - 4);
            int kind = random.nextInt(stores.length);
            String store = stores[kind];
            long word = HostMemory.get64(memory.hva(at));
            long value = word & ~0xffL | random.nextInt(256);
            // A store of the immediate only, whatever its width: the bytes behind it stay what they were.
            if (7 * f + area + 1 != at) {
                value = word;
            }
            s.xmm[0] = value;
            s.xmm[1] = HostMemory.get64(memory.hva(at + 8));
            s.gpr[CpuState.RBP] = value;
            s.gpr[CpuState.RBX] = store.startsWith("f0") ? value ^ word : value;
            s.gpr[CpuState.RCX] = 1;
            s.gpr[CpuState.RDI] = random.nextBoolean() ? at : at + alias;
            s.gpr[CpuState.RSI] = area + 7 * g + (random.nextBoolean() ? 0 : alias);
            s.rip = CODE + 64 * kind;
            String what = "seed %d, step %d: %s at %x, call of %d".formatted(seed, step, store, at, g);
            assertThat(memory.cpu.run()).as(what).isEqualTo(CpuExit.HLT);
            assertThat(s.gpr[CpuState.RAX]).as(what).isEqualTo(HostMemory.get32(memory.hva(area + 7 * g + 1)));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"0fa2", "0f20d8 0f22d8", "0f0138", "0f2100", "0f0918", "0f30", "0faef0"})
    void codeWrittenFromOutsideIsSeenBehindASerializingInstruction(String serializing) {
        // cpuid, mov cr3, invlpg (rax), mov to dr0 by 0f23, wbinvd, wrmsr, AMD's mfence: some leave to the hypervisor
        String bytes = serializing.replace("0f2100", "0f23c0").replace("0f0918", "0f09");
        // mov $1,%ebx; hlt; then, the hypervisor having written, the serializing instruction and the same code again
        code(CODE, "bb01000000 f4");
        int length = HexFormat.of().parseHex(bytes.replace(" ", "")).length;
        code(CODE - 64, bytes);
        code(CODE - 64 + length, "eb" + String.format("%02x", 64 - length - 2));
        s.gpr[CpuState.RCX] = 0x10;
        s.rip = CODE;
        halts(CODE + 5);
        HostMemory.put8(memory.hva(CODE + 1), 9);
        s.rip = CODE - 64;
        int exit = memory.cpu.run();
        if (exit != CpuExit.HLT) {
            s.rip = memory.cpu.exit.nextRip;
            exit = memory.cpu.run();
        }
        assertThat(exit).isEqualTo(CpuExit.HLT);
        assertThat(s.rip).isEqualTo(CODE + 5);
        assertThat(s.gpr[CpuState.RBX]).isEqualTo(9);
    }
}
