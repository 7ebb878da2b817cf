/**
 * Owns lock files: what a repository states about its layouts, and whether it still holds. Must not know how types are read.
 */
package dev.slate.layout.lock;
