package dev.slate.cpu.translate.x64;

/** Why translated code came back. */
final class Exits {
    /** On at {@link StateBlock#RIP}, for which there was no code at hand. */
    static final int DISPATCH = 0;
    /** The kick word is set; on at the site's rip. */
    static final int KICK = 1;
    /** An access found no entry in the TLB: at the site's rip, whose instruction has not begun. */
    static final int MISS = 2;
    /** The interpreter is to execute the instruction at the site's rip; the site may say where to go on afterwards. */
    static final int INTERPRET = 3;
    /** A branch within the page, to code that may be there by now. */
    static final int LINK = 4;
    /** The vector registers are not in the block. */
    static final int VECTORS = 5;

    /** The host took a page away under an access: {@link StateBlock#ADDRESS} is where in the code. */
    static final int FAULT = 6;

    private Exits() {}
}
