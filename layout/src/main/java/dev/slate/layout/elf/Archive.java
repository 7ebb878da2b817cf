package dev.slate.layout.elf;

import dev.slate.layout.LayoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** An archive of object files: {@code .a}, {@code .rlib}, and thin ones (ar(5), the GNU and BSD forms of long names). */
public final class Archive {
    private static final String HEAD = "!<arch>\n";
    private static final String THIN = "!<thin>\n";
    private static final int HEADER = 60;

    private Archive() {}

    /** Whether an image starts like an archive. */
    public static boolean is(Image image) {
        if (image.size() < 8) return false;
        String head = text(image, 0, 8);
        return head.equals(HEAD) || head.equals(THIN);
    }

    private static String text(Image image, long at, int length) {
        ByteBuffer bytes = image.slice(at, length, "the archive");
        byte[] copy = new byte[length];
        bytes.get(0, copy);
        return new String(copy, StandardCharsets.UTF_8);
    }

    /** The members that are ELF files, named {@code lib.a(member.o)}. */
    public static List<ElfFile> members(Image image) {
        boolean thin = text(image, 0, 8).equals(THIN);
        List<ElfFile> found = new ArrayList<>();
        String longNames = "";
        long at = 8;
        while (at + HEADER <= image.size()) {
            String header = text(image, at, HEADER);
            if (!header.endsWith("`\n"))
                throw new LayoutException(image.name(), at, "no member of an archive starts here");
            String name = header.substring(0, 16).stripTrailing();
            long size = number(image, at, header.substring(48, 58).strip());
            long start = at + HEADER;
            boolean table = name.equals("/") || name.equals("//") || name.equals("/SYM64/");
            boolean here = table || !thin;
            if (name.equals("//")) {
                longNames = text(image, start, (int) Math.min(size, 1 << 28));
            } else if (!table && !name.startsWith("__.SYMDEF")) {
                long skip = 0;
                if (name.startsWith("#1/")) { // BSD: the name stands before the bytes
                    skip = Math.min(size, number(image, at, name.substring(3)));
                    name = text(image, start, (int) Math.min(skip, 4096)).replace("\0", "");
                } else if (name.startsWith("/")) {
                    name = longName(image, at, longNames, name.substring(1));
                } else if (name.endsWith("/")) {
                    name = name.substring(0, name.length() - 1);
                }
                member(image, thin, name, start + skip, size - skip, found);
            }
            at = start + (here ? size + (size & 1) : 0);
        }
        return found;
    }

    private static void member(Image image, boolean thin, String name, long start, long size, List<ElfFile> found) {
        Image part;
        if (thin) {
            Path path = Path.of(image.path()).resolveSibling(name);
            part = Image.open(path);
        } else {
            part = image.part(image.name() + "(" + name + ")", start, size);
        }
        if (ElfFile.isElf(part)) found.add(ElfFile.of(part));
    }

    private static long number(Image image, long at, String text) {
        try {
            long value = Long.parseLong(text);
            if (value >= 0) return value;
        } catch (NumberFormatException e) {
            // told below
        }
        throw new LayoutException(image.name(), at, "a member of an archive has the size \"" + text + "\"");
    }

    private static String longName(Image image, long at, String names, String place) {
        long start = number(image, at, place);
        if (start >= names.length())
            throw new LayoutException(image.name(), at, "a member's name is not in the archive");
        int end = names.indexOf('\n', (int) start);
        String name = names.substring((int) start, end < 0 ? names.length() : end);
        return name.endsWith("/") ? name.substring(0, name.length() - 1) : name;
    }
}
