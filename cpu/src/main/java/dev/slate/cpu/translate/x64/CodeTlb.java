package dev.slate.cpu.translate.x64;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.mmu.Tlb;
import dev.slate.cpu.mmu.TlbMirror;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Where translated code finds pages: the tables of the state block and, once these have been too small for a while, a larger one behind
 * them. All of it are copies of the processor's TLB.
 */
final class CodeTlb implements TlbMirror {
    /** So often a page takes another's place in the tables before there is a second one. */
    private static final int CONFLICTS = 8192;

    private static final int FEWEST_BITS = 1 << 14;
    private static final int MOST_BITS = 1 << 20;
    /** So many bits there are for a page. */
    private static final int SPARE_BITS = 16;

    private final Cpu cpu;
    private final Tlb tlb;
    private final StateBlock state;
    private @Nullable SecondTlb second;
    private int conflicts;

    /** By a hash of its linear address: whether there may be code of a page. */
    private long[] code = new long[FEWEST_BITS / 64];

    CodeTlb(Cpu cpu, StateBlock state) {
        this.cpu = cpu;
        this.tlb = cpu.tlb;
        this.state = state;
        mappingsChanged();
    }

    /**
     * Copies the processor's entry for {@code la}, which is there.
     *
     * @param stores false: stores may not use it, even if the processor's may
     */
    void copy(int mode, long la, boolean stores) {
        boolean read = tlb.hits(la, 1, Tlb.READ, mode);
        boolean write = stores && tlb.hits(la, 1, Tlb.WRITE, mode);
        boolean global = tlb.isGlobal(la);
        int table = StateBlock.table(mode & 3, cpu.world.number());
        SecondTlb t = second;
        if (t == null) {
            conflicts += state.isTaken(table, la) ? 1 : 0;
        } else if (read) {
            t.fill(table, la, tlb.hva(la), write, global);
        } else {
            t.drop(la);
        }
        state.fill(table, la, tlb.hva(la), read, write, global);
    }

    /** Whether the tables have turned out too small since this was asked last. */
    boolean isShort() {
        if (conflicts < CONFLICTS) {
            return false;
        }
        conflicts = 0;
        return true;
    }

    /** Puts the larger one behind the tables. */
    void grow() {
        second = new SecondTlb();
        state.put64(StateBlock.SECOND, second.address);
    }

    /** Gives it up. */
    void shrink() {
        second = null;
        state.put64(StateBlock.SECOND, 0);
    }

    /** Bytes of the larger one. */
    int bytes() {
        return second != null ? SecondTlb.BYTES : 0;
    }

    /** There is code of the page at {@code linear} from now on. */
    void setCode(long linear) {
        int n = hash(linear);
        code[n >>> 6] |= 1L << n;
    }

    /** There is no code, and will be of so many pages. */
    void holdsNoCode(int pages) {
        int bits = Math.clamp(Integer.highestOneBit(Math.max(pages, 1)) * 2L * SPARE_BITS, FEWEST_BITS, MOST_BITS);
        if (bits / 64 == code.length) {
            Arrays.fill(code, 0);
        } else {
            code = new long[bits / 64];
        }
    }

    /** Bytes of what tells where there may be code. */
    int codeBytes() {
        return code.length * Long.BYTES;
    }

    /** Of how many pages there can be code, so that most others are told from them. */
    int most() {
        return code.length * 64 / SPARE_BITS;
    }

    private int hash(long linear) {
        return (int) ((linear >>> 12) * LongMap.SPREAD >>> 32) & code.length * 64 - 1;
    }

    @Override
    public void flushed(int world, boolean globalToo) {
        SecondTlb t = second;
        // What code has filled from the second one may be global or not.
        state.clearTlb(world, globalToo || t != null);
        if (t != null) {
            t.clear(globalToo);
        }
        mappingsChanged();
    }

    @Override
    public void entered(int world) {
        mappingsChanged();
    }

    @Override
    public void pageFlushed(int world, long la) {
        state.clearTlbPage(world, la);
        if (second != null) {
            second.drop(la);
        }
        mappingsChanged();
    }

    @Override
    public boolean holdsCode(long la) {
        int n = hash(la);
        return (code[n >>> 6] >>> n & 1) != 0;
    }

    @Override
    public void codeProtected(long hvaPage) {
        state.protect(hvaPage);
        if (second != null) {
            second.protect(hvaPage);
        }
    }

    private void mappingsChanged() {
        state.put64(StateBlock.MAPPINGS, tlb.codeStamp());
        state.put64(StateBlock.GLOBAL_MAPPINGS, tlb.globalCodeStamp());
    }
}
