package dev.slate.lab.lines;

/**
 * Distinct cache lines of 64 bytes that were touched between two exits, added up over all of them.
 *
 * @param exits how often the boundary was reached
 * @param spte of page tables that the processor walks: all of them
 * @param walked those of {@code spte} that the processor's walks touched
 * @param rmap of rmap heads and {@code pte_list_desc}
 * @param slot of memslots and the arrays they are found in
 * @param slots distinct memslots that were looked at
 */
public record Lines(long exits, long spte, long walked, long rmap, long slot, long slots) {
    /** A total per exit; 0 when there was none. */
    public double perExit(long lines) {
        return exits == 0 ? 0 : (double) lines / exits;
    }
}
