package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;

/** Placeholder of event delivery until it lands. */
public final class Events {
    public Events(Cpu cpu) {}

    public int deliver(int vector, int errorCode) {
        return CpuExit.SHUTDOWN;
    }

    public int inject(int vector, boolean hasErrorCode, int errorCode, boolean software, int instructionLength) {
        return CpuExit.SHUTDOWN;
    }
}
