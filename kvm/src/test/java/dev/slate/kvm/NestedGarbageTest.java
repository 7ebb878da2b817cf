package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.LittleEndian;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

/** Random VMCBs over random code: VMRUN refuses what the model of its checks refuses, and nothing that a guest's guest does hurts the host. */
final class NestedGarbageTest {
    private static final int GUESTS = Integer.getInteger("slate.nested.guests", 1_500);

    @Test
    void randomVmcbsEndAsTheModelSays() {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        System.out.println("NestedGarbageTest seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        for (String knobs : new String[] {"tdp=on", "tdp=off", "cpu.translator=eager"}) {
            VmrunModel.Host host = knobs.equals("tdp=off") ? VmrunModel.Host.PLAIN : VmrunModel.Host.LONG;
            try (NestedGuest n = new NestedGuest(knobs);
                    Signals _ = new Signals(n.g.vcpu)) {
                int refused = 0;
                n.g.vm.enableCap(Cap.X86_TRIPLE_FAULT_EVENT.number(), 0, new long[] {1, 0, 0, 0});
                for (int i = 0; i < GUESTS; i++) {
                    refused += one(n, random, host, "guest " + i + ", " + knobs + ", seed " + seed) ? 1 : 0;
                }
                assertThat(refused).isBetween(GUESTS / 10, GUESTS * 9 / 10);
            }
        }
    }

    /**
     * VMRUN itself, with VMCBs of which a few fields were changed: what the model refuses ends in VMEXIT_INVALID, and all others in the first
     * instruction of the guest's guest, or in what keeps it from that. {@code slate.nested.vmcbs} of each.
     */
    @Test
    void aGarbledVmcbIsRefusedOrEnteredAsTheModelSays() {
        long seed = Long.getLong("slate.seed", System.nanoTime());
        int vmcbs = Integer.getInteger("slate.nested.vmcbs", 10_000);
        System.out.println("NestedGarbageTest: VMCBs, seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        Set<Long> entered = new TreeSet<>();
        int refused = 0;
        for (String knobs : new String[] {"tdp=on", "tdp=off"}) {
            VmrunModel.Host host = knobs.equals("tdp=off") ? VmrunModel.Host.PLAIN : VmrunModel.Host.LONG;
            try (NestedGuest n = new NestedGuest(knobs);
                    Signals _ = new Signals(n.g.vcpu)) {
                for (int i = 0; i < vmcbs; i++) {
                    String what = "VMCB " + i + ", " + knobs + ", seed " + seed;
                    long end = end(n, random, host, what);
                    if (end == -1) {
                        refused++;
                    } else {
                        entered.add(end);
                    }
                }
            }
        }
        assertThat(refused).isBetween(vmcbs / 5, vmcbs * 9 / 5);
        System.out.println("NestedGarbageTest: " + 2 * vmcbs + " VMCBs, " + refused + " refused, ends " + entered);
        assertThat(entered).as("VMMCALL, and faults on the way").contains(0x81L, 0x4dL, 0x4eL);
    }

    /** The exit code that a garbled VMCB ends in. */
    private static long end(NestedGuest n, SplittableRandom random, VmrunModel.Host host, String what) {
        n.g.vcpu.setNestedState(NestedGuest.idle());
        n.start();
        n.code("0f01d9 f4");
        n.put32(8, -1);
        n.intercept(0x78);
        n.intercept(0x7f);
        if (random.nextBoolean()) {
            n.nestedPaging();
        }
        byte[] vmcb = n.vmcb();
        VmrunModel.garble(vmcb, random);
        HostMemory.copyIn(vmcb, 0, n.g.hva + NestedGuest.VMCB, vmcb.length);
        String rule = VmrunModel.refuses(vmcb, n.g.physicalBits(), n.g.cr4Allowed(), host);
        int errno;
        do {
            errno = n.g.vcpu.run(false);
        } while (errno == Errno.EINTR.number());
        assertThat(errno).as(what).isZero();
        assertThat(n.g.vcpu.exit().reason).as(what).isEqualTo(VcpuExit.HLT);
        assertThat(n.g.regs().rip).as(what).isEqualTo(NestedGuest.DONE);
        long code = n.exitCode();
        // Without nested tables PAE paging's directory pointers are looked at, too.
        boolean pointers = (LittleEndian.getLong(vmcb, 0x548) & 0x20) != 0
                && (LittleEndian.getLong(vmcb, 0x4d0) & 0x100) == 0
                && (vmcb[0x90] & 1) == 0;
        if (!rule.isEmpty() || code != -1 || !pointers) {
            assertThat(code == -1)
                    .as(what + ", of which the model says: " + rule)
                    .isEqualTo(!rule.isEmpty());
        }
        if (code == 0x81) {
            assertThat(n.get64(0x578)).as(what).isEqualTo(NestedGuest.L2);
            assertThat(n.get64(0xc8)).as(what).isEqualTo(NestedGuest.L2 + 3);
        } else if (code != -1) {
            boolean exception = code >= 0x40 && code < 0x60;
            assertThat(exception || code == 0x78 || code == 0x7f || code == 0x400)
                    .as(what + " ended in %x", code)
                    .isTrue();
        }
        return code;
    }

    private static boolean one(NestedGuest n, SplittableRandom random, VmrunModel.Host host, String what) {
        n.g.vcpu.setNestedState(NestedGuest.idle());
        // What the last guest may have left: events on their way (a triple fault before which a signal came is one),
        // breakpoints, page tables and code that it has written to.
        VcpuEvents none = new VcpuEvents();
        none.flags = VcpuEvents.VALID_NMI_PENDING
                | VcpuEvents.VALID_SHADOW
                | VcpuEvents.VALID_SMM
                | VcpuEvents.VALID_TRIPLE_FAULT;
        n.g.vcpu.setEvents(none);
        n.g.vcpu.setDebugRegs(new DebugRegs());
        n.g.restore();
        n.start();
        for (int at = 0; at < 512; at += 8) {
            HostMemory.put64(n.g.hva + NestedGuest.L2 + at, random.nextLong());
        }
        if (random.nextBoolean()) {
            n.nestedPaging();
            // Now and then an entry of the nested tables is another.
            for (int k = random.nextInt(4) - 2; k >= 0; k--) {
                long entry = NestedGuest.NESTED + 0x1000L * random.nextInt(4) + 8L * random.nextInt(4);
                HostMemory.put64(n.g.hva + entry, HostMemory.get64(n.g.hva + entry) ^ 1L << random.nextInt(64));
            }
        }
        boolean garbled = random.nextBoolean();
        for (int k = random.nextInt(6); garbled && k >= 0; k--) {
            int at = random.nextInt(0x700) & ~7;
            n.put64(at, random.nextBoolean() ? random.nextLong() : n.get64(at) ^ 1L << random.nextInt(64));
        }
        for (int word = 0; word < 20; word += 4) {
            if (random.nextBoolean()) {
                n.put32(word, n.get32(word) | random.nextInt());
            }
        }
        if (random.nextInt(4) == 0) {
            n.put64(0xa8, 1L << 31 | random.nextInt(0x1000) | (long) random.nextInt() << 32);
        }
        if (random.nextInt(4) == 0) {
            n.legacy();
        }
        byte[] vmcb = n.vmcb();
        boolean legacyPae =
                (LittleEndian.getLong(vmcb, 0x548) & 0x20) != 0 && (LittleEndian.getLong(vmcb, 0x4d0) & 0x100) == 0;
        boolean refused = !VmrunModel.refuses(vmcb, n.g.physicalBits(), n.g.cr4Allowed(), host)
                .isEmpty();
        for (int k = 0; k < 8; k++) {
            int errno = n.g.vcpu.run(false);
            assertThat(errno).as(what).isIn(0, Errno.EINTR.number(), Errno.EINVAL.number());
            long rip = n.g.regs().rip;
            if (refused && rip >= Guest64.CODE && rip < NestedGuest.DONE - 1) {
                // A signal came before VMRUN, or the exit is a write of the last guest's.
                continue;
            }
            if (refused) {
                assertThat(n.exitCode()).as(what).isEqualTo(-1);
                // A signal may have come before the HLT.
                assertThat(rip).as(what).isIn(NestedGuest.DONE - 1, NestedGuest.DONE);
                return true;
            }
            if (!legacyPae) {
                assertThat(n.exitCode()).as(what).isNotEqualTo(-1);
            }
            if (errno == 0) {
                assertThat(n.g.vcpu.exit().value()).as(what).isNotInstanceOf(Exit.Other.class);
                random.nextBytes(n.g.vcpu.exit().mmioData);
                if (n.g.vcpu.exit().reason == VcpuExit.SHUTDOWN || n.g.vcpu.exit().reason == VcpuExit.HLT) {
                    return false;
                }
            } else if (n.g.vcpu.exit().reason == VcpuExit.INTR) {
                return false;
            }
        }
        return false;
    }
}
