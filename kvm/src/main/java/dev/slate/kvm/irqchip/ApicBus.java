package dev.slate.kvm.irqchip;

import dev.slate.kvm.tracepoint.Tracepoints;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The bus between a VM's local APICs and whoever sends them messages: finds who a message is for (SDM 3A 10.6, 10.11). Thread-safe;
 * takes no lock.
 */
public final class ApicBus {
    static final int MODE_FIXED = 0;
    static final int MODE_LOWEST = 1;
    static final int MODE_SMI = 2;
    static final int MODE_REMOTE_READ = 3;
    static final int MODE_NMI = 4;
    static final int MODE_INIT = 5;
    static final int MODE_STARTUP = 6;

    static final int ASSERT = 1 << 14;
    static final int SHORTHAND_SELF = 1 << 18;
    private static final int SHORTHAND = 3 << 18;
    private static final int SHORTHAND_ALL = 2 << 18;
    private static final int SHORTHAND_OTHERS = 3 << 18;
    private static final int LOGICAL = 1 << 11;
    private static final int LEVEL = 1 << 15;

    // An MSI's address and data.
    private static final int MSI_REDIRECTION_HINT = 1 << 3;
    private static final int MSI_LOGICAL = 1 << 2;
    private static final int MSI_MESSAGE = 0x87ff; // vector, delivery mode, trigger mode

    private static final int BROADCAST = 0xff;
    private static final int X2APIC_BROADCAST = -1;

    /** Who hears of ends of interrupts. */
    interface Ends {
        void ended(LocalApic apic, int vector, boolean level);
    }

    private volatile LocalApic[] apics = {};
    private volatile Ends ends = (apic, vector, level) -> {};
    private volatile boolean ids32;
    private volatile boolean exactBroadcast;

    /** Without APICs. */
    public ApicBus() {}

    /** Adds a vCPU's APIC. */
    public synchronized void add(LocalApic apic) {
        LocalApic[] next = Arrays.copyOf(apics, apics.length + 1);
        next[apics.length] = apic;
        apics = next;
    }

    void tellEnds(Ends listener) {
        ends = listener;
    }

    /** An APIC has ended an interrupt. On its vCPU's thread. */
    void ended(LocalApic apic, int vector, boolean level) {
        ends.ended(apic, vector, level);
    }

    /** {@code KVM_X2APIC_API_USE_32BIT_IDS}: MSIs and saved states have whole x2APIC ids. */
    public void use32BitIds() {
        ids32 = true;
    }

    boolean uses32BitIds() {
        return ids32;
    }

    /** {@code KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK}: FFh as destination of a message that is no IPI is no broadcast in x2APIC mode. */
    public void disableBroadcastQuirk() {
        exactBroadcast = true;
    }

    // ------------------------------------------------------------------ senders

    /** What a write to the interrupt command register sends. */
    void send(LocalApic source, int low, int high) {
        int destination = source.x2apic() ? high : high >>> 24;
        if (Tracepoints.ON) {
            Tracepoints.apicIpi(low, destination);
        }
        deliver(source, low, destination, false);
    }

    /**
     * A message of an I/O APIC.
     *
     * @param low as in the low half of an ICR
     * @return number of APICs that took it; -1: nobody is there whom it could be for
     */
    int message(int low, int destination) {
        return deliver(null, low, destination, false);
    }

    /** A message-signalled interrupt (SDM 3A 10.11). @return as {@link #message} */
    int msi(int addressLow, int addressHigh, int data) {
        if (Tracepoints.ON) {
            Tracepoints.msiSetIrq(addressLow & 0xffff_ffffL | (ids32 ? (long) addressHigh << 32 : 0), data);
        }
        int destination = addressLow >>> 12 & 0xff | (ids32 ? addressHigh & 0xffff_ff00 : 0);
        int low = data & MSI_MESSAGE | ASSERT | ((addressLow & MSI_LOGICAL) != 0 ? LOGICAL : 0);
        return deliver(null, low, destination, (addressLow & MSI_REDIRECTION_HINT) != 0);
    }

    /** Whether an MSI would be sent to an APIC with a vector, level-triggered. */
    boolean levelMsiFor(LocalApic apic, int vector, int addressLow, int addressHigh, int data) {
        int destination = addressLow >>> 12 & 0xff | (ids32 ? addressHigh & 0xffff_ff00 : 0);
        return (data & LEVEL) != 0
                && (data & 0xff) == vector
                && matches(apic, null, 0, destination, (addressLow & MSI_LOGICAL) != 0);
    }

    /** KVM_HC_KICK_CPU. */
    public void kick(int apicId) {
        deliver(null, MODE_REMOTE_READ << 8, apicId, false);
    }

    /** The 8259s have something for the processor they are wired to. */
    void picRaised() {
        for (LocalApic a : apics) {
            if (a.acceptsPic()) {
                a.picRaised();
                return;
            }
        }
    }

    /** The interval timer has ticked: an NMI wherever LINT0 is one. */
    void lint0Watchdog() {
        for (LocalApic a : apics) {
            a.lint0Watchdog();
        }
    }

    /**
     * KVM_HC_SEND_IPI: a fixed interrupt or NMI to the APICs {@code lowest + n} for each bit n of the mask.
     *
     * @return number of APICs that took it
     */
    public long sendToMask(long mask, int lowest, int low) {
        long taken = 0;
        if (lowest < 0) {
            // Unsigned, it is more than any id; adding to it would come round to 0.
            return 0;
        }
        for (long rest = mask; rest != 0; rest &= rest - 1) {
            int target = lowest + Long.numberOfTrailingZeros(rest);
            for (LocalApic a : apics) {
                if (a.id() == target && a.hardwareEnabled() && a.accept(low >>> 8 & 7, low & 0xff, true, false)) {
                    taken++;
                }
            }
        }
        return taken;
    }

    // ------------------------------------------------------------------ finding the receivers

    private int deliver(@Nullable LocalApic source, int low, int destination, boolean lowestOne) {
        int mode = low >>> 8 & 7;
        int shorthand = low & SHORTHAND;
        boolean logical = (low & LOGICAL) != 0;
        boolean level = (low & ASSERT) != 0;
        boolean levelTriggered = (low & LEVEL) != 0;
        LocalApic[] all = apics;
        if (mode == MODE_LOWEST && !logical && destination == BROADCAST && shorthand == 0) {
            // Nobody can be chosen from everybody: it is for all.
            mode = MODE_FIXED;
        } else if (mode == MODE_LOWEST || lowestOne) {
            LocalApic one = lowest(all, source, shorthand, destination, logical, low & 0xff);
            return one == null ? nobody(all, shorthand, destination) : taken(one, mode, low, level, levelTriggered);
        }
        int count = -1;
        for (LocalApic a : all) {
            if (matches(a, source, shorthand, destination, logical)) {
                count = Math.max(count, 0) + taken(a, mode, low, level, levelTriggered);
            }
        }
        return count < 0 ? nobody(all, shorthand, destination) : count;
    }

    private static int taken(LocalApic a, int mode, int low, boolean level, boolean levelTriggered) {
        return a.accept(mode, low & 0xff, level, levelTriggered) ? 1 : 0;
    }

    /** KVM tells "nobody took it" for one address from "there is nobody" for a broadcast. */
    private static int nobody(LocalApic[] all, int shorthand, int destination) {
        boolean many = shorthand != 0 || destination == BROADCAST || destination == X2APIC_BROADCAST;
        return all.length == 0 || many ? -1 : 0;
    }

    /** Of those addressed one takes it: chosen by the vector, as KVM does. */
    private @Nullable LocalApic lowest(
            LocalApic[] all, @Nullable LocalApic source, int shorthand, int destination, boolean logical, int vector) {
        int candidates = 0;
        for (LocalApic a : all) {
            if (a.softwareEnabled() && matches(a, source, shorthand, destination, logical)) {
                candidates++;
            }
        }
        if (candidates == 0) {
            return null;
        }
        int skip = vector % candidates;
        for (LocalApic a : all) {
            if (a.softwareEnabled() && matches(a, source, shorthand, destination, logical) && skip-- == 0) {
                return a;
            }
        }
        return null;
    }

    private boolean matches(LocalApic a, @Nullable LocalApic source, int shorthand, int destination, boolean logical) {
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
        boolean x2 = a.x2apic();
        int address = destination;
        if (source == null && x2 && destination == BROADCAST && !exactBroadcast) {
            // An I/O APIC and MSIs have no other way to say "all".
            address = X2APIC_BROADCAST;
        }
        if (address == (x2 ? X2APIC_BROADCAST : BROADCAST)) {
            return true;
        }
        return logical ? matchesLogical(a, address, x2) : matchesPhysical(a, address, x2);
    }

    private static boolean matchesPhysical(LocalApic a, int destination, boolean x2) {
        // An id that xAPIC can't encode means the x2APIC id whatever mode the target is in.
        if (x2 || Integer.compareUnsigned(destination, BROADCAST) > 0) {
            return destination == a.id();
        }
        return destination == a.register(LocalApic.ID) >>> 24;
    }

    private static boolean matchesLogical(LocalApic a, int destination, boolean x2) {
        int logical = a.register(LocalApic.LDR);
        if (x2) {
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
