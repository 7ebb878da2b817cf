/**
 * Measures {@code slate layout} beside pahole, in one run.
 */
package dev.slate.benchmarks.layout;
