/**
 * The hypervisor as a program uses it: {@link dev.slate.kvm.Kvm} makes a {@link dev.slate.kvm.Vm}, which gets memory and a {@link
 * dev.slate.kvm.Vcpu}, which runs. What KVM's ioctls do are methods here under KVM's names; what they fail with is a {@link
 * dev.slate.kvm.KvmException}.
 *
 * <p>A machine that says "A" on port 1:
 *
 * <pre>{@code
 * ArenaHost host = new ArenaHost();
 * Kvm kvm = new Kvm(host);
 * try (Vm vm = kvm.createVm(0); Vcpu vcpu = vm.createVcpu(0)) {
 *     long memory = host.allocate(4096, 4096);
 *     byte[] code = {(byte) 0xb0, 'A', (byte) 0xe6, 1, (byte) 0xf4}; // mov al, 'A'; out 1, al; hlt
 *     HostMemory.copyIn(code, 0, memory, code.length);
 *     vm.setUserMemoryRegion(0, 0, 0, 4096, memory);
 *     Sregs sregs = new Sregs();
 *     vcpu.getSregs(sregs);
 *     sregs.cs.base = 0;
 *     sregs.cs.selector = 0;
 *     vcpu.setSregs(sregs);
 *     Regs regs = new Regs();
 *     vcpu.setRegs(regs);
 *     for (boolean running = true; running; ) {
 *         vcpu.run(false);
 *         switch (vcpu.exit().value()) {
 *             case Exit.PortOut out -> System.out.print((char) HostMemory.get8(vcpu.portData()));
 *             case Exit.Halt halt -> running = false;
 *             case Exit other -> throw new IllegalStateException(other.toString());
 *         }
 *     }
 * }
 * }</pre>
 *
 * <p>Owns VMs, vCPUs, exits and registers. Must not know file descriptors or ioctl numbers, and decodes no instruction.
 */
package dev.slate.kvm;
