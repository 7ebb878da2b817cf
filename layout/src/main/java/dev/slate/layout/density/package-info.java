/**
 * Owns the picture of a type: what each byte or bit of it is used for, and how often. Must not know how types are read.
 */
package dev.slate.layout.density;
