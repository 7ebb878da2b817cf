package dev.slate.lab;

import java.io.IOException;

/** A question about a structure, answered by running its variants side by side on a workload. */
public interface Experiment {
    /** The word that names it on the command line. */
    String name();

    /** Number of the thread that it answers. */
    String seed();

    /** What is asked, in one sentence. */
    String question();

    /**
     * Makes what is to be run; nothing is measured yet. Whoever asked closes it.
     *
     * @throws IOException something that the experiment needs can't be built or read
     */
    Design design(Bench bench) throws IOException, InterruptedException;
}
