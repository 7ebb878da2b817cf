/**
 * Owns the running of public test suites and their score board: what is run ({@link dev.slate.conformance.Suite}), how one
 * program is run and judged, what is expected, and how the board is shown.
 *
 * <p>Must not know the modules it tests: it sees processes, their output, their exit status and Slate's counters.
 */
package dev.slate.conformance;
