package dev.slate.lab;

/** Is told how far a run has come. Called from the thread that runs it. */
public interface Progress extends AutoCloseable {
    /** Nobody looks. */
    Progress NONE = new Progress() {
        @Override
        public void begin(String experiment, int steps) {}

        @Override
        public void step(String what) {}

        @Override
        public void close() {}
    };

    /** An experiment of so many trials starts. */
    void begin(String experiment, int steps);

    /** A trial starts; the one before, if any, has ended. */
    void step(String what);

    /** The experiment has ended. */
    @Override
    void close();
}
