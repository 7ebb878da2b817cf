/**
 * What instruction bytes mean: the instruction table, the decoder that turns bytes into flat {@link dev.slate.cpu.decode.Block}s, and
 * the disassembler for logs and traces.
 *
 * <p>The table is text, in {@code src/main/isa}: {@code operations.isa} numbers the operations and says which flags they read, write
 * and leave undefined; {@code encodings.isa} says which bytes mean which operation. {@code Op}, {@code OpNames}, {@code DecodeTable}
 * and {@code DecodeText} are generated from it, checked in, and held to it by a test; nothing is parsed at start-up.
 *
 * <p>Must not know what an instruction does (package {@code exec}), nor the processor's state beyond {@link
 * dev.slate.cpu.decode.Mode} and the set of {@link dev.slate.cpu.decode.Feature}s, nor how an address was translated.
 */
package dev.slate.cpu.decode;
