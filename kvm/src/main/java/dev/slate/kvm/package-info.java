/**
 * The hypervisor as a program uses it: {@link dev.slate.kvm.Kvm} makes a {@link dev.slate.kvm.Vm}, which gets memory and a {@link
 * dev.slate.kvm.Vcpu}, which runs. What KVM's ioctls do are methods here under KVM's names; what they fail with is a {@link
 * dev.slate.kvm.KvmException}.
 *
 * <p>A machine whole, in some forty lines that a test runs: {@code examples/java/Machine.java}.
 *
 * <p>Threads: a vCPU runs on the thread that calls {@link dev.slate.kvm.Vcpu#run}; every other method of it waits for its mutex, except
 * those that say "from any thread". A VM's methods are for any thread. Lock order: a vCPU's mutex, then the VM's lock, then the slots
 * lock, then the MMU's.
 *
 * <p>The packages below do the work and are not for programs, but for {@link dev.slate.kvm.host} (what the hypervisor needs of its host),
 * {@link dev.slate.kvm.memslot}, {@link dev.slate.kvm.stats}, {@link dev.slate.kvm.cpuid}, {@link dev.slate.kvm.dirty} and {@link
 * dev.slate.kvm.mode}, whose types the methods here take or give.
 *
 * <p>Owns VMs, vCPUs, exits and registers: what a program uses, and nothing else. Must not know file descriptors or ioctl numbers, and decodes no instruction.
 */
package dev.slate.kvm;
