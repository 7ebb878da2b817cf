package dev.slate.cpu.translate.x64;

/**
 * Where guest code returns to, as far as it was called by code without a look at the world since: on the host's stack, for each call its return
 * address in the guest, and the host's, which the host's own RET goes to as its processor expects. What returns to another rip looks for the
 * code there; so does all that returns once code has been left or anything has been after which a page is to be proved again, since these
 * forget what was there. In between, the caller's page, which was proved when it called, stands where it did.
 *
 * <p>A call's code goes on behind it with RAX the rip. At the bottom is an entry that leads to code which looks for rip 0.
 */
final class Returns {
    /** Of an entry: the host's address, and behind it the guest's. */
    static final int ENTRY = 16;

    static final int RIP = 8;

    /** For all of them, from an address that is a multiple of it downwards; when there is no more room, all are forgotten. */
    static final int BYTES = 1024;

    private Returns() {}
}
