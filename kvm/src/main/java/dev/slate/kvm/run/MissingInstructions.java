package dev.slate.kvm.run;

import dev.slate.cpu.decode.Disassembler;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;

/** Says on standard error which instructions the processor lacks. Thread-safe. */
public final class MissingInstructions {
    // Enough to see which, not enough to fill a disk.
    private static final int MOST_LINES = 20;

    private final AtomicInteger lines = new AtomicInteger();

    /** Nothing said yet. */
    public MissingInstructions() {}

    /** Says it once more, unless much has been said. @param mode {@link dev.slate.cpu.decode.Mode} */
    void say(int vcpuId, long rip, int mode, byte[] bytes, int count) {
        if (lines.getAndIncrement() >= MOST_LINES) {
            return;
        }
        StringBuilder line = new StringBuilder("slate: vCPU ")
                .append(vcpuId)
                .append(": instruction not implemented: ")
                .append(new Disassembler().one(Arrays.copyOf(bytes, count), 0, count, rip, mode))
                .append(" at rip ")
                .append(Long.toHexString(rip))
                .append(" (");
        for (int i = 0; i < count; i++) {
            line.append(i == 0 ? "" : " ").append(Character.forDigit(bytes[i] >> 4 & 15, 16));
            line.append(Character.forDigit(bytes[i] & 15, 16));
        }
        System.err.println(line.append("); KVM_RUN ends with KVM_EXIT_INTERNAL_ERROR"));
    }
}
