/**
 * Owns structure layouts and their comparison; must not know the hypervisor.
 */
package dev.slate.layout;
