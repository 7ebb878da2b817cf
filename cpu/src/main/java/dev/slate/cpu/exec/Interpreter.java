package dev.slate.cpu.exec;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.decode.Block;

/** Placeholder of the block executor until it lands. */
public final class Interpreter {
    public int current;

    public Interpreter(Cpu cpu) {}

    public int run(Block block, int maxInstructions) {
        return CpuExit.UNIMPLEMENTED;
    }

    public int completeIns(byte[] data, int items) {
        return 0;
    }

    public int gatherOuts(byte[] into, int maxItems) {
        return 0;
    }
}
