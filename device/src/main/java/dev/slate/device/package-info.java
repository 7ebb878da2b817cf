/**
 * Owns the /dev/kvm binary interface; holds no hypervisor logic.
 */
package dev.slate.device;
