package dev.slate.kvm.irqchip;

/** Local APICs that are on, and what has come to them. */
final class TestApics {
    private static final long PAGE = 0xfee0_0000L;

    private final LocalApic[] apics;
    private final Owner[] owners;

    private static final class Owner implements LocalApic.Owner {
        int events;
        int nmis;
        int smis;
        int clientEoi = -1;

        @Override
        public void eventArrived() {
            events++;
        }

        @Override
        public void nmiArrived() {
            nmis++;
        }

        @Override
        public void smiArrived() {
            smis++;
        }

        @Override
        public void unhalt() {}

        @Override
        public void clientIoApicEoi(int vector) {
            clientEoi = vector;
        }

        @Override
        public void switchedOn() {}

        @Override
        public void taskPriorityAccessed(boolean write) {}
    }

    TestApics(ApicBus bus, int count) {
        TimerThread timers = new TimerThread();
        apics = new LocalApic[count];
        owners = new Owner[count];
        for (int i = 0; i < count; i++) {
            owners[i] = new Owner();
            apics[i] = new LocalApic(i, i == 0, owners[i], bus, timers, () -> 0, () -> 1_000_000);
            apics[i].reset(false, true);
            write(i, 0xf0, 0x1ff);
            bus.add(apics[i]);
        }
    }

    LocalApic get(int apic) {
        return apics[apic];
    }

    void write(int apic, int register, long value) {
        apics[apic].writePage(PAGE + register, 4, value);
    }

    void logical(int apic, int id) {
        write(apic, 0xd0, (long) id << 24);
    }

    int pending(int apic) {
        return apics[apic].pendingVector();
    }

    int take(int apic) {
        return apics[apic].acknowledge();
    }

    void end(int apic) {
        write(apic, 0xb0, 0);
    }

    int events(int apic) {
        return owners[apic].events;
    }

    int nmis(int apic) {
        return owners[apic].nmis;
    }

    int smis(int apic) {
        return owners[apic].smis;
    }

    int clientEoi(int apic) {
        return owners[apic].clientEoi;
    }
}
