package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.LittleEndian;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every kind of instruction with an operand in memory, on MMIO, on a read-only slot and over each edge between these and memory: exits in the
 * number, order, size and value that KVM 6.1's emulator has. What an instruction stores, and leaves in registers, is not written down here:
 * it is what the same instruction does in memory.
 */
final class MmioTableTest {
    private static final long PAGE_TABLE = 0x30000;
    private static final long DIRECTORY_ENTRY = 0x3000 + 8 * 64;
    /** From here on linear addresses, two pages for each pair of kinds. */
    private static final long LINEAR = 64L << 21;

    private static final long RAM = 0x100000;
    private static final long ROM = 0x1000000;
    private static final long DEVICE = 0x2000000;
    private static final int OPERAND = 0x400;

    private enum Kind {
        RAM,
        ROM,
        DEVICE
    }

    private record Row(
            String name,
            byte[] code,
            int bytes,
            boolean reads,
            boolean writes,
            boolean emulated,
            boolean aligned,
            boolean repeats) {}

    // Name, code, bytes of the operand, and its access: R, W or RW; + KVM's emulator knows it; a: it must be aligned;
    // =: rip
    // stays at the instruction while it writes. RBX, RSI and RDI are the operand's address; RAX is 5, RCX 1, RDX 2.
    private static final String TABLE = """
            mov al,[m]: 8a03 1 R+
            mov ax,[m]: 668b03 2 R+
            mov eax,[m]: 8b03 4 R+
            mov rax,[m]: 488b03 8 R+
            mov [m],al: 8803 1 W+
            mov [m],ax: 668903 2 W+
            mov [m],eax: 8903 4 W+
            mov [m],rax: 488903 8 W+
            mov byte [m],imm: c60377 1 W+
            mov word [m],imm: 66c7037766 2 W+
            mov dword [m],imm: c70377665544 4 W+
            mov qword [m],imm: 48c70377665544 8 W+
            mov [m],ds: 8c1b 2 W+
            mov es,[m] of 0: 8e03 2 R+
            movzx eax,byte [m]: 0fb603 1 R+
            movzx eax,word [m]: 0fb703 2 R+
            movsx rax,byte [m]: 480fbe03 1 R+
            movsx rax,word [m]: 480fbf03 2 R+
            movsxd rax,[m]: 486303 4 R+
            movbe eax,[m]: 0f38f003 4 R+
            movbe [m],rax: 480f38f103 8 W+
            movbe ax,[m]: 660f38f003 2 R
            movnti [m],eax: 0fc303 4 W+
            add [m],al: 0003 1 RW+
            add [m],ax: 660103 2 RW+
            add [m],eax: 0103 4 RW+
            add [m],rax: 480103 8 RW+
            or [m],eax: 0903 4 RW+
            adc [m],eax: 1103 4 RW+
            sbb [m],rax: 481903 8 RW+
            and [m],eax: 2103 4 RW+
            sub [m],eax: 2903 4 RW+
            xor [m],rax: 483103 8 RW+
            add eax,[m]: 0303 4 R+
            sub rax,[m]: 482b03 8 R+
            xor al,[m]: 3203 1 R+
            cmp [m],eax: 3903 4 R+
            cmp rax,[m]: 483b03 8 R+
            cmp word [m],imm8: 66833b05 2 R+
            add qword [m],imm8: 48830305 8 RW+
            or byte [m],imm8: 800b05 1 RW+
            and dword [m],imm32: 812377665544 4 RW+
            test [m],eax: 8503 4 R+
            test byte [m],imm: f60305 1 R+
            test qword [m],imm: 48f70377665544 8 R+
            not dword [m]: f713 4 RW+
            neg qword [m]: 48f71b 8 RW+
            inc byte [m]: fe03 1 RW+
            inc dword [m]: ff03 4 RW+
            dec qword [m]: 48ff0b 8 RW+
            mul dword [m]: f723 4 R+
            imul qword [m]: 48f72b 8 R+
            imul eax,[m]: 0faf03 4 R+
            imul eax,[m],imm8: 6b0303 4 R+
            imul ax,[m],imm16: 6669030300 2 R+
            div dword [m]: f733 4 R+
            rol byte [m],1: d003 1 RW+
            ror word [m],cl: 66d30b 2 RW+
            rcl dword [m],imm: c11303 4 RW+
            rcr qword [m],1: 48d11b 8 RW+
            shl dword [m],cl: d323 4 RW+
            shr qword [m],imm: 48c12b03 8 RW+
            sar word [m],1: 66d13b 2 RW+
            shld [m],eax,imm: 0fa40303 4 RW+
            shrd [m],rax,cl: 480fad03 8 RW+
            bt [m],eax: 0fa303 4 R+
            bts [m],eax: 0fab03 4 RW+
            btr [m],rax: 480fb303 8 RW+
            btc [m],ax: 660fbb03 2 RW+
            bt dword [m],imm: 0fba2303 4 R+
            bts qword [m],imm: 480fba2b03 8 RW+
            btr dword [m],imm: 0fba3303 4 RW+
            btc word [m],imm: 660fba3b03 2 RW+
            bsf eax,[m]: 0fbc03 4 R+
            bsr rax,[m]: 480fbd03 8 R+
            tzcnt eax,[m]: f30fbc03 4 R+
            lzcnt eax,[m]: f30fbd03 4 R+
            sete [m]: 0f9403 1 W+
            setne [m]: 0f9503 1 W+
            cmove eax,[m]: 0f4403 4 R+
            cmovne rax,[m]: 480f4503 8 R+
            xchg [m],al: 8603 1 RW+
            xchg [m],ax: 668703 2 RW+
            xchg [m],eax: 8703 4 RW+
            xchg [m],rax: 488703 8 RW+
            xadd [m],al: 0fc003 1 RW+
            xadd [m],eax: 0fc103 4 RW+
            lock xadd [m],rax: f0480fc103 8 RW+
            lock add [m],al: f00003 1 RW+
            lock add [m],eax: f00103 4 RW+
            lock sub [m],rax: f0482903 8 RW+
            lock inc word [m]: f066ff03 2 RW+
            lock neg dword [m]: f0f71b 4 RW+
            lock bts dword [m],imm: f00fba2b03 4 RW+
            cmpxchg [m],al: 0fb00b 1 RW+
            cmpxchg [m],ecx: 0fb10b 4 RW+
            lock cmpxchg [m],rcx: f0480fb10b 8 RW+
            cmpxchg8b [m]: 0fc70b 8 RW+
            lock cmpxchg8b [m]: f00fc70b 8 RW+
            lock cmpxchg16b [m]: f0480fc70b 16 RWa
            lfs eax,[m] of 0: 0fb403 6 R+
            lgs ax,[m] of 0: 660fb503 4 R+
            push qword [m]: ff33 8 R+
            push word [m]: 66ff33 2 R+
            pop qword [m]: 8f03 8 W+
            pop word [m]: 668f03 2 W+
            lodsb: ac 1 R+
            lodsq: 48ad 8 R+
            stosb: aa 1 W+
            stosd: ab 4 W+
            rep stosb: f3aa 1 W+=
            rep stosq: f348ab 8 W+=
            rep lodsb: f3ac 1 R+
            scasd: af 4 R+
            repne scasb: f2ae 1 R+
            xlat at rbx: d7 1 R+
            movups xmm0,[m]: 0f1003 16 R+
            movups [m],xmm0: 0f1103 16 W+
            movupd xmm0,[m]: 660f1003 16 R+
            movaps xmm0,[m]: 0f2803 16 R+a
            movaps [m],xmm0: 0f2903 16 W+a
            movntps [m],xmm0: 0f2b03 16 W+a
            movdqa xmm0,[m]: 660f6f03 16 R+a
            movdqu xmm0,[m]: f30f6f03 16 R+
            movdqu [m],xmm0: f30f7f03 16 W+
            movntdq [m],xmm0: 660fe703 16 W+a
            movq mm0,[m]: 0f6f03 8 R+
            movq [m],mm0: 0f7f03 8 W+
            fnstcw [m]: d93b 2 W+
            fnstsw [m]: dd3b 2 W+
            movntdqa xmm0,[m]: 660f382a03 16 Ra
            lddqu xmm0,[m]: f20ff003 16 R
            movd xmm0,[m]: 660f6e03 4 R
            movd [m],xmm0: 660f7e03 4 W
            movq xmm0,[m]: f30f7e03 8 R
            movq [m],xmm0: 660fd603 8 W
            movss xmm0,[m]: f30f1003 4 R
            movss [m],xmm0: f30f1103 4 W
            movsd [m],xmm0: f20f1103 8 W
            movlps xmm0,[m]: 0f1203 8 R
            movhps [m],xmm0: 0f1703 8 W
            pxor xmm0,[m]: 660fef03 16 Ra
            addps xmm0,[m]: 0f5803 16 Ra
            addsd xmm0,[m]: f20f5803 8 R
            cvtsi2sd xmm0,[m]: f20f2a03 4 R
            pinsrw xmm0,[m],imm: 660fc40301 2 R
            pextrd [m],xmm0,imm: 660f3a160301 4 W
            paddb mm0,[m]: 0ffc03 8 R
            vmovdqu xmm0,[m]: c5fa6f03 16 R
            vmovdqu [m],xmm0: c5fa7f03 16 W
            vpxor xmm0,xmm1,[m]: c5f1ef03 16 R
            andn eax,ecx,[m]: c4e270f203 4 R
            bextr eax,[m],ecx: c4e270f703 4 R
            rorx eax,[m],imm: c4e37bf00303 4 R
            popcnt eax,[m]: f30fb803 4 R
            crc32 eax,[m]: f20f38f103 4 R
            fldcw [m]: d92b 2 R
            fld dword [m]: d903 4 R
            fld qword [m]: dd03 8 R
            fild word [m]: df03 2 R
            fild dword [m]: db03 4 R
            fild qword [m]: df2b 8 R
            fst dword [m]: d913 4 W
            fst qword [m]: dd13 8 W
            fist word [m]: df13 2 W
            fadd dword [m]: d803 4 R
            fmul qword [m]: dc0b 8 R
            stmxcsr [m]: 0fae1b 4 W
            clflush [m]: 0fae3b 1 R+
            """;

    private static List<Row> rows() {
        List<Row> rows = new ArrayList<>();
        for (String line : TABLE.split("\n")) {
            int colon = line.lastIndexOf(": ");
            String[] cells = line.substring(colon + 2).split(" ");
            String access = cells[2];
            rows.add(new Row(
                    line.substring(0, colon),
                    HexFormat.of().parseHex(cells[0]),
                    Integer.parseInt(cells[1]),
                    access.contains("R"),
                    access.contains("W"),
                    access.contains("+"),
                    access.contains("a"),
                    access.contains("=")));
        }
        return rows;
    }

    /** What a run came to. */
    private static final class Run {
        final List<String> exits = new ArrayList<>();
        byte[] operand = new byte[0];
        String registers = "";
        String end = "";
    }

    private static final class Machine implements AutoCloseable {
        final Guest64 guest;
        final long ram;
        final long rom;
        final byte[] pattern = new byte[8192];

        Machine(Knobs knobs) {
            guest = new Guest64(knobs, false);
            ram = guest.hva + RAM;
            rom = guest.host.allocate(8192, 4096);
            guest.vm.setUserMemoryRegion(1, 2, ROM, 8192, rom);
            HostMemory.put64(guest.hva + DIRECTORY_ENTRY, PAGE_TABLE | 3);
            for (Kind first : Kind.values()) {
                for (Kind second : Kind.values()) {
                    long entry = guest.hva + PAGE_TABLE + (pages(first, second) - LINEAR >>> 9);
                    HostMemory.put64(entry, frame(first) | 3);
                    HostMemory.put64(entry + 8, frame(second) + 4096 | 3);
                }
            }
            for (int i = 0; i < pattern.length; i++) {
                pattern[i] = (byte) (i * 37 + (i >>> 8) * 11 + 1);
            }
        }

        private static long frame(Kind kind) {
            return switch (kind) {
                case RAM -> RAM;
                case ROM -> ROM;
                case DEVICE -> DEVICE;
            };
        }

        private static int number(Kind kind) {
            return switch (kind) {
                case RAM -> 0;
                case ROM -> 1;
                case DEVICE -> 2;
            };
        }

        private static long pages(Kind first, Kind second) {
            return LINEAR + (3 * number(first) + number(second)) * 8192L;
        }

        /** Runs the instruction with its operand at an offset in the first page, to HLT or an error. */
        Run run(Row row, Kind first, Kind second, int offset, boolean zero) {
            Run run = new Run();
            byte[] content = zero ? new byte[8192] : pattern;
            HostMemory.copyIn(content, 0, ram, 8192);
            HostMemory.copyIn(content, 0, rom, 8192);
            Vcpu v = guest.vcpu;
            Sregs sregs = new Sregs();
            v.getSregs(sregs);
            sregs.cr4 |= 0x40600;
            v.setSregs(sregs);
            v.setXcr0(7);
            Fpu fpu = new Fpu();
            v.getFpu(fpu);
            for (int i = 0; i < fpu.xmm.length; i++) {
                fpu.xmm[i] = (byte) (i + 0x81);
            }
            fpu.fcw = 0x37f;
            fpu.mxcsr = 0x1f80;
            fpu.fsw = 0;
            fpu.ftwx = 0xff;
            Arrays.fill(fpu.fpr, (byte) 0);
            for (int i = 0; i < 8; i++) {
                // 1.0 in each register.
                fpu.fpr[16 * i + 7] = (byte) 0x80;
                fpu.fpr[16 * i + 8] = (byte) 0xff;
                fpu.fpr[16 * i + 9] = 0x3f;
            }
            v.setFpu(fpu);
            long operand = pages(first, second) + offset;
            byte[] code = new byte[row.code.length + 1];
            System.arraycopy(row.code, 0, code, 0, row.code.length);
            code[row.code.length] = (byte) 0xf4;
            HostMemory.copyIn(code, 0, guest.hva + Guest64.CODE, code.length);
            Regs r = new Regs();
            r.rip = Guest64.CODE;
            r.rflags = 2;
            r.rax = 5;
            r.rcx = 1;
            r.rdx = 2;
            r.rbx = operand - (row.name.startsWith("xlat") ? 5 : 0);
            r.rsi = operand;
            r.rdi = operand;
            r.rsp = Guest64.STACK;
            v.setRegs(r);
            String before = registers(v);
            for (int n = 0; ; n++) {
                assertThat(n).as("%s: exits %s", row.name, run.exits).isLessThan(40);
                assertThat(v.run(false)).as(row.name).isZero();
                VcpuExit e = v.exit();
                if (e.reason != VcpuExit.MMIO) {
                    run.end = e.reason == VcpuExit.HLT
                            ? "hlt"
                            : e.reason == VcpuExit.INTERNAL_ERROR ? "error " + e.internalSuberror : "exit " + e.reason;
                    break;
                }
                int at = (int) (e.mmioPhysAddr & 8191);
                v.getRegs(r);
                int beyond = (int) (r.rip - Guest64.CODE);
                if (e.mmioIsWrite) {
                    assertThat(beyond).as("%s: rip at a write", row.name).isEqualTo(row.repeats ? 0 : row.code.length);
                    run.exits.add("w %x %s".formatted(at, HexFormat.of().formatHex(e.mmioData, 0, e.mmioLen)));
                } else {
                    assertThat(beyond).as("%s: rip at a read", row.name).isZero();
                    assertThat(registers(v))
                            .as("%s: registers at a read", row.name)
                            .isEqualTo(before);
                    System.arraycopy(content, at, e.mmioData, 0, e.mmioLen);
                    run.exits.add("r %x %d".formatted(at, e.mmioLen));
                }
            }
            run.registers = registers(v);
            run.operand = new byte[row.bytes];
            HostMemory.copyOut(ram + offset, run.operand, 0, row.bytes);
            return run;
        }

        private String registers(Vcpu v) {
            Regs r = new Regs();
            v.getRegs(r);
            Fpu f = new Fpu();
            v.getFpu(f);
            String mm = HexFormat.of().formatHex(f.fpr);
            // Addresses as they are relative to the pages.
            return "rax %x rcx %x rdx %x rbx %x rsp %x rsi %x rdi %x flags %x xmm %s fpu %s %x"
                    .formatted(
                            r.rax,
                            r.rcx,
                            r.rdx,
                            r.rbx & 8191,
                            r.rsp,
                            r.rsi & 8191,
                            r.rdi & 8191,
                            r.rflags,
                            HexFormat.of().formatHex(f.xmm),
                            mm,
                            f.fsw);
        }

        @Override
        public void close() {
            guest.close();
        }
    }

    /** The exits of one access, in pieces of at most eight bytes of the first page, then of the second. */
    private static void pieces(List<String> to, int offset, int bytes, Kind first, Kind second, byte[] written) {
        int here = Math.min(bytes, 4096 - offset);
        for (int at = 0; at < bytes; ) {
            boolean low = at < here;
            Kind kind = low ? first : second;
            int n = Math.min(8, (low ? here : bytes) - at);
            if (kind == Kind.DEVICE || kind == Kind.ROM && written.length != 0) {
                to.add(
                        written.length == 0
                                ? "r %x %d".formatted(offset + at, n)
                                : "w %x %s"
                                        .formatted(offset + at, HexFormat.of().formatHex(written, at, at + n)));
            }
            at += n;
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "tdp=off"})
    void exitsAreThoseOfKvmsEmulatorAndTheResultIsThatOfMemory(String knobs) {
        int cases = 0;
        List<Row> rows = rows();
        try (Machine m = new Machine(Knobs.parse(knobs))) {
            for (Row row : rows) {
                boolean zero = row.name.contains("of 0");
                List<Integer> offsets = new ArrayList<>(List.of(OPERAND));
                if (!row.aligned && row.bytes > 1) {
                    for (int in : new int[] {1, row.bytes / 2, row.bytes - 1, 5, 11}) {
                        if (in < row.bytes && !offsets.contains(4096 - in)) {
                            offsets.add(4096 - in);
                        }
                    }
                }
                for (int offset : offsets) {
                    Run memory = m.run(row, Kind.RAM, Kind.RAM, offset, zero);
                    assertThat(memory.end).as(row.name).isEqualTo("hlt");
                    for (Kind first : Kind.values()) {
                        for (Kind second : Kind.values()) {
                            boolean crosses = offset != OPERAND;
                            if (first == Kind.RAM && (!crosses || second == Kind.RAM)
                                    || !crosses && second != Kind.RAM) {
                                continue;
                            }
                            List<String> expected = new ArrayList<>();
                            if (row.reads) {
                                pieces(expected, offset, row.bytes, first, second, new byte[0]);
                            }
                            if (row.writes) {
                                pieces(expected, offset, row.bytes, first, second, memory.operand);
                            }
                            Run run = m.run(row, first, second, offset, zero);
                            String what = "%s at %x of %s, %s".formatted(row.name, offset, first, second);
                            assertThat(run.exits).as(what).isEqualTo(expected);
                            assertThat(run.end).as(what).isEqualTo("hlt");
                            assertThat(run.registers).as(what).isEqualTo(memory.registers);
                            cases++;
                        }
                    }
                }
            }
        }
        System.out.printf("MmioTableTest: %d instructions, %,d cases, knobs '%s'%n", rows.size(), cases, knobs);
        assertThat(cases).isGreaterThan(2500);
    }

    @ParameterizedTest
    @ValueSource(strings = {"mmio.emulation=kvm", "mmio.emulation=kvm\ntdp=off"})
    void whatKvmsEmulatorLacksEndsInItsErrorWhenItsSetIsAskedFor(String knobs) {
        int refused = 0;
        try (Machine m = new Machine(Knobs.parse(knobs))) {
            for (Row row : rows()) {
                for (Kind kind : new Kind[] {Kind.DEVICE, Kind.ROM}) {
                    boolean leaves = row.reads && kind == Kind.DEVICE || row.writes;
                    Run run = m.run(row, kind, kind, OPERAND, row.name.contains("of 0"));
                    if (!leaves || row.emulated) {
                        assertThat(run.end).as("%s on %s", row.name, kind).isEqualTo("hlt");
                    } else {
                        assertThat(run.end).as("%s on %s", row.name, kind).isEqualTo("error 1");
                        assertThat(run.exits).as("%s on %s", row.name, kind).isEmpty();
                        refused++;
                    }
                }
            }
        }
        assertThat(refused).isGreaterThan(40);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "tdp=off", "mmio.emulation=kvm"})
    void anExceptionFrameGoesToADeviceInProgramOrder(String knobs) {
        try (Machine m = new Machine(Knobs.parse(knobs))) {
            Guest64 g = m.guest;
            // ud2, and hlt as its handler
            g.write(Guest64.CODE, 0x0f, 0x0b);
            g.write(Guest64.CODE + 0x100, 0xf4);
            g.gate(6, Guest64.CODE + 0x100);
            long top = Machine.pages(Kind.DEVICE, Kind.DEVICE) + 0x808;
            g.regs().rsp = top;
            g.regs.rip = Guest64.CODE;
            g.regs.rflags = 0x46;
            g.vcpu.setRegs(g.regs);
            long[] frame = {16, top, 0x10046, 8, Guest64.CODE};
            for (int i = 0; i < 5; i++) {
                assertThat(g.vcpu.run(false)).isZero();
                VcpuExit e = g.vcpu.exit();
                assertThat(e.reason).isEqualTo(VcpuExit.MMIO);
                assertThat(e.mmioIsWrite).isTrue();
                assertThat(e.mmioLen).isEqualTo(8);
                // The stack is aligned to 16 first.
                assertThat(e.mmioPhysAddr).isEqualTo(DEVICE + 0x800 - 8 * (i + 1));
                assertThat(LittleEndian.getLong(e.mmioData, 0)).as("word %d", i).isEqualTo(frame[i]);
            }
            assertThat(g.run()).isInstanceOf(Exit.Halt.class);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "tdp=off"})
    void pageTablesInAReadOnlySlotTranslateAndKeepNoAccessedAndDirtyBits(String knobs) {
        try (Machine m = new Machine(Knobs.parse(knobs))) {
            Guest64 g = m.guest;
            // Both levels in ROM: the first GiB one to one.
            HostMemory.put64(m.rom, ROM + 4096 | 3);
            HostMemory.put64(m.rom + 4096, 0x83);
            // mov [DATA],rax; mov rcx,[DATA]; hlt
            g.write(Guest64.CODE, 0x48, 0x89, 0x04, 0x25, 0, 0, 4, 0, 0x48, 0x8b, 0x0c, 0x25, 0, 0, 4, 0, 0xf4);
            Sregs sregs = new Sregs();
            g.vcpu.getSregs(sregs);
            sregs.cr3 = ROM;
            g.vcpu.setSregs(sregs);
            g.regs().rax = 77;
            g.regs.rip = Guest64.CODE;
            g.vcpu.setRegs(g.regs);
            assertThat(g.run()).isInstanceOf(Exit.Halt.class);
            assertThat(g.regs().rcx).isEqualTo(77);
            assertThat(HostMemory.get64(m.rom)).isEqualTo(ROM + 4096 | 3);
            assertThat(HostMemory.get64(m.rom + 4096)).isEqualTo(0x83);
        }
    }
}
