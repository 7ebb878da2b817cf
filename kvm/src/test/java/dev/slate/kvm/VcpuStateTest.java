package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.slate.kvm.cpuid.CpuidEntry;
import dev.slate.kvm.cpuid.Feature;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Registers, CPUID, MSRs and events of a vCPU that does not run. */
class VcpuStateTest {
    private static final int TSC_AUX = 0xc0000103;
    private static final int EFER = 0xc0000080;
    private static final int LSTAR = 0xc0000082;

    private final Kvm kvm = new Kvm(new TestHost());
    private final Vm vm = kvm.createVm(0);
    private final Vcpu vcpu = vm.createVcpu(0);

    @AfterEach
    void close() {
        vcpu.close();
        vm.close();
    }

    private static void fails(Errno errno, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        KvmException.class, e -> assertThat(e.errno()).isEqualTo(errno));
    }

    @Test
    void resetLeavesTheStateThatKvmDoes() {
        Regs r = new Regs();
        vcpu.getRegs(r);
        assertThat(r.rip).isEqualTo(0xfff0);
        assertThat(r.rflags).isEqualTo(2);
        assertThat(r.rdx).isEqualTo(0x600);
        Sregs s = new Sregs();
        vcpu.getSregs(s);
        assertThat(s.cr0).isEqualTo(0x6000_0010L);
        assertThat(s.cs.base).isEqualTo(0xffff_0000L);
        assertThat(s.cs.selector).isEqualTo(0xf000);
        assertThat(s.cs.type).isEqualTo(0xa);
        assertThat(s.ss.type).isEqualTo(2);
        assertThat(s.ds.type).isEqualTo(3);
        assertThat(s.ldt.type).isEqualTo(2);
        assertThat(s.tr.type).isEqualTo(3);
        assertThat(s.gdtLimit).isEqualTo(0xffff);
        assertThat(s.apicBase).isEqualTo(0xfee0_0900L);
        assertThat(vcpu.getXcr0()).isEqualTo(1);
        assertThat(vcpu.getMpState()).isEqualTo(MpState.RUNNABLE);
    }

    @Test
    void everyRegisterRoundTrips() {
        Regs r = new Regs();
        r.rax = 1;
        r.rbx = 2;
        r.rcx = 3;
        r.rdx = 4;
        r.rsi = 5;
        r.rdi = 6;
        r.rsp = 7;
        r.rbp = 8;
        r.r8 = 9;
        r.r15 = 10;
        r.rip = 11;
        r.rflags = 0x246;
        vcpu.setRegs(r);
        Regs back = new Regs();
        vcpu.getRegs(back);
        assertThat(back).usingRecursiveComparison().isEqualTo(r);
    }

    @Test
    void whatGetSregsSaysSetSregsTakes() {
        Sregs s = new Sregs();
        vcpu.getSregs(s);
        vcpu.setSregs(s);
        s.setFlat64(0x1000);
        vcpu.setSregs(s);
        Sregs back = new Sregs();
        vcpu.getSregs(back);
        assertThat(back).usingRecursiveComparison().isEqualTo(s);
    }

    @Test
    void realModeRunsAtPrivilege0WhateverSsSays() {
        Sregs s = new Sregs();
        vcpu.getSregs(s);
        s.ss.dpl = 3;
        vcpu.setSregs(s);
        vcpu.getSregs(s);
        assertThat(s.ss.dpl).isZero();
        s.setFlat64(0x1000);
        s.ss.dpl = 3;
        vcpu.setSregs(s);
        vcpu.getSregs(s);
        assertThat(s.ss.dpl).isEqualTo(3);
    }

    @Test
    void refusedSregsChangeNothing() {
        Sregs before = new Sregs();
        vcpu.getSregs(before);
        long[] badCr4 = {1L << 13, 1L << 14, 1L << 63};
        for (long bit : badCr4) {
            Sregs s = new Sregs();
            s.setFlat64(0x1000);
            s.apicBase = before.apicBase;
            s.cr4 |= bit;
            fails(Errno.EINVAL, () -> vcpu.setSregs(s));
        }
        Sregs apic = new Sregs();
        apic.setFlat64(0x1000);
        apic.apicBase = 1 << 10;
        fails(Errno.EINVAL, () -> vcpu.setSregs(apic));
        Sregs noPae = new Sregs();
        noPae.setFlat64(0x1000);
        noPae.cr4 = 0;
        fails(Errno.EINVAL, () -> vcpu.setSregs(noPae));
        Sregs noPe = new Sregs();
        vcpu.getSregs(noPe);
        noPe.cr0 = 1L << 31;
        fails(Errno.EINVAL, () -> vcpu.setSregs(noPe));
        Sregs after = new Sregs();
        vcpu.getSregs(after);
        assertThat(after).usingRecursiveComparison().isEqualTo(before);
    }

    @Test
    void everySupportedCr4BitIsTakenBeforeAnyCpuidIsSet() {
        Sregs s = new Sregs();
        vcpu.getSregs(s);
        s.cr4 = ~kvm.supported().cr4Reserved();
        vcpu.setSregs(s);
        vcpu.setCpuid(List.of(new CpuidEntry(1, 0, 0, 0, 0, 0, 0)));
        assertThat(s.cr4 & 1L << 18).as("OSXSAVE is among them").isNotZero();
        fails(Errno.EINVAL, () -> vcpu.setSregs(s));
    }

    @Test
    void supportedCpuidFitsTheSelftestsAndRoundTrips() {
        List<CpuidEntry> supported = kvm.supportedCpuid();
        assertThat(supported).hasSizeLessThanOrEqualTo(100);
        assertThat(supported.stream().map(CpuidEntry::function))
                .contains(0, 7, 0xa, 0xd, 0x8000_0000, 0x8000_0008, 0x4000_0000);
        vcpu.setCpuid(supported);
        List<CpuidEntry> back = vcpu.getCpuid();
        assertThat(back).hasSameSizeAs(supported);
        for (int i = 0; i < back.size(); i++) {
            assertThat(back.get(i).function()).isEqualTo(supported.get(i).function());
            assertThat(back.get(i).index()).isEqualTo(supported.get(i).index());
        }
    }

    @Test
    void osxsaveFollowsCr4() {
        vcpu.setCpuid(kvm.supportedCpuid());
        Sregs s = new Sregs();
        vcpu.getSregs(s);
        assertThat(has(vcpu.getCpuid(), Feature.OSXSAVE)).isFalse();
        s.cr4 |= 1 << 18;
        vcpu.setSregs(s);
        assertThat(has(vcpu.getCpuid(), Feature.OSXSAVE)).isTrue();
    }

    private static boolean has(List<CpuidEntry> list, int feature) {
        return list.stream().anyMatch(e -> e.function() == 1 && (e.ecx() & Feature.mask(feature)) != 0);
    }

    @Test
    void onlyTheSameCpuidIsTakenOnceTheVcpuHasRun() {
        try (Guest64 g = new Guest64(0xf4)) {
            g.run();
            g.vcpu.setCpuid(kvm.supportedCpuid());
            List<CpuidEntry> other = new ArrayList<>(kvm.supportedCpuid());
            other.removeLast();
            fails(Errno.EINVAL, () -> g.vcpu.setCpuid(other));
        }
    }

    @Test
    void linearAddressesHave48Or57Bits() {
        fails(Errno.EINVAL, () -> vcpu.setCpuid(List.of(new CpuidEntry(0x8000_0008, 0, 0, 50 << 8 | 40, 0, 0, 0))));
        vcpu.setCpuid(List.of(new CpuidEntry(0x8000_0008, 0, 0, 57 << 8 | 40, 0, 0, 0)));
    }

    @Test
    void everyListedMsrCanBeReadAndWrittenBack() {
        vcpu.setCpuid(kvm.supportedCpuid());
        long[] value = new long[1];
        for (int index : kvm.msrIndexList()) {
            assertThat(vcpu.getMsr(index, value)).as("read %x", index).isTrue();
            boolean needsApic = index == 0x4b564d06;
            assertThat(vcpu.setMsr(index, value[0])).as("write %x", index).isEqualTo(!needsApic);
        }
        for (int index : kvm.msrFeatureIndexList()) {
            assertThat(kvm.getFeatureMsr(index, value)).as("feature %x", index).isTrue();
        }
        assertThat(kvm.getFeatureMsr(0x10, value)).isFalse();
        assertThat(vcpu.getMsr(0x1234_5678, value)).isFalse();
    }

    @Test
    void msrsRefuseWhatSiliconRefuses() {
        vcpu.setCpuid(kvm.supportedCpuid());
        assertThat(vcpu.setMsr(LSTAR, 1L << 50)).as("not canonical").isFalse();
        assertThat(vcpu.setMsr(EFER, 1L << 12)).as("SVME").isFalse();
        assertThat(vcpu.setMsr(0x277, 2)).as("PAT type 2").isFalse();
        assertThat(vcpu.setMsr(0x2ff, 0xc02)).as("MTRR type 2").isFalse();
        assertThat(vcpu.setMsr(0x200, 1L << 60 | 6))
                .as("MTRR base beyond the physical addresses")
                .isFalse();
        assertThat(vcpu.setMsr(0x1b, 1 << 10))
                .as("x2APIC on an APIC that is off")
                .isFalse();
        long[] value = new long[1];
        assertThat(vcpu.setMsr(TSC_AUX, 0x1_0000_0007L)).isTrue();
        vcpu.getMsr(TSC_AUX, value);
        assertThat(value[0]).isEqualTo(7);
    }

    @Test
    void eventsRoundTripAndBadOnesAreRefused() {
        VcpuEvents e = new VcpuEvents();
        vcpu.getEvents(e);
        vcpu.setEvents(e);
        e.flags = 1 << 10;
        fails(Errno.EINVAL, () -> vcpu.setEvents(e));
        e.flags = VcpuEvents.VALID_PAYLOAD;
        fails(Errno.EINVAL, () -> vcpu.setEvents(e));
        e.flags = 0;
        e.exceptionInjected = 1;
        e.exceptionNr = 32;
        fails(Errno.EINVAL, () -> vcpu.setEvents(e));
        vm.enableCap(Cap.EXCEPTION_PAYLOAD.number(), 0, new long[] {1, 0, 0, 0});
        VcpuEvents p = new VcpuEvents();
        p.flags = VcpuEvents.VALID_PAYLOAD;
        p.exceptionPending = 1;
        p.exceptionNr = 14;
        p.exceptionHasErrorCode = 1;
        p.exceptionErrorCode = 2;
        p.exceptionHasPayload = 1;
        p.exceptionPayload = 0x1234_5000;
        vcpu.setEvents(p);
        VcpuEvents back = new VcpuEvents();
        vcpu.getEvents(back);
        assertThat(back.exceptionPending).isEqualTo(1);
        assertThat(back.exceptionInjected).isZero();
        assertThat(back.exceptionPayload).isEqualTo(0x1234_5000);
        assertThat(back.flags & VcpuEvents.VALID_PAYLOAD).isNotZero();
    }

    @Test
    void fpuAndXsaveShowTheSameRegisters() {
        vcpu.setCpuid(kvm.supportedCpuid());
        long seed = System.nanoTime();
        System.out.println("VcpuStateTest seed " + seed);
        SplittableRandom random = new SplittableRandom(seed);
        Fpu fpu = new Fpu();
        random.nextBytes(fpu.xmm);
        for (int i = 0; i < 8; i++) {
            for (int k = 0; k < 10; k++) {
                fpu.fpr[i * 16 + k] = (byte) random.nextInt();
            }
        }
        fpu.fcw = 0x27f;
        fpu.fsw = 3 << 11;
        fpu.ftwx = 0x5a;
        fpu.mxcsr = 0x1fc0;
        vcpu.setFpu(fpu);
        // Neither taken nor given, as in KVM.
        fpu.mxcsr = 0;
        Fpu back = new Fpu();
        vcpu.getFpu(back);
        assertThat(back).usingRecursiveComparison().isEqualTo(fpu);
        byte[] image = new byte[vcpu.xsaveBytes()];
        vcpu.getXsave(image);
        for (int i = 0; i < 256; i++) {
            assertThat(image[160 + i]).isEqualTo(fpu.xmm[i]);
        }
        vcpu.setFpu(new Fpu());
        vcpu.setXsave(image);
        vcpu.getFpu(back);
        assertThat(back).usingRecursiveComparison().isEqualTo(fpu);
        image[512 + 1] = 2;
        fails(Errno.EINVAL, () -> vcpu.setXsave(image));
    }

    @Test
    void debugRegistersRoundTripWithoutUpperHalves() {
        DebugRegs d = new DebugRegs();
        d.db[0] = 0x1000;
        d.db[3] = 0x4000;
        d.dr6 = 0xffff_0ff1L;
        d.dr7 = 0x401;
        vcpu.setDebugRegs(d);
        DebugRegs back = new DebugRegs();
        vcpu.getDebugRegs(back);
        assertThat(back).usingRecursiveComparison().isEqualTo(d);
        d.dr7 = 1L << 32;
        fails(Errno.EINVAL, () -> vcpu.setDebugRegs(d));
    }

    @Test
    void vcpuIdsAreLimitedOnceAndTakenOnce() {
        Vm other = kvm.createVm(0);
        fails(Errno.EINVAL, () -> other.enableCap(Cap.MAX_VCPU_ID.number(), 0, new long[] {4097, 0, 0, 0}));
        other.enableCap(Cap.MAX_VCPU_ID.number(), 0, new long[] {2, 0, 0, 0});
        fails(Errno.EINVAL, () -> other.enableCap(Cap.MAX_VCPU_ID.number(), 0, new long[] {3, 0, 0, 0}));
        fails(Errno.EINVAL, () -> other.createVcpu(2));
        other.createVcpu(1);
        fails(Errno.EEXIST, () -> other.createVcpu(1));
        fails(Errno.EBUSY, () -> other.setBootCpuId(1));
        fails(Errno.EINVAL, other::createIrqchip);
    }

    @Test
    void anUnknownCapabilityIsAbsentAndCannotBeEnabled() {
        assertThat(kvm.checkExtension(9999)).isZero();
        assertThat(vm.checkExtension(Cap.NESTED_STATE.number())).isZero();
        fails(Errno.EINVAL, () -> vm.enableCap(9999, 0, new long[4]));
        fails(Errno.EINVAL, () -> vm.enableCap(Cap.DISABLE_QUIRKS2.number(), 1, new long[4]));
        fails(Errno.EINVAL, () -> kvm.createVm(1));
    }

    @Test
    void mpStatesOtherThanRunnableNeedTheKernelsApic() {
        fails(Errno.EINVAL, () -> vcpu.setMpState(MpState.HALTED));
        fails(Errno.EINVAL, () -> vcpu.setMpState(77));
        Vm withApic = kvm.createVm(0);
        withApic.createIrqchip();
        fails(Errno.EEXIST, withApic::createIrqchip);
        Vcpu boot = withApic.createVcpu(0);
        Vcpu other = withApic.createVcpu(1);
        assertThat(boot.getMpState()).isEqualTo(MpState.RUNNABLE);
        assertThat(other.getMpState()).isEqualTo(MpState.UNINITIALIZED);
        other.setMpState(MpState.HALTED);
        assertThat(other.getMpState()).isEqualTo(MpState.HALTED);
        assertThat(other.run(true)).isEqualTo(Errno.EINTR.number());
    }

    @Test
    void withoutASlotEverAVcpuHasNoPageForItsTables() {
        Kvm kvm = new Kvm(new TestHost());
        try (Vm vm = kvm.createVm(0);
                Vcpu vcpu = vm.createVcpu(0)) {
            assertThat(vm.nrMmuPages()).isZero();
            assertThat(vcpu.run(false)).isEqualTo(Errno.ENOSPC.number());
            vm.setNrMmuPages(100);
            assertThat(vm.nrMmuPages()).isEqualTo(100);
            assertThat(vcpu.run(false)).isZero();
        }
    }

    @Test
    void sregs2CarryTheDirectoryPointersOfPaePagingInPlaceOfInterrupts() {
        Kvm kvm = new Kvm(new TestHost());
        try (Vm vm = kvm.createVm(0);
                Vcpu vcpu = vm.createVcpu(0)) {
            vcpu.setCpuid(kvm.supportedCpuid());
            Sregs s = new Sregs();
            long[] pdptrs = new long[4];
            assertThat(vcpu.getSregs2(s, pdptrs)).isZero();
            long[] given = {0x1001, 0x2001, 0x3001, 0x4001};
            fails(Errno.EINVAL, () -> vcpu.setSregs2(s, Vcpu.SREGS2_PDPTRS_VALID, given));
            fails(Errno.EINVAL, () -> vcpu.setSregs2(s, 2, given));
            s.setFlat32();
            s.cr0 |= 0x8000_0000L;
            s.cr4 = 0x20;
            vcpu.setSregs2(s, Vcpu.SREGS2_PDPTRS_VALID, given);
            assertThat(vcpu.getSregs2(s, pdptrs)).isEqualTo(Vcpu.SREGS2_PDPTRS_VALID);
            assertThat(pdptrs).isEqualTo(given);
        }
    }

    @Test
    void aLinearAddressIsTranslatedByTheGuestsTables() {
        try (Guest64 g = new Guest64(0xf4)) {
            assertThat(g.vcpu.translate(Guest64.DATA + 0x123)).isEqualTo(Guest64.DATA + 0x123);
            assertThat(g.vcpu.translate(Guest64.NOWHERE))
                    .as("mapped, though no memory is there")
                    .isEqualTo(Guest64.NOWHERE);
            assertThat(g.vcpu.translate(0x8000_0000L)).isEqualTo(-1);
            assertThat(g.vcpu.translate(1L << 50))
                    .as("KVM looks at no bit above the tables")
                    .isZero();
            Sregs s = new Sregs();
            g.vcpu.getSregs(s);
            s.setFlat32();
            g.vcpu.setSregs(s);
            assertThat(g.vcpu.translate(0x1_0000_1000L)).as("without paging").isEqualTo(0x1000);
        }
    }

    /** Registers are set piece by piece: special ones first, while RFLAGS still says virtual-8086 mode of what ran before. */
    @Test
    void whatLeavesVirtual8086ModeByBothSetsOfRegistersIsAtTheLevelOfSs() {
        // hlt, which CPL 3 must not
        try (Guest64 g = new Guest64(0xf4)) {
            Regs r = g.regs();
            r.rflags = 1 << 17 | 2;
            g.vcpu.setRegs(r);
            g.start(g.vcpu, Guest64.CODE, Guest64.STACK);
            assertThat(g.run()).isEqualTo(new Exit.Halt());
        }
    }
}
