/**
 * The x86-64 back end of the translator: guest instructions are re-encoded with other registers and a checked memory operand, and
 * mean what the host's silicon says. What is not re-encoded, every fault and every slow access go to the interpreter.
 */
package dev.slate.cpu.translate.x64;
