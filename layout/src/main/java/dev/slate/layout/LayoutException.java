package dev.slate.layout;

/**
 * Input that cannot be read as what it claims to be: names the file, the byte offset where known, and what was wrong there.
 * It is the answer to broken input; a wrong layout never is.
 */
public final class LayoutException extends RuntimeException {
    private static final long serialVersionUID = 1;

    /**
     * @param file the file, as the user named it
     * @param offset the byte offset in the file or section that {@code what} speaks of, or a negative number if there is none
     * @param what what was wrong, and where it helps what to do
     */
    public LayoutException(String file, long offset, String what) {
        super(offset < 0 ? file + ": " + what : file + ": at offset 0x" + Long.toHexString(offset) + ": " + what);
    }

    /** As {@link #LayoutException(String, long, String)} without an offset. */
    public LayoutException(String file, String what) {
        this(file, -1, what);
    }
}
