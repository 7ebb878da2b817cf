package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RCX;

import java.util.Arrays;

/** What was not worth a place between instructions, or between blocks: ways out, which stand apart from all that runs often. */
final class OutOfLine {
    private static final int MISS = 0;
    private static final int INTERPRET = 1;
    private static final int KICK = 2;
    private static final int EDGE = 3;
    private static final int CROSS = 4;
    private static final int VECTORS = 5;
    private static final int PROVE = 6;
    private static final int LOOK_UP = 7;
    private static final int PROVE_ENTRY = 8;
    private static final int MISS_AGAIN = 9;
    private static final int LINK = 10;
    private static final int APART = 11;
    private static final int ALSO = 12;
    private static final int ELSEWHERE = 13;
    private static final int RETURN = 14;
    private static final int FULL = 15;

    private final Emission code;

    private int[] what = new int[256];
    private int[] place = new int[256];
    private long[] target = new long[256];
    private int[] detail = new int[256];
    private int count;
    /** How many are listed by part, or have been emitted behind these. */
    private int listed;
    /** The next one. */
    private int done;

    /** By part: how many there are with its own. */
    private final int[] partEnd = new int[Parts.MOST];

    OutOfLine(Emission code) {
        this.code = code;
    }

    private void add(int kind, int jumpPlace, long address, int more) {
        if (count == what.length) {
            what = Arrays.copyOf(what, count * 2);
            place = Arrays.copyOf(place, count * 2);
            target = Arrays.copyOf(target, count * 2);
            detail = Arrays.copyOf(detail, count * 2);
        }
        what[count] = kind;
        place[count] = jumpPlace;
        target[count] = address;
        detail[count++] = more;
    }

    /** {@code access} is {@link Emission#READ} or {@link Emission#WRITE}. */
    void miss(int jumpPlace, int access, int site) {
        add(MISS, jumpPlace, access, site);
    }

    /** The same for an access whose instruction has made one before, whose page may have this one's place in the TLB: it keeps that. */
    void missAgain(int jumpPlace, int site, long back) {
        add(MISS_AGAIN, jumpPlace, back, site);
    }

    void interpret(int jumpPlace, int site) {
        add(INTERPRET, jumpPlace, 0, site);
    }

    void kick(int jumpPlace, int site, boolean saveFlags) {
        add(KICK, jumpPlace, saveFlags ? 1 : 0, site);
    }

    /** A jump to elsewhere on the page, where no code is yet. @param state {@link Parts} bits */
    void edge(int jumpPlace, long targetRip, int state) {
        add(EDGE, jumpPlace, targetRip, state);
    }

    void cross(int jumpPlace, long targetRip, boolean saveFlags) {
        add(CROSS, jumpPlace, targetRip, saveFlags ? 1 : 0);
    }

    /** The link of {@code site} was set for another place than RAX. @param back where that goes on which it calls; 0: it is a jump */
    void elsewhere(int jumpPlace, int site, long back) {
        add(ELSEWHERE, jumpPlace, back, site);
    }

    /** A return to the rip in RAX that is not where {@link Returns} lead; {@code bytes} go from the guest's stack. */
    void returnTo(int jumpPlace, int site, int bytes) {
        add(RETURN, jumpPlace, bytes, site);
    }

    /** There is no more room for {@link Returns}. */
    void full(int jumpPlace, long back) {
        add(FULL, jumpPlace, back, 0);
    }

    /** To prove the page of the record in RCX, for the link of {@code site}. */
    void prove(int jumpPlace, int site, long back) {
        add(PROVE, jumpPlace, back, site);
    }

    /**
     * The block's instructions from {@code first} on, one by one ({@link Emission#oneByOne}), before it goes on at {@code back}, where flags are as
     * they are now.
     */
    void apart(int jumpPlace, int first, int number, long back) {
        add(APART, jumpPlace, back, first << 16 | number << 3 | code.state());
    }

    /** Leads to where the way out added next does. */
    void also(int jumpPlace) {
        add(ALSO, jumpPlace, 0, 0);
    }

    /** The link of {@code site} is to be set. */
    void link(int jumpPlace, int site) {
        add(LINK, jumpPlace, 0, site);
    }

    /** The jump cache lacks the target in RAX. */
    void lookUp(int jumpPlace, int site, long back) {
        add(LOOK_UP, jumpPlace, back, site);
    }

    /** To prove the page of the jump cache's entry at RCX. */
    void proveEntry(int jumpPlace, int site, long back) {
        add(PROVE_ENTRY, jumpPlace, back, site);
    }

    /** The vector registers are to be loaded, over which the flags in EFLAGS must be kept or need not. */
    void vectors(int jumpPlace, long back, boolean keepFlags) {
        add(VECTORS, jumpPlace, back, keepFlags ? 1 : 0);
    }

    /** Forgets those that have been added. */
    void clear() {
        count = 0;
        listed = 0;
        done = 0;
    }

    /** From here on what is added belongs to another part of the code. */
    void endPart(int part) {
        partEnd[part] = count;
        listed = count;
    }

    /** Emits those of a part, and what they add themselves. */
    void emit(int part) {
        done = part == 0 ? 0 : partEnd[part - 1];
        emitTo(partEnd[part]);
        for (done = listed; done < count; ) {
            emitTo(count);
        }
        listed = count;
    }

    /** Whether the jump can go straight to what has become a part of the same code, and does. */
    private boolean leadsToPart(int i) {
        int part = code.parts.at(target[i]);
        if (part < 0 || !code.parts.takes(part, detail[i])) {
            return false;
        }
        code.bindTo(place[i], code.parts.begin(part));
        return true;
    }

    /** Emits those before {@code number} that have not been. */
    private void emitTo(int number) {
        Assembler a = code.a;
        Stubs stubs = code.stubs;
        Sites sites = code.sites;
        for (; done < number; done++) {
            int i = done;
            if (what[i] == EDGE && leadsToPart(i)) {
                continue;
            }
            a.bind(place[i]);
            switch (what[i]) {
                case MISS -> {
                    a.arithmeticIndexed(Assembler.ADD, RCX, R15, RAX, code.tlb + (int) target[i]);
                    a.movConstant(RAX, detail[i]);
                    a.call(stubs.tlb.second[StateBlock.table(code.page.mode)][target[i] == Emission.WRITE ? 1 : 0]);
                    a.jump(sites.resume(detail[i]));
                }
                case MISS_AGAIN -> {
                    boolean write = (sites.facts[detail[i]] & Sites.WRITE) != 0;
                    a.arithmeticIndexed(
                            Assembler.ADD, RCX, R15, RAX, code.tlb + (write ? Emission.WRITE : Emission.READ));
                    a.mov32(RAX, RCX);
                    a.arithmeticConstant32(Assembler.AND, RAX, 4095);
                    a.arithmeticConstant32(Assembler.CMP, RAX, 4096 - Sites.bytes(sites.facts[detail[i]]));
                    int crosses = a.jumpForwardIf(Assembler.A);
                    a.movConstant(RAX, detail[i]);
                    a.call(stubs.tlb.onlyOnce[StateBlock.table(code.page.mode)][write ? 1 : 0]);
                    a.jump(target[i]);
                    a.bind(crosses);
                    a.movConstant(RAX, detail[i]);
                    a.jump(stubs.miss);
                }
                case INTERPRET -> {
                    a.movConstant(RAX, detail[i]);
                    a.jump(stubs.interpret);
                }
                case KICK -> {
                    if (target[i] != 0) {
                        code.storeFlags();
                    }
                    a.movConstant(RAX, detail[i]);
                    a.jump(stubs.kick);
                }
                case EDGE -> {
                    boolean here = (detail[i] & Parts.SAVED) == 0;
                    code.page.await((int) target[i] & 4095, a.address(place[i]), here);
                    if (here) {
                        code.storeFlags();
                    }
                    a.movConstant(RAX, sites.add(code.counted(target[i]), code.movable()));
                    a.jump(stubs.link);
                }
                case CROSS -> {
                    if (detail[i] != 0) {
                        code.storeFlags();
                    }
                    code.crossJump(target[i]);
                }
                case ELSEWHERE -> {
                    int offset = (int) sites.rip(detail[i], 0) & 4095;
                    if (offset != 0) {
                        a.lea(RAX, RAX, offset);
                    }
                    a.store32Constant(R15, StateBlock.SITE, detail[i]);
                    if (target[i] != 0) {
                        a.call(stubs.elsewhere);
                        a.jump(target[i]);
                    } else {
                        a.jump(stubs.elsewhere);
                    }
                }
                case RETURN -> {
                    a.store32Constant(R15, StateBlock.SITE, detail[i]);
                    a.movConstant(RCX, target[i]);
                    a.jump(stubs.returnTo);
                }
                case FULL -> {
                    code.forgetReturns();
                    a.jump(target[i]);
                }
                case PROVE -> {
                    a.store32Constant(R15, StateBlock.SITE, detail[i]);
                    a.call(stubs.prove);
                    a.jump(target[i]);
                }
                case APART -> {
                    code.flagsSaved = true;
                    code.flagsHere = false;
                    code.vectorsLoaded = (detail[i] & Parts.VECTORS) != 0;
                    code.oneByOne(detail[i] >>> 16, detail[i] >>> 3 & 0x1fff);
                    if (code.state() != (detail[i] & 7)) {
                        throw new IllegalStateException("flags go elsewhere when instructions stand apart");
                    }
                    a.jump(target[i]);
                }
                case ALSO -> {}
                case LINK -> {
                    a.movConstant(RAX, detail[i]);
                    a.jump(stubs.cross);
                }
                case LOOK_UP -> {
                    a.store32Constant(R15, StateBlock.SITE, detail[i]);
                    a.call(stubs.lookUp);
                    a.jump(target[i]);
                }
                case PROVE_ENTRY -> {
                    a.store32Constant(R15, StateBlock.SITE, detail[i]);
                    a.call(stubs.proveEntry);
                    a.jump(target[i]);
                }
                default -> {
                    if (detail[i] == 0) {
                        a.movConstant(RCX, target[i]);
                        a.store(R15, StateBlock.TARGET, RCX);
                        a.jump(stubs.vectors);
                    } else {
                        code.storeFlags();
                        int behind = a.leaForward(RCX);
                        a.store(R15, StateBlock.TARGET, RCX);
                        a.jump(stubs.vectors);
                        a.bind(behind);
                        code.loadFlags();
                        a.jump(target[i]);
                    }
                }
            }
        }
    }
}
