/**
 * Owns the layouts of JVM classes, and of FFM layouts. Must not know how they are shown.
 */
package dev.slate.layout.jvm;
