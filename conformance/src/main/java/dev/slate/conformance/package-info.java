/**
 * Owns the running of public test suites and their score board; must not know the modules it tests: it sees processes only.
 */
package dev.slate.conformance;
