package dev.slate.cpu.mmu;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuObserver;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.cpu.mem.Scratch;
import org.jspecify.annotations.Nullable;

/**
 * The slow path of every guest memory access: TLB misses, accesses over a page's end, MMIO, stores into decoded code, alignment
 * checks, locked operations at odd addresses. {@link Cpu}'s fast paths come here when their one compare fails.
 *
 * <p>A location is a host address, or the complement of a guest physical address (negative) for MMIO. No byte is stored before every
 * byte of the access is known to be storable.
 */
public final class Access {
    private static final int PAGE = 4096;

    private final Cpu cpu;
    private final Tlb tlb;
    private final Walker walker;

    // Locations of a crossing access's two parts.
    private long low;
    private long high;

    /** 16 bytes for what a wide compare-and-set finds. */
    private @Nullable Scratch found;

    /** The accesses of a processor. */
    public Access(Cpu cpu) {
        this.cpu = cpu;
        this.tlb = cpu.tlb;
        this.walker = cpu.walker;
    }

    /** Loads {@code bytes} (1..8), zero-extended. */
    public long load(int seg, long la, int bytes, int mode) {
        return locate(seg, la, bytes, Tlb.READ, mode);
    }

    /** Loads for a read-modify-write: every byte is proved storable first. */
    public long loadForWrite(int seg, long la, int bytes, int mode) {
        return locate(seg, la, bytes, Tlb.WRITE, mode);
    }

    /** Loads a far pointer in one access: an offset of {@code offsetBytes} (2 or 4) bytes, and the selector above it. */
    public long loadFarPointer(int seg, long la, int offsetBytes, int mode) {
        check(seg, la, offsetBytes);
        check(seg, cpu.wrap(la + offsetBytes), 2);
        return find(la, offsetBytes + 2, Tlb.READ, mode);
    }

    private long locate(int seg, long la, int bytes, int access, int mode) {
        check(seg, la, bytes);
        return find(la, bytes, access, mode);
    }

    private long find(long la, int bytes, int access, int mode) {
        int first = PAGE - ((int) la & PAGE - 1);
        long value;
        if (first >= bytes) {
            long at = translate(la, access, mode);
            value = read(readOnly(at) ? translate(la, Tlb.READ, mode) : at, bytes);
        } else {
            translateBoth(la, first, access, access, mode);
            if (readOnly(low) || readOnly(high)) {
                // What can't be written can be read: only the write is the hypervisor's.
                translateBoth(la, first, readOnly(low) ? Tlb.READ : access, readOnly(high) ? Tlb.READ : access, mode);
            }
            value = read(low, first);
            value |= read(high, bytes - first) << 8 * first;
        }
        accessed(la, bytes, access == Tlb.WRITE);
        tellLoad(la, bytes, value, mode);
        return value;
    }

    /** Whether a write's location is memory that can only be read. */
    private static boolean readOnly(long at) {
        return at < 0 && (~at & Walker.READ_ONLY) != 0;
    }

    private void accessed(long la, int bytes, boolean write) {
        if (cpu.breakpoints.watchesData) {
            cpu.breakpoints.accessed(la, bytes, write);
        }
    }

    /**
     * Loads 16 bytes as two words. MMIO comes in pieces of up to eight bytes; over a page's end in those of the first page, then those of
     * the second.
     */
    public void load128(int seg, long la, long[] to, int index, int mode) {
        int first = PAGE - ((int) la & PAGE - 1);
        if (first >= 16) {
            long word = load(seg, la, 8, mode);
            to[index + 1] = load(seg, cpu.wrap(la + 8), 8, mode);
            to[index] = word;
            return;
        }
        check(seg, la, 8);
        check(seg, cpu.wrap(la + 8), 8);
        translateBoth(la, first, Tlb.READ, Tlb.READ, mode);
        int lowBytes = Math.min(first, 8);
        long a = read(low, lowBytes);
        long b = first > 8 ? read(low < 0 ? low - 8 : low + 8, first - 8) : 0;
        int rest = 16 - first;
        int highBytes = Math.min(rest, 8);
        long c = read(high, highBytes);
        long d = rest > 8 ? read(high < 0 ? high - 8 : high + 8, rest - 8) : 0;
        if (first >= 8) {
            to[index] = a;
            to[index + 1] = first == 8 ? c : b | c << 8 * (first - 8);
        } else {
            to[index] = a | c << 8 * first;
            to[index + 1] = c >>> 64 - 8 * first | d << 8 * first;
        }
        accessed(la, 16, false);
        tellLoad(la, 8, to[index], mode);
        tellLoad(cpu.wrap(la + 8), 8, to[index + 1], mode);
    }

    /** Stores 16 bytes from two words, in the pieces of {@link #load128}. */
    public void store128(int seg, long la, long low64, long high64, int mode) {
        int first = PAGE - ((int) la & PAGE - 1);
        if (first >= 16) {
            probeWrite(seg, la, 16, mode);
            store(seg, la, 8, low64, mode);
            store(seg, cpu.wrap(la + 8), 8, high64, mode);
            return;
        }
        check(seg, la, 8);
        check(seg, cpu.wrap(la + 8), 8);
        accessed(la, 16, true);
        translateBoth(la, first, Tlb.WRITE, Tlb.WRITE, mode);
        int lowBytes = Math.min(first, 8);
        write(low, lowBytes, low64);
        if (first > 8) {
            write(low < 0 ? low - 8 : low + 8, first - 8, high64);
        }
        int rest = 16 - first;
        int shift = 8 * (first & 7);
        long next = first >= 8 ? high64 >>> shift : low64 >>> shift | high64 << 64 - shift;
        write(high, Math.min(rest, 8), next);
        if (rest > 8) {
            write(high < 0 ? high - 8 : high + 8, rest - 8, high64 >>> shift);
        }
        walker.stored(la, first, mode);
        walker.stored(cpu.wrap(la + first), rest, mode);
        tellStore(la, 8, low64, mode);
        tellStore(cpu.wrap(la + 8), 8, high64, mode);
    }

    /** Stores the low {@code bytes} (1..8) of {@code v}. */
    public void store(int seg, long la, int bytes, long v, int mode) {
        check(seg, la, bytes);
        accessed(la, bytes, true);
        int first = PAGE - ((int) la & PAGE - 1);
        if (first >= bytes) {
            write(translate(la, Tlb.WRITE, mode), bytes, v);
            walker.stored(la, bytes, mode);
        } else {
            translateBoth(la, first, Tlb.WRITE, Tlb.WRITE, mode);
            write(low, first, v);
            write(high, bytes - first, v >>> 8 * first);
            walker.stored(la, first, mode);
            walker.stored(cpu.wrap(la + first), bytes - first, mode);
        }
        tellStore(la, bytes, v, mode);
    }

    /** Proves {@code bytes} (at most a page) storable without storing. */
    public void probeWrite(int seg, long la, int bytes, int mode) {
        check(seg, la, bytes);
        int first = PAGE - ((int) la & PAGE - 1);
        if (first >= bytes) {
            translate(la, Tlb.WRITE, mode);
        } else {
            translateBoth(la, first, Tlb.WRITE, Tlb.WRITE, mode);
        }
    }

    /**
     * Stores what a locked comparison found and leaves: no processor makes a locked read without a write. Memory cannot tell; a device, and
     * whoever looks at writes to ROM, can.
     */
    public void storeBack(int seg, long la, int bytes, long v, int mode) {
        int first = Math.min(PAGE - ((int) la & PAGE - 1), bytes);
        if (translate(la, Tlb.WRITE, mode) < 0
                || first < bytes && translate(cpu.wrap(la + first), Tlb.WRITE, mode) < 0) {
            store(seg, la, bytes, v, mode);
        }
    }

    /** Compare-and-set of {@code 1 << sizeLog2} bytes at any alignment; of a device, a write: what was read before is what it held. */
    public boolean cas(int seg, long la, int sizeLog2, long expected, long v, int mode) {
        int bytes = 1 << sizeLog2;
        check(seg, la, bytes);
        accessed(la, bytes, true);
        int first = PAGE - ((int) la & PAGE - 1);
        if (first < bytes) {
            translateBoth(la, first, Tlb.WRITE, Tlb.WRITE, mode);
            if (low >= 0 && high >= 0) {
                needBus();
                long found = read(low, first);
                found |= read(high, bytes - first) << 8 * first;
                if (found != expected) {
                    return false;
                }
            }
            write(low, first, v);
            write(high, bytes - first, v >>> 8 * first);
            walker.stored(la, first, mode);
            walker.stored(cpu.wrap(la + first), bytes - first, mode);
            tellStore(la, bytes, v, mode);
            return true;
        }
        long at = translate(la, Tlb.WRITE, mode);
        boolean done = true;
        if (at < 0) {
            write(at, bytes, v);
        } else {
            done = casHost(at, bytes, expected, v);
            if (done) {
                cpu.storedTo(at, bytes);
            }
        }
        if (done) {
            walker.stored(la, bytes, mode);
            tellStore(la, bytes, v, mode);
        }
        return done;
    }

    /** For what no operation of the host's does at once: the processor must have the memory to itself. */
    private void needBus() {
        if (!cpu.controls.ownsBus) {
            throw cpu.leave(CpuExit.BUS_LOCK);
        }
    }

    private boolean casHost(long hva, int bytes, long expected, long v) {
        if ((hva & bytes - 1) == 0 && bytes >= 4) {
            return bytes == 8 ? HostMemory.cas64(hva, expected, v) : HostMemory.cas32(hva, (int) expected, (int) v);
        }
        int within = (int) hva & 7;
        if (within + bytes <= 8) {
            long word = hva & ~7L;
            int shift = within * 8;
            long mask = (1L << bytes * 8) - 1;
            for (; ; ) {
                long old = HostMemory.getVolatile64(word);
                if ((old >>> shift & mask) != (expected & mask)) {
                    return false;
                }
                if (HostMemory.cas64(word, old, old & ~(mask << shift) | (v & mask) << shift)) {
                    return true;
                }
            }
        }
        if ((hva & 15) + bytes <= 16 && HostMemory.hasCas128()) {
            return casAcross(hva & -16L, within * 8, bytes, expected, v);
        }
        needBus();
        if (readHost(hva, bytes) != expected) {
            return false;
        }
        writeHost(hva, bytes, v);
        return true;
    }

    /** Compare-and-set of bytes from both words of the aligned 16 at {@code hva}, from bit {@code shift} of the low one on. */
    private boolean casAcross(long hva, int shift, int bytes, long expected, long v) {
        long mask = bytes == 8 ? -1L : (1L << bytes * 8) - 1;
        long inLow = mask << shift;
        long inHigh = mask >>> 64 - shift;
        for (; ; ) {
            long low = HostMemory.getVolatile64(hva);
            long high = HostMemory.getVolatile64(hva + 8);
            if (((low >>> shift | high << 64 - shift) & mask) != expected) {
                return false;
            }
            if (HostMemory.cas128(
                    hva,
                    low,
                    high,
                    low & ~inLow | v << shift & inLow,
                    high & ~inHigh | v >>> 64 - shift & inHigh,
                    found())) {
                return true;
            }
        }
    }

    private long found() {
        Scratch s = found;
        if (s == null) {
            s = new Scratch(64);
            found = s;
        }
        return s.hva();
    }

    /** CMPXCHG16B on a 16-byte aligned address; what was found is left in {@code cpu.wide}. */
    public boolean cas128(int seg, long la, long lo, long hi, long newLo, long newHi, int mode) {
        check(seg, la, 16);
        accessed(la, 16, true);
        long at = translate(la, Tlb.WRITE, mode);
        boolean equal;
        if (at >= 0 && HostMemory.hasCas128()) {
            equal = HostMemory.cas128(at, lo, hi, newLo, newHi, found());
            cpu.wide[0] = HostMemory.get64(found());
            cpu.wide[1] = HostMemory.get64(found() + 8);
            if (equal) {
                cpu.storedTo(at, 16);
            }
        } else {
            if (at >= 0) {
                needBus();
            }
            long from = readOnly(at) ? translate(la, Tlb.READ, mode) : at;
            cpu.wide[0] = read(from, 8);
            cpu.wide[1] = read(from < 0 ? from - 8 : from + 8, 8);
            equal = cpu.wide[0] == lo && cpu.wide[1] == hi;
            if (equal || at < 0) {
                write(at, 8, equal ? newLo : cpu.wide[0]);
                write(at < 0 ? at - 8 : at + 8, 8, equal ? newHi : cpu.wide[1]);
            }
        }
        tellLoad(la, 8, cpu.wide[0], mode);
        tellLoad(la + 8, 8, cpu.wide[1], mode);
        if (equal) {
            walker.stored(la, 16, mode);
            tellStore(la, 8, newLo, mode);
            tellStore(la + 8, 8, newHi, mode);
        }
        return equal;
    }

    // ------------------------------------------------------------------

    /** Canonical and alignment checks, in silicon's order: #GP or #SS before #AC before #PF. */
    private void check(int seg, long la, int bytes) {
        if (cpu.mode64) {
            long last = la + bytes - 1;
            if (!cpu.canonical(la) || !cpu.canonical(last)) {
                throw cpu.fault(seg == CpuState.SS ? GuestFault.SS : GuestFault.GP, 0);
            }
        }
        if (cpu.alignmentChecked && (la & bytes - 1) != 0) {
            throw cpu.fault(GuestFault.AC, 0);
        }
    }

    private void tellLoad(long la, int bytes, long value, int mode) {
        CpuObserver observer = cpu.observers.memory;
        if (observer != null) {
            cpu.observers.own = (mode & Tlb.OWN) != 0;
            observer.loaded(la, bytes, value);
        }
    }

    private void tellStore(long la, int bytes, long value, int mode) {
        CpuObserver observer = cpu.observers.memory;
        if (observer != null) {
            cpu.observers.own = (mode & Tlb.OWN) != 0;
            observer.stored(la, bytes, bytes == 8 ? value : value & (1L << 8 * bytes) - 1);
        }
    }

    private long translate(long la, int access, int accessMode) {
        int mode = accessMode & (Tlb.USER | Tlb.SMAP);
        if (tlb.hits(la, 1, access, mode) || access == Tlb.WRITE && tlb.hitsCode(la, 1, mode)) {
            return tlb.hva(la);
        }
        return walker.translate(la, access, mode, true);
    }

    /** Translates both pages of a crossing access into {@link #low} and {@link #high}, neither older than the last call made. */
    private void translateBoth(long la, int first, int lowAccess, int highAccess, int mode) {
        long second = cpu.wrap(la + first);
        for (; ; ) {
            // The lower page first: its fault is the one that silicon reports.
            low = translate(la, lowAccess, mode);
            int before = walker.calls;
            high = translate(second, highAccess, mode);
            if (before == walker.calls || low < 0) {
                return;
            }
            if (high < 0) {
                before = walker.calls;
                low = translate(la, lowAccess, mode);
                if (before == walker.calls || low < 0) {
                    return;
                }
            }
        }
    }

    private long read(long at, int bytes) {
        if (at >= 0) {
            return readHost(at, bytes);
        }
        if (!cpu.hypervisor.mmioRead(~at, bytes)) {
            throw cpu.leave(CpuExit.MMIO);
        }
        return bytes == 8 ? cpu.answer.mmioData : cpu.answer.mmioData & (1L << 8 * bytes) - 1;
    }

    private void write(long at, int bytes, long v) {
        if (at >= 0) {
            writeHost(at, bytes, v);
            cpu.storedTo(at, bytes);
        } else {
            cpu.hypervisor.mmioWrite(~at & ~Walker.READ_ONLY, bytes, v);
        }
    }

    private static long readHost(long hva, int bytes) {
        switch (bytes) {
            case 1:
                return HostMemory.get8(hva);
            case 2:
                return HostMemory.get16(hva);
            case 4:
                return HostMemory.get32(hva) & 0xffff_ffffL;
            case 8:
                return HostMemory.get64(hva);
            default:
                long v = 0;
                for (int i = 0; i < bytes; i++) {
                    v |= (long) HostMemory.get8(hva + i) << 8 * i;
                }
                return v;
        }
    }

    private static void writeHost(long hva, int bytes, long v) {
        switch (bytes) {
            case 1 -> HostMemory.put8(hva, (int) v);
            case 2 -> HostMemory.put16(hva, (int) v);
            case 4 -> HostMemory.put32(hva, (int) v);
            case 8 -> HostMemory.put64(hva, v);
            default -> {
                for (int i = 0; i < bytes; i++) {
                    HostMemory.put8(hva + i, (int) (v >>> 8 * i));
                }
            }
        }
    }
}
