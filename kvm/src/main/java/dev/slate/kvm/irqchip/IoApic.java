package dev.slate.kvm.irqchip;

import dev.slate.kvm.io.BusDevice;
import dev.slate.kvm.io.DeviceBus;
import dev.slate.kvm.tracepoint.Tracepoints;

/**
 * The I/O APIC (Intel 82093AA data sheet), 24 inputs: each becomes the message that its redirection entry describes.
 *
 * <p>Thread-safe. Its lock is taken by whoever drives an input, by the guest's registers, and by the end of a level-triggered interrupt;
 * inside it messages go out to local APICs, which take no lock. Never taken while another controller's is held. The ends of edge-triggered
 * interrupts look at {@link #watches} and come no further.
 */
public final class IoApic implements BusDevice {
    public static final int PINS = 24;

    /** Bytes of {@code struct kvm_ioapic_state}. */
    public static final int STATE_BYTES = 216;

    static final long BASE = 0xfec0_0000L;
    static final long BYTES = 0x100;

    private static final int VERSION = 0x11;
    private static final int SELECT = 0x00;
    private static final int WINDOW = 0x10;
    private static final int REGISTER_ID = 0;
    private static final int REGISTER_VERSION = 1;
    private static final int REGISTER_ARBITRATION = 2;
    private static final int FIRST_ENTRY = 0x10;

    // A redirection entry.
    private static final long DELIVERY_STATUS = 1 << 12;
    private static final long REMOTE_IRR = 1 << 14;
    private static final long LEVEL = 1 << 15;
    private static final long MASKED = 1 << 16;

    /** The input of the real-time clock: its client likes to know whether a tick was lost. */
    private static final int RTC = 8;

    /** After so many interrupts in a row, each raised again by the end of the one before, the next one waits for a moment. */
    private static final int STORM = 10_000;

    private static final long STORM_PAUSE = 10_000_000;

    /** What others do about a change; called without the lock. */
    interface Owner {
        void ioApicMaskChanged(int pin, boolean masked);

        /** An interrupt that came in at a pin has ended. */
        void ioApicAcknowledged(int pin);

        /** Whether somebody wants to hear of {@link #ioApicAcknowledged}. */
        boolean watchesIoApic(int pin);
    }

    private final ApicBus bus;
    private final Owner owner;
    private final Timers.Timer pause;
    private final Timers timers;
    private final IrqLines lines = new IrqLines(PINS);

    private final long[] entries = new long[PINS];
    private long base = BASE;
    private int select;
    private int id;
    private int irr;
    private int irrDelivered;
    private final int[] repeated = new int[PINS];

    /** Processors that have taken an RTC interrupt and not ended it. */
    private int rtcPending;

    /** A bit for each vector whose end matters here; replaced as a whole. */
    private volatile long[] watched = new long[4];

    IoApic(ApicBus bus, Timers timers, Owner owner) {
        this.bus = bus;
        this.owner = owner;
        this.timers = timers;
        this.pause = new Timers.Timer() {
            @Override
            protected long expire(long now) {
                afterPause();
                return Timers.NEVER;
            }
        };
        for (int i = 0; i < PINS; i++) {
            entries[i] = MASKED;
        }
        watch();
    }

    void attach(DeviceBus memory) {
        memory.add(BASE, BYTES, this);
    }

    // ------------------------------------------------------------------ inputs

    /**
     * A source drives an input.
     *
     * @param tellsLost the RTC's interrupts are 0 while the last one has not ended
     * @return number of processors that took it; 0: it became one with an earlier one; -1: masked, or nobody is addressed
     */
    synchronized int setIrq(int pin, int source, boolean level, boolean tellsLost) {
        long entry = entries[pin];
        int taken = drive(pin, lines.set(pin, source, level), tellsLost);
        if (Tracepoints.ON) {
            Tracepoints.ioApicSetIrq(entry, pin, taken == 0);
        }
        return taken;
    }

    private int drive(int pin, boolean up, boolean tellsLost) {
        int bit = 1 << pin;
        if (!up) {
            irr &= ~bit;
            return 1;
        }
        if (pin == RTC && tellsLost && rtcPending > 0) {
            return 0;
        }
        boolean fresh = (irr & bit) == 0;
        irr |= bit;
        if ((entries[pin] & LEVEL) == 0) {
            irrDelivered &= ~bit;
            if (!fresh) {
                return 0;
            }
        }
        return service(pin, tellsLost);
    }

    /** Sends an input's message, unless its entry is masked or waits for an end. */
    private int service(int pin, boolean tellsLost) {
        long e = entries[pin];
        if ((e & MASKED) != 0 || (e & LEVEL) != 0 && (e & REMOTE_IRR) != 0) {
            return -1;
        }
        if ((e & LEVEL) == 0) {
            irrDelivered |= 1 << pin;
        }
        int taken = bus.message(message(e), (int) (e >>> 56));
        if (pin == RTC && tellsLost) {
            rtcPending = Math.max(taken, 0);
        }
        if (taken != 0 && (e & LEVEL) != 0) {
            entries[pin] |= REMOTE_IRR;
        }
        return taken;
    }

    /** An entry's vector, delivery mode, destination mode and trigger mode, asserted: as in an ICR. */
    private static int message(long e) {
        return (int) e & 0xfff | ApicBus.ASSERT | (int) (e & LEVEL);
    }

    /** A processor has ended an interrupt. On its thread; only for vectors that {@link #watches} knows. */
    void ended(LocalApic apic, int vector, boolean level) {
        int pins = pinsOf(vector);
        for (int rest = pins; rest != 0; rest &= rest - 1) {
            owner.ioApicAcknowledged(Integer.numberOfTrailingZeros(rest));
        }
        synchronized (this) {
            if (rtcPending > 0 && (int) (entries[RTC] & 0xff) == vector) {
                rtcPending--;
            }
            if (!level || apic.suppressesEoiBroadcast()) {
                return;
            }
            for (int rest = pins; rest != 0; rest &= rest - 1) {
                endLevel(Integer.numberOfTrailingZeros(rest));
            }
        }
    }

    private synchronized int pinsOf(int vector) {
        int pins = 0;
        for (int i = 0; i < PINS; i++) {
            pins |= (int) (entries[i] & 0xff) == vector ? 1 << i : 0;
        }
        return pins;
    }

    private void endLevel(int pin) {
        if ((entries[pin] & LEVEL) == 0) {
            return;
        }
        entries[pin] &= ~REMOTE_IRR;
        if ((entries[pin] & MASKED) != 0 || (irr & 1 << pin) == 0) {
            repeated[pin] = 0;
        } else if (++repeated[pin] == STORM) {
            // A guest that does not quiet the device would do nothing but this; on silicon the message takes its time.
            repeated[pin] = 0;
            timers.arm(pause, timers.now() + STORM_PAUSE);
        } else {
            service(pin, false);
        }
    }

    private synchronized void afterPause() {
        for (int i = 0; i < PINS; i++) {
            if ((entries[i] & LEVEL) != 0 && (irr & 1 << i) != 0 && (entries[i] & REMOTE_IRR) == 0) {
                service(i, false);
            }
        }
    }

    /** Whether the end of a vector matters to the I/O APIC or to somebody who watches one of its pins. Takes no lock. */
    boolean watches(int vector) {
        return (watched[vector >>> 6] >>> vector & 1) != 0;
    }

    /** Who watches pins, or an entry, has changed. */
    synchronized void watch() {
        long[] next = new long[4];
        for (int i = 0; i < PINS; i++) {
            if ((entries[i] & LEVEL) != 0 || i == RTC || owner.watchesIoApic(i)) {
                int vector = (int) entries[i] & 0xff;
                next[vector >>> 6] |= 1L << vector;
            }
        }
        watched = next;
    }

    // ------------------------------------------------------------------ registers

    @Override
    public long read(long offset, int bytes) {
        int value;
        synchronized (this) {
            value = switch ((int) offset) {
                case SELECT -> select;
                case WINDOW -> readRegister();
                default -> 0;
            };
        }
        return bytes >= 4 ? value & 0xffff_ffffL : value & (1L << 8 * bytes) - 1;
    }

    private int readRegister() {
        return switch (select) {
            case REGISTER_ID, REGISTER_ARBITRATION -> id << 24;
            case REGISTER_VERSION -> VERSION | PINS - 1 << 16;
            default -> {
                int pin = select - FIRST_ENTRY >> 1;
                long e = pin >= 0 && pin < PINS ? entries[pin] : -1;
                yield (int) ((select & 1) != 0 ? e >>> 32 : e);
            }
        };
    }

    @Override
    public boolean write(long offset, int bytes, long value) {
        int maskChanged = -1;
        boolean masked = false;
        synchronized (this) {
            if (offset == SELECT) {
                select = (int) value & 0xff;
            } else if (offset == WINDOW) {
                if (select == REGISTER_ID) {
                    id = (int) value >>> 24 & 15;
                } else if (select >= FIRST_ENTRY && select < FIRST_ENTRY + 2 * PINS) {
                    int pin = select - FIRST_ENTRY >> 1;
                    long before = entries[pin];
                    writeEntry(pin, (select & 1) != 0, (int) value);
                    masked = (entries[pin] & MASKED) != 0;
                    maskChanged = ((before ^ entries[pin]) & MASKED) != 0 ? pin : -1;
                    if ((entries[pin] & LEVEL) != 0 && (irr & 1 << pin) != 0) {
                        service(pin, false);
                    }
                }
            }
        }
        if (maskChanged >= 0) {
            owner.ioApicMaskChanged(maskChanged, masked);
        }
        return true;
    }

    private void writeEntry(int pin, boolean high, int value) {
        long old = entries[pin];
        long e = high ? old & 0xffff_ffffL | (long) value << 32 : old & ~0xffff_ffffL | value & 0xffff_ffffL;
        e = e & ~(REMOTE_IRR | DELIVERY_STATUS) | old & (REMOTE_IRR | DELIVERY_STATUS);
        if ((e & LEVEL) == 0) {
            // Linux and Xen make an entry edge-triggered for a moment to end an interrupt of it.
            e &= ~REMOTE_IRR;
        }
        entries[pin] = e;
        if (((old ^ e) & (LEVEL | 0xff)) != 0) {
            watch();
        }
    }

    // ------------------------------------------------------------------ the client

    /** {@code struct kvm_ioapic_state} into {@link #STATE_BYTES} bytes. */
    synchronized void get(byte[] to, int at) {
        putLong(to, at, base);
        putInt(to, at + 8, select);
        putInt(to, at + 12, id);
        // What has been sent is no longer requested, although the line may still be up.
        putInt(to, at + 16, irr & ~irrDelivered);
        putInt(to, at + 20, 0);
        for (int i = 0; i < PINS; i++) {
            putLong(to, at + 24 + 8 * i, entries[i]);
        }
    }

    /** Sets the state; inputs that it says are requested are sent again. */
    synchronized void set(byte[] from, int at) {
        base = getInt(from, at) & 0xffff_ffffL | (long) getInt(from, at + 4) << 32;
        select = getInt(from, at + 8) & 0xff;
        id = getInt(from, at + 12) & 15;
        int requested = getInt(from, at + 16);
        for (int i = 0; i < PINS; i++) {
            entries[i] = getInt(from, at + 24 + 8 * i) & 0xffff_ffffL | (long) getInt(from, at + 28 + 8 * i) << 32;
        }
        irr = 0;
        irrDelivered = 0;
        rtcPending = 0;
        watch();
        for (int i = 0; i < PINS; i++) {
            if ((requested & 1 << i) != 0) {
                drive(i, true, true);
            }
        }
    }

    void close() {
        timers.cancel(pause);
    }

    static int getInt(byte[] from, int at) {
        return from[at] & 0xff | (from[at + 1] & 0xff) << 8 | (from[at + 2] & 0xff) << 16 | from[at + 3] << 24;
    }

    static void putInt(byte[] to, int at, int v) {
        for (int i = 0; i < 4; i++) {
            to[at + i] = (byte) (v >>> 8 * i);
        }
    }

    static void putLong(byte[] to, int at, long v) {
        putInt(to, at, (int) v);
        putInt(to, at + 4, (int) (v >>> 32));
    }
}
