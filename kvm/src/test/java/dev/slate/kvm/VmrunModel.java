package dev.slate.kvm;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.SplittableRandom;

/**
 * A small model of VMRUN's checks, read off the manual's lists (APM 2 15.5.1, 15.20 and 15.25) over the bytes of a VMCB, for a processor without
 * flush by ASID and encrypted guests. Knows nothing of the code under test.
 */
public final class VmrunModel {
    private VmrunModel() {}

    /** What the hypervisor's processor has. */
    public enum Host {
        /** No nested paging. */
        PLAIN,
        /** Nested paging, but the hypervisor's own is off. */
        UNPAGED,
        LEGACY,
        LONG
    }

    private static final int[] LONGS = {0x40, 0x48, 0x90, 0xa8, 0xb0, 0x668, 0x4d0, 0x548, 0x550, 0x558, 0x560, 0x568};
    private static final int[] INTS = {0x10, 0x58, 0x5c, 0x410};

    /** Flips bits in a few of the fields that are looked at, or makes one another; now and then an event is injected. */
    public static void garble(byte[] vmcb, SplittableRandom random) {
        ByteBuffer b = ByteBuffer.wrap(vmcb).order(ByteOrder.LITTLE_ENDIAN);
        for (int n = random.nextInt(4); n >= 0; n--) {
            if (random.nextBoolean()) {
                int at = LONGS[random.nextInt(LONGS.length)];
                b.putLong(at, random.nextInt(4) == 0 ? random.nextLong() : b.getLong(at) ^ 1L << random.nextInt(64));
            } else {
                int at = INTS[random.nextInt(INTS.length)];
                b.putInt(at, b.getInt(at) ^ 1 << random.nextInt(32));
            }
        }
        if (random.nextInt(4) == 0) {
            b.putInt(0xa8, 1 << 31 | random.nextInt(0x1000));
        }
    }

    /** The rule that a VMCB breaks, or an empty string; what PAE paging's directory pointers say is not looked at. */
    public static String refuses(byte[] vmcb, int physicalBits, long cr4Allowed, Host host) {
        ByteBuffer b = ByteBuffer.wrap(vmcb).order(ByteOrder.LITTLE_ENDIAN);
        long efer = b.getLong(0x4d0);
        long cr0 = b.getLong(0x558);
        long cr3 = b.getLong(0x550);
        long cr4 = b.getLong(0x548);
        boolean lme = bit(efer, 8);
        boolean pg = bit(cr0, 31);
        boolean pae = bit(cr4, 5);
        if (!bit(efer, 12)) {
            return "EFER.SVME is zero";
        }
        if (!bit(cr0, 30) && bit(cr0, 29)) {
            return "CR0.CD is zero and CR0.NW is set";
        }
        if (cr0 >>> 32 != 0) {
            return "CR0[63:32] are not zero";
        }
        if (lme && pg && cr3 >>> physicalBits != 0) {
            return "an MBZ bit of CR3 is set";
        }
        if ((cr4 & ~cr4Allowed) != 0) {
            return "an MBZ bit of CR4 is set";
        }
        if (b.getLong(0x568) >>> 32 != 0) {
            return "DR6[63:32] are not zero";
        }
        if (b.getLong(0x560) >>> 32 != 0) {
            return "DR7[63:32] are not zero";
        }
        // SCE, LME, LMA, NXE and SVME are what there is.
        for (int i = 0; i < 64; i++) {
            if (bit(efer, i) && i != 0 && i != 8 && i != 10 && i != 11 && i != 12) {
                return "an MBZ bit of EFER is set";
            }
        }
        if (lme && pg && !pae) {
            return "EFER.LME and CR0.PG are set and CR4.PAE is zero";
        }
        if (lme && pg && !bit(cr0, 0)) {
            return "EFER.LME and CR0.PG are set and CR0.PE is zero";
        }
        int cs = b.getShort(0x412);
        if (lme && pg && pae && bit(cs, 9) && bit(cs, 10)) {
            return "EFER.LME, CR0.PG, CR4.PAE, CS.L and CS.D are all set";
        }
        if (!bit(b.getInt(0x10), 0)) {
            return "the VMRUN intercept bit is clear";
        }
        for (int at : new int[] {0x40, 0x48}) {
            // Three pages of ports, two of MSRs.
            long last = (b.getLong(at) & -4096) + (at == 0x40 ? 0x2fff : 0x1fff);
            if (last < 0 || last >>> physicalBits != 0 || b.getLong(at) < 0) {
                return "a permission map extends beyond the physical addresses";
            }
        }
        if (b.getInt(0x58) == 0) {
            return "ASID is zero";
        }
        int flush = b.get(0x5c) & 0xff;
        if (flush != 0 && flush != 1) {
            return "TLB_CONTROL has a reserved value";
        }
        if (bit(b.getLong(0x90), 0)) {
            if (host == Host.PLAIN) {
                return "nested paging, which there is none of";
            }
            if (host == Host.UNPAGED) {
                return "nested paging, and hCR0.PG is zero";
            }
            if (b.getLong(0xb0) >>> (host == Host.LONG ? physicalBits : 32) != 0) {
                return "an MBZ bit of nCR3 is set";
            }
            for (int i = 0; i < 8; i++) {
                int type = b.get(0x668 + i) & 0xff;
                if (type > 7 || type == 2 || type == 3) {
                    return "G_PAT has a type that is none";
                }
            }
        }
        long event = b.getLong(0xa8);
        if (bit(event, 31)) {
            int type = (int) (event >>> 8) & 7;
            int vector = (int) event & 0xff;
            if (type == 1 || type > 4) {
                return "EVENTINJ has a reserved type";
            }
            if (type == 3 && (vector == 2 || vector > 31)) {
                return "EVENTINJ has an exception that is none";
            }
        }
        return "";
    }

    private static boolean bit(long word, int n) {
        return (word >>> n & 1) != 0;
    }
}
