package dev.slate.cpu;

/** Debug traps between the instruction that makes them and the boundary that takes them. */
public final class DebugState {
    /** DR6 bits of traps that wait for the instruction boundary. */
    public long pending;

    /** The running instruction took TF away before its trap: a gate or a task switch (SDM 3B 18.3.1.4). Cleared by the run loop. */
    public boolean stepDone;

    DebugState() {}
}
