package dev.slate.debug;

import dev.slate.cpu.decode.Block;
import dev.slate.cpu.decode.Disassembler;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Mode;
import dev.slate.cpu.mem.HostMemory;
import dev.slate.kvm.RunObserver;
import dev.slate.kvm.TranslationListener;

/**
 * One vCPU's part of a {@link Trace} that shows translations: each block that holds the address asked for, as guest code and as what it has
 * become, side by side. The guest runs at full speed.
 */
final class TranslationTrace implements RunObserver, TranslationListener {
    /** Where the host's code begins in a line. */
    private static final int HOST_COLUMN = 60;

    private final Trace trace;
    private final long address;
    private final String name;
    private final Disassembler disassembler = new Disassembler();
    private final StringBuilder text = new StringBuilder();
    private byte[] host = {};

    /** @param name VM.vCPU */
    TranslationTrace(Trace trace, long address, String name) {
        this.trace = trace;
        this.address = address;
        this.name = name;
    }

    @Override
    public TranslationListener translations() {
        return this;
    }

    @Override
    public void translated(Block block, int[] starts, long code, int bytes, long waysOut, int outBytes) {
        if (Long.compareUnsigned(address - block.rip, block.byteLength) >= 0) {
            return;
        }
        trace.count();
        host = read(code, bytes);
        text.setLength(0);
        text.append(name).append(' ').append(hex(block.rip)).append(": ").append(block.count);
        text.append(block.count == 1 ? " instruction" : " instructions")
                .append(" in ")
                .append(block.byteLength);
        text.append(" bytes became ").append(bytes).append(" bytes at ").append(hex(code));
        if (outBytes != 0) {
            text.append(" and ").append(outBytes).append(" at ").append(hex(waysOut));
        }
        text.append('\n');
        side("", 0, starts[0], code);
        for (int i = 0; i < block.count; i++) {
            String guest = disassembler.one(block, i);
            long rip = block.rip + offset(block, i);
            side(hex(rip) + "  " + guest, starts[i], starts[i + 1], code);
        }
        if (outBytes != 0) {
            host = read(waysOut, outBytes);
            side("ways out", 0, outBytes, waysOut);
        }
        trace.write(text);
        trace.flush();
    }

    private static byte[] read(long code, int bytes) {
        byte[] host = new byte[bytes];
        for (int i = 0; i < bytes; i++) {
            host[i] = (byte) HostMemory.get8(code + i);
        }
        return host;
    }

    private static int offset(Block block, int i) {
        return Insn.offset(block.code[i * Insn.WORDS + 1]);
    }

    private static String hex(long v) {
        return String.format("%016x", v);
    }

    /** What stands on the left, and the host's code from one offset to another beside and below it. */
    private void side(String left, int from, int to, long code) {
        String first = left;
        int at = from;
        while (at < to || !first.isEmpty()) {
            int line = text.length();
            text.append("  ").append(first);
            first = "";
            while (text.length() - line < HOST_COLUMN - 2) {
                text.append(' ');
            }
            text.append(" |");
            if (at < to) {
                String instruction = disassembler.one(host, at, to, code + at, Mode.BITS64);
                text.append(' ').append(hex(code + at)).append("  ").append(instruction);
                at += disassembler.length();
            }
            text.append('\n');
        }
    }
}
