/**
 * Owns the {@code slate layout} commands: their options, their exit statuses and where their output goes. Holds no logic about layouts.
 */
package dev.slate.cli.layout;
