/**
 * Owns the slate command line; holds no logic of its own.
 */
package dev.slate.cli;
