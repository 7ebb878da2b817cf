/**
 * Owns files: mapping them, unpacking compressed kernels and sections, finding sections, symbols and separate debug files.
 * Must not know what the sections mean.
 */
package dev.slate.layout.elf;
