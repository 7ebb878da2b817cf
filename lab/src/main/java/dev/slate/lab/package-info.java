/**
 * Owns what an experiment is and how it is run: cases, metrics, interleaved rounds, samples. Must not know any experiment, nor how
 * results are written.
 */
package dev.slate.lab;
