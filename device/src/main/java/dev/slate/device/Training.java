package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.fill;
import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.get64;
import static dev.slate.cpu.mem.HostMemory.put32;
import static dev.slate.cpu.mem.HostMemory.put64;
import static dev.slate.cpu.mem.HostMemory.put8;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.Abi;
import dev.slate.device.abi.KvmRegs;
import dev.slate.device.abi.KvmRun;
import dev.slate.device.abi.KvmSregs;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.MpState;
import dev.slate.kvm.Regs;
import dev.slate.kvm.Sregs;
import dev.slate.kvm.VcpuExit;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;

/**
 * The training run that the AOT cache is recorded from: what a client's first VMs do, by the very calls that the shim makes. Classes
 * that it loads and methods that it warms up are there at once when the JVM starts in a client.
 *
 * <p>Run from the class path of the jars with {@code native/libslate.so} beside the device's; ends with 1 when a call fails.
 */
public final class Training {
    private static final long MEMORY = 8 << 20;
    private static final long PML4 = 0x1000;
    private static final long PDPT = 0x2000;
    private static final long PAGE_DIRECTORY = 0x3000;
    private static final long CODE = 0x10000;
    private static final long STACK = 0x20000;
    private static final long DATA = 0x200000;
    private static final int DATA_PAGES = 512;
    private static final long DEVICE_REGISTER = 0x1000_0000;
    private static final int PORT = 0x1000;

    /*
     *     mov rax, rdi            # first page        2:  push rbp
     *     mov rcx, rsi            # pages                 mov rbp, rsp
     * 1:  mov [rax], rcx                                  pxor xmm0, xmm0
     *     mov rbx, [rax]                                  movups [rsp-64], xmm0
     *     add rax, 4096                                   lea rbx, [rbp+16]
     *     dec rcx                                         and ebx, 255
     *     jne 1b                                          cmp bl, 7
     *     call 2f                                         sete al
     *     in al, dx               # port                  movzx eax, al
     *     mov rbx, [r8]           # device register       imul rbx, rax, 3
     *     mov [r8+8], rbx                                 shl rbx, 4; shr rbx, 2; or rbx, r9; xor ebx, ebx
     *     jmp the start                                   pop rbp; ret
     */
    private static final String GUEST = "4889f84889f1488908488b1848050010000048ffc975efe80a000000ec498b1849895808ebda"
            + "554889e5660fefc00f114424c0488d5d1081e3ff00000080fb070f94c00fb6c0486bd80348c1e30448c1eb024c09cb31db5dc3";

    private static final Regs REGS = new Regs();
    private static final Sregs SREGS = new Sregs();

    private final long scratch = Native.map(Device.THREAD_BYTES, 4096);
    private final long argument = Native.map(1 << 16, 4096);
    private final long memory = Native.map(MEMORY, 4096);

    private Training() {}

    public static void main(String[] arguments) throws Exception {
        load();
        HandleShapes.link();
        // Without a name, as a client's threads come: numbering them is a class of the JDK's.
        new Thread(() -> {}).start();
        Kvm kvm = new Kvm(new NativeHost(), Knobs.standard());
        Watching.start(kvm);
        Device.start(new SystemFile(kvm));
        Training training = new Training();
        for (int i = 0; i < 3; i++) {
            training.oneVm(2, 50);
        }
        // What translates is loaded late, by a guest that waits for it.
        Device.start(new SystemFile(new Kvm(new NativeHost(), Knobs.parse("cpu.translator=on"))));
        training.oneVm(2, 50);
        Device.pseudoFile("/sys/module/kvm_amd/parameters/npt");
    }

    @SuppressWarnings("restricted") // the natives of Native have no other home
    private static void load() {
        String classPath = System.getProperty("java.class.path");
        for (String entry : classPath.split(":")) {
            Path library =
                    Path.of(entry).toAbsolutePath().resolveSibling("native").resolve("libslate.so");
            if (Files.exists(library)) {
                System.load(library.toString());
                return;
            }
        }
        throw new IllegalStateException(
                "no native/libslate.so beside a jar of " + classPath + "; run device/native/build.sh");
    }

    private long call(int handle, int kind, int request, long arg) {
        long result = Device.ioctl(handle, kind, request, arg, scratch);
        if (result < 0) {
            throw new IllegalStateException("ioctl 0x" + Integer.toHexString(request) + " gave " + result);
        }
        return result;
    }

    private long system(int request, long arg) {
        return call(0, Native.KIND_SYSTEM, request, arg);
    }

    private long vm(int handle, int request, long arg) {
        return call(handle, Native.KIND_VM, request, arg);
    }

    private long vcpu(int handle, int request, long arg) {
        return call(handle, Native.KIND_VCPU, request, arg);
    }

    private void oneVm(int vcpus, int rounds) {
        system(Ioctl.GET_API_VERSION, 0);
        for (int cap = 0; cap < 230; cap++) {
            system(Ioctl.CHECK_EXTENSION, cap);
        }
        system(Ioctl.GET_VCPU_MMAP_SIZE, 0);
        put32(argument, Kvm.MAX_CPUID_ENTRIES);
        system(Ioctl.GET_SUPPORTED_CPUID, argument);
        int vm = Native.handle((int) system(Ioctl.CREATE_VM, 0));
        region(vm, 0, 0, 0, DATA, memory);
        region(vm, 1, 0, DATA, MEMORY - DATA, memory + DATA);
        vm(vm, Ioctl.CREATE_IRQCHIP, 0);
        pageTables();
        int[] handles = new int[vcpus];
        for (int i = 0; i < vcpus; i++) {
            handles[i] = Native.handle((int) vm(vm, Ioctl.CREATE_VCPU, i));
            prepare(handles[i], i);
        }
        // Clients fault more than they exit: each time that logging begins or a log is taken, every page faults. In one
        // pass of six logging ends.
        for (int pass = 0; pass < 24; pass++) {
            for (int handle : handles) {
                for (int i = 0; i < rounds; i++) {
                    run(handle);
                }
            }
            dirtyLog(vm, pass);
        }
        region(vm, 1, 0, DATA, 0, memory + DATA);
        region(vm, 1, 0, DATA, MEMORY - DATA, memory + DATA);
        run(handles[0]);
        Device.invalidate(true, memory, memory + MEMORY);
        Device.invalidate(false, memory, memory + MEMORY);
        run(handles[0]);
        int stats = Native.handle((int) vcpu(handles[0], Ioctl.GET_STATS_FD, 0));
        Device.refresh(stats);
        Device.release(stats);
        for (int handle : handles) {
            Device.release(handle);
        }
        Device.release(vm);
    }

    private void region(int vm, int slot, int flags, long gpa, long bytes, long hva) {
        put32(argument + Abi.USERSPACE_MEMORY_REGION.at("slot"), slot);
        put32(argument + Abi.USERSPACE_MEMORY_REGION.at("flags"), flags);
        put64(argument + Abi.USERSPACE_MEMORY_REGION.at("guest_phys_addr"), gpa);
        put64(argument + Abi.USERSPACE_MEMORY_REGION.at("memory_size"), bytes);
        put64(argument + Abi.USERSPACE_MEMORY_REGION.at("userspace_addr"), hva);
        vm(vm, Ioctl.SET_USER_MEMORY_REGION, argument);
    }

    private void pageTables() {
        put64(memory + PML4, PDPT | 3);
        put64(memory + PDPT, PAGE_DIRECTORY | 3);
        for (long i = 0; i < 512; i++) {
            put64(memory + PAGE_DIRECTORY + 8 * i, i << 21 | 0x83);
        }
        byte[] code = HexFormat.of().parseHex(GUEST);
        HostMemory.copyIn(code, 0, memory + CODE, code.length);
    }

    /** What the KVM selftests' library does to a new vCPU. */
    private void prepare(int handle, int id) {
        put32(argument, Kvm.MAX_CPUID_ENTRIES);
        system(Ioctl.GET_SUPPORTED_CPUID, argument);
        vcpu(handle, Ioctl.SET_CPUID2, argument);
        vcpu(handle, Ioctl.GET_CPUID2, argument);
        vcpu(handle, Ioctl.GET_SREGS, argument);
        KvmSregs.read(argument, SREGS);
        SREGS.setFlat64(PML4);
        SREGS.efer |= 0x800; // NX
        KvmSregs.write(argument, SREGS);
        vcpu(handle, Ioctl.SET_SREGS, argument);
        vcpu(handle, Ioctl.GET_REGS, argument);
        KvmRegs.read(argument, REGS);
        REGS.rip = CODE;
        REGS.rsp = STACK + id * 0x1000L;
        REGS.rflags |= 2;
        REGS.rdi = DATA;
        REGS.rsi = DATA_PAGES;
        REGS.rdx = PORT;
        REGS.r8 = DEVICE_REGISTER;
        KvmRegs.write(argument, REGS);
        vcpu(handle, Ioctl.SET_REGS, argument);
        put32(argument, MpState.RUNNABLE);
        vcpu(handle, Ioctl.SET_MP_STATE, argument);
        fill(argument, 64, 0);
        put32(argument, 1);
        put32(argument + 8, 0x1b);
        vcpu(handle, Ioctl.GET_MSRS, argument);
        vcpu(handle, Ioctl.GET_VCPU_EVENTS, argument);
        vcpu(handle, Ioctl.GET_MP_STATE, argument);
    }

    /** One round of the guest: a port read, a read and a write of the device register. */
    private void run(int handle) {
        long run = Native.area(handle);
        for (int exit = 0; exit < 3; exit++) {
            vcpu(handle, Ioctl.RUN, 0);
            int expected = exit == 0 ? VcpuExit.IO : VcpuExit.MMIO;
            if (KvmRun.reason(run) != expected) {
                throw new IllegalStateException("exit reason " + KvmRun.reason(run) + " for " + expected);
            }
            vcpu(handle, Ioctl.GET_REGS, argument);
        }
        put8(run + KvmRun.LAYOUT.at("immediate_exit"), 1);
        Device.ioctl(handle, Native.KIND_VCPU, Ioctl.RUN, 0, scratch); // EINTR
        put8(run + KvmRun.LAYOUT.at("immediate_exit"), 0);
    }

    private void dirtyLog(int vm, int pass) {
        boolean on = pass % 6 < 5;
        region(vm, 1, on ? 1 : 0, DATA, MEMORY - DATA, memory + DATA);
        if (on) {
            long bitmap = argument + 4096;
            fill(argument, Abi.CLEAR_DIRTY_LOG.bytes(), 0);
            put32(argument, 1);
            put64(argument + Abi.DIRTY_LOG.at("dirty_bitmap"), bitmap);
            vm(vm, Ioctl.GET_DIRTY_LOG, argument);
            // The two structures share their bytes: dirty_bitmap of the one is first_page of the other.
            put64(argument + Abi.CLEAR_DIRTY_LOG.at("first_page"), 0);
            put64(argument + Abi.CLEAR_DIRTY_LOG.at("dirty_bitmap"), bitmap);
            put32(argument + Abi.CLEAR_DIRTY_LOG.at("num_pages"), (int) ((MEMORY - DATA) >>> 12));
            vm(vm, Ioctl.CLEAR_DIRTY_LOG, argument);
            if (get32(argument) != 1 || get64(argument + Abi.CLEAR_DIRTY_LOG.at("dirty_bitmap")) != bitmap) {
                throw new IllegalStateException("an ioctl changed its argument");
            }
        }
    }
}
