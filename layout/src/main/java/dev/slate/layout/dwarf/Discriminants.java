package dev.slate.layout.dwarf;

import dev.slate.layout.BaseType;
import dev.slate.layout.EnumType;
import dev.slate.layout.Type;
import java.math.BigInteger;
import org.jspecify.annotations.Nullable;

/** Spells the values of a discriminant that choose a variant: by the sign and size of its type, up to 128 bits. */
final class Discriminants {
    private final Unit unit;
    private final boolean signed;
    private final int bits;

    /** @param tag the type of the discriminant, null if not known */
    Discriminants(Unit unit, @Nullable Type tag) {
        this.unit = unit;
        this.signed = tag instanceof BaseType b && b.encoding() == BaseType.Encoding.SIGNED
                || tag instanceof EnumType e && e.signed();
        this.bits = bits(tag == null ? 0 : tag.size());
    }

    /**
     * Bits of the values: from 8 to 128, however many bytes a broken file gives them.
     *
     * @param bytes 0 if not known
     */
    static int bits(long bytes) {
        return bytes <= 0 ? 64 : (int) Math.min(16, bytes) * 8;
    }

    /** "3", "-1, 4..7", or nothing for the variant of all other values. */
    String values(Die variant) {
        if (variant.has(At.DISCRIMINANT_VALUE)) return value(variant);
        if (!variant.has(At.DISCR_LIST)) return "";
        // DWARF 5, 5.7.10: a byte says whether a value or a range follows.
        Reader in = variant.block(At.DISCR_LIST);
        if (in == null) return "";
        int end = variant.blockEnd(At.DISCR_LIST);
        StringBuilder text = new StringBuilder();
        while (in.at < end) {
            boolean range = in.byte1() != 0;
            if (!text.isEmpty()) text.append(", ");
            text.append(number(in));
            if (range) text.append("..").append(number(in));
        }
        return text.toString();
    }

    private long number(Reader in) {
        return signed ? in.signed() : in.unsigned();
    }

    private String value(Die variant) {
        byte[] wide = variant.bytes(At.DISCRIMINANT_VALUE);
        BigInteger value;
        if (wide != null) {
            byte[] big = new byte[wide.length + 1];
            boolean little = unit.little();
            for (int i = 0; i < wide.length; i++) big[1 + i] = wide[little ? wide.length - 1 - i : i];
            value = new BigInteger(big);
        } else {
            value = BigInteger.valueOf(variant.number(At.DISCRIMINANT_VALUE));
        }
        BigInteger modulus = BigInteger.ONE.shiftLeft(bits);
        value = value.mod(modulus);
        if (signed && value.testBit(bits - 1)) value = value.subtract(modulus);
        return value.toString();
    }
}
