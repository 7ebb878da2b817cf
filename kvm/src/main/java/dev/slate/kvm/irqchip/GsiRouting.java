package dev.slate.kvm.irqchip;

import dev.slate.kvm.Errno;
import dev.slate.kvm.GsiRoute;
import java.util.Arrays;
import java.util.List;

/**
 * Where a VM's global system interrupts go ({@code KVM_SET_GSI_ROUTING}): to pins of its controllers, out as messages,
 * or to paravirtual sources.
 *
 * <p>A table is immutable; a new one takes its place by one volatile write, so that a line can be driven while routes change.
 */
final class GsiRouting {
    /** Routes in use: those of GSI g are {@code start[g]} to {@code start[g + 1]}, exclusive. */
    static final class Table {
        final int[] start;
        final GsiRoute[] routes;
        private final int[] picGsi = new int[Pic.PINS];
        private final int[] ioApicGsi = new int[IoApic.PINS];

        private Table(int[] start, GsiRoute[] routes) {
            this.start = start;
            this.routes = routes;
            Arrays.fill(picGsi, -1);
            Arrays.fill(ioApicGsi, -1);
            for (GsiRoute r : routes) {
                if (r.type() == GsiRoute.IRQCHIP) {
                    if (r.first() == GsiRoute.IOAPIC) {
                        ioApicGsi[r.second()] = r.gsi();
                    } else {
                        picGsi[r.first() * 8 + r.second()] = r.gsi();
                    }
                }
            }
        }

        int gsis() {
            return start.length - 1;
        }

        /** The GSI that comes in at a pin of the 8259s (0 to 15), or -1. */
        int picGsi(int pin) {
            return picGsi[pin];
        }

        int ioApicGsi(int pin) {
            return ioApicGsi[pin];
        }
    }

    private volatile Table table = new Table(new int[1], new GsiRoute[0]);

    GsiRouting() {}

    Table table() {
        return table;
    }

    /** As a PC is wired: GSIs 0 to 15 to both kinds of controller, the rest to the I/O APIC. */
    void setDefault() {
        GsiRoute[] routes = new GsiRoute[Pic.PINS + IoApic.PINS];
        int n = 0;
        for (int gsi = 0; gsi < IoApic.PINS; gsi++) {
            routes[n++] = GsiRoute.pin(gsi, GsiRoute.IOAPIC, gsi);
            if (gsi < Pic.PINS) {
                routes[n++] = GsiRoute.pin(gsi, gsi < 8 ? GsiRoute.PIC_MASTER : GsiRoute.PIC_SLAVE, gsi & 7);
            }
        }
        set(List.of(routes), false, false);
    }

    /**
     * Replaces all routes.
     *
     * @param split the controllers are the client's: there are no pins
     * @param ids32 messages have 32-bit ids in their addresses, whose low byte must then be 0
     * @throws dev.slate.kvm.KvmException EINVAL: too many, a GSI or pin that is none, an unknown type or flag, two routes of a GSI that
     *     exclude each other; nothing has changed then
     */
    void set(List<GsiRoute> routes, boolean split, boolean ids32) {
        if (routes.size() > GsiRoute.MAX) {
            throw Errno.EINVAL.raise();
        }
        int gsis = 0;
        for (GsiRoute r : routes) {
            if (r.gsi() < 0 || r.gsi() >= GsiRoute.MAX) {
                throw Errno.EINVAL.raise();
            }
            gsis = Math.max(gsis, r.gsi() + 1);
        }
        int[] start = new int[gsis + 1];
        for (GsiRoute r : routes) {
            check(r, split, ids32);
            start[r.gsi() + 1]++;
        }
        for (int g = 0; g < gsis; g++) {
            start[g + 1] += start[g];
        }
        GsiRoute[] sorted = new GsiRoute[routes.size()];
        int[] used = new int[gsis];
        for (GsiRoute r : routes) {
            int from = start[r.gsi()];
            int n = used[r.gsi()]++;
            for (int i = from; i < from + n; i++) {
                // One pin of each controller, or one message alone.
                if (r.type() != GsiRoute.IRQCHIP
                        || sorted[i].type() != GsiRoute.IRQCHIP
                        || sorted[i].first() == r.first()) {
                    throw Errno.EINVAL.raise();
                }
            }
            sorted[from + n] = r;
        }
        table = new Table(start, sorted);
    }

    private static void check(GsiRoute r, boolean split, boolean ids32) {
        boolean good = switch (r.type()) {
            case GsiRoute.IRQCHIP ->
                r.flags() == 0
                        && !split
                        && r.first() >= 0
                        && r.first() <= GsiRoute.IOAPIC
                        && r.second() >= 0
                        && r.second() < (r.first() == GsiRoute.IOAPIC ? IoApic.PINS : 8);
            case GsiRoute.MSI -> (r.flags() & ~GsiRoute.MSI_VALID_DEVID) == 0 && !(ids32 && (r.second() & 0xff) != 0);
            // Whether there is such a source shows when it is raised.
            case GsiRoute.HV_SINT -> r.flags() == 0;
            case GsiRoute.XEN_EVTCHN -> r.flags() == 0 && r.third() == GsiRoute.XEN_PRIORITY_2LEVEL;
            default -> false;
        };
        if (!good) {
            throw Errno.EINVAL.raise();
        }
    }
}
