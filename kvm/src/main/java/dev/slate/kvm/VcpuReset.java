package dev.slate.kvm;

import dev.slate.cpu.CpuState;

/** The state of a processor after RESET and after INIT (SDM 3A 9.1, APM 2 14.1). Under the vCPU's mutex. */
final class VcpuReset {
    private VcpuReset() {}

    static void reset(Vcpu v, boolean init) {
        CpuState s = v.state;
        long oldCr0 = s.cr0;
        int signature = v.cpuid.eax(1, 0x600);
        v.events.clear();
        for (int i = 0; i < 16; i++) {
            s.gpr[i] = 0;
        }
        s.gpr[CpuState.RDX] = signature & 0xffff_ffffL;
        s.rip = 0xfff0;
        s.setRflags(CpuState.RFLAGS_FIXED);
        for (int i = 0; i < 8; i++) {
            s.segSelector[i] = 0;
            s.segBase[i] = 0;
            s.segLimit[i] = 0xffff;
            s.segAttr[i] = CpuState.ATTR_P | CpuState.ATTR_S | 3;
        }
        s.segSelector[CpuState.CS] = 0xf000;
        s.segBase[CpuState.CS] = 0xffff_0000L;
        s.segAttr[CpuState.CS] = CpuState.ATTR_P | CpuState.ATTR_S | 0xb;
        s.segAttr[CpuState.LDTR] = CpuState.ATTR_P | 2;
        s.segAttr[CpuState.TR] = CpuState.ATTR_P | 3;
        s.gdtBase = 0;
        s.gdtLimit = 0xffff;
        s.idtBase = 0;
        s.idtLimit = 0xffff;
        s.cpl = 0;
        s.cr2 = 0;
        s.cr3 = 0;
        s.cr4 = 0;
        s.efer = 0;
        s.cr0 = CpuState.CR0_ET
                | (init ? oldCr0 & (CpuState.CR0_NW | CpuState.CR0_CD) : CpuState.CR0_NW | CpuState.CR0_CD);
        for (int i = 0; i < 4; i++) {
            s.dr[i] = 0;
        }
        s.dr6 = Vcpu.DR6_ACTIVE_LOW;
        s.dr7 = 0x400;
        s.interruptShadow = 0;
        s.nmiBlocked = false;
        v.smm.reset(init);
        v.apic.reset(init);
        v.clock.reset();
        if (!init) {
            s.xcr0 = 1;
            s.pat = 0x0007040600070406L;
            v.msrs.reset();
        }
    }
}
