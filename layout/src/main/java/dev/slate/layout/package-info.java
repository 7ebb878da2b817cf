/**
 * The model of a type's layout and the one algorithm that finds its holes.
 *
 * <p>Owns the types, the sources' contract ({@link dev.slate.layout.TypeTable}, {@link dev.slate.layout.LayoutSource}) and
 * {@link dev.slate.layout.Layout}; must not know where a type came from (BTF, DWARF, a JVM class), how it is printed, or
 * anything of the hypervisor.
 */
package dev.slate.layout;
