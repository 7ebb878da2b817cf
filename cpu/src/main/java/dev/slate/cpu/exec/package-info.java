/**
 * What instructions do: the block executor and, written once each, the meaning of every instruction over the processor's state.
 *
 * <p>Operand fetch and write-back ({@code Operands}) stand around methods on values ({@code IntegerOps}, {@code ShiftOps},
 * {@code BitOps}, {@code Sse*} …), so that register and memory forms are one method. Also events: delivery through the IDT, IRET,
 * far transfers, segment loads. Must not know how memory is translated (package {@code mmu}), how bytes are decoded (package
 * {@code decode}, beyond the flat instruction), nor anything of KVM.
 */
package dev.slate.cpu.exec;
