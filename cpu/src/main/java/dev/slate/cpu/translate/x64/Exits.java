package dev.slate.cpu.translate.x64;

/** Why translated code came back. */
final class Exits {
    /** A direct branch to another page: the site's link is to be set, or its page proved. */
    static final int CROSS = 0;
    /** The kick word is set; on at the site's rip. */
    static final int KICK = 1;
    /** An access found no entry in the TLB: at the site's rip, whose instruction has not begun. */
    static final int MISS = 2;
    /** The interpreter is to execute the instruction at the site's rip; the site may say where to go on afterwards. */
    static final int INTERPRET = 3;
    /** A branch within the page, to code that was not there when it was made. */
    static final int LINK = 4;
    /** The vector registers are not in the block. */
    static final int VECTORS = 5;

    /** The host took a page away under an access: {@link StateBlock#ADDRESS} is where in the code. */
    static final int FAULT = 6;
    /**
     * An indirect branch to {@link StateBlock#RIP}, which the jump cache lacks or has on a page to be proved: it has not begun, or, with
     * {@link Sites#ARRIVED}, is over.
     */
    static final int LOOK_UP = 7;

    /** INVLPG of {@link StateBlock#ADDRESS}, with which the code goes on behind the site's instruction. */
    static final int INVALIDATE = 8;

    static final int COUNT = 9;

    private Exits() {}
}
