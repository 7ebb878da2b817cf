package dev.slate.cpu.translate.x64;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.PhysicalMemory;
import dev.slate.cpu.TranslationBudget;
import dev.slate.cpu.Vendor;
import dev.slate.cpu.mem.HostMemory;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** SYSCALL and SYSRET as machine code: whatever mode they meet, they end where the interpreter's do, and leave to it what is rare. */
final class TranslatedSystemCallsTest {
    private static final int TABLES = 0x1000;
    private static final int KERNEL = 0x20_0000;
    private static final int HANDLER = KERNEL + 0x100;
    private static final int USER = 0x20_1000;
    private static final int ROUNDS = 200;
    private static final long HIGH_HALF = 0xffff_8000_0020_1000L;
    private static final long NOT_CANONICAL = 0x0000_8000_0020_1000L;

    /** The kernel returns to the user, who calls, until r15 is 0; then to where {@code last} says. */
    private static PhysicalMemory machine(Vendor vendor, long cr4, long efer, long sfmask, int userFlags, long last) {
        PhysicalMemory m = new PhysicalMemory(8 << 20, vendor.features());
        m.mapAll();
        m.longMode(TABLES);
        put(m, KERNEL, 0x48, 0x89, 0xd9, 0x49, 0x89, 0xeb, 0x48, 0x0f, 0x07); // mov %rbx,%rcx; mov %rbp,%r11; sysretq
        put(m, USER, 0xff, 0xc2, 0x0f, 0x05); // inc %edx; syscall
        // swapgs; dec %r15; jnz KERNEL; mov %rsi,%rbx; cmp %rbx,%rdi; mov %rbx,%rdi; mov $1,%r15d; jne KERNEL; hlt
        put(m, HANDLER, 0x0f, 0x01, 0xf8, 0x49, 0xff, 0xcf);
        put(m, HANDLER + 6, 0x0f, 0x85, 0xf4, 0xfe, 0xff, 0xff);
        put(m, HANDLER + 12, 0x48, 0x89, 0xf3, 0x48, 0x39, 0xdf, 0x48, 0x89, 0xdf);
        put(m, HANDLER + 21, 0x41, 0xbf, 1, 0, 0, 0, 0x0f, 0x85, 0xdf, 0xfe, 0xff, 0xff, 0xf4);
        CpuState s = m.cpu.s;
        s.cr4 |= cr4;
        s.efer = s.efer & ~CpuState.EFER_SCE | efer;
        s.star = 0x0013_0008_0000_0000L;
        s.lstar = HANDLER;
        s.sfmask = sfmask;
        s.kernelGsBase = 0x1234_5678;
        s.setRflags(2);
        s.gpr[CpuState.RBX] = USER;
        s.gpr[CpuState.RBP] = userFlags;
        s.gpr[CpuState.RSI] = last;
        s.gpr[15] = ROUNDS;
        s.rip = KERNEL;
        m.cpu.flushTlb();
        return m;
    }

    private static void again(PhysicalMemory m) {
        CpuState s = m.cpu.s;
        s.flat(CpuState.CS, 0x58, CpuState.CODE_TYPE | CpuState.ATTR_L);
        s.flat(CpuState.SS, 0x50, CpuState.DATA_TYPE);
        s.gpr[15] = 2;
        s.rip = KERNEL;
    }

    private static void put(PhysicalMemory m, int at, int... bytes) {
        for (int i = 0; i < bytes.length; i++) {
            HostMemory.put8(m.hva(at + i), bytes[i]);
        }
    }

    private static String state(PhysicalMemory m, int exit) {
        CpuState s = m.cpu.s;
        return "exit " + exit + ", rip " + Long.toHexString(s.rip) + ", flags " + Long.toHexString(s.rflags())
                + ", CPL "
                + s.cpl + ", registers " + java.util.Arrays.toString(java.util.Arrays.copyOf(s.gpr, 16))
                + ", selectors "
                + java.util.Arrays.toString(s.segSelector) + java.util.Arrays.toString(s.segBase)
                + java.util.Arrays.toString(s.segLimit) + java.util.Arrays.toString(s.segAttr) + ", " + s.kernelGsBase
                + ", mode " + m.cpu.tlbMode + ", CR2 " + s.cr2;
    }

    @ParameterizedTest
    @EnumSource
    @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
    void they_go_by_flags_masks_and_modes_as_the_interpreter_does(Vendor vendor) {
        int[] flags = {
            0,
            CpuState.IF,
            CpuState.DF | CpuState.CF | CpuState.OF | CpuState.SF,
            CpuState.AC,
            CpuState.IOPL | CpuState.ID,
            CpuState.NT | CpuState.ZF,
            CpuState.RF | CpuState.VM | CpuState.VIF,
            CpuState.TF
        };
        long[] masks = {0, 0x4_7700, CpuState.AC, 0x700, -1};
        long[] last = {0x20_1001 - 1, HIGH_HALF, NOT_CANONICAL, Long.MIN_VALUE};
        long native64 = 0;
        for (int i = 0; i < flags.length * masks.length * last.length * 4; i++) {
            int userFlags = flags[i % flags.length] | 2;
            long sfmask = masks[i / flags.length % masks.length];
            long to = last[i / flags.length / masks.length % last.length];
            int kind = i / flags.length / masks.length / last.length;
            long cr4 = (kind & 1) != 0 ? CpuState.CR4_SMAP : 0;
            long efer = kind == 2 ? 0 : CpuState.EFER_SCE;
            String name = vendor + ", flags " + Integer.toHexString(userFlags) + ", mask " + Long.toHexString(sfmask)
                    + ", CR4 " + Long.toHexString(cr4) + ", EFER " + efer + ", last to " + Long.toHexString(to);
            try (PhysicalMemory a = machine(vendor, cr4, efer, sfmask, userFlags, to);
                    PhysicalMemory b = machine(vendor, cr4, efer, sfmask, userFlags, to)) {
                X64Translator translator = NoFaults.translator(b.cpu, 1, new TranslationBudget(1 << 20));
                assumeTrue(translator != null, "this host allows no executable memory");
                b.cpu.translator(translator);
                try {
                    int exit = a.cpu.run();
                    assertThat(exit).as(name).isIn(CpuExit.HLT, CpuExit.SHUTDOWN);
                    assertThat(state(b, b.cpu.run())).as(name).isEqualTo(state(a, exit));
                    if (exit == CpuExit.HLT) {
                        // Now all of it is known, and the kernel's segments are others than those that SYSCALL loads.
                        again(a);
                        again(b);
                        exit = a.cpu.run();
                        assertThat(state(b, b.cpu.run())).as(name).isEqualTo(state(a, exit));
                    }
                    boolean plain = efer != 0 && (userFlags & SystemTransfers.RETURN_ASKS) == 0;
                    if (plain && (cr4 == 0 || (sfmask & CpuState.AC) != 0)) {
                        // Once each was looked up, none of them left.
                        assertThat(b.cpu.translation.exits[Exits.INTERPRET])
                                .as(name)
                                .isLessThan(8);
                        assertThat(b.cpu.translation.entries).as(name).isLessThan(20);
                        native64++;
                    }
                } finally {
                    b.cpu.close();
                }
            }
        }
        assertThat(native64).isPositive();
    }
}
