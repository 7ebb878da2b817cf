package dev.slate.benchmarks;

import dev.slate.kvm.Knobs;
import java.util.HexFormat;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What guests lose when translations go, and when they store beside their code: nanoseconds for each store, or for each round of one
 * invalidation and sixteen pages touched behind it.
 */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Fork(1)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
public class TranslationBenchmark {
    private static final int ROUNDS = 100_000;
    private static final int DATA_BYTES = 2 << 20;

    // The guest counts rounds in EBX, has its data at R8, and reads a port after ROUNDS of them.
    private static final String COUNT = "bb%s".formatted(little(ROUNDS));
    // 16 pages from R8 on:
    // mov %r8,%rdi; mov $16,%ecx; 1: mov (%rdi),%eax; mov %eax,(%rdi); add $4096,%rdi; dec %ecx; jnz 1b
    private static final String TOUCH = "4c89c7 b910000000 8b07 8907 4881c700100000 ffc9 75f1";

    /** What a round is. */
    public enum Round {
        /** A store into a page of data: {@code mov %ebx,(%r8)}. */
        STORE(false, "", "418918"),
        /** A store into the page of the loop, 2 KiB behind it. */
        STORE_BESIDE_CODE(false, "", "891c25 00080100"),
        /** CR3 loaded with what it holds: translations of pages that are not global go. */
        CR3(true, "", "0f20d8 0f22d8" + TOUCH),
        /** Two address spaces in turn, their translations kept: CR4.PCIDE, CR3 with bit 63. */
        PCID(true, "0f20e0 480fbae811 0f22e0", "0f20d8 4883f001 480fbae83f 0f22d8" + TOUCH),
        /** One small page invalidated, while code lies on a large one: {@code invlpg 0x3000(%r8)}. */
        INVLPG(true, "", "410f01b800300000" + TOUCH);

        private final boolean smallPages;
        private final byte[] code;

        Round(boolean smallPages, String before, String round) {
            this.smallPages = smallPages;
            String start = before + COUNT;
            // the round; dec %ebx; jnz back (near, 32 bits); in $0x40,%al; jmp to the count
            String loop = round + "ffcb 0f85" + little(-(bytes(round).length + 8));
            int all = bytes(COUNT + loop).length + 4;
            code = bytes(start + loop + "e440 eb" + "%02x".formatted(-all & 0xff));
        }
    }

    /** The round that is measured. */
    @Param
    @SuppressWarnings("NullAway.Init") // JMH sets it
    public Round round;

    @SuppressWarnings("NullAway.Init") // JMH calls the set-up
    private SmallGuest guest;

    private static String little(int v) {
        return HexFormat.of().toHexDigits(Integer.reverseBytes(v));
    }

    private static byte[] bytes(String hex) {
        return HexFormat.of().parseHex(hex.replace(" ", ""));
    }

    /** Makes the virtual machine. */
    @Setup
    public void create() {
        guest = new SmallGuest(DATA_BYTES, round.code, Knobs.standard(), round.smallPages);
    }

    /** Ends it. */
    @TearDown
    public void close() {
        guest.close();
    }

    /** Rounds. */
    @Benchmark
    @OperationsPerInvocation(ROUNDS)
    public void rounds() {
        guest.runToExit();
    }
}
