package dev.slate.kvm.irqchip;

import dev.slate.kvm.io.BusDevice;
import dev.slate.kvm.io.DeviceBus;

/**
 * The 8254 interval timer of a PC and the part of port 61h that belongs to its third channel (Intel 8254 data sheet). Channel 0 drives
 * GSI 0; channel 2 has a gate and an output that a guest can read.
 *
 * <p>Counts in binary whatever a guest asks for, as KVM does. Thread-safe: one lock for the registers, one for ticks; neither is held
 * while an interrupt is raised, and no other lock is taken inside them but the timers'.
 */
public final class Pit {
    /** Bytes of {@code struct kvm_pit_state2}. */
    public static final int STATE_BYTES = 112;
    /** {@code KVM_PIT_SPEAKER_DUMMY}: port 61h is here, too. */
    public static final int SPEAKER = 1;

    private static final int HPET_LEGACY = 1;
    private static final int SPEAKER_DATA = 2;

    private static final long HERTZ = 1_193_182;
    private static final long SECOND = 1_000_000_000;
    /** {@code min_timer_period_us}. */
    private static final long SHORTEST_PERIOD = 200_000;

    private static final int CHANNELS = 3;
    private static final int CHANNEL_BYTES = 24;

    // How a 16-bit count goes through an 8-bit port.
    private static final int HIGH = 2;
    private static final int WORD_LOW = 3;
    private static final int WORD_HIGH = 4;

    private static final int MODE_OFF = 0xff;

    /** What the timer does to the machine; called without a lock. */
    interface Output {
        /** GSI 0 goes up and down again. */
        void tick();
    }

    private static final class Channel {
        int count;
        int latchedCount;
        int countLatched;
        boolean statusLatched;
        int status;
        int readState;
        int writeState;
        int writeLatch;
        int access;
        int mode;
        int bcd;
        boolean gate;
        /** In the timers' time. */
        long loaded;
    }

    private final Output output;
    private final Timers timers;
    private final Channel[] channels = new Channel[CHANNELS];
    private int flags;

    // Channel 0's timer. Written under the registers' lock; read by the timer thread.
    private volatile long period;
    private volatile boolean periodic;
    private final Timers.Timer timer = new Timers.Timer() {
        private long due;

        @Override
        void armed(long at) {
            due = at;
        }

        @Override
        protected long expire(long now) {
            expired();
            if (!periodic) {
                return Timers.NEVER;
            }
            // Every tick counts: those that came too late follow at once, and reinjection spreads them.
            due += period;
            return due;
        }
    };

    /** Guards what follows: ticks that the guest has not been given, and whether it has acknowledged the last one. */
    private final Object ticks = new Object();

    private boolean reinject = true;
    private int pending;
    private boolean acknowledged = true;

    Pit(Timers timers, Output output) {
        this.timers = timers;
        this.output = output;
        for (int i = 0; i < CHANNELS; i++) {
            Channel c = new Channel();
            c.mode = MODE_OFF;
            c.gate = i != 2;
            c.count = 0x10000;
            c.loaded = timers.now();
            channels[i] = c;
        }
        channels[0].loaded = 0;
    }

    /** Puts it on the bus of ports. @param speaker port 61h as well */
    void attach(DeviceBus ports, boolean speaker) {
        ports.add(0x40, 4, new Registers());
        if (speaker) {
            ports.add(0x61, 4, new Speaker());
        }
    }

    // ------------------------------------------------------------------ ticks

    private void expired() {
        synchronized (ticks) {
            if (reinject) {
                pending++;
                if (!acknowledged) {
                    return;
                }
            }
            acknowledged = false;
        }
        output.tick();
    }

    /** The guest has ended an interrupt of GSI 0: the next tick that is owed follows. */
    void acknowledge() {
        synchronized (ticks) {
            if (!reinject) {
                return;
            }
            acknowledged = true;
            if (pending == 0 || --pending == 0) {
                return;
            }
            acknowledged = false;
        }
        output.tick();
    }

    /** The guest unmasks GSI 0: what it did not want is not owed. */
    void unmasked() {
        synchronized (ticks) {
            if (reinject) {
                forgetTicks();
            }
        }
    }

    private void forgetTicks() {
        pending = 0;
        acknowledged = true;
    }

    /** {@code KVM_REINJECT_CONTROL}: whether ticks that the guest was too slow for are given later, or lost. */
    void reinject(boolean on) {
        synchronized (ticks) {
            if (reinject != on) {
                reinject = on;
                forgetTicks();
            }
        }
    }

    /** Whether ends of GSI 0's interrupts matter. */
    boolean reinjects() {
        synchronized (ticks) {
            return reinject;
        }
    }

    // ------------------------------------------------------------------ counting

    private void load(int number, int value) {
        Channel c = channels[number];
        c.count = value == 0 ? 0x10000 : value;
        if (number != 0) {
            c.loaded = timers.now();
            return;
        }
        switch (c.mode) {
            case 0, 1, 4 -> start(c, false);
            case 2, 3 -> start(c, true);
            default -> stop();
        }
    }

    private void stop() {
        timers.cancel(timer);
    }

    private void start(Channel c, boolean repeats) {
        if ((flags & HPET_LEGACY) != 0) {
            return;
        }
        stop();
        long interval = c.count * SECOND / HERTZ;
        period = repeats ? Math.max(interval, SHORTEST_PERIOD) : interval;
        periodic = repeats;
        synchronized (ticks) {
            forgetTicks();
        }
        c.loaded = timers.now();
        timers.arm(timer, c.loaded + interval);
    }

    /** Clocks since a channel was loaded. */
    private long clocks(int number) {
        if (number == 0 && period == 0) {
            return 0;
        }
        long nanos = timers.now() - channels[number].loaded;
        return nanos / SECOND * HERTZ + nanos % SECOND * HERTZ / SECOND;
    }

    private int count(int number) {
        Channel c = channels[number];
        long d = clocks(number);
        return switch (c.mode) {
            case 0, 1, 4, 5 -> (int) (c.count - d) & 0xffff;
            case 3 -> (int) (c.count - 2 * d % c.count);
            default -> (int) (c.count - d % c.count);
        };
    }

    private boolean out(int number) {
        Channel c = channels[number];
        long d = clocks(number);
        return switch (c.mode) {
            case 1 -> d < c.count;
            case 2 -> d % c.count == 0 && d != 0;
            case 3 -> d % c.count < c.count + 1 >> 1;
            case 4, 5 -> d == c.count;
            default -> d >= c.count;
        };
    }

    // ------------------------------------------------------------------ registers

    private final class Registers implements BusDevice {
        @Override
        public long read(long offset, int bytes) {
            synchronized (Pit.this) {
                return offset == 3 ? 0 : readCount((int) offset);
            }
        }

        @Override
        public boolean write(long offset, int bytes, long value) {
            synchronized (Pit.this) {
                if (offset == 3) {
                    control((int) value & 0xff);
                } else {
                    writeCount((int) offset, (int) value & 0xff);
                }
            }
            return true;
        }
    }

    private void control(int value) {
        int number = value >>> 6;
        if (number == 3) {
            // Read-back: the bits say what is not latched.
            for (int i = 0; i < CHANNELS; i++) {
                if ((value & 2 << i) != 0) {
                    if ((value & 0x20) == 0) {
                        latchCount(i);
                    }
                    if ((value & 0x10) == 0) {
                        latchStatus(i);
                    }
                }
            }
            return;
        }
        Channel c = channels[number];
        int access = value >>> 4 & 3;
        if (access == 0) {
            latchCount(number);
            return;
        }
        c.access = access;
        c.readState = access;
        c.writeState = access;
        c.mode = value >>> 1 & 7;
        if (c.mode > 5) {
            c.mode -= 4;
        }
        c.bcd = value & 1;
    }

    private void latchCount(int number) {
        Channel c = channels[number];
        if (c.countLatched == 0) {
            c.latchedCount = count(number) & 0xffff;
            c.countLatched = c.access;
        }
    }

    private void latchStatus(int number) {
        Channel c = channels[number];
        if (!c.statusLatched) {
            c.status = (out(number) ? 0x80 : 0) | (c.access & 3) << 4 | c.mode << 1 & 0xe | c.bcd & 1;
            c.statusLatched = true;
        }
    }

    private void writeCount(int number, int value) {
        Channel c = channels[number];
        switch (c.writeState) {
            case HIGH -> load(number, value << 8);
            case WORD_LOW -> {
                c.writeLatch = value;
                c.writeState = WORD_HIGH;
            }
            case WORD_HIGH -> {
                load(number, c.writeLatch | value << 8);
                c.writeState = WORD_LOW;
            }
            default -> load(number, value);
        }
    }

    private int readCount(int number) {
        Channel c = channels[number];
        if (c.statusLatched) {
            c.statusLatched = false;
            return c.status;
        }
        switch (c.countLatched) {
            case 0 -> {}
            case HIGH -> {
                c.countLatched = 0;
                return c.latchedCount >>> 8;
            }
            case WORD_LOW -> {
                c.countLatched = HIGH;
                return c.latchedCount & 0xff;
            }
            default -> {
                c.countLatched = 0;
                return c.latchedCount & 0xff;
            }
        }
        switch (c.readState) {
            case HIGH -> {
                return count(number) >>> 8 & 0xff;
            }
            case WORD_LOW -> {
                c.readState = WORD_HIGH;
                return count(number) & 0xff;
            }
            case WORD_HIGH -> {
                c.readState = WORD_LOW;
                return count(number) >>> 8 & 0xff;
            }
            default -> {
                return count(number) & 0xff;
            }
        }
    }

    /** Port 61h: channel 2's gate and the speaker's enable; its output and the refresh clock can be read. */
    private final class Speaker implements BusDevice {
        @Override
        public long read(long offset, int bytes) {
            if (offset != 0) {
                return DeviceBus.NOBODY;
            }
            synchronized (Pit.this) {
                // The refresh clock changes every 15 us; 2^14 ns are near enough.
                int refresh = (int) (timers.now() >>> 14 & 1);
                return ((flags & SPEAKER_DATA) != 0 ? 2 : 0)
                        | (channels[2].gate ? 1 : 0)
                        | (out(2) ? 0x20 : 0)
                        | refresh << 4;
            }
        }

        @Override
        public boolean write(long offset, int bytes, long value) {
            if (offset != 0) {
                return false;
            }
            synchronized (Pit.this) {
                flags = (value & 2) != 0 ? flags | SPEAKER_DATA : flags & ~SPEAKER_DATA;
                Channel c = channels[2];
                boolean gate = (value & 1) != 0;
                if (gate && !c.gate && c.mode != 0 && c.mode != 4) {
                    c.loaded = timers.now();
                }
                c.gate = gate;
            }
            return true;
        }
    }

    // ------------------------------------------------------------------ the client

    /** {@code struct kvm_pit_state2} into {@link #STATE_BYTES} bytes. */
    synchronized void get(byte[] to) {
        for (int i = 0; i < CHANNELS; i++) {
            Channel c = channels[i];
            int at = i * CHANNEL_BYTES;
            IoApic.putInt(to, at, c.count);
            IoApic.putInt(to, at + 4, c.latchedCount & 0xffff | c.countLatched << 16 | (c.statusLatched ? 1 << 24 : 0));
            IoApic.putInt(to, at + 8, c.status | c.readState << 8 | c.writeState << 16 | c.writeLatch << 24);
            IoApic.putInt(to, at + 12, c.access | c.mode << 8 | c.bcd << 16 | (c.gate ? 1 << 24 : 0));
            // Channel 0's time is its timer's affair, as in KVM.
            IoApic.putLong(to, at + 16, i == 0 ? 0 : c.loaded);
        }
        IoApic.putInt(to, CHANNELS * CHANNEL_BYTES, flags);
        for (int at = CHANNELS * CHANNEL_BYTES + 4; at < STATE_BYTES; at += 4) {
            IoApic.putInt(to, at, 0);
        }
    }

    /** Sets the state; every channel counts anew from its count. {@code withFlags} false: {@code struct kvm_pit_state} has none. */
    synchronized void set(byte[] from, boolean withFlags) {
        int wanted = withFlags ? IoApic.getInt(from, CHANNELS * CHANNEL_BYTES) : flags;
        boolean legacyBegins = (wanted & HPET_LEGACY) != 0 && (flags & HPET_LEGACY) == 0;
        for (int i = 0; i < CHANNELS; i++) {
            Channel c = channels[i];
            int at = i * CHANNEL_BYTES;
            c.count = IoApic.getInt(from, at);
            c.latchedCount = IoApic.getInt(from, at + 4) & 0xffff;
            c.countLatched = from[at + 6] & 0xff;
            c.statusLatched = from[at + 7] != 0;
            c.status = from[at + 8] & 0xff;
            c.readState = from[at + 9] & 0xff;
            c.writeState = from[at + 10] & 0xff;
            c.writeLatch = from[at + 11] & 0xff;
            c.access = from[at + 12] & 0xff;
            c.mode = from[at + 13] & 0xff;
            c.bcd = from[at + 14] & 0xff;
            c.gate = from[at + 15] != 0;
        }
        flags = wanted;
        for (int i = 0; i < CHANNELS; i++) {
            // A count beyond 16 bits is no count of an 8254: the largest one stands in.
            int count = channels[i].count;
            int bounded = count < 0 || count > 0x10000 ? 0x10000 : count;
            if (i == 0 && legacyBegins) {
                channels[0].count = bounded == 0 ? 0x10000 : bounded;
                stop();
            } else {
                load(i, bounded);
            }
        }
    }

    void close() {
        stop();
    }
}
