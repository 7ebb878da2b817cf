package dev.slate.kvm.nested;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.CpuState;
import dev.slate.cpu.mem.LittleEndian;
import dev.slate.kvm.VmrunModel;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

/** VMRUN's checks against a model of them that was read off the manual. */
final class EntryChecksTest {
    private static final int CASES = Integer.getInteger("slate.vmcbs", 1_000_000);
    private static final int BITS = 48;
    private static final long CR4 = 0x3706ff | 0x700;

    /** What a legal VMCB has: 64-bit mode. */
    private static void legal(byte[] vmcb) {
        java.util.Arrays.fill(vmcb, (byte) 0);
        LittleEndian.putInt(vmcb, 0x10, 1);
        LittleEndian.putInt(vmcb, 0x58, 1);
        LittleEndian.putInt(vmcb, 0x410, 8 | 0xa9b << 16);
        LittleEndian.putLong(vmcb, 0x4d0, 0x1d01);
        LittleEndian.putLong(vmcb, 0x548, 0x20);
        LittleEndian.putLong(vmcb, 0x550, 0x1000);
        LittleEndian.putLong(vmcb, 0x558, 0x8000_0031L);
        LittleEndian.putLong(vmcb, 0x560, 0x400);
        LittleEndian.putLong(vmcb, 0x568, 0xffff_0ff0L);
        LittleEndian.putLong(vmcb, 0x570, 2);
    }

    private static final VmrunModel.Host[] HOSTS = VmrunModel.Host.values();

    @Test
    void theChecksRefuseWhatAModelOfTheManualRefuses() {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("EntryChecksTest seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        TreeMap<String, Integer> seen = new TreeMap<>();
        Vmcb v = new Vmcb(Vmcb.BYTES);
        Vmcb host = new Vmcb(Vmcb.BYTES);
        CpuState s = new CpuState();
        for (int i = 0; i < CASES; i++) {
            legal(v.bytes);
            if (random.nextBoolean()) {
                v.put64(Vmcb.NESTED_CTL, 1);
                v.put64(Vmcb.NESTED_CR3, 0x2000);
                v.put64(Vmcb.G_PAT, 0x0007_0406_0007_0406L);
            }
            VmrunModel.garble(v.bytes, random);
            v.load(s);
            s.dr6 = v.get64(Vmcb.DR6);
            s.dr7 = v.get64(Vmcb.DR7);
            VmrunModel.Host kind = HOSTS[random.nextInt(HOSTS.length)];
            host.put64(Vmcb.CR0, kind == VmrunModel.Host.UNPAGED ? 0x31 : 0x8000_0031L);
            host.put64(Vmcb.EFER, kind == VmrunModel.Host.LONG ? 0x1d00 : 0x1000);
            boolean taken = EntryChecks.control(v, host, kind != VmrunModel.Host.PLAIN, BITS)
                    && EntryChecks.state(s, 0, CR4, BITS);
            String rule = VmrunModel.refuses(v.bytes, BITS, CR4, kind);
            assertThat(taken)
                    .as("case %d of seed %d, of which the model says: %s", i, seed, rule)
                    .isEqualTo(rule.isEmpty());
            seen.merge(rule, 1, Integer::sum);
        }
        // Every rule was broken, and some VMCBs broke none.
        assertThat(seen).hasSize(22);
    }
}
