package dev.slate.kvm;

import dev.slate.kvm.host.EventFd;
import dev.slate.kvm.xen.XenDomain;
import java.util.function.IntFunction;

/**
 * Xen's interface to a VM's guest, as a client sets it up (KVM document, "KVM_XEN_HVM_CONFIG" and after).
 *
 * <p>Thread-safe, as KVM's VM ioctls are.
 */
public final class Xen {
    private final XenDomain domain;

    Xen(XenDomain domain) {
        this.domain = domain;
    }

    /**
     * {@code KVM_XEN_HVM_CONFIG}.
     *
     * @param msr by which the guest asks for its hypercall page; 0: none
     * @param blob32 host address of the client's pages for 32-bit guests, {@code pages32} of them; 0 when hypercalls are intercepted
     * @throws KvmException EINVAL
     */
    public void configure(int flags, int msr, long blob32, long blob64, int pages32, int pages64) {
        domain.configure(flags, msr, blob32, blob64, pages32, pages64);
    }

    /**
     * {@code KVM_XEN_HVM_SET_ATTR}.
     *
     * @param type {@code KVM_XEN_ATTR_TYPE_*}
     * @param u eight words: the union of {@code struct kvm_xen_hvm_attr}
     * @param counters opens the client's eventfds
     * @throws KvmException ENOENT: no such attribute; EINVAL, EFAULT, EEXIST, and what {@code counters} throws
     */
    public void setAttribute(int type, long[] u, IntFunction<EventFd> counters) {
        domain.setAttribute(type, u, counters);
    }

    /** {@code KVM_XEN_HVM_GET_ATTR}. @param u as {@link #setAttribute} has it @throws KvmException ENOENT */
    public void getAttribute(int type, long[] u) {
        domain.getAttribute(type, u);
    }

    /** {@code KVM_XEN_HVM_EVTCHN_SEND}: raises a port of a vCPU. @throws KvmException EINVAL, EFAULT */
    public void send(int port, int vcpuId, int priority) {
        domain.send(port, vcpuId, priority);
    }
}
