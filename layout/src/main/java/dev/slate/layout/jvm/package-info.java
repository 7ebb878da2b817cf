/**
 * Owns the layouts of JVM classes, which JOL works out, and of FFM layouts. Must not know how they are shown.
 */
package dev.slate.layout.jvm;
