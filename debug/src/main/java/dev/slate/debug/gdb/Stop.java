package dev.slate.debug.gdb;

/**
 * Why the guest stands still.
 *
 * @param signal as gdb numbers signals
 * @param detail what the stop reply says beside the thread ("watch:40000;"), or empty
 * @param note what gdb would not say, for its console; or empty
 */
record Stop(int signal, String detail, String note) {
    static final int SIGINT = 2;
    static final int SIGTRAP = 5;

    static final Stop STEPPED = new Stop(SIGTRAP, "", "");
    static final Stop INTERRUPTED = new Stop(SIGINT, "", "");

    static Stop breakpoint(boolean hardware) {
        return new Stop(SIGTRAP, hardware ? "hwbreak:;" : "swbreak:;", "");
    }

    /** @param onBreakpoint the next instruction has a breakpoint: of the two, gdb names the one that was set first alone */
    static Stop watchpoint(Breakpoints.Point point, boolean onBreakpoint) {
        String kind =
                point.type() == Breakpoints.WRITE ? "watch" : point.type() == Breakpoints.READ ? "rwatch" : "awatch";
        String at = Long.toHexString(point.address());
        String note = onBreakpoint ? kind + "point at 0x" + at + " was hit by the instruction before this one\n" : "";
        return new Stop(SIGTRAP, kind + ":" + at + ";", note);
    }
}
