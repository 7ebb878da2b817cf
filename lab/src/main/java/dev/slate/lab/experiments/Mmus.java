package dev.slate.lab.experiments;

/** The two MMUs, as knob settings. */
enum Mmus {
    TDP("TDP", "tdp=on"),
    SHADOW("shadow", "tdp=off");

    private final String label;
    private final String knob;

    Mmus(String label, String knob) {
        this.label = label;
        this.knob = knob;
    }

    /** As a table shows it. */
    String label() {
        return label;
    }

    /** NAME=VALUE. */
    String knob() {
        return knob;
    }
}
