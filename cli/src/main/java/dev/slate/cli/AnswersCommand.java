package dev.slate.cli;

import dev.slate.conformance.AnswerSet;
import dev.slate.conformance.AnswerSet.Difference;
import dev.slate.conformance.Answers;
import dev.slate.conformance.ExpectedAnswers;
import dev.slate.conformance.SuiteFormatException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Puts questions to Slate that a real KVM has answered. */
@Command(
        name = "answers",
        description = {
            "Puts some 700 questions to Slate that a real KVM has answered (capabilities, ioctls with good and bad arguments, a new vCPU's"
                    + " state, MSRs, CPUID, small runs) and prints where the answers differ. docs/answers.md lists what is known to differ.",
            "",
            "Exit status: 0 when all differences are known, 1 when one is not, 2 for a wrong option, 3 when the questions could not be asked.",
            ""
        },
        footer = {"", "example: slate conformance answers --all"},
        sortOptions = false)
final class AnswersCommand implements Callable<Integer> {
    @Option(names = "--all", description = "Print the known differences, too.")
    private boolean all;

    @Option(names = "--set", paramLabel = "NAME=VALUE", description = "Set a knob, as slate run does; may be repeated.")
    private List<String> knobs = List.of();

    @Option(
            names = "--update",
            description =
                    "Write what differs now into conformance/answers/expected and docs/answers.md; what has no reason yet gets ?.")
    private boolean update;

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintStream out = System.out;
        PrintStream err = System.err;
        Path home = Main.home();
        Answers answers = new Answers(home);
        ExpectedAnswers expected;
        try {
            expected = ExpectedAnswers.read(answers.expectations());
        } catch (SuiteFormatException e) {
            throw new UserException(String.valueOf(e.getMessage()));
        }
        if (!answers.build(err)) {
            return Main.UNABLE;
        }
        List<String> launcher =
                new ArrayList<>(List.of(home.resolve("slate").toString(), "run", "--quiet", "--set", Answers.KNOB));
        for (String knob : knobs) {
            launcher.add("--set");
            launcher.add(knob);
        }
        List<Difference> differences = new ArrayList<>();
        int questions = 0;
        for (String set : Answers.SETS) {
            Optional<AnswerSet> slate = answers.ask(set, launcher, complaint -> err.println("slate: " + complaint));
            if (slate.isEmpty()) {
                return Main.UNABLE;
            }
            AnswerSet real = answers.real(set);
            questions += real.size();
            differences.addAll(real.compare(slate.get()));
        }
        if (update) {
            expected = expected.accept(differences);
            expected.write(answers.expectations());
            Files.writeString(answers.page(), expected.page());
        }
        return report(out, expected, differences, questions);
    }

    private int report(PrintStream out, ExpectedAnswers expected, List<Difference> differences, int questions) {
        List<Difference> unexpected = expected.unexpected(differences);
        for (Difference d : all ? differences : unexpected) {
            out.println(d.set() + " | " + d.question());
            out.println("    KVM:   " + d.kvm());
            out.println("    Slate: " + d.slate());
        }
        out.println(questions + " questions, " + (questions - differences.size()) + " answered as by the real KVM, "
                + (differences.size() - unexpected.size()) + " known to differ, " + unexpected.size()
                + " not known to");
        List<String> stale = expected.stale(differences);
        if (!stale.isEmpty()) {
            out.println("In conformance/answers/expected, and otherwise here (`--update` writes what is so now):");
            stale.forEach(line -> out.println("  " + line));
        }
        return unexpected.isEmpty() ? 0 : Main.FOUND_DIFFERENCES;
    }
}
