package dev.slate.layout.elf;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.AccessDeniedException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;

/** Says in words what an {@link IOException} means: its own text is often the file's name and nothing else. */
public final class Trouble {
    private Trouble() {}

    /** What to say behind the name of a file that could not be read. */
    public static String reading(IOException e) {
        return switch (e) {
            case NoSuchFileException gone -> "no such file";
            case AccessDeniedException denied -> "you may not read it; its owner or root may: chmod +r, or run as them";
            case CharacterCodingException coding -> "is no text in UTF-8";
            default -> "cannot be read" + reason(e);
        };
    }

    /** What to say behind the name of a file that could not be written. */
    public static String writing(IOException e) {
        return switch (e) {
            case NoSuchFileException gone -> "cannot be written: its folder does not exist";
            case AccessDeniedException denied -> "cannot be written: you may not write there";
            case NotDirectoryException no -> "cannot be written: a part of its path is no folder";
            case DirectoryNotEmptyException full -> "cannot be written: it is a folder";
            default -> "cannot be written" + reason(e);
        };
    }

    private static String reason(IOException e) {
        String reason = e instanceof FileSystemException system ? system.getReason() : e.getMessage();
        return reason == null || reason.isBlank() ? "" : ": " + reason;
    }
}
