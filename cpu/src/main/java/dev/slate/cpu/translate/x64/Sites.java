package dev.slate.cpu.translate.x64;

import java.util.Arrays;

/** Where translated code may leave, by number: what the translator needs to go on there. */
final class Sites {
    private static final int FIRST = 1024;
    private static final int FIRST_ACCESSES = 256;
    private static final int LARGE = 1 << 16;
    /** Bytes of a site. */
    private static final int SITE_BYTES = 28;

    /** rip of the instruction that the site belongs to. */
    long[] rip = new long[FIRST];
    /** Where to go on once what it left for is done; 0: nowhere, the processor looks for code again. */
    long[] resume = new long[FIRST];
    /** rip at which {@link #resume} goes on. */
    long[] next = new long[FIRST];
    /** Bit 0: the vector registers were loaded. Bit 1: the access was a store. Bits 8-15: its bytes. */
    int[] facts = new int[FIRST];

    private int count;

    /** Those that access memory in code that often runs, and apart from it, each in the order of their code. */
    private final Accesses[] accesses = {new Accesses(), new Accesses()};

    private static final class Accesses {
        int[] site = new int[FIRST_ACCESSES];
        int count;

        void add(int n) {
            if (count == site.length) {
                site = Arrays.copyOf(site, grown(count));
            }
            site[count++] = n;
        }

        void clear() {
            site = new int[FIRST_ACCESSES];
            count = 0;
        }
    }

    /** The room of a table that has grown: twice, and once that would be megabytes for nothing, an eighth more. */
    private static int grown(int room) {
        return room < LARGE ? 2 * room : room + room / 8;
    }

    /** The site of {@link Stubs#arrive}. */
    static final int ARRIVAL = 0;

    // Facts.
    static final int VECTORS = 1;
    static final int WRITE = 2;
    /** A link to another page: {@link #rip} is its target, {@link #resume} and {@link #next} are the places of record and jump. */
    static final int CROSS = 4;
    /** A repeated MOVS. */
    static final int MOVES = 8;
    /** It is of a repeated MOVS or STOS, which goes on where it left. */
    static final int STRING = 64;
    /** Guest RSI is in {@link StateBlock#SPARE} where the host's instruction may fault. */
    static final int RSI_SPARED = 16;

    /**
     * The proof of the page that an instruction goes on in: {@link #rip} is the instruction's, {@link #resume} the page's record, {@link #next}
     * where the code goes on once it is proved.
     */
    static final int STRADDLES = 1 << 17;

    /** A branch that is over already: {@link StateBlock#RIP} is where it has gone. */
    static final int ARRIVED = 128;

    /** The second access of its instruction, whose page may take the place of the first one's in the TLB. */
    static final int AGAIN = 1 << 16;

    /** The access found no memory once: the interpreter may be asked at once. */
    static final int DEVICE = 32;

    Sites() {
        add(0, 0, 0, ARRIVED);
    }

    int add(long rip, long resume, long next, int facts) {
        return add(rip, resume, next, facts, false);
    }

    /** @param apart its code is among what seldom runs */
    int add(long rip, long resume, long next, int facts, boolean apart) {
        int n = count++;
        if (n == this.rip.length) {
            int room = grown(n);
            this.rip = Arrays.copyOf(this.rip, room);
            this.resume = Arrays.copyOf(this.resume, room);
            this.next = Arrays.copyOf(this.next, room);
            this.facts = Arrays.copyOf(this.facts, room);
        }
        this.rip[n] = rip;
        this.resume[n] = resume;
        this.next[n] = next;
        this.facts[n] = facts;
        if (bytes(facts) != 0) {
            accesses[apart ? 1 : 0].add(n);
        }
        return n;
    }

    static int bytes(int facts) {
        return facts >>> 8 & 0xff;
    }

    /** How many there are. */
    int count() {
        return count;
    }

    /** All but the first {@code number} go: those of code that was never placed. */
    void forget(int number) {
        count = number;
        for (Accesses a : accesses) {
            while (a.count > 0 && a.site[a.count - 1] >= number) {
                a.count--;
            }
        }
    }

    /** Number of the one added last. */
    int last() {
        return count - 1;
    }

    /**
     * The access that the host code at {@code address} makes: the last one tried again before it. Accesses are numbered in the order of their
     * code.
     */
    int accessAt(long address, boolean apart) {
        Accesses all = accesses[apart ? 1 : 0];
        int[] access = all.site;
        int from = 0;
        int to = all.count;
        // The first whose code begins beyond the address.
        while (from < to) {
            int middle = from + to >>> 1;
            if (resume[access[middle]] <= address) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        return access[from - 1];
    }

    /** Bytes that the table takes when {@code more} sites have come. */
    long memory(int more) {
        int sites = rip.length;
        while (count + more > sites) {
            sites = grown(sites);
        }
        long room = 0;
        for (Accesses a : accesses) {
            int its = a.site.length;
            while (a.count + more > its) {
                its = grown(its);
            }
            room += its;
        }
        return (long) sites * SITE_BYTES + room * Integer.BYTES;
    }

    void clear() {
        count = 0;
        rip = new long[FIRST];
        resume = new long[FIRST];
        next = new long[FIRST];
        facts = new int[FIRST];
        for (Accesses a : accesses) {
            a.clear();
        }
        add(0, 0, 0, ARRIVED);
    }
}
