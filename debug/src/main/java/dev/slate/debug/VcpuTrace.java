package dev.slate.debug;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuObserver;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.decode.Disassembler;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.Exit;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.Vcpu;
import org.jspecify.annotations.Nullable;

/** One vCPU's part of a {@link Trace}: steps the processor through the range, and lets it run block by block elsewhere. */
final class VcpuTrace implements RunObserver, CpuObserver {
    /** Accesses of one instruction that are listed: a repeated string instruction makes thousands. */
    private static final int MOST_ACCESSES = 16;

    private static final int MOST_BYTES = 15;
    private static final int TEXT_COLUMN = 44;
    private static final int CHANGES_COLUMN = 80;

    private static final String[] VECTORS = {
        "#DE",
        "#DB",
        "NMI",
        "#BP",
        "#OF",
        "#BR",
        "#UD",
        "#NM",
        "#DF",
        "vector 9",
        "#TS",
        "#NP",
        "#SS",
        "#GP",
        "#PF",
        "vector 15",
        "#MF",
        "#AC",
        "#MC",
        "#XM",
        "#VE",
        "#CP"
    };

    private final Trace trace;
    private final TraceOptions options;
    private final Vcpu vcpu;
    private final String name;
    private final Disassembler disassembler = new Disassembler();
    private final StateChanges changes = new StateChanges();
    private final byte[] bytes = new byte[MOST_BYTES];
    private final StringBuilder line = new StringBuilder();
    /** Lines under the instruction that is running. */
    private final StringBuilder under = new StringBuilder();

    private @Nullable CpuState state;
    private @Nullable LinearMemory memory;
    private int accesses;
    /** The running instruction is logged. */
    private boolean logging;
    /** An instruction left the guest: what it changed is still to be said. */
    private boolean open;
    /** The last instruction was in the range, so its exit is logged. */
    private boolean inside;

    // What the exiting instruction asked for, before its handler overwrites it.
    private long askedRax;
    private long askedRcx;
    private long askedRdx;

    VcpuTrace(Trace trace, Vcpu vcpu, int vm) {
        this.trace = trace;
        this.options = trace.options();
        this.vcpu = vcpu;
        this.name = vm + "." + vcpu.id();
    }

    @Override
    public int run(Cpu cpu, boolean one) {
        for (; ; ) {
            if (trace.over()) {
                finish(cpu);
                return one ? cpu.runOne() : cpu.run();
            }
            if (!one && HostMemory.get32(cpu.kickAddress) != 0) {
                return CpuExit.INTR;
            }
            int code = step(cpu);
            if (one || code != CpuExit.NONE) {
                return code;
            }
        }
    }

    private void finish(Cpu cpu) {
        if (cpu.observers.deliveries != null) {
            closeExit(cpu.s);
            cpu.observers.deliveries = null;
            trace.flush();
        }
    }

    private int step(Cpu cpu) {
        CpuState s = cpu.s;
        state = s;
        cpu.observers.deliveries = this;
        closeExit(s);
        long la = cpu.mode64 ? s.rip : s.segBase[CpuState.CS] + s.rip & 0xffff_ffffL;
        inside = options.contains(la);
        if (!inside) {
            return options.near(la) ? cpu.runOne() : cpu.runBlock();
        }
        LinearMemory m = memory;
        if (m == null) {
            m = new LinearMemory(vcpu.vm(), s, trace.client());
            memory = m;
        }
        int available = m.read(la, bytes, MOST_BYTES);
        String text = available == 0 ? "(no memory)" : disassembler.one(bytes, 0, available, s.rip, cpu.codeMode);
        changes.capture(s);
        line.setLength(0);
        line.append(' ').append(name).append("  ");
        if (cpu.mode64) {
            line.append(String.format("%016x", la));
        } else {
            line.append(String.format("%04x:%08x", s.segSelector[CpuState.CS], s.rip));
        }
        int textAt = line.length();
        line.append("  ").append(text);
        accesses = 0;
        logging = true;
        cpu.observers.memory = options.memory() ? this : null;
        int code = cpu.runOne();
        cpu.observers.memory = null;
        logging = false;
        if (startsAgain(code)) {
            under.setLength(0);
            return code;
        }
        long number = trace.count();
        if (number != 0) {
            write(s, number, textAt, code);
        }
        under.setLength(0);
        return code;
    }

    /** Exits before which nothing of the instruction has happened: it will be logged when it does. */
    private static boolean startsAgain(int code) {
        return code == CpuExit.INTR || code == CpuExit.NPF || code == CpuExit.MMIO || code == CpuExit.IRQ_WINDOW;
    }

    private void write(CpuState s, long number, int textAt, int code) {
        String head = String.format("%10d", number);
        line.insert(0, head);
        pad(textAt + head.length(), TEXT_COLUMN);
        int end = line.length();
        if (code == CpuExit.NONE || code == CpuExit.STOPPED) {
            changes.append(s, line);
        } else {
            open = true;
            askedRax = s.gpr[CpuState.RAX];
            askedRcx = s.gpr[CpuState.RCX];
            askedRdx = s.gpr[CpuState.RDX];
        }
        if (line.length() > end) {
            pad(end, CHANGES_COLUMN);
        }
        line.append('\n').append(under);
        if (accesses > MOST_ACCESSES) {
            begin(line).append("... ").append(accesses - MOST_ACCESSES).append(" more\n");
        }
        trace.write(line);
    }

    /** Fills with blanks at {@code at} so that what follows begins in {@code column}. */
    private void pad(int at, int column) {
        if (at < column) {
            line.insert(at, " ".repeat(column - at));
        }
    }

    /** Starts a line under an instruction. */
    private StringBuilder begin(StringBuilder to) {
        return to.append("           ").append(name).append("    ");
    }

    // ------------------------------------------------------------------ what the processor tells

    @Override
    public void loaded(long la, int size, long value) {
        access("load  ", la, size, value);
    }

    @Override
    public void stored(long la, int size, long value) {
        access("store ", la, size, value);
    }

    private void access(String what, long la, int size, long value) {
        if (accesses++ < MOST_ACCESSES) {
            begin(under).append(what).append(String.format("[%016x] ", la));
            under.append(String.format("%0" + 2 * size + "x", value)).append('\n');
        }
    }

    @Override
    public void delivered(int vector, boolean hasErrorCode, int errorCode) {
        if (!options.exits() || !logging && !trace.running()) {
            return;
        }
        StringBuilder to = logging ? under : line;
        if (!logging) {
            line.setLength(0);
        }
        begin(to).append("event ").append(vector < VECTORS.length ? VECTORS[vector] : "vector " + vector);
        if (hasErrorCode) {
            to.append(" error=").append(Integer.toHexString(errorCode));
        }
        CpuState s = state;
        if (vector == GuestFault.PF && s != null) {
            to.append(" cr2=").append(Long.toHexString(s.cr2));
        }
        to.append('\n');
        if (!logging) {
            trace.write(line);
        }
    }

    // ------------------------------------------------------------------ exits

    @Override
    public void exited(Cpu cpu, int code, int outcome) {
        if (options.exits() && code != CpuExit.NONE && (open || inside && trace.running())) {
            line.setLength(0);
            begin(line).append("exit  ").append(CpuExit.name(code));
            details(cpu, code);
            if (outcome == 0) {
                line.append(" -> client: ");
                describe(vcpu.exit().value());
            } else if (outcome > 0) {
                line.append(" -> KVM_RUN fails with errno ").append(outcome);
            }
            trace.write(line.append('\n'));
        }
        if (outcome >= 0) {
            trace.flush();
        } else {
            closeExit(cpu.s);
        }
    }

    private void details(Cpu cpu, int code) {
        switch (code) {
            case CpuExit.CPUID -> hex(" eax=", (int) askedRax).hex(" ecx=", (int) askedRcx);
            case CpuExit.MSR -> {
                hex(cpu.exit.info == 1 ? " wrmsr ecx=" : " rdmsr ecx=", (int) askedRcx);
                if (cpu.exit.info == 1) {
                    hex(" value=", askedRdx << 32 | askedRax & 0xffff_ffffL);
                }
            }
            case CpuExit.IOIO -> {
                line.append(cpu.io.in ? " in" : " out");
                hex(" port=", cpu.io.port).hex(" size=", cpu.io.size);
                if (!cpu.io.in && !cpu.io.string) {
                    hex(" data=", cpu.io.data & 0xffff_ffffL >>> 32 - 8 * cpu.io.size);
                }
            }
            case CpuExit.DEBUG -> hex(" vector=", cpu.exit.info).hex(" dr6=", cpu.exit.info2);
            default -> {}
        }
    }

    /** What the client is told, in the words of KVM's interface; numbers in hexadecimal, as everywhere in the log. */
    private void describe(Exit exit) {
        switch (exit) {
            case Exit.PortIn(int port, int size, int count) ->
                hex("KVM_EXIT_IO in port=", port).hex(" size=", size).hex(" count=", count);
            case Exit.PortOut(int port, int size, int count) ->
                hex("KVM_EXIT_IO out port=", port).hex(" size=", size).hex(" count=", count);
            case Exit.MmioRead(long gpa, int bytes) ->
                hex("KVM_EXIT_MMIO read phys_addr=", gpa).hex(" len=", bytes);
            case Exit.MmioWrite(long gpa, int bytes, long value) ->
                hex("KVM_EXIT_MMIO write phys_addr=", gpa).hex(" len=", bytes).hex(" data=", value);
            case Exit.Halt() -> line.append("KVM_EXIT_HLT");
            case Exit.Shutdown() -> line.append("KVM_EXIT_SHUTDOWN");
            case Exit.Debug(int vector, long pc, long dr6) ->
                hex("KVM_EXIT_DEBUG exception=", vector).hex(" pc=", pc).hex(" dr6=", dr6);
            case Exit.InterruptWindow() -> line.append("KVM_EXIT_IRQ_WINDOW_OPEN");
            case Exit.ReadMsr(int index, int reason) ->
                hex("KVM_EXIT_X86_RDMSR index=", index).hex(" reason=", reason);
            case Exit.WriteMsr(int index, long value, int reason) ->
                hex("KVM_EXIT_X86_WRMSR index=", index).hex(" data=", value).hex(" reason=", reason);
            case Exit.InternalError(int suberror) -> hex("KVM_EXIT_INTERNAL_ERROR suberror=", suberror);
            case Exit.Other(int reason) -> hex("exit_reason=", reason);
        }
    }

    private VcpuTrace hex(String label, long value) {
        line.append(label).append(Long.toHexString(value));
        return this;
    }

    private VcpuTrace hex(String label, int value) {
        return hex(label, value & 0xffff_ffffL);
    }

    /** After an exit: what its handler or the client has changed. */
    private void closeExit(CpuState s) {
        if (!open) {
            return;
        }
        open = false;
        line.setLength(0);
        begin(line).append("after");
        int end = line.length();
        changes.append(s, line);
        if (line.length() > end) {
            trace.write(line.append('\n'));
        }
    }

    @Override
    public void close() {
        trace.flush();
    }
}
