package dev.slate.kvm;

import dev.slate.cpu.mem.HostMemory;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A program of guests/, built and loaded as guests/README.md says. */
final class GuestProgram implements AutoCloseable {
    static final long IMAGE = 0x10_0000;
    static final long PARAMETERS = 0x1_0000;
    private static final int MARK = 0xf4;
    private static final int CHARACTER = 0xe9;

    final TestHost host = new TestHost();
    final Kvm kvm = new Kvm(host);
    final Vm vm = kvm.createVm(0);
    final long hva;
    final long bytes;
    final List<Vcpu> vcpus = new ArrayList<>();
    /** What the guest has written to its console. */
    final StringBuilder output = new StringBuilder();

    /** The program {@code name} in {@code mebibytes} of memory, at {@code address}. */
    GuestProgram(String name, int mebibytes, long address) {
        bytes = (long) mebibytes << 20;
        hva = host.allocate(bytes, 2 << 20);
        byte[] image = build(name);
        HostMemory.copyIn(image, 0, hva + address, image.length);
        vm.setUserMemoryRegion(0, 0, 0, bytes, hva);
    }

    private static byte[] build(String name) {
        try {
            Path root = Path.of("").toAbsolutePath();
            while (!Files.exists(root.resolve("guests/build.sh"))) {
                root = root.getParent();
            }
            Path target = root.resolve("kvm/target/guests");
            Process p = new ProcessBuilder(root.resolve("guests/build.sh").toString(), target.toString(), name)
                    .inheritIO()
                    .start();
            if (p.waitFor() != 0) {
                throw new AssertionError("guests/build.sh " + name + " failed");
            }
            return Files.readAllBytes(target.resolve(name + ".bin"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    void parameters(long... values) {
        for (int i = 0; i < values.length; i++) {
            HostMemory.put64(hva + PARAMETERS + 8L * i, values[i]);
        }
    }

    long parameter(int i) {
        return HostMemory.get64(hva + PARAMETERS + 8L * i);
    }

    Vcpu vcpu() {
        Vcpu v = vm.createVcpu(vcpus.size());
        v.setCpuid(kvm.supportedCpuid());
        vcpus.add(v);
        return v;
    }

    /** Flat 32-bit protected mode at the image's first byte. */
    Vcpu start32() {
        Vcpu v = vcpu();
        Sregs s = new Sregs();
        v.getSregs(s);
        s.setFlat32();
        v.setSregs(s);
        Regs r = new Regs();
        r.rip = IMAGE;
        r.rbx = PARAMETERS;
        r.rflags = 2;
        v.setRegs(r);
        return v;
    }

    /** Real mode at a boot sector's address. */
    Vcpu startReal() {
        Vcpu v = vcpu();
        Sregs s = new Sregs();
        v.getSregs(s);
        s.cs.base = 0;
        s.cs.selector = 0;
        v.setSregs(s);
        Regs r = new Regs();
        r.rip = 0x7c00;
        r.rflags = 2;
        v.setRegs(r);
        return v;
    }

    /** Runs until the next mark, and returns it. Output is gathered meanwhile. From any thread, for a vCPU of its own. */
    int run(Vcpu v) {
        for (; ; ) {
            int errno = v.run(false);
            if (errno != 0) {
                throw new AssertionError("KVM_RUN failed with errno " + errno);
            }
            Exit exit = v.exit().value();
            if (exit instanceof Exit.PortOut out && out.port() == CHARACTER) {
                output.append((char) HostMemory.get8(v.portData()));
            } else if (exit instanceof Exit.PortOut out && out.port() == MARK) {
                return HostMemory.get32(v.portData());
            } else {
                Regs r = new Regs();
                v.getRegs(r);
                throw new AssertionError(
                        exit + " at rip " + Long.toHexString(r.rip) + ", the guest having said:\n" + output);
            }
        }
    }

    @Override
    public void close() {
        vcpus.forEach(Vcpu::close);
        vm.close();
    }
}
