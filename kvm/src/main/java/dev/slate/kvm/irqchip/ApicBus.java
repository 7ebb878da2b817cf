package dev.slate.kvm.irqchip;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** The bus between a VM's local APICs: finds who an interrupt message is for (SDM 3A 10.6). Thread-safe. */
public final class ApicBus {
    static final int MODE_FIXED = 0;
    static final int MODE_LOWEST = 1;
    static final int MODE_SMI = 2;
    static final int MODE_REMOTE_READ = 3;
    static final int MODE_NMI = 4;
    static final int MODE_INIT = 5;
    static final int MODE_STARTUP = 6;

    static final int SHORTHAND_SELF = 1 << 18;
    private static final int SHORTHAND = 3 << 18;
    private static final int SHORTHAND_ALL = 2 << 18;
    private static final int SHORTHAND_OTHERS = 3 << 18;
    private static final int LOGICAL = 1 << 11;
    private static final int ASSERT = 1 << 14;
    private static final int LEVEL = 1 << 15;

    private static final int BROADCAST = 0xff;
    private static final int X2APIC_BROADCAST = -1;

    private volatile LocalApic[] apics = {};

    /** Without APICs. */
    public ApicBus() {}

    /** Adds a vCPU's APIC. */
    public synchronized void add(LocalApic apic) {
        LocalApic[] next = Arrays.copyOf(apics, apics.length + 1);
        next[apics.length] = apic;
        apics = next;
    }

    /** What a write to the interrupt command register sends. */
    void send(LocalApic source, int low, int high) {
        int destination = source.x2apic() ? high : high >>> 24;
        deliver(source, low, destination);
    }

    /** KVM_HC_KICK_CPU. */
    public void kick(int apicId) {
        deliver(null, MODE_REMOTE_READ << 8, apicId);
    }

    /**
     * KVM_HC_SEND_IPI: a fixed interrupt or NMI to the APICs {@code lowest + n} for each bit n of the mask.
     *
     * @return number of APICs that took it
     */
    public long sendToMask(long mask, int lowest, int low) {
        long taken = 0;
        for (long rest = mask; rest != 0; rest &= rest - 1) {
            int target = lowest + Long.numberOfTrailingZeros(rest);
            for (LocalApic a : apics) {
                if (a.id() == target && a.hardwareEnabled()) {
                    a.accept(low >>> 8 & 7, low & 0xff, true, false);
                    taken++;
                }
            }
        }
        return taken;
    }

    private void deliver(@Nullable LocalApic source, int low, int destination) {
        int mode = low >>> 8 & 7;
        int shorthand = low & SHORTHAND;
        boolean level = (low & ASSERT) != 0;
        boolean levelTriggered = (low & LEVEL) != 0;
        boolean x2 = source != null && source.x2apic();
        if (mode == MODE_LOWEST) {
            LocalApic one = lowest(source, shorthand, destination, (low & LOGICAL) != 0, x2, low & 0xff);
            if (one != null) {
                one.accept(MODE_LOWEST, low & 0xff, level, levelTriggered);
            }
            return;
        }
        for (LocalApic a : apics) {
            if (matches(a, source, shorthand, destination, (low & LOGICAL) != 0, x2)) {
                a.accept(mode, low & 0xff, level, levelTriggered);
            }
        }
    }

    /** Of those addressed one takes it: chosen by the vector, as KVM does. */
    private @Nullable LocalApic lowest(
            @Nullable LocalApic source, int shorthand, int destination, boolean logical, boolean x2, int vector) {
        LocalApic[] all = apics;
        int candidates = 0;
        for (LocalApic a : all) {
            if (a.softwareEnabled() && matches(a, source, shorthand, destination, logical, x2)) {
                candidates++;
            }
        }
        if (candidates == 0) {
            return null;
        }
        int skip = vector % candidates;
        for (LocalApic a : all) {
            if (a.softwareEnabled() && matches(a, source, shorthand, destination, logical, x2) && skip-- == 0) {
                return a;
            }
        }
        return null;
    }

    private static boolean matches(
            LocalApic a, @Nullable LocalApic source, int shorthand, int destination, boolean logical, boolean x2) {
        if (!a.hardwareEnabled()) {
            return false;
        }
        if (shorthand != 0) {
            return switch (shorthand) {
                case SHORTHAND_SELF -> a == source;
                case SHORTHAND_ALL -> true;
                case SHORTHAND_OTHERS -> a != source;
                default -> false;
            };
        }
        if (destination == (x2 ? X2APIC_BROADCAST : BROADCAST)) {
            return true;
        }
        return logical ? matchesLogical(a, destination) : matchesPhysical(a, destination);
    }

    private static boolean matchesPhysical(LocalApic a, int destination) {
        // An id that xAPIC can't encode means the x2APIC id whatever mode the target is in.
        if (a.x2apic() || Integer.compareUnsigned(destination, BROADCAST) > 0) {
            return destination == a.id();
        }
        return destination == a.register(LocalApic.ID) >>> 24;
    }

    private static boolean matchesLogical(LocalApic a, int destination) {
        int logical = a.register(LocalApic.LDR);
        if (a.x2apic()) {
            return logical >>> 16 == destination >>> 16 && (logical & destination & 0xffff) != 0;
        }
        logical >>>= 24;
        return switch (a.register(LocalApic.DFR)) {
            case -1 -> (logical & destination) != 0;
            case 0x0fff_ffff -> logical >>> 4 == destination >>> 4 && (logical & destination & 15) != 0;
            default -> false;
        };
    }
}
