/**
 * Owns the JMH benchmarks; nothing depends on it.
 */
package dev.slate.benchmarks;
