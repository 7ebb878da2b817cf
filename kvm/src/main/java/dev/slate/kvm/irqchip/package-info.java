/** The in-kernel interrupt controllers: local APICs, the bus between them, their timers. Must not know how a vCPU runs. */
package dev.slate.kvm.irqchip;
