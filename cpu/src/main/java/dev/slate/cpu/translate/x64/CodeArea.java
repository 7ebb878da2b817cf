package dev.slate.cpu.translate.x64;

import dev.slate.cpu.mem.ExecutableMemory;

/** A part of the memory for code, filled from its beginning until all of it is given up. */
final class CodeArea {
    private final ExecutableMemory memory;
    /** Where it begins. */
    final long first;

    private final long end;
    private long next;
    /** Up to where code has been written since pages were last given back. */
    private long touched;

    CodeArea(ExecutableMemory memory, long first, long end) {
        this.memory = memory;
        this.first = first;
        this.end = end;
        next = first;
        touched = first;
    }

    /** Where the next code goes. */
    long next() {
        return next;
    }

    /** Bytes that are left. */
    long room() {
        return end - next;
    }

    /** Puts code from {@code from} to {@code to} of a buffer where {@link #next} says; returns that. */
    long add(byte[] buffer, int from, int to) {
        long at = next;
        memory.write(at, buffer, from, to - from);
        next = at + (to - from) + 15 & -16;
        touched = Math.max(touched, next);
        return at;
    }

    /** Bytes that are taken when {@code more} have come. */
    long memory(int more) {
        return touched - first + more;
    }

    /** Gives up all code, and its memory back; nothing of it may run. */
    void clear() {
        next = first;
        if (memory.release(first, touched)) {
            touched = first;
        }
    }
}
