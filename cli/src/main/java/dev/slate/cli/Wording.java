package dev.slate.cli;

import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import picocli.CommandLine;
import picocli.CommandLine.UnmatchedArgumentException;

/** What a user reads of an exception: what was wrong and with what, in no library's words. */
final class Wording {
    private Wording() {}

    static String of(Exception exception) {
        if (exception instanceof UnmatchedArgumentException unmatched) {
            return unmatched(unmatched);
        }
        if (exception instanceof FileSystemException failure) {
            return failure.getFile() + ": " + reason(failure);
        }
        String message = exception.getMessage();
        return message == null ? "failed for a reason that is not known" : message;
    }

    private static String reason(FileSystemException failure) {
        if (failure instanceof AccessDeniedException) {
            return "permission denied";
        } else if (failure instanceof NoSuchFileException) {
            return "no such file or folder";
        } else if (failure instanceof FileAlreadyExistsException) {
            return "is already there";
        } else if (failure instanceof NotDirectoryException) {
            return "not a folder";
        }
        String reason = failure.getReason();
        return reason == null ? "can't be read or written" : reason;
    }

    private static String unmatched(UnmatchedArgumentException exception) {
        String first = exception.getUnmatched().getFirst();
        CommandLine command = exception.getCommandLine();
        String name = command.getCommandSpec().qualifiedName();
        if (first.startsWith("-")) {
            return name + ": unknown option " + first;
        }
        if (!command.getSubcommands().isEmpty()) {
            return name + ": there is no " + first + ", only "
                    + String.join(", ", command.getSubcommands().keySet());
        }
        return name + ": " + first + " is an argument too many";
    }
}
