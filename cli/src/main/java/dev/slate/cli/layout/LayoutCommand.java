package dev.slate.cli.layout;

import dev.slate.layout.LayoutException;
import dev.slate.layout.elf.Trouble;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.concurrent.Callable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** Structure layouts: what pahole, size and bloat-o-meter tell, and what their users wished for. */
@Command(
        name = "layout",
        description = "Shows, compares, draws, packs and locks the layouts of C, C++, Rust and Java structures.",
        footer = {
            "",
            "A FILE is an ELF file, archive or kernel module with BTF or DWARF, a .dwo or .dwp, a vmlinuz, raw BTF, or"
                    + " jvm:CLASSPATH.",
            "A TYPE is T, ns::T, Outer::T, pkg.T, or file.c:T where several files have a T.",
            "",
            "example: slate layout show kvm_vcpu --base vmlinux kvm.ko"
        },
        subcommands = {
            ShowCommand.class,
            DiffCommand.class,
            DensityCommand.class,
            PackCommand.class,
            SizeCommand.class,
            BloatCommand.class,
            CheckCommand.class,
            HeatCommand.class
        },
        synopsisSubcommandLabel = "COMMAND")
public final class LayoutCommand implements Runnable {
    /** Something was found: a difference where none should be, a type that is not there. */
    static final int FOUND = 1;

    /** The command line could not be understood. */
    static final int USAGE = 2;

    /** A file could not be read. */
    static final int UNABLE = 3;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli sets it
    private CommandSpec spec;

    /** Made by picocli. */
    public LayoutCommand() {}

    @Override
    public void run() {
        throw new CommandLine.ParameterException(
                spec.commandLine(), "say what to do: show, diff, density, pack, size, bloat or check");
    }

    /** Runs a command's work and turns what can go wrong outside into one line and an exit status. */
    static int guarded(Callable<Integer> work) {
        try {
            return work.call();
        } catch (LayoutException e) {
            System.err.println("slate: " + e.getMessage());
            return UNABLE;
        } catch (UncheckedIOException e) {
            return unable(java.util.Objects.requireNonNull(e.getCause()));
        } catch (IOException e) {
            return unable(e);
        } catch (OutOfMemoryError e) {
            System.err.println(
                    "slate: not enough memory: " + (Runtime.getRuntime().maxMemory() >> 20)
                            + " MiB may be used. JAVA_TOOL_OPTIONS=-Xmx8g allows 8 GiB");
            return UNABLE;
        } catch (StackOverflowError e) {
            System.err.println("slate: types nested too deep to follow");
            return UNABLE;
        } catch (RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    /** Only files of the command's own are written outside of the readers, which tell about files that they cannot read. */
    private static int unable(IOException e) {
        String file = e instanceof java.nio.file.FileSystemException system ? system.getFile() : null;
        System.err.println("slate: " + (file == null ? "" : file + ": ") + Trouble.writing(e));
        return UNABLE;
    }
}
