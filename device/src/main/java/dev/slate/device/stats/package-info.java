/**
 * The folder of files in which other processes see a VM's statistics: who writes it and where it is. Must not know descriptors or the shim.
 */
package dev.slate.device.stats;
