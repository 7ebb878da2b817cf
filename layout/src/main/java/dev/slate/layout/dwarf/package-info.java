/**
 * Owns DWARF 2 to 5 as a source of types: units, abbreviations, forms, and the entries that describe types. Must not know how types are
 * shown, nor read locations, lines or frames.
 */
package dev.slate.layout.dwarf;
