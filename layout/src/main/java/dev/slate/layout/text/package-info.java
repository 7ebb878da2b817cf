/**
 * Owns how layouts are written for people and programs: pahole's text, tables, pictures, JSON. Must not know where types come from.
 */
package dev.slate.layout.text;
