package dev.slate.debug.gdb;

/**
 * Why the guest stands still.
 *
 * @param signal as gdb numbers signals
 * @param detail what the stop reply says beside the thread ("watch:40000;"), or empty
 */
record Stop(int signal, String detail) {
    static final int SIGINT = 2;
    static final int SIGTRAP = 5;

    static final Stop STEPPED = new Stop(SIGTRAP, "");
    static final Stop INTERRUPTED = new Stop(SIGINT, "");

    static Stop breakpoint(boolean hardware) {
        return new Stop(SIGTRAP, hardware ? "hwbreak:;" : "swbreak:;");
    }

    static Stop watchpoint(Breakpoints.Point point) {
        String kind =
                point.type() == Breakpoints.WRITE ? "watch" : point.type() == Breakpoints.READ ? "rwatch" : "awatch";
        return new Stop(SIGTRAP, kind + ":" + Long.toHexString(point.address()) + ";");
    }
}
