/**
 * Owns proposals of a better order of members. Must not know how types are read or shown.
 */
package dev.slate.layout.pack;
