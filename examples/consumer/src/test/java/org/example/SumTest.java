package org.example;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.slate.junit.GuestTest;
import dev.slate.junit.TestMachine;
import org.junit.jupiter.api.Test;

@GuestTest
class SumTest {
    @Test
    void aGuestAddsTheNumbers() {
        assertEquals(5050, Sum.to(100));
    }

    @Test
    void theCodeHaltsAfterOnePortWrite(TestMachine machine) {
        machine.load(0x100, Sum.CODE);
        machine.startRealMode(0x100);
        var exits = machine.run(); // CX is 0 there, so these are 65,536 rounds and the sum of all 16-bit numbers
        assertEquals(2, exits.size());
        assertEquals(0x8000, exits.getFirst().value());
    }
}
