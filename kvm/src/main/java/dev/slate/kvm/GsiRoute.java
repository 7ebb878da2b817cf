package dev.slate.kvm;

/**
 * Where a global system interrupt goes ({@code struct kvm_irq_routing_entry}): with {@link #IRQCHIP} to a pin ({@code second}) of a chip
 * ({@code first}), with {@link #MSI} out as a message to an address ({@code first} low, {@code second} high) with data ({@code third}); with
 * {@link #HV_SINT} to a source ({@code second}) of Hyper-V's SynIC of a virtual processor ({@code first}); with
 * {@link #XEN_EVTCHN} to a port ({@code first}) of a vCPU ({@code second}) with a priority ({@code third}).
 */
public record GsiRoute(int gsi, int type, int flags, int first, int second, int third) {
    /** {@code KVM_IRQ_ROUTING_IRQCHIP}. */
    public static final int IRQCHIP = 1;
    /** {@code KVM_IRQ_ROUTING_MSI}. */
    public static final int MSI = 2;

    /** {@code KVM_IRQ_ROUTING_HV_SINT}. */
    public static final int HV_SINT = 4;

    /** {@code KVM_IRQ_ROUTING_XEN_EVTCHN}. */
    public static final int XEN_EVTCHN = 5;

    /** {@code KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL}: the only priority. */
    public static final int XEN_PRIORITY_2LEVEL = -1;

    /** {@code KVM_MSI_VALID_DEVID}: the only flag, of messages; nothing here looks at device ids. */
    public static final int MSI_VALID_DEVID = 1;

    /** {@code KVM_MAX_IRQ_ROUTES}: routes, and numbers of GSIs. */
    public static final int MAX = 4096;

    /** {@code KVM_IRQCHIP_*}. */
    public static final int PIC_MASTER = 0;

    public static final int PIC_SLAVE = 1;
    public static final int IOAPIC = 2;

    /** To a pin of a controller. */
    public static GsiRoute pin(int gsi, int chip, int pin) {
        return new GsiRoute(gsi, IRQCHIP, 0, chip, pin, 0);
    }

    /** Out as a message. */
    public static GsiRoute msi(int gsi, long address, int data) {
        return new GsiRoute(gsi, MSI, 0, (int) address, (int) (address >>> 32), data);
    }
}
