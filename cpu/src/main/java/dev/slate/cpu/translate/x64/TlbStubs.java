package dev.slate.cpu.translate.x64;

import static dev.slate.cpu.translate.x64.Registers.R15;
import static dev.slate.cpu.translate.x64.Registers.RAX;
import static dev.slate.cpu.translate.x64.Registers.RBX;
import static dev.slate.cpu.translate.x64.Registers.RCX;
import static dev.slate.cpu.translate.x64.Registers.RDX;

/** The code that all translations share for accesses that the state block's TLB lacks. */
final class TlbStubs {
    /**
     * Called, by the TLB's table and by whether it is a store: RCX, the linear address of an access that missed, is looked for in the {@link
     * SecondTlb}. Returns when the entry is in the state block now, with RCX lost; else leaves as {@link Stubs#miss}. EAX: site.
     */
    final long[][] second = new long[StateBlock.TABLES][2];

    /** The same for an access that lies on one page, whose host address RCX is then; the state block's entry stays as it is. */
    final long[][] onlyOnce = new long[StateBlock.TABLES][2];

    /** {@link Stubs#miss}. */
    private final long miss;

    TlbStubs(Assembler a, long miss) {
        this.miss = miss;
        for (int table = 0; table < StateBlock.TABLES; table++) {
            for (int write = 0; write < 2; write++) {
                second[table][write] = a.here();
                emitSecond(a, table, write != 0);
                onlyOnce[table][write] = a.here();
                emitOnlyOnce(a, table, write != 0);
            }
        }
    }

    /**
     * What looks an address in RCX up in the {@link SecondTlb} begins with: RBX, put away as RDX is, is the entry then, and RAX what its key begins
     * with. Returns the places of two jumps for when it is not there.
     */
    private static int[] emitLook(Assembler a, int table, boolean write) {
        a.store32(R15, StateBlock.SITE, RAX);
        Stubs.bytes(a, 0x52, 0x53); // push rdx, rbx
        a.load(RBX, R15, StateBlock.SECOND);
        a.arithmeticConstant(Assembler.CMP, RBX, 0);
        int none = a.jumpForwardIf(Assembler.E);
        a.mov32(RDX, RCX);
        a.shiftRight32(RDX, 8);
        a.arithmeticConstant32(Assembler.AND, RDX, (SecondTlb.ENTRIES - 1) * SecondTlb.ENTRY);
        a.arithmetic(Assembler.ADD, RBX, RDX);
        a.mov(RAX, RCX);
        a.arithmeticConstant(Assembler.AND, RAX, -4096);
        a.arithmeticConstant(Assembler.OR, RAX, write ? table | SecondTlb.WRITABLE : table);
        emitCompareKey(a, write);
        int first = a.jumpForwardIf(Assembler.E);
        a.mov32(RDX, RCX);
        a.shiftRight32(RDX, 8);
        a.arithmeticConstant32(Assembler.AND, RDX, (SecondTlb.VICTIMS - 1) * SecondTlb.ENTRY);
        a.load(RBX, R15, StateBlock.SECOND);
        a.lea(RBX, RBX, SecondTlb.ENTRIES * SecondTlb.ENTRY);
        a.arithmetic(Assembler.ADD, RBX, RDX);
        emitCompareKey(a, write);
        int other = a.jumpForwardIf(Assembler.NE);
        a.bind(first);
        a.arithmeticConstant(Assembler.AND, RAX, -4096);
        return new int[] {none, other};
    }

    /** ZF: whether the entry at RBX is of the page and table in RAX. */
    private static void emitCompareKey(Assembler a, boolean write) {
        a.load(RDX, RBX, 0);
        if (!write) {
            a.arithmeticConstant(Assembler.AND, RDX, ~SecondTlb.WRITABLE);
        }
        a.arithmetic(Assembler.CMP, RAX, RDX);
    }

    private void emitOnlyOnce(Assembler a, int table, boolean write) {
        int[] not = emitLook(a, table, write);
        a.arithmetic(Assembler.SUB, RCX, RAX);
        a.arithmeticMemory(Assembler.ADD, RCX, RBX, SecondTlb.HOST);
        Stubs.bytes(a, 0x5b, 0x5a, 0xc3); // pop rbx, rdx; ret
        emitLost(a, not);
    }

    private void emitSecond(Assembler a, int table, boolean write) {
        int tlb = StateBlock.offset(table);
        int[] not = emitLook(a, table, write);
        a.mov32(RDX, RCX);
        a.shiftRight32(RDX, 7);
        a.arithmeticConstant32(Assembler.AND, RDX, (StateBlock.TLB_ENTRIES - 1) * StateBlock.TLB_ENTRY);
        // What is there and misses all the same crosses the page's end.
        a.arithmeticIndexed(Assembler.CMP, RAX, R15, RDX, tlb + (write ? Emission.WRITE : Emission.READ));
        int crosses = a.jumpForwardIf(Assembler.E);
        a.storeIndexed(R15, RDX, tlb + Emission.READ, RAX);
        if (!write) {
            Stubs.bytes(a, 0xf6, 0x03, SecondTlb.WRITABLE); // test byte [rbx], WRITABLE
            int writable = a.jumpForwardIf(Assembler.NE);
            // StateBlock.never: the page of the entry beside it.
            a.mov32(RAX, RDX);
            a.arithmeticConstant32(Assembler.XOR, RAX, StateBlock.TLB_ENTRY);
            a.shiftLeft32(RAX, 7);
            a.bind(writable);
        }
        a.storeIndexed(R15, RDX, tlb + Emission.WRITE, RAX);
        a.load(RBX, RBX, SecondTlb.HOST);
        a.storeIndexed(R15, RDX, tlb + StateBlock.TLB_HOST, RBX);
        a.shiftRight32(RDX, 5);
        Stubs.bytes(a, 0x49, 0x0f, 0xab); // bts [r15 + USED], rdx
        a.memory(RDX, R15, StateBlock.used(table));
        Stubs.bytes(a, 0x5b, 0x5a, 0xc3); // pop rbx, rdx; ret
        emitLost(a, not[0], not[1], crosses);
    }

    /** What {@link #emitLook} has begun leaves. */
    private void emitLost(Assembler a, int... jumps) {
        for (int place : jumps) {
            a.bind(place);
        }
        Stubs.bytes(a, 0x5b, 0x5a); // pop rbx, rdx
        a.load32(RAX, R15, StateBlock.SITE);
        a.jump(miss);
    }
}
