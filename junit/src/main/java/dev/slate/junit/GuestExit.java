package dev.slate.junit;

import dev.slate.kvm.Exit;

/**
 * One exit of a guest, with what went out or in.
 *
 * @param exit what the guest did
 * @param value what it wrote to the port or device, or was answered; 0 for other exits
 */
public record GuestExit(Exit exit, long value) {}
