package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import dev.slate.cpu.mem.HostMemory;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Every event in every window: NMI, SMI, interrupt, INIT and SIPI, in any combination, before an instruction or while it waits for the
 * client, under an interrupt shadow of STI or MOV SS or none, with NMIs blocked or not, interrupts on or off, single-stepped or not, with
 * an event half delivered or none, from within SMM or not. Which handler runs at which address is compared with a model of SDM 3A table
 * 6-2, 6.7.1 and 6.8, 3C 34.3 and 34.8, APM 2 8.5, 10.3, 15.21 and 15.22.
 *
 * <p>{@code -Dslate.events.stride=1} runs every case; an ordinary build runs every seventh, another seventh of them in each build.
 */
class EventWindowsTest {
    private static final long CODE = Guest64.CODE;
    private static final int SMBASE = 0x1000_0000;
    private static final long HANDLERS = 0x30000;
    private static final long SIPI_PAGE = 0x8000;

    private static final int DB = 1;
    private static final int NMI = 2;
    private static final int GP = 13;
    private static final int SOFT = 0x31;
    private static final int INTR = 0x40;
    private static final int OLD_INTR = 0x41;

    private static final int LOG_PORT = 0x60;
    private static final int SMM_PORT = 0x61;
    private static final int END_PORT = 0x62;
    private static final int SIPI_PORT = 0x63;
    private static final int IO_PORT = 0x50;

    private static final int TF = 1 << 8;
    private static final int IF = 1 << 9;

    // Events, as bits.
    private static final int E_NMI = 1;
    private static final int E_SMI = 2;
    private static final int E_INTR = 4;
    private static final int E_INIT = 8;
    private static final int E_SIPI = 16;

    /** The instruction in the window. */
    private enum Insn {
        INC(false, 0x48, 0xff, 0xc3),
        CPUID(false, 0x0f, 0xa2),
        IN(true, 0xe4, IO_PORT),
        OUT(true, 0xe6, IO_PORT),
        // mov 0x10200000,%al and mov %al,0x10200000
        MMIO_READ(true, 0x8a, 0x04, 0x25, 0, 0, 0x20, 0x10),
        MMIO_WRITE(true, 0x88, 0x04, 0x25, 0, 0, 0x20, 0x10),
        HLT(false, 0xf4),
        IRET(false, 0x48, 0xcf),
        STI(false, 0xfb),
        // mov %edx,%ss
        MOV_SS(false, 0x8e, 0xd2),
        INT(false, 0xcd, SOFT);

        final boolean exits;
        final int[] bytes;

        Insn(boolean exits, int... bytes) {
            this.exits = exits;
            this.bytes = bytes;
        }
    }

    private enum Begun {
        NOTHING,
        EXCEPTION,
        NMI,
        INTERRUPT
    }

    /** When the events arrive. */
    private enum When {
        BEFORE,
        AT_EXIT,
        IN_SMM
    }

    private record Case(
            Insn insn,
            int shadow,
            boolean nmiBlocked,
            boolean interrupts,
            boolean stepped,
            Begun begun,
            When when,
            int events) {}

    private static final int SHADOW_STI = 2;
    private static final int SHADOW_SS = 1;

    // ------------------------------------------------------------------ the model

    /** What the processor does, an instruction at a time. */
    private static final class Model {
        final Case c;
        final boolean irqchip;
        /** Before which of SMI and NMI the interrupt comes where all could be taken: none, both, NMI alone. */
        final int interruptFirst;

        final List<String> log = new ArrayList<>();

        long ip = CODE;
        int shadow;
        boolean interrupts;
        boolean stepped;
        boolean nmiBlocked;
        boolean smm;
        boolean trap;
        int begun;
        boolean nmi;
        boolean smi;
        boolean intr;
        boolean init;
        boolean sipi;
        boolean halted;
        /** Return address, interrupts and TF of each handler that runs. */
        final Deque<long[]> frames = new ArrayDeque<>();
        /** What SMRAM holds. */
        long[] saved = {};

        Model(Case c, boolean irqchip, int interruptFirst) {
            this.c = c;
            this.irqchip = irqchip;
            this.interruptFirst = interruptFirst;
            shadow = c.shadow;
            interrupts = c.interrupts;
            stepped = c.stepped;
            nmiBlocked = c.nmiBlocked;
            begun = switch (c.begun) {
                case NOTHING -> 0;
                case EXCEPTION -> GP;
                case NMI -> NMI;
                case INTERRUPT -> OLD_INTR;
            };
        }

        private void post() {
            nmi |= (c.events & E_NMI) != 0;
            smi |= (c.events & E_SMI) != 0;
            intr |= (c.events & E_INTR) != 0;
            init |= (c.events & E_INIT) != 0;
            sipi |= (c.events & E_SIPI) != 0;
        }

        List<String> run() {
            if (c.when == When.BEFORE) {
                post();
            } else if (c.when == When.IN_SMM) {
                enterSmm();
            }
            while (!log.contains("end") && !log.contains("init") && !log.contains("sipi") && !log.contains("sleeps")) {
                if (boundary()) {
                    execute();
                }
            }
            return log;
        }

        /** Takes one event; true when there was none, and the next instruction runs. */
        private boolean boundary() {
            if (sipi && !(init && !smm)) {
                // Nobody waits for it.
                sipi = false;
            }
            if (init && !smm) {
                log.add(sipi ? "sipi" : "init");
                return false;
            }
            if (halted) {
                boolean wakes = nmi && !nmiBlocked || smi && !smm || intr && interrupts || trap;
                if (!wakes) {
                    log.add("sleeps");
                    return false;
                }
                halted = false;
            }
            if (begun != 0) {
                int vector = begun;
                begun = 0;
                deliver(vector);
            } else if (trap && (shadow & SHADOW_SS) == 0) {
                trap = false;
                deliver(DB);
            } else if (interruptFirst == 1 && intr && interrupts && shadow == 0) {
                intr = false;
                deliver(INTR);
            } else if (smi && !smm) {
                smi = false;
                enterSmm();
            } else if (interruptFirst == 2 && intr && interrupts && shadow == 0) {
                intr = false;
                deliver(INTR);
            } else if (nmi && !nmiBlocked && shadow == 0) {
                nmi = false;
                deliver(NMI);
            } else if (intr && interrupts && shadow == 0) {
                intr = false;
                deliver(INTR);
            } else {
                return true;
            }
            return false;
        }

        private void deliver(int vector) {
            frames.push(new long[] {ip, interrupts ? 1 : 0, stepped ? 1 : 0});
            ip = HANDLERS + vector * 32L;
            interrupts = false;
            stepped = false;
            shadow = 0;
            nmiBlocked |= vector == NMI;
        }

        private void enterSmm() {
            saved = new long[] {ip, interrupts ? 1 : 0, stepped ? 1 : 0, shadow, nmiBlocked ? 1 : 0, trap ? 1 : 0};
            smm = true;
            nmiBlocked = true;
            interrupts = false;
            stepped = false;
            shadow = 0;
            trap = false;
            ip = -1;
        }

        private void execute() {
            shadow = 0;
            boolean step = stepped;
            if (ip == -1) {
                log.add("smi@" + Long.toHexString(saved[0]));
                if (c.when == When.IN_SMM && log.size() == 1) {
                    post();
                }
                ip = -2;
                return;
            }
            if (ip == -2) {
                ip = saved[0];
                interrupts = saved[1] != 0;
                stepped = saved[2] != 0;
                shadow = (int) saved[3];
                nmiBlocked = saved[4] != 0;
                trap = saved[5] != 0;
                smm = false;
                return;
            }
            if (ip >= HANDLERS) {
                handler();
                return;
            }
            long next = ip + (ip == CODE ? c.insn.bytes.length : 3);
            if (ip == CODE) {
                switch (c.insn) {
                    case IRET -> nmiBlocked = false;
                    case STI -> {
                        if (!interrupts) {
                            interrupts = true;
                            shadow = SHADOW_STI;
                        }
                    }
                    case MOV_SS -> shadow = SHADOW_SS;
                    case HLT -> halted = irqchip;
                    case INT -> {
                        ip = next;
                        deliver(SOFT);
                        return;
                    }
                    default -> {}
                }
                if (c.insn.exits && c.when == When.AT_EXIT) {
                    post();
                }
            } else if (ip == CODE + c.insn.bytes.length + 6) {
                log.add("end");
                return;
            }
            ip = next;
            trap |= step && (shadow & SHADOW_SS) == 0;
        }

        /** Each handler: what its vector needs, OUT, IRET. */
        private void handler() {
            long entry = ip & ~31L;
            int vector = (int) (entry - HANDLERS) / 32;
            long[] frame = frames.getFirst();
            int prologue = vector == DB ? 8 : vector == GP ? 4 : 0;
            if (ip == entry && prologue != 0) {
                if (vector == DB) {
                    frame[2] = 0;
                }
                ip += prologue;
            } else if (ip == entry + prologue) {
                log.add(vector + "@" + Long.toHexString(frame[0]));
                ip += 2;
            } else {
                frames.pop();
                ip = frame[0];
                interrupts = frame[1] != 0;
                stepped = frame[2] != 0;
                nmiBlocked = false;
            }
        }
    }

    // ------------------------------------------------------------------ the machine

    /** A guest, and the client that serves it. */
    private static final class Machine implements AutoCloseable {
        final Guest64 g;
        final Vcpu vcpu;
        final long smram;
        final boolean irqchip;
        final @Nullable Vcpu sender;
        private final Regs regs = new Regs();
        private final byte[] lapic = new byte[1024];
        private boolean closed;
        private volatile boolean signalled;

        Machine(boolean irqchip) {
            this.irqchip = irqchip;
            g = new Guest64(irqchip);
            smram = g.host.allocate(0x10000, 4096);
            g.vm.setUserMemoryRegion(1 << 16 | 1, 0, SMBASE, 0x10000, smram);
            for (int i = 0; i < 4; i++) {
                // out %al,$SMM_PORT; rsm
                HostMemory.put8(smram + 0x8000 + i, new int[] {0xe6, SMM_PORT, 0x0f, 0xaa}[i]);
            }
            for (int vector : new int[] {DB, NMI, GP, SOFT, INTR, OLD_INTR}) {
                long at = HANDLERS + vector * 32L;
                g.gate(vector, at);
                if (vector == DB) {
                    // andl $~TF,16(%rsp)
                    g.write(at, 0x81, 0x64, 0x24, 0x10, 0xff, 0xfe, 0xff, 0xff);
                    at += 8;
                } else if (vector == GP) {
                    g.write(at, 0x48, 0x83, 0xc4, 8);
                    at += 4;
                }
                g.write(at, 0xe6, LOG_PORT, 0x48, 0xcf);
            }
            g.write(SIPI_PAGE, 0xe6, SIPI_PORT);
            if (irqchip) {
                // The boot processor sends; the other one is what INIT stops.
                sender = g.vcpu;
                vcpu = g.vm.createVcpu(1);
                sender.setMsr(0x1b, 0xfee0_0d00L);
                lapic[0xf0] = (byte) 0xff;
                lapic[0xf1] = 1;
                lapic[0x23] = 1;
                lapic[0xe3] = (byte) 0xff;
                lapic[0xe2] = (byte) 0xff;
                lapic[0xe1] = (byte) 0xff;
                lapic[0xe0] = (byte) 0xff;
            } else {
                sender = null;
                vcpu = g.vcpu;
            }
            vcpu.setMsr(0x9e, SMBASE);
            Thread signals = new Thread(this::signal);
            signals.setDaemon(true);
            signals.start();
        }

        private void signal() {
            while (true) {
                try {
                    Thread.sleep(0, 300_000);
                } catch (InterruptedException e) {
                    return;
                }
                synchronized (this) {
                    if (closed) {
                        return;
                    }
                    if (signalled) {
                        vcpu.signal();
                    }
                }
            }
        }

        private void prepare(Case c) {
            g.start(vcpu, CODE, Guest64.STACK);
            vcpu.setMsr(0x9e, SMBASE);
            if (irqchip) {
                vcpu.setLapic(lapic);
            }
            g.write(CODE, c.insn.bytes);
            int at = (int) CODE + c.insn.bytes.length;
            g.write(at, 0x48, 0xff, 0xc3, 0x48, 0xff, 0xc3, 0xe6, END_PORT);
            long flags = 2 | (c.stepped ? TF : 0) | (c.interrupts ? IF : 0);
            vcpu.getRegs(regs);
            regs.rflags = flags;
            regs.rdx = 16;
            regs.rsp = Guest64.STACK;
            vcpu.setRegs(regs);
            long[] frame = {at, 8, flags, Guest64.STACK, 16};
            for (int i = 0; i < frame.length; i++) {
                HostMemory.put64(g.hva + Guest64.STACK + 8L * i, frame[i]);
            }
            VcpuEvents e = new VcpuEvents();
            e.flags = VcpuEvents.VALID_NMI_PENDING | VcpuEvents.VALID_SHADOW | VcpuEvents.VALID_SMM;
            e.interruptShadow = c.shadow;
            e.nmiMasked = c.nmiBlocked ? 1 : 0;
            switch (c.begun) {
                case NOTHING -> {}
                case EXCEPTION -> {
                    e.exceptionInjected = 1;
                    e.exceptionNr = GP;
                    e.exceptionHasErrorCode = 1;
                }
                case NMI -> e.nmiInjected = 1;
                case INTERRUPT -> {
                    e.interruptInjected = 1;
                    e.interruptNr = OLD_INTR;
                }
            }
            vcpu.setEvents(e);
            vcpu.exit().requestInterruptWindow = false;
        }

        private void post(int events) {
            if ((events & E_NMI) != 0) {
                vcpu.nmi();
            }
            if ((events & E_SMI) != 0) {
                vcpu.smi();
            }
            if (sender == null) {
                vcpu.exit().requestInterruptWindow = (events & E_INTR) != 0;
                return;
            }
            if ((events & E_INTR) != 0) {
                sender.setMsr(0x830, 1L << 32 | 0x4000 | INTR);
            }
            if ((events & E_INIT) != 0) {
                sender.setMsr(0x830, 1L << 32 | 0x4500);
            }
            if ((events & E_SIPI) != 0) {
                sender.setMsr(0x830, 1L << 32 | 0x4600 | SIPI_PAGE >>> 12);
            }
        }

        List<String> run(Case c, String last) {
            List<String> log = new ArrayList<>();
            prepare(c);
            if (c.when == When.BEFORE) {
                post(c.events);
            } else if (c.when == When.IN_SMM) {
                vcpu.smi();
            }
            boolean posted = c.when == When.BEFORE;
            // Who waits for SIPI waits for ever, so signals come meanwhile.
            signalled = last.equals("init");
            for (int exits = 0; exits < 40 || signalled && exits < 10_000; exits++) {
                int errno = vcpu.run(false);
                if (errno == Errno.EINTR.number()) {
                    // Maybe of a signal that was under way when the last case ended.
                    if (vcpu.getMpState() == MpState.INIT_RECEIVED) {
                        log.add("init");
                        return log;
                    }
                    continue;
                }
                if (errno != 0) {
                    log.add("errno " + errno);
                    return log;
                }
                Exit exit = vcpu.exit().value();
                vcpu.getRegs(regs);
                if (exit instanceof Exit.PortOut out && out.port() != IO_PORT) {
                    switch (out.port()) {
                        case LOG_PORT ->
                            log.add((regs.rip - HANDLERS) / 32 + "@"
                                    + Long.toHexString(HostMemory.get64(g.hva + regs.rsp)));
                        case SMM_PORT -> {
                            log.add("smi@" + Long.toHexString(HostMemory.get64(smram + 0xff78)));
                            if (c.when == When.IN_SMM && !posted) {
                                posted = true;
                                post(c.events);
                            }
                        }
                        default -> {
                            log.add(out.port() == END_PORT ? "end" : "sipi");
                            return log;
                        }
                    }
                } else if (exit instanceof Exit.InterruptWindow) {
                    vcpu.exit().requestInterruptWindow = false;
                    vcpu.interrupt(INTR);
                } else if (exit instanceof Exit.Halt) {
                    // Nothing to wait for: a client would come back with an event.
                } else if (c.insn.exits) {
                    if (c.when == When.AT_EXIT && !posted) {
                        posted = true;
                        post(c.events);
                    }
                } else {
                    log.add(exit.toString());
                    return log;
                }
            }
            log.add("never ends");
            return log;
        }

        @Override
        public synchronized void close() {
            closed = true;
            if (sender != null) {
                vcpu.close();
            }
            g.close();
        }
    }

    // ------------------------------------------------------------------ all of them

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void everyEventInEveryWindowIsTakenWhereTheModelTakesIt(boolean irqchip) {
        int stride = Integer.getInteger("slate.events.stride", 7);
        int first = Integer.getInteger("slate.events.first", (int) (System.nanoTime() >>> 10 & 0xffff) % stride);
        int number = 0;
        int run = 0;
        int asleep = 0;
        List<String> wrong = new ArrayList<>();
        try (Machine m = new Machine(irqchip)) {
            for (Insn insn : Insn.values()) {
                for (int shadow : new int[] {0, SHADOW_STI, SHADOW_SS}) {
                    for (int bits = 0; bits < 8; bits++) {
                        for (Begun begun : Begun.values()) {
                            for (When when : When.values()) {
                                for (int events = 0; events < (irqchip ? 32 : 8); events++) {
                                    Case c = new Case(
                                            insn,
                                            shadow,
                                            (bits & 1) != 0,
                                            (bits & 2) != 0,
                                            (bits & 4) != 0,
                                            begun,
                                            when,
                                            events);
                                    if (when == When.AT_EXIT && !insn.exits
                                            || impossible(c)
                                            || number++ % stride != first % stride) {
                                        continue;
                                    }
                                    List<String> right = new Model(c, irqchip, 0).run();
                                    String last = right.getLast();
                                    if (last.equals("sleeps")) {
                                        asleep++;
                                        continue;
                                    }
                                    run++;
                                    List<String> seen = m.run(c, last);
                                    // A client injects when KVM tells it that it may, be there an SMI or NMI or not.
                                    boolean same = seen.equals(right)
                                            || !irqchip
                                                    && (seen.equals(new Model(c, false, 1).run())
                                                            || seen.equals(new Model(c, false, 2).run()));
                                    if (!same && wrong.size() < 20) {
                                        wrong.add(c + ": " + seen + ", not " + right);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
        System.out.println("events in windows" + (irqchip ? ", APIC in the kernel" : "") + ": " + run + " of " + number
                + " cases run (slate.events.first=" + first + "), " + asleep + " of them would sleep for ever");
        assertThat(wrong).isEmpty();
    }

    /** States that no processor can be in: an NMI under delivery is what blocks NMIs. */
    private static boolean impossible(Case c) {
        return c.begun != Begun.NOTHING && (c.shadow != 0 || c.when == When.IN_SMM);
    }
}
