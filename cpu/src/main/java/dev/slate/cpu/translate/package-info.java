/**
 * Translation of guest code into the host's, behind the seam that the processor's run loop has for it ({@link dev.slate.cpu.Translator}).
 * Back ends stand in packages of their own, {@code x64} is the one there is. Knows blocks, the TLB and the processor's state; the processor
 * knows none of it.
 */
package dev.slate.cpu.translate;
