package dev.slate.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import java.util.HexFormat;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Code that is written after it was decoded (SDM 3A 9.1.3, 12.6): through paging, by the guest and from outside. */
final class ModifiedCodeTest {
    private static final int TABLES = 0x1000;
    private static final int CODE = 0x20_0000;

    private final PhysicalMemory memory = new PhysicalMemory(8 << 20);
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

    @ParameterizedTest
    @ValueSource(strings = {"0fa2", "0f20d8 0f22d8", "0f0138", "0f2100", "0f0918", "0f30"})
    void codeWrittenFromOutsideIsSeenBehindASerializingInstruction(String serializing) {
        // cpuid, mov cr3, invlpg (rax), mov to dr0 by 0f23, wbinvd, wrmsr: some leave to the hypervisor
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
