package dev.slate.kvm.irqchip;

import dev.slate.kvm.io.BusDevice;
import dev.slate.kvm.io.DeviceBus;
import dev.slate.kvm.tracepoint.Tracepoints;

/**
 * The two 8259A interrupt controllers of a PC, the second one's output on the first one's input 2, with the edge/level control
 * registers (Intel 8259A data sheet; ICH9 5.8).
 *
 * <p>Thread-safe: its lock is taken by writers and by acknowledging, never while another controller's is held, and no other lock is taken
 * inside it. What follows from a change (a vCPU to wake, an acknowledgement to tell) is done after it. {@link #output} is read without.
 */
public final class Pic {
    public static final int PINS = 16;

    /** Bytes of one controller's state in {@code struct kvm_irqchip}. */
    public static final int STATE_BYTES = 16;

    private static final int CASCADE = 2;
    private static final int SPURIOUS = 7;
    private static final int NO_PRIORITY = 8;

    // Initialization: the word that the data port waits for.
    private static final int READY = 0;
    private static final int ICW2 = 1;
    private static final int ICW3 = 2;
    private static final int ICW4 = 3;

    /** What others do about a change; called without the lock. */
    interface Owner {
        /** The output has gone up: whichever processor takes the controllers' interrupts should look. */
        void picRaised();

        /** Interrupts of these pins, a bit each, have ended. */
        void picAcknowledged(int pins);

        /** A pin's mask bit was changed to {@code masked}. */
        void picMaskChanged(int pin, boolean masked);
    }

    /** One controller. */
    private static final class Chip {
        int lastIrr;
        int irr;
        int imr;
        int isr;
        int first; // the pin of highest priority: rotation moves it
        int base;
        boolean readIsr;
        boolean poll;
        boolean specialMask;
        int init;
        boolean autoEoi;
        boolean rotateOnAutoEoi;
        boolean specialFullyNested;
        boolean needsIcw4;
        int elcr;
        final int elcrMask;

        Chip(int elcrMask) {
            this.elcrMask = elcrMask;
        }

        /** Priority (0 is highest) of the first pin of a set, or {@link #NO_PRIORITY}. */
        int priority(int pins) {
            if (pins == 0) {
                return NO_PRIORITY;
            }
            int p = 0;
            while ((pins & 1 << (p + first & 7)) == 0) {
                p++;
            }
            return p;
        }
    }

    private final Owner owner;
    private final Chip master = new Chip(0xf8);
    private final Chip slave = new Chip(0xde);
    private final IrqLines lines = new IrqLines(PINS);

    private volatile boolean output;

    // What the lock's holder leaves to be done after it.
    private boolean raised;
    private int acknowledged;

    Pic(Owner owner) {
        this.owner = owner;
    }

    /** Puts the controllers on the bus of ports. */
    void attach(DeviceBus ports) {
        ports.add(0x20, 2, new Registers(master));
        ports.add(0xa0, 2, new Registers(slave));
        ports.add(0x4d0, 2, new EdgeLevel());
    }

    /** Whether an interrupt waits for the processor. */
    boolean output() {
        return output;
    }

    // ------------------------------------------------------------------ lines

    /**
     * A source drives an input.
     *
     * @return 1: taken; 0: there was one already, they became one; -1: masked
     */
    int setIrq(int pin, int source, boolean level) {
        int result;
        boolean wake;
        synchronized (this) {
            boolean up = lines.set(pin, source, level);
            Chip c = pin < 8 ? master : slave;
            result = setLine(c, pin & 7, up);
            update();
            if (Tracepoints.ON) {
                Tracepoints.picSetIrq(pin >> 3, pin & 7, c.elcr, c.imr, result == 0);
            }
            wake = takeRaised();
        }
        if (wake) {
            owner.picRaised();
        }
        return result;
    }

    private static int setLine(Chip c, int pin, boolean level) {
        int bit = 1 << pin;
        boolean fresh = true;
        if (level) {
            if ((c.elcr & bit) != 0 || (c.lastIrr & bit) == 0) {
                fresh = (c.irr & bit) == 0;
                c.irr |= bit;
            }
            c.lastIrr |= bit;
        } else {
            if ((c.elcr & bit) != 0) {
                c.irr &= ~bit;
            }
            c.lastIrr &= ~bit;
        }
        return (c.imr & bit) != 0 ? -1 : fresh ? 1 : 0;
    }

    /** The pin that a controller asks an interrupt for, or -1. */
    private int requested(Chip c) {
        int priority = c.priority(c.irr & ~c.imr);
        if (priority == NO_PRIORITY) {
            return -1;
        }
        int inService = c.isr;
        if (c.specialMask) {
            // A masked level in service holds no other back.
            inService &= ~c.imr;
        }
        if (c.specialFullyNested && c == master) {
            inService &= ~(1 << CASCADE);
        }
        return priority < c.priority(inService) ? priority + c.first & 7 : -1;
    }

    private void update() {
        if (requested(slave) >= 0) {
            setLine(master, CASCADE, true);
            setLine(master, CASCADE, false);
        }
        boolean up = requested(master) >= 0;
        if (up && !output) {
            raised = true;
        }
        output = up;
    }

    private boolean takeRaised() {
        boolean r = raised;
        raised = false;
        return r;
    }

    private int takeAcknowledged() {
        int a = acknowledged;
        acknowledged = 0;
        return a;
    }

    private void finished(Chip c, int pin) {
        c.isr &= ~(1 << pin);
        acknowledged |= 1 << (c == master ? pin : pin + 8);
    }

    // ------------------------------------------------------------------ the processor

    /** The processor takes the interrupt (two INTA cycles): its vector. A request that is gone meanwhile is a spurious 7. */
    int acknowledge() {
        int vector;
        int ended;
        boolean wake;
        synchronized (this) {
            int pin = requested(master);
            if (pin < 0) {
                vector = master.base + SPURIOUS;
            } else {
                take(master, pin);
                if (pin == CASCADE) {
                    int second = requested(slave);
                    if (second >= 0) {
                        take(slave, second);
                    } else {
                        second = SPURIOUS;
                    }
                    vector = slave.base + second;
                } else {
                    vector = master.base + pin;
                }
            }
            output = false;
            update();
            ended = takeAcknowledged();
            wake = takeRaised();
        }
        after(ended, wake);
        return vector & 0xff;
    }

    private void take(Chip c, int pin) {
        c.isr |= 1 << pin;
        if ((c.elcr & 1 << pin) == 0) {
            c.irr &= ~(1 << pin);
        }
        if (c.autoEoi) {
            if (c.rotateOnAutoEoi) {
                c.first = pin + 1 & 7;
            }
            finished(c, pin);
        }
    }

    private void after(int ended, boolean wake) {
        if (ended != 0) {
            owner.picAcknowledged(ended);
        }
        if (wake) {
            owner.picRaised();
        }
    }

    // ------------------------------------------------------------------ registers

    /** Command and data port of one controller; only single bytes reach a register. */
    private final class Registers implements BusDevice {
        private final Chip chip;

        Registers(Chip chip) {
            this.chip = chip;
        }

        @Override
        public long read(long offset, int bytes) {
            return bytes == 1 ? readPort(chip, (int) offset) : 0;
        }

        @Override
        public boolean write(long offset, int bytes, long value) {
            if (bytes == 1) {
                writePort(chip, (int) offset, (int) value & 0xff);
            }
            return true;
        }
    }

    private final class EdgeLevel implements BusDevice {
        private Chip chip(long offset) {
            return offset == 0 ? master : slave;
        }

        @Override
        public long read(long offset, int bytes) {
            synchronized (Pic.this) {
                return bytes == 1 ? chip(offset).elcr : 0;
            }
        }

        @Override
        public boolean write(long offset, int bytes, long value) {
            synchronized (Pic.this) {
                if (bytes == 1) {
                    Chip c = chip(offset);
                    c.elcr = (int) value & c.elcrMask;
                }
            }
            return true;
        }
    }

    private int readPort(Chip c, int port) {
        int value;
        int ended;
        boolean wake;
        synchronized (this) {
            if (c.poll) {
                c.poll = false;
                value = poll(c);
            } else {
                value = port != 0 ? c.imr : c.readIsr ? c.isr : c.irr;
            }
            ended = takeAcknowledged();
            wake = takeRaised();
        }
        after(ended, wake);
        return value;
    }

    /** The poll command's answer: what an acknowledgement would be, and the interrupt is over at once. */
    private int poll(Chip c) {
        int pin = requested(c);
        if (pin < 0) {
            update();
            return SPURIOUS;
        }
        if (c == slave) {
            master.isr &= ~(1 << CASCADE);
            master.irr &= ~(1 << CASCADE);
        }
        c.irr &= ~(1 << pin);
        finished(c, pin);
        update();
        return pin;
    }

    private void writePort(Chip c, int port, int value) {
        int ended;
        int changed = 0;
        boolean wake;
        synchronized (this) {
            if (port == 0) {
                command(c, value);
            } else {
                changed = data(c, value);
            }
            ended = takeAcknowledged();
            wake = takeRaised();
        }
        for (int pins = changed; pins != 0; pins &= pins - 1) {
            int pin = Integer.numberOfTrailingZeros(pins);
            owner.picMaskChanged(c == master ? pin : pin + 8, (value & 1 << pin) != 0);
        }
        after(ended, wake);
    }

    private void command(Chip c, int value) {
        if ((value & 0x10) != 0) {
            initialize(c, value);
        } else if ((value & 0x08) != 0) {
            // OCW3
            if ((value & 0x04) != 0) {
                c.poll = true;
            }
            if ((value & 0x02) != 0) {
                c.readIsr = (value & 1) != 0;
            }
            if ((value & 0x40) != 0) {
                c.specialMask = (value & 0x20) != 0;
                update();
            }
        } else {
            endOfInterrupt(c, value >>> 5, value & 7);
        }
    }

    /** ICW1. */
    private void initialize(Chip c, int value) {
        c.needsIcw4 = (value & 1) != 0;
        int edges = c.irr & ~c.elcr;
        c.lastIrr = 0;
        c.irr &= c.elcr;
        c.imr = 0;
        c.first = 0;
        c.specialMask = false;
        c.readIsr = false;
        if (!c.needsIcw4) {
            c.specialFullyNested = false;
            c.autoEoi = false;
        }
        c.init = ICW2;
        // Requests that are forgotten here will never be acknowledged by the guest.
        for (int pins = edges; pins != 0; pins &= pins - 1) {
            finished(c, Integer.numberOfTrailingZeros(pins));
        }
    }

    /** OCW2. */
    private void endOfInterrupt(Chip c, int command, int pin) {
        switch (command) {
            case 0, 4 -> c.rotateOnAutoEoi = command == 4;
            case 1, 5 -> {
                int priority = c.priority(c.isr);
                if (priority == NO_PRIORITY) {
                    return;
                }
                int highest = priority + c.first & 7;
                if (command == 5) {
                    c.first = highest + 1 & 7;
                }
                finished(c, highest);
                update();
            }
            case 3 -> {
                finished(c, pin);
                update();
            }
            case 6 -> {
                c.first = pin + 1 & 7;
                update();
            }
            case 7 -> {
                c.first = pin + 1 & 7;
                finished(c, pin);
                update();
            }
            default -> {} // 2: no operation
        }
    }

    /** The data port: ICW2 to ICW4 after ICW1, else the mask. Returns the mask bits that changed. */
    private int data(Chip c, int value) {
        switch (c.init) {
            case ICW2 -> {
                c.base = value & 0xf8;
                c.init = ICW3;
            }
            case ICW3 -> c.init = c.needsIcw4 ? ICW4 : READY;
            case ICW4 -> {
                c.specialFullyNested = (value & 0x10) != 0;
                c.autoEoi = (value & 0x02) != 0;
                c.init = READY;
            }
            default -> {
                int changed = c.imr ^ value;
                c.imr = value;
                update();
                return changed;
            }
        }
        return 0;
    }

    // ------------------------------------------------------------------ the client

    /** {@code struct kvm_pic_state} of the first ({@code second} false) or second controller into 16 bytes. */
    synchronized void get(boolean second, byte[] to, int at) {
        Chip c = second ? slave : master;
        int[] fields = {
            c.lastIrr,
            c.irr,
            c.imr,
            c.isr,
            c.first,
            c.base,
            bit(c.readIsr),
            bit(c.poll),
            bit(c.specialMask),
            c.init,
            bit(c.autoEoi),
            bit(c.rotateOnAutoEoi),
            bit(c.specialFullyNested),
            bit(c.needsIcw4),
            c.elcr,
            c.elcrMask
        };
        for (int i = 0; i < fields.length; i++) {
            to[at + i] = (byte) fields[i];
        }
    }

    /** Sets a controller's state; whatever it holds, later use of it stays in bounds. */
    void set(boolean second, byte[] from, int at) {
        boolean wake;
        synchronized (this) {
            Chip c = second ? slave : master;
            c.lastIrr = from[at] & 0xff;
            c.irr = from[at + 1] & 0xff;
            c.imr = from[at + 2] & 0xff;
            c.isr = from[at + 3] & 0xff;
            c.first = from[at + 4] & 7;
            c.base = from[at + 5] & 0xff;
            c.readIsr = from[at + 6] != 0;
            c.poll = from[at + 7] != 0;
            c.specialMask = from[at + 8] != 0;
            c.init = from[at + 9] & 3;
            c.autoEoi = from[at + 10] != 0;
            c.rotateOnAutoEoi = from[at + 11] != 0;
            c.specialFullyNested = from[at + 12] != 0;
            c.needsIcw4 = from[at + 13] != 0;
            c.elcr = from[at + 14] & c.elcrMask;
            update();
            wake = takeRaised();
        }
        if (wake) {
            owner.picRaised();
        }
    }

    private static int bit(boolean b) {
        return b ? 1 : 0;
    }
}
