/**
 * Owns the choice of a reader for a file that a user names. Must not know what is done with the types.
 */
package dev.slate.layout.file;
