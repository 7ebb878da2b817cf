package dev.slate.debug;

import java.util.Arrays;

/** How often each of some numbers was counted. One thread's. */
final class Tally {
    // Open addressing: the number plus one, 0 where it is free, and its count.
    private long[] slots;
    private long[] counts;
    private int used;

    /** @param capacity slots to begin with, a power of two */
    Tally(int capacity) {
        slots = new long[capacity];
        counts = new long[capacity];
    }

    void clear() {
        Arrays.fill(slots, 0);
        Arrays.fill(counts, 0);
        used = 0;
    }

    /** Counts a number, which is not -1. */
    void add(long number, long times) {
        if (2 * used >= slots.length) {
            grow();
        }
        int i = slot(number);
        if (slots[i] == 0) {
            slots[i] = number + 1;
            used++;
        }
        counts[i] += times;
    }

    long of(long number) {
        return counts[slot(number)];
    }

    /** Where a number is, or would be. */
    private int slot(long number) {
        int mask = slots.length - 1;
        int i = (int) (number * 0x9e37_79b9_7f4a_7c15L >>> 40) & mask;
        while (slots[i] != 0 && slots[i] != number + 1) {
            i = i + 1 & mask;
        }
        return i;
    }

    private void grow() {
        long[] oldSlots = slots;
        long[] oldCounts = counts;
        slots = new long[2 * oldSlots.length];
        counts = new long[slots.length];
        used = 0;
        for (int i = 0; i < oldSlots.length; i++) {
            if (oldSlots[i] != 0) {
                add(oldSlots[i] - 1, oldCounts[i]);
            }
        }
    }

    /** All that were counted, ascending. */
    long[] numbers() {
        long[] numbers = new long[used];
        int n = 0;
        for (long slot : slots) {
            if (slot != 0) {
                numbers[n++] = slot - 1;
            }
        }
        Arrays.sort(numbers);
        return numbers;
    }
}
