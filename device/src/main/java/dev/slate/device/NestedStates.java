package dev.slate.device;

import dev.slate.cpu.mem.HostMemory;
import dev.slate.device.abi.KvmNestedState;
import dev.slate.kvm.Errno;
import dev.slate.kvm.NestedState;
import dev.slate.kvm.Vcpu;

/** KVM_GET_NESTED_STATE and KVM_SET_NESTED_STATE, whose structure has as many bytes as it says itself. */
final class NestedStates {
    private NestedStates() {}

    static void get(Vcpu vcpu, long arg, long scratch) {
        UserMemory.read(scratch, arg, KvmNestedState.BYTES);
        int room = KvmNestedState.size(scratch);
        NestedState state = new NestedState();
        vcpu.getNestedState(state);
        if (Integer.compareUnsigned(room, state.size) < 0) {
            // The client learns how much it takes.
            KvmNestedState.putSize(scratch, state.size);
            UserMemory.write(arg, scratch, KvmNestedState.BYTES);
            throw Errno.E2BIG.raise();
        }
        KvmNestedState.write(scratch, state);
        if (state.size > KvmNestedState.BYTES) {
            HostMemory.copyIn(state.vmcb, 0, scratch + KvmNestedState.BYTES, NestedState.VMCB_BYTES);
        }
        UserMemory.write(arg, scratch, state.size);
    }

    static void set(Vcpu vcpu, long arg, long scratch) {
        UserMemory.read(scratch, arg, KvmNestedState.BYTES);
        NestedState state = new NestedState();
        KvmNestedState.read(scratch, state);
        if (Integer.compareUnsigned(state.size, (int) KvmNestedState.BYTES) < 0) {
            throw Errno.EINVAL.raise();
        }
        boolean vmcb = (state.flags & NestedState.GUEST_MODE) != 0
                && Integer.compareUnsigned(state.size, NestedState.HEADER_BYTES + NestedState.VMCB_BYTES) >= 0;
        if (vmcb) {
            UserMemory.read(scratch, arg + KvmNestedState.BYTES, NestedState.VMCB_BYTES);
            HostMemory.copyOut(scratch, state.vmcb, 0, NestedState.VMCB_BYTES);
        }
        vcpu.setNestedState(state);
    }
}
