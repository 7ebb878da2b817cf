package dev.slate.device;

import static dev.slate.cpu.mem.HostMemory.get32;
import static dev.slate.cpu.mem.HostMemory.put32;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.Abi;
import dev.slate.kvm.Errno;
import dev.slate.kvm.Kvm;
import dev.slate.kvm.Vcpu;
import dev.slate.kvm.cpuid.CpuidEntry;
import java.util.ArrayList;
import java.util.List;

/** Lists of CPUID entries between the client and Java. */
final class Cpuids {
    private static final long HEADER = Abi.CPUID2.bytes();
    private static final long ENTRY = Abi.CPUID_ENTRY2.bytes();
    private static final long FUNCTION = Abi.CPUID_ENTRY2.at("function");
    private static final long INDEX = Abi.CPUID_ENTRY2.at("index");
    private static final long FLAGS = Abi.CPUID_ENTRY2.at("flags");
    private static final long EAX = Abi.CPUID_ENTRY2.at("eax");
    private static final long EBX = Abi.CPUID_ENTRY2.at("ebx");
    private static final long ECX = Abi.CPUID_ENTRY2.at("ecx");
    private static final long EDX = Abi.CPUID_ENTRY2.at("edx");

    private static final long OLD_ENTRY = Abi.CPUID_ENTRY.bytes();
    private static final long OLD_FUNCTION = Abi.CPUID_ENTRY.at("function");
    private static final long OLD_EAX = Abi.CPUID_ENTRY.at("eax");
    private static final long OLD_EBX = Abi.CPUID_ENTRY.at("ebx");
    private static final long OLD_ECX = Abi.CPUID_ENTRY.at("ecx");
    private static final long OLD_EDX = Abi.CPUID_ENTRY.at("edx");

    private Cpuids() {}

    /** Gives the list to the client, which has said how many it has room for. */
    static long get(List<CpuidEntry> entries, long arg, long scratch) {
        UserMemory.read(scratch, arg, HEADER);
        if (Integer.compareUnsigned(get32(scratch), entries.size()) < 0) {
            throw Errno.E2BIG.raise();
        }
        long at = scratch + HEADER;
        HostMemory.fill(scratch, HEADER + entries.size() * ENTRY, 0);
        put32(scratch, entries.size());
        for (CpuidEntry e : entries) {
            put32(at + FUNCTION, e.function());
            put32(at + INDEX, e.index());
            put32(at + FLAGS, e.flags());
            put32(at + EAX, e.eax());
            put32(at + EBX, e.ebx());
            put32(at + ECX, e.ecx());
            put32(at + EDX, e.edx());
            at += ENTRY;
        }
        UserMemory.write(arg, scratch, at - scratch);
        return 0;
    }

    /** {@code KVM_SET_CPUID2}. */
    static long set(Vcpu vcpu, long arg, long scratch) {
        int n = count(arg, scratch, ENTRY);
        List<CpuidEntry> entries = new ArrayList<>(n);
        for (int i = 0; i < n; i++) {
            long at = scratch + i * ENTRY;
            entries.add(new CpuidEntry(
                    get32(at + FUNCTION),
                    get32(at + INDEX),
                    get32(at + FLAGS),
                    get32(at + EAX),
                    get32(at + EBX),
                    get32(at + ECX),
                    get32(at + EDX)));
        }
        vcpu.setCpuid(entries);
        return 0;
    }

    /** {@code KVM_SET_CPUID}: entries without sub-leaves. */
    static long setOld(Vcpu vcpu, long arg, long scratch) {
        int n = count(arg, scratch, OLD_ENTRY);
        List<CpuidEntry> entries = new ArrayList<>(n);
        for (int i = 0; i < n; i++) {
            long at = scratch + i * OLD_ENTRY;
            entries.add(new CpuidEntry(
                    get32(at + OLD_FUNCTION),
                    0,
                    0,
                    get32(at + OLD_EAX),
                    get32(at + OLD_EBX),
                    get32(at + OLD_ECX),
                    get32(at + OLD_EDX)));
        }
        vcpu.setCpuid(entries);
        return 0;
    }

    /** Reads the client's list into the scratch memory. */
    private static int count(long arg, long scratch, long entryBytes) {
        UserMemory.read(scratch, arg, HEADER);
        int n = get32(scratch);
        if (n < 0 || n > Kvm.MAX_CPUID_ENTRIES) {
            throw Errno.E2BIG.raise();
        }
        if (n > 0) {
            UserMemory.read(scratch, arg + HEADER, n * entryBytes);
        }
        return n;
    }
}
