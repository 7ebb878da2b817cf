package dev.slate.cpu;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Decoder;
import dev.slate.cpu.exec.QuickOp;
import dev.slate.cpu.mem.CodeLines;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import org.jspecify.annotations.Nullable;

/**
 * Decoded code of one processor: the jump cache by rip over the block table by host address.
 *
 * <p>Invariant (docs/decisions/0023): a block runs only if, since the last serializing event and since the last store of this processor
 * into a line of 64 bytes with decoded code, its bytes were seen to be those in memory, and only while its lines are marked. Stores are
 * caught because a page with marked lines never has a plain write entry in the TLB ({@link dev.slate.cpu.mmu.Tlb#CODE}); blocks and
 * lines are keyed by host address, so every virtual page over one frame shares them.
 */
final class CodeCache {
    private static final int JUMPS = 4096;
    private static final int BLOCKS = 4096;
    /** What a kernel with its programs needs; the table grows as far when blocks push each other out. */
    private static final int MOST_BLOCKS = 64 << 10;

    /** How many blocks of one place in the table can be kept. */
    private static final int WAYS = 4;

    private static final int PAGE = 4096;

    private final Cpu cpu;
    private @Nullable Decoder decoder;
    private @Nullable Block[] jumps = new Block[1];
    private @Nullable Block[] blocks = new Block[1];
    /** Blocks that others took the place of, since the table grew. */
    private int replaced;

    private @Nullable Scratch fetchBuffer;

    /** Where the code of blocks proved in this epoch lies. */
    final CodeLines lines = new CodeLines();

    CodeCache(Cpu cpu) {
        this.cpu = cpu;
    }

    /** The block at rip, proved current. Throws the fetch's faults. */
    Block find(long rip) {
        Block b = hit(rip);
        return b != null ? b : findSlow(rip);
    }

    /** The block at rip when the jump cache has it, proved current; else null. */
    @Nullable
    Block hit(long rip) {
        Block[] j = jumps;
        Block b = j[jump(rip) & j.length - 1];
        return b != null && b.rip == rip && b.generation == cpu.generation ? b : null;
    }

    /** Pages must not meet: what crosses from one to the next always begins in a page's last bytes. */
    private static int jump(long rip) {
        int low = (int) rip;
        return low >>> 12 ^ low;
    }

    private Block findSlow(long rip) {
        if (jumps.length == 1) {
            jumps = new Block[JUMPS];
            blocks = new Block[BLOCKS];
        }
        CpuState s = cpu.s;
        long la = rip;
        long room = PAGE;
        if (!cpu.mode64) {
            room = (s.segLimit[CpuState.CS] & 0xffff_ffffL) - (rip & 0xffff_ffffL) + 1;
            if (room <= 0) {
                throw cpu.fault(GuestFault.GP, 0);
            }
            la = cpu.wrap(s.segBase[CpuState.CS] + rip);
        }
        long hva = cpu.fetchAddress(la);
        int mode = cpu.codeMode;
        int jump = jump(rip) & JUMPS - 1;
        Block last = jumps[jump];
        if (last != null && (last.rip != rip || last.mode != mode)) {
            last = null;
        }
        Block b = last != null && last.hva == hva ? last : kept(hva, mode);
        if (b == null || b.byteLength > room || b.epoch != cpu.codeEpoch && !b.isCurrent()) {
            // A block that crosses pages has no one host address. It stands in the jump cache alone, and is compared
            // whenever the generation has moved on, as every serializing event and store into code does.
            Block crossing = last != null && last.hva == 0 && last.crosses(hva) ? last : null;
            b = decode(la, hva, mode, room, crossing);
            if (b != crossing) {
                QuickOp.quicken(b.code, b.count, mode);
            }
            if (b.hva != 0) {
                keep(b, place(hva, mode));
            }
        }
        if (b.epoch != cpu.codeEpoch) {
            b.epoch = cpu.codeEpoch;
            if (b.hva != 0) {
                // A store may have taken the marks.
                mark(b.hva, b.byteLength);
            }
        }
        b.rip = rip;
        b.generation = cpu.generation;
        jumps[jump] = b;
        return b;
    }

    /** The first of the {@link #WAYS} places where the table may have a block. */
    private int place(long hva, int mode) {
        return (int) ((hva * 4 + mode) * 0x9e37_79b9_7f4a_7c15L >>> 40) & blocks.length - WAYS;
    }

    private @Nullable Block kept(long hva, int mode) {
        int place = place(hva, mode);
        for (int k = place; k < place + WAYS; k++) {
            Block b = blocks[k];
            if (b != null && b.hva == hva && b.mode == mode) {
                return b;
            }
        }
        return null;
    }

    /** See {@link TranslatorCalls#ahead}. */
    @Nullable
    Block ahead(long rip, long hva, int heat) {
        Block b = kept(hva, cpu.codeMode);
        if (b != null && b.heat >= heat && proves(b)) {
            return b;
        }
        if (heat != 0 || b != null && b.isCurrent()) {
            return null;
        }
        b = java.util.Objects.requireNonNull(decoder).decode(hva, PAGE - ((int) hva & PAGE - 1), cpu.codeMode);
        if (b != null) {
            QuickOp.quicken(b.code, b.count, cpu.codeMode);
            b.rip = rip;
            keep(b, place(hva, cpu.codeMode));
            mark(hva, b.byteLength);
        }
        return b;
    }

    /** Keeps a block in place of the one of its address and mode, or of the one that came first. */
    private void keep(Block b, int place) {
        int last = place;
        while (last < place + WAYS - 1 && !isOf(blocks[last], b)) {
            last++;
        }
        Block gone = blocks[last];
        System.arraycopy(blocks, place, blocks, place + 1, last - place);
        blocks[place] = b;
        if (gone != null && !isOf(gone, b) && ++replaced > blocks.length / 8 && blocks.length < MOST_BLOCKS) {
            replaced = 0;
            @Nullable Block[] old = blocks;
            blocks = new Block[2 * old.length];
            for (int i = old.length - 1; i >= 0; i--) {
                Block o = old[i];
                if (o != null) {
                    keep(o, place(o.hva, o.mode));
                }
            }
        }
    }

    private static boolean isOf(@Nullable Block other, Block b) {
        return other != null && other.hva == b.hva && other.mode == b.mode;
    }

    /**
     * @param toLimit bytes up to the code segment's limit
     * @param crossing a block that crossed to the next page here; returned when it still does
     */
    private Block decode(long la, long hva, int mode, long toLimit, @Nullable Block crossing) {
        Decoder d = decoder;
        if (d == null) {
            d = new Decoder(cpu.features);
            decoder = d;
        }
        int available = PAGE - ((int) hva & PAGE - 1);
        Block b = crossing == null ? d.decode(hva, (int) Math.min(available, toLimit), mode) : null;
        if (b != null) {
            return b;
        }
        if (toLimit <= available) {
            // The instruction goes on beyond the code segment's limit.
            throw cpu.fault(GuestFault.GP, 0);
        }
        // It goes on in the next page, which may be anywhere, or absent.
        Scratch buffer = fetchBuffer;
        if (buffer == null) {
            buffer = new Scratch(64);
            fetchBuffer = buffer;
        }
        long to = buffer.hva();
        int calls = cpu.walker.calls;
        long next = cpu.fetchAddress(cpu.wrap(la + available));
        if (calls != cpu.walker.calls) {
            // The call may have moved the first page. (Were the second moved by this, the next entry would fetch again;
            // no call is made for a page that has just been fetched from.)
            hva = cpu.fetchAddress(la);
        }
        HostMemory.copy(hva, to, available);
        HostMemory.copy(next, to + available, Decoder.MAX_LENGTH);
        if (crossing == null) {
            b = d.decodeOne(to, available + Decoder.MAX_LENGTH, mode);
        } else if (crossing.isAt(to)) {
            b = crossing;
        } else {
            return decode(la, hva, mode, toLimit, null);
        }
        if (b.byteLength > toLimit) {
            throw cpu.fault(GuestFault.GP, 0);
        }
        mark(hva, available);
        mark(next, b.byteLength - available);
        return b;
    }

    /** See {@link TranslatorCalls#proves}; the lines of what is proved are marked. */
    boolean proves(Block b) {
        if (!b.isCurrent()) {
            return false;
        }
        mark(b.hva, b.byteLength);
        return true;
    }

    private void mark(long hva, int bytes) {
        if (lines.mark(hva, bytes)) {
            cpu.tlb.protectCode(hva & -PAGE);
        }
    }

    /** What a store of {@code bytes} bytes at {@code hva}, all on one page, does to code: whether it was code that changed. */
    boolean stored(long hva, int bytes) {
        if (!lines.hit(hva, bytes)) {
            return false;
        }
        lines.unmark(hva, bytes);
        return true;
    }
}
