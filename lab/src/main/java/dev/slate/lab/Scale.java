package dev.slate.lab;

/** How much is run: enough for figures to keep, or enough to see that all works and which way the effect goes. */
public enum Scale {
    FULL,
    QUICK;

    /** One of two amounts. */
    public int of(int full, int quick) {
        return this == FULL ? full : quick;
    }
}
