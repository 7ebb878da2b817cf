package dev.slate.kvm;

/**
 * An exit to the client as a value, for programs that prefer matching to reading {@link VcpuExit}'s fields. Made on demand by
 * {@link VcpuExit#value}; the run loop makes none.
 */
public sealed interface Exit {
    /** The guest executed IN or INS: put {@code count} items of {@code size} bytes to {@link Vcpu#portData} and run on. */
    record PortIn(int port, int size, int count) implements Exit {}

    /** The guest executed OUT or OUTS: the items are at {@link Vcpu#portData}. */
    record PortOut(int port, int size, int count) implements Exit {}

    /** The guest reads where no memory is: put the answer into {@link VcpuExit#mmioData} and run on. */
    record MmioRead(long gpa, int bytes) implements Exit {}

    /** The guest wrote where no memory is. */
    record MmioWrite(long gpa, int bytes, long value) implements Exit {}

    /** The guest executed HLT, and there is no in-kernel interrupt controller to wait for. */
    record Halt() implements Exit {}

    /** A triple fault. */
    record Shutdown() implements Exit {}

    /** A breakpoint or step of {@link Vcpu#setGuestDebug}. */
    record Debug(int vector, long pc, long dr6) implements Exit {}

    /** The guest can take an interrupt now. */
    record InterruptWindow() implements Exit {}

    /** The guest read an MSR that the client had asked for. */
    record ReadMsr(int index, int reason) implements Exit {}

    /** The guest wrote an MSR that the client had asked for. */
    record WriteMsr(int index, long value, int reason) implements Exit {}

    /** Slate can't go on; see {@link VcpuExit#internalData}. */
    record InternalError(int suberror) implements Exit {}

    /** Another reason; see {@link VcpuExit}. */
    record Other(int reason) implements Exit {}
}
