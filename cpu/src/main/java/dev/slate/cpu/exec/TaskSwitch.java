package dev.slate.cpu.exec;

import dev.slate.cpu.CpuExit;
import dev.slate.cpu.LeaveGuest;

/** Hardware task switches (SDM 3A 7.3). Not there yet: they leave with {@link CpuExit#UNIMPLEMENTED}. */
final class TaskSwitch {
    private final Operands o;

    TaskSwitch(Operands o, Segments segments) {
        this.o = o;
    }

    /** A switch through a task gate by an event. */
    LeaveGuest toGate(int selector, boolean hasErrorCode, int errorCode) {
        o.cpu.exitByteCount = 0;
        throw o.cpu.leave(CpuExit.UNIMPLEMENTED);
    }
}
