/**
 * Translation of guest code into the host's: the seam between the processor's run loop and a back end ({@link
 * dev.slate.cpu.translate.Translator}). Back ends stand in packages of their own, {@code x64} is the one there is. Knows blocks, the
 * TLB and the processor's state; nothing above {@code cpu}.
 */
package dev.slate.cpu.translate;
