/**
 * Owns comparisons: a type before and after, where its objects are allocated, section and function sizes of two files. Must not know how
 * types are read.
 */
package dev.slate.layout.compare;
