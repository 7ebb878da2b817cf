/**
 * Owns the BPF Type Format (Documentation/bpf/btf.rst) as a source of types; must not know how they are shown.
 */
package dev.slate.layout.btf;
