package dev.slate.cpu.translate.x64;

import java.util.Arrays;

/** Where translated code may leave, by number: what the translator needs to go on there. Where code lies is kept by how far it is from {@code base}. */
final class Sites {
    private static final int FIRST = 1024;
    private static final int FIRST_ACCESSES = 256;
    private static final int LARGE = 1 << 16;
    /** Bytes of a site. */
    private static final int SITE_BYTES = 20;

    private final long base;

    /** rip of the instruction that the site belongs to. */
    private long[] rip = new long[FIRST];
    /** Where to go on once what it left for is done; 0: nowhere, the processor looks for code again. */
    private int[] resume = new int[FIRST];
    /** How far behind {@link #rip} that goes on; of a link where its jump's distance stands. */
    private int[] next = new int[FIRST];
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
    /**
     * A link to another page: {@link #rip} is its target, {@link #record} and {@link #jump} are where its record and its jump's distance stand. Where
     * it leaves, {@link StateBlock#PLACE} is that of the other page.
     */
    static final int CROSS = 4;
    /** A repeated MOVS. */
    static final int MOVES = 8;
    /** It is of a repeated MOVS or STOS, which goes on where it left. */
    static final int STRING = 64;
    /** Guest RSI is in {@link StateBlock#SPARE} where the host's instruction may fault. */
    static final int RSI_SPARED = 16;

    /**
     * The proof of the page that an instruction goes on in: {@link #rip} is the instruction's, {@link #record} where the page's record stands,
     * {@link #jump} where the code goes on once it is proved.
     */
    static final int STRADDLES = 1 << 17;

    /** A branch that is over already: {@link StateBlock#RIP} is where it has gone. */
    static final int ARRIVED = 128;

    /** The second access of its instruction, whose page may take the place of the first one's in the TLB. */
    static final int AGAIN = 1 << 16;

    /** The site is of movable code: its {@code rip} is counted from {@link StateBlock#PLACE}. */
    static final int MOVABLE = 1 << 18;

    /** The access found no memory once: the interpreter may be asked at once. */
    static final int DEVICE = 32;

    /** @param base an address before all code, less than 2 GiB from its end */
    Sites(long base) {
        this.base = base;
        add(0, 0, 0, ARRIVED, false);
    }

    /** One that goes nowhere. */
    int add(long rip, int facts) {
        return add(rip, 0, 0, facts, false);
    }

    /** A link, for {@link #link}. */
    int addLink(long rip, int facts) {
        return add(rip, 0, 0, facts | CROSS, false);
    }

    /**
     * One more.
     *
     * @param rip of its instruction, counted from {@link StateBlock#PLACE} with {@link #MOVABLE}
     * @param resume where to go on, or 0
     * @param next how far behind rip that is
     * @param apart its code is among what seldom runs
     */
    int add(long rip, long resume, int next, int facts, boolean apart) {
        int n = count++;
        if (n == this.rip.length) {
            int room = grown(n);
            this.rip = Arrays.copyOf(this.rip, room);
            this.resume = Arrays.copyOf(this.resume, room);
            this.next = Arrays.copyOf(this.next, room);
            this.facts = Arrays.copyOf(this.facts, room);
        }
        this.rip[n] = rip;
        this.resume[n] = fromBase(resume);
        this.next[n] = next;
        this.facts[n] = facts;
        if (bytes(facts) != 0) {
            accesses[apart ? 1 : 0].add(n);
        }
        return n;
    }

    private int fromBase(long address) {
        return address != 0 ? (int) (address - base) : 0;
    }

    /** rip of a site's instruction, or where a link leads, when the page of the code at hand lies at {@code place}. */
    long rip(int site, long place) {
        return (facts[site] & MOVABLE) != 0 ? place + rip[site] : rip[site];
    }

    /** Where code goes on once what it left for is done; 0: nowhere. */
    long resume(int site) {
        return resume[site] != 0 ? base + resume[site] : 0;
    }

    /** It does so at {@code address}. */
    void resume(int site, long address) {
        resume[site] = fromBase(address);
    }

    /** The rip that it does so at. */
    long next(int site, long place) {
        return rip(site, place) + next[site];
    }

    /** Sets a link's {@link #record} and {@link #jump}. */
    void link(int site, long record, long jump) {
        resume[site] = fromBase(record);
        next[site] = fromBase(jump);
    }

    /** Address of a link's record. */
    long record(int site) {
        return base + resume[site];
    }

    /** Address of the distance of a link's jump; with {@link #STRADDLES} where code goes on. */
    long jump(int site) {
        return base + next[site];
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
            if (base + resume[access[middle]] <= address) {
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
        resume = new int[FIRST];
        next = new int[FIRST];
        facts = new int[FIRST];
        for (Accesses a : accesses) {
            a.clear();
        }
        add(0, 0, 0, ARRIVED, false);
    }
}
