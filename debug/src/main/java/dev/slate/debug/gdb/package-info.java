/**
 * Owns gdb's remote protocol: a {@link dev.slate.debug.gdb.GdbServer} on a port, sessions, and the {@link
 * dev.slate.debug.gdb.Debugger} that holds, steps and releases vCPUs. Breakpoints and watchpoints are compared with addresses
 * while the processor is stepped: nothing is written into the guest. Must not know descriptors or ioctls.
 */
package dev.slate.debug.gdb;
