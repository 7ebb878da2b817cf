package dev.slate.lab;

/**
 * One run of one variant, which is repeated in every round.
 *
 * @param what is run, for the progress line
 * @param phase how often
 * @param body what is done; gives its measurements to the recording
 */
public record Trial(String what, Phase phase, Body body) {
    /** How often a trial is run. */
    public enum Phase {
        /** In each round, its order among the others turned round by round; warm-up rounds are thrown away. */
        TIMED,
        /** Once, before the rounds: what is counted exactly need not be counted twice. */
        COUNTED
    }

    /** What a trial does. */
    @FunctionalInterface
    public interface Body {
        void run(Recording to) throws Exception;
    }

    public static Trial timed(String what, Body body) {
        return new Trial(what, Phase.TIMED, body);
    }

    public static Trial counted(String what, Body body) {
        return new Trial(what, Phase.COUNTED, body);
    }
}
