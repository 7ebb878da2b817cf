package dev.slate.cpu.exec;

import static dev.slate.cpu.CpuState.RAX;
import static dev.slate.cpu.CpuState.RCX;
import static dev.slate.cpu.CpuState.RDX;

import dev.slate.cpu.Cpu;
import dev.slate.cpu.CpuExit;
import dev.slate.cpu.CpuState;
import dev.slate.cpu.GuestFault;
import dev.slate.cpu.SvmExit;
import dev.slate.cpu.decode.Insn;
import dev.slate.cpu.decode.Op;

/** Ports, interrupts flag, time, model registers and exits to the hypervisor; passes on to the families of far transfers and control registers. */
final class SystemOps {
    private final Operands o;
    private final Cpu cpu;
    private final CpuState s;
    private final long[] gpr;
    private final StringOps strings;
    private final ControlRegisters control;
    private final FarTransfers far;
    private final Segments segments;
    private final ExtendedState extended;

    SystemOps(Operands o, StringOps strings, Events events) {
        this.o = o;
        this.cpu = o.cpu;
        this.s = o.s;
        this.gpr = o.gpr;
        this.strings = strings;
        this.segments = new Segments(o);
        this.control = new ControlRegisters(o, segments);
        this.far = new FarTransfers(o, segments, events);
        this.extended = new ExtendedState(o);
    }

    int execute(int op, long w0, long w1, long imm) {
        int size = Insn.size(w0);
        switch (op) {
            case Op.INVALID, Op.UD0, Op.UD1, Op.UD2 -> throw o.undefined();
            case Op.OVERLONG -> throw o.protection();
            case Op.IN, Op.OUT -> {
                return port(op == Op.IN, w0, w1, imm);
            }
            case Op.INS, Op.OUTS -> {
                checkPort((int) gpr[RDX] & 0xffff, 1 << Math.min(size, 2));
                int outcome = strings.inOut(op == Op.INS, w0, w1);
                return outcome == Interpreter.NEXT ? next(w0, w1) : outcome;
            }
            case Op.CLI, Op.STI -> {
                return interruptFlag(op == Op.STI, w0, w1);
            }
            case Op.HLT -> {
                o.privileged();
                return o.exit(CpuExit.HLT, w0, w1);
            }
            case Op.CPUID -> {
                cpu.serialize();
                return o.exit(CpuExit.CPUID, w0, w1);
            }
            case Op.RDMSR, Op.WRMSR -> {
                o.privileged();
                if (op == Op.WRMSR) {
                    cpu.serialize();
                }
                cpu.exit.info = op == Op.WRMSR ? 1 : 0;
                return o.exit(CpuExit.MSR, w0, w1);
            }
            case Op.RDPMC -> {
                if (s.cpl != 0 && (s.cr4 & CpuState.CR4_PCE) == 0 && s.protectedMode()) {
                    throw o.protection();
                }
                o.intercept(SvmExit.RDPMC, 0, w0, w1);
                return o.exit(CpuExit.RDPMC, w0, w1);
            }
            case Op.RDTSC, Op.RDTSCP -> {
                if ((s.cr4 & CpuState.CR4_TSD) != 0 && s.cpl != 0 && s.protectedMode()) {
                    throw o.protection();
                }
                o.intercept(op == Op.RDTSC ? SvmExit.RDTSC : SvmExit.RDTSCP, 0, w0, w1);
                long tsc = cpu.hypervisor.readTsc();
                gpr[RAX] = tsc & 0xffff_ffffL;
                gpr[RDX] = tsc >>> 32;
                if (op == Op.RDTSCP) {
                    gpr[RCX] = s.tscAux & 0xffff_ffffL;
                }
                return next(w0, w1);
            }
            case Op.RDPID -> {
                gpr[Insn.rm(w0)] = s.tscAux & 0xffff_ffffL;
                return next(w0, w1);
            }
            case Op.VMCALL, Op.VMMCALL -> {
                cpu.exit.info = op == Op.VMMCALL ? 1 : 0;
                return o.exit(CpuExit.VMMCALL, w0, w1);
            }
            case Op.VMRUN, Op.VMLOAD, Op.VMSAVE, Op.STGI, Op.CLGI, Op.SKINIT, Op.INVLPGA -> {
                return virtualMachine(op, w0, w1);
            }
            case Op.MONITOR, Op.MWAIT -> {
                if (s.cpl != 0) {
                    throw o.undefined();
                }
                if (gpr[RCX] >>> (op == Op.MWAIT ? 1 : 0) != 0) {
                    throw o.protection();
                }
                if (op == Op.MONITOR) {
                    int seg = Insn.segment(w0);
                    long off = Operands.maskAddress(gpr[RAX], Insn.addressSize(w0));
                    cpu.load8(seg, cpu.linear(seg, off, 1, false));
                }
                cpu.exit.info = op == Op.MWAIT ? 1 : 0;
                return o.exit(CpuExit.MONITOR_MWAIT, w0, w1);
            }
            case Op.XSETBV -> {
                if ((s.cr4 & CpuState.CR4_OSXSAVE) == 0) {
                    throw o.undefined();
                }
                o.privileged();
                return o.exit(CpuExit.XSETBV, w0, w1);
            }
            case Op.XGETBV -> extended.xgetbv();
            case Op.RSM -> {
                return o.exit(CpuExit.RSM, w0, w1);
            }
            case Op.INVD, Op.WBINVD, Op.WBNOINVD -> {
                o.privileged();
                if (op != Op.INVD) {
                    o.intercept(SvmExit.WBINVD, 0, w0, w1);
                }
                cpu.serialize();
                if (op == Op.INVD) {
                    return o.exit(CpuExit.INVD, w0, w1);
                }
                return next(w0, w1);
            }
            case Op.SERIALIZE -> {
                cpu.serialize();
                return next(w0, w1);
            }
            case Op.CLAC, Op.STAC -> {
                if (s.cpl != 0) {
                    throw o.undefined();
                }
                s.flagsSystem = op == Op.STAC ? s.flagsSystem | CpuState.AC : s.flagsSystem & ~CpuState.AC;
                cpu.modeChanged();
                return next(w0, w1);
            }
            case Op.RDPKRU, Op.WRPKRU -> {
                return protectionKeys(op, w0, w1);
            }
            case Op.RDFSBASE, Op.RDGSBASE, Op.WRFSBASE, Op.WRGSBASE, Op.SWAPGS -> {
                return bases(op, w0, w1);
            }
            case Op.CLFLUSH, Op.CLFLUSHOPT, Op.CLWB -> {
                // Memory is coherent; what remains is the fault of a bad address.
                cpu.load8(Insn.segment(w0), o.address(w0, w1, 1, false));
            }
            case Op.FXSAVE, Op.FXRSTOR, Op.XSAVE, Op.XSAVEOPT, Op.XSAVEC, Op.XRSTOR, Op.XSAVES, Op.XRSTORS -> {
                return extended.execute(op, w0, w1);
            }
            default -> {
                int outcome = control.execute(op, w0, w1, imm);
                return outcome == CpuExit.UNIMPLEMENTED ? far.execute(op, w0, w1, imm) : outcome;
            }
        }
        return Interpreter.NEXT;
    }

    /** AMD's instructions for hypervisors (APM 3): there with EFER.SVME, in protected mode. */
    private int virtualMachine(int op, long w0, long w1) {
        if ((s.efer & CpuState.EFER_SVME) == 0) {
            throw o.undefined();
        }
        needsProtectedMode(o);
        o.privileged();
        int code = switch (op) {
            case Op.VMRUN -> SvmExit.VMRUN;
            case Op.VMLOAD -> SvmExit.VMLOAD;
            case Op.VMSAVE -> SvmExit.VMSAVE;
            case Op.STGI -> SvmExit.STGI;
            case Op.CLGI -> SvmExit.CLGI;
            case Op.SKINIT -> SvmExit.SKINIT;
            default -> SvmExit.INVLPGA;
        };
        long address = Operands.maskAddress(gpr[RAX], Insn.addressSize(w0));
        o.intercept(code, 0, w0, w1);
        if (op == Op.INVLPGA) {
            if (!cpu.mode64 || cpu.canonical(address)) {
                cpu.world.invlpga(cpu.wrap(address));
            }
            return next(w0, w1);
        }
        if (op != Op.VMRUN && op != Op.SKINIT && cpu.hypervisor.virtualMachine(code, address)) {
            cpu.modeChanged();
            return next(w0, w1);
        }
        cpu.exit.code = code;
        cpu.exit.info = address;
        return o.exit(CpuExit.SVM, w0, w1);
    }

    private int next(long w0, long w1) {
        s.rip = o.next(w0, w1);
        return CpuExit.NONE;
    }

    // ------------------------------------------------------------------ ports

    private int port(boolean in, long w0, long w1, long imm) {
        int bytes = 1 << Math.min(Insn.size(w0), 2);
        int port = Insn.form(w0) == Insn.FORM_IMM ? (int) imm & 0xff : (int) gpr[RDX] & 0xffff;
        checkPort(port, bytes);
        cpu.io.port = port;
        cpu.io.size = bytes;
        cpu.io.in = in;
        cpu.io.string = false;
        cpu.io.rep = false;
        if (!in) {
            cpu.io.data = (int) IntegerOps.zeroExtend(gpr[RAX], Integer.numberOfTrailingZeros(bytes));
        }
        return o.exit(CpuExit.IOIO, w0, w1);
    }

    private void checkPort(int port, int bytes) {
        checkPermission(port, bytes);
        if (cpu.breakpoints.watchesPorts) {
            cpu.breakpoints.port(port, bytes);
        }
    }

    /** IOPL, then the TSS's permission bitmap (SDM 1 19.5). */
    private void checkPermission(int port, int bytes) {
        if (!s.protectedMode() || !s.virtual8086() && s.cpl <= (s.flagsSystem & CpuState.IOPL) >> 12) {
            return;
        }
        long limit = s.segLimit[CpuState.TR] & 0xffff_ffffL;
        // Only a 32-bit or 64-bit TSS, busy or not, has a bitmap.
        if ((s.segAttr[CpuState.TR] & (CpuState.ATTR_P | CpuState.ATTR_UNUSABLE | 9)) != (CpuState.ATTR_P | 9)
                || limit < 103) {
            throw o.protection();
        }
        long base = s.segBase[CpuState.TR];
        long at = (cpu.systemLoad16(base + 102) & 0xffffL) + (port >> 3);
        if (at + 1 > limit) {
            throw o.protection();
        }
        int bits = cpu.systemLoad16(base + at) >> (port & 7);
        if ((bits & (1 << bytes) - 1) != 0) {
            throw o.protection();
        }
    }

    // ------------------------------------------------------------------ flags and registers

    private int interruptFlag(boolean set, long w0, long w1) {
        int iopl = (s.flagsSystem & CpuState.IOPL) >> 12;
        boolean direct = !s.protectedMode() || (s.virtual8086() ? iopl == 3 : s.cpl <= iopl);
        if (!direct) {
            boolean virtual =
                    s.virtual8086() ? (s.cr4 & CpuState.CR4_VME) != 0 : s.cpl == 3 && (s.cr4 & CpuState.CR4_PVI) != 0;
            if (!virtual || set && (s.flagsSystem & CpuState.VIP) != 0) {
                throw o.protection();
            }
            s.flagsSystem = set ? s.flagsSystem | CpuState.VIF : s.flagsSystem & ~CpuState.VIF;
        } else if (set) {
            if ((s.flagsSystem & CpuState.IF) == 0) {
                s.flagsSystem |= CpuState.IF;
                s.interruptShadow = CpuState.SHADOW_STI;
            }
        } else {
            s.flagsSystem &= ~CpuState.IF;
        }
        return next(w0, w1);
    }

    private int protectionKeys(int op, long w0, long w1) {
        if ((s.cr4 & CpuState.CR4_PKE) == 0) {
            throw o.undefined();
        }
        if ((int) gpr[RCX] != 0) {
            throw o.protection();
        }
        if (op == Op.RDPKRU) {
            gpr[RAX] = s.pkru & 0xffff_ffffL;
            gpr[RDX] = 0;
            return Interpreter.NEXT;
        }
        if ((int) gpr[RDX] != 0) {
            throw o.protection();
        }
        s.pkru = (int) gpr[RAX];
        // Cached permissions depend on it; those of fetches do not, so blocks stay found.
        cpu.tlb.flush();
        return next(w0, w1);
    }

    private int bases(int op, long w0, long w1) {
        if (!cpu.mode64) {
            throw o.undefined();
        }
        if (op == Op.SWAPGS) {
            o.privileged();
            long base = s.segBase[CpuState.GS];
            s.segBase[CpuState.GS] = s.kernelGsBase;
            s.kernelGsBase = base;
            cpu.modeChanged();
            return next(w0, w1);
        }
        if ((s.cr4 & CpuState.CR4_FSGSBASE) == 0) {
            throw o.undefined();
        }
        int seg = op == Op.RDFSBASE || op == Op.WRFSBASE ? CpuState.FS : CpuState.GS;
        int size = Insn.size(w0);
        if (op == Op.RDFSBASE || op == Op.RDGSBASE) {
            o.setReg(Insn.rm(w0), size, s.segBase[seg]);
            return Interpreter.NEXT;
        }
        long base = IntegerOps.zeroExtend(gpr[Insn.rm(w0)], size);
        if (!cpu.canonical(base)) {
            throw o.protection();
        }
        s.segBase[seg] = base;
        cpu.modeChanged();
        return next(w0, w1);
    }

    /** #UD for an operation that exists in protected mode only. */
    static void needsProtectedMode(Operands o) {
        if (!o.s.protectedMode() || o.s.virtual8086()) {
            throw o.cpu.fault(GuestFault.UD, 0);
        }
    }
}
