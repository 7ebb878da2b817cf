/**
 * Owns raw memory: the one segment over the host's address space and the order in which it is accessed. Must not know what lies
 * there: pages, tables, structures and their lifetimes are the callers'.
 */
package dev.slate.cpu.mem;
