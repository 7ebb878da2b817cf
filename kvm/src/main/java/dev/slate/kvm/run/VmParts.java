package dev.slate.kvm.run;

import dev.slate.cpu.TranslationBudget;
import dev.slate.kvm.Knobs;
import dev.slate.kvm.clock.TscSync;
import dev.slate.kvm.clock.VmClock;
import dev.slate.kvm.cpuid.SupportedCpuid;
import dev.slate.kvm.host.HostServices;
import dev.slate.kvm.host.Worker;
import dev.slate.kvm.hyperv.Partition;
import dev.slate.kvm.io.DeviceBus;
import dev.slate.kvm.irqchip.Irqchip;
import dev.slate.kvm.irqchip.TimerThread;
import dev.slate.kvm.mmu.MmuContext;
import dev.slate.kvm.mmu.shadow.ShadowMmu;
import dev.slate.kvm.mmu.tdp.TdpMmu;
import dev.slate.kvm.msr.MsrPolicy;
import dev.slate.kvm.setting.VmSettings;
import dev.slate.kvm.xen.XenDomain;
import org.jspecify.annotations.Nullable;

/**
 * What the vCPUs of a VM share.
 *
 * @param processorFeatures what processors offer, as {@link dev.slate.cpu.decode.Feature} bits
 * @param translations what the translations of all vCPUs may take
 * @param worker does what is done now and then
 * @param missing where instructions that a processor lacks are told
 * @param tdp the MMU, when it is that one
 * @param shadow the MMU, when it is that one; beside {@code tdp} it shadows the nested tables of guests
 * @param partition what of Hyper-V is common to them
 * @param xen what of Xen is common to them
 * @param irqchip the interrupt hardware; local APICs are there once it exists
 * @param ports the devices at ports that are not the client's
 * @param memoryBus the devices at guest physical addresses that are not the client's; local APICs are not among them
 */
public record VmParts(
        HostServices host,
        Knobs knobs,
        SupportedCpuid supported,
        long processorFeatures,
        TranslationBudget translations,
        TimerThread timers,
        Worker worker,
        MissingInstructions missing,
        VmSettings settings,
        MsrPolicy msrPolicy,
        MmuContext mmuContext,
        @Nullable TdpMmu tdp,
        @Nullable ShadowMmu shadow,
        TscSync tscSync,
        VmClock clock,
        Partition partition,
        XenDomain xen,
        Irqchip irqchip,
        DeviceBus ports,
        DeviceBus memoryBus) {}
