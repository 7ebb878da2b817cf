package dev.slate.cli;

import dev.slate.kvm.Knobs;
import dev.slate.kvm.Knobs.Knob;
import java.io.PrintStream;
import picocli.CommandLine.Command;

/** Lists what {@code slate run --set} can set. */
@Command(
        name = "knobs",
        description =
                "Lists the knobs that slate run --set can set: their values (the default first), what they mean, the"
                        + " kernel's module parameter where there is one, and the thread of the kernel's mailing list that a"
                        + " knob stems from (seed).",
        footer = {"", "example: slate knobs"})
final class KnobsCommand implements Runnable {
    @Override
    public void run() {
        PrintStream out = System.out;
        int width = 0;
        for (Knob knob : Knobs.all()) {
            width = Math.max(width, knob.name().length());
        }
        for (Knob knob : Knobs.all()) {
            out.println(knob.name() + " ".repeat(width - knob.name().length() + 2) + values(knob));
            out.println(" ".repeat(width + 2) + knob.meaning());
            if (!knob.parameter().isEmpty()) {
                out.println(" ".repeat(width + 2) + "KVM: " + knob.parameter());
            }
            if (!knob.seed().isEmpty()) {
                out.println(" ".repeat(width + 2) + "seed: " + knob.seed());
            }
        }
    }

    private static String values(Knob knob) {
        return switch (knob.kind()) {
            case SWITCH -> knob.standard().equals("on") ? "on, off" : "off, on";
            case NUMBER -> knob.standard() + ", or a number from " + knob.min() + " to " + knob.max();
            case CHOICE -> {
                StringBuilder text = new StringBuilder(knob.standard());
                for (String choice : knob.choices()) {
                    if (!choice.equals(knob.standard())) {
                        text.append(", ").append(choice);
                    }
                }
                yield text.toString();
            }
        };
    }
}
