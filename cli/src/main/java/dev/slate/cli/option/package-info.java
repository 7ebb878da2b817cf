/** Owns the options that commands of several packages share. Must not know any command. */
@org.jspecify.annotations.NullMarked
package dev.slate.cli.option;
