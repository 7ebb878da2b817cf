package dev.slate.cpu.translate.x64;

/** A linear address at which a {@link TranslatedPage} has been seen. */
final class Place {
    final TranslatedPage page;
    /** Linear address of the page. */
    final long linear;
    /** Its record, see {@link PageRecords}. */
    final long record;
    /** The page has been seen at so many others since that this one is forgotten. */
    boolean forgotten;

    Place(TranslatedPage page, long linear, long record) {
        this.page = page;
        this.linear = linear;
        this.record = record;
    }
}
