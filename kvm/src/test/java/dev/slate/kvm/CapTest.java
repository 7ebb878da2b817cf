package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** The table of capabilities, walked whole. */
class CapTest {
    /** What can be enabled though it is not there. */
    private static final Set<Cap> VALUE_0 =
            Set.of(Cap.X86_BUS_LOCK_EXIT, Cap.HYPERV_ENLIGHTENED_VMCS, Cap.HYPERV_DIRECT_TLBFLUSH);

    private final Kvm kvm = new Kvm(new TestHost());

    @Test
    void theRowsStandInOrderOfTheirNumbers() {
        int last = -1;
        for (Cap cap : Cap.values()) {
            assertThat(cap.number()).as(cap.name()).isGreaterThan(last);
            assertThat(Cap.of(cap.number())).isSameAs(cap);
            last = cap.number();
        }
    }

    @Test
    void everyNumberAnswersAsItsRowOnTheSystemAndOnAVm() {
        try (Vm vm = kvm.createVm(0)) {
            for (int number = -2; number < 1000; number++) {
                Cap cap = Cap.of(number);
                int value = cap == null ? 0 : cap.value(kvm);
                assertThat(kvm.checkExtension(number))
                        .as("capability " + number)
                        .isEqualTo(value);
                assertThat(vm.checkExtension(number)).as("capability " + number).isEqualTo(value);
                if (cap != null) {
                    boolean enabledAlone = cap.onVm() || cap.onVcpu();
                    assertThat(value == 0).as(cap.name()).isEqualTo(cap.missing() != null || VALUE_0.contains(cap));
                    assertThat(VALUE_0.contains(cap) && !enabledAlone)
                            .as(cap.name())
                            .isFalse();
                }
            }
        }
    }

    @Test
    void whatIsNotInItsRowCannotBeEnabled() {
        try (Vm vm = kvm.createVm(0);
                Vcpu vcpu = vm.createVcpu(0)) {
            for (int number = -2; number < 1000; number++) {
                int n = number;
                Cap cap = Cap.of(number);
                for (long arg = -1; arg < 3; arg++) {
                    long[] args = {arg, 0, 0, 0};
                    if (cap == null || !cap.onVm()) {
                        refused(() -> vm.enableCap(n, 0, args));
                    } else {
                        refused(() -> vm.enableCap(n, 1, args));
                    }
                    if (cap == null || !cap.onVcpu()) {
                        refused(() -> vcpu.enableCap(n, 0, args));
                    } else {
                        refused(() -> vcpu.enableCap(n, 1, args));
                    }
                }
            }
        }
    }

    private static void refused(Runnable enable) {
        assertThatExceptionOfType(KvmException.class)
                .isThrownBy(enable::run)
                .extracting(KvmException::errno)
                .isEqualTo(Errno.EINVAL);
    }

    @Test
    void everyRowThatCanBeEnabledHasACaseAndNoMoreBitsThanItSays() {
        Set<Cap> walked = new HashSet<>();
        for (Cap cap : Cap.values()) {
            if (!cap.onVm() && !cap.onVcpu()) {
                continue;
            }
            walked.add(cap);
            for (int bit = -1; bit < 64; bit++) {
                long arg = bit < 0 ? 0 : 1L << bit;
                try (Vm vm = kvm.createVm(0)) {
                    Errno errno = enable(cap, vm, arg);
                    if ((arg & ~cap.validArgument()) != 0) {
                        assertThat(errno).as(cap + " " + Long.toHexString(arg)).isIn(Errno.EINVAL, Errno.EPERM);
                    }
                }
            }
        }
        assertThat(walked).isNotEmpty();
    }

    /** @return null: enabled; and no bug, which a row without a case is */
    private static @org.jspecify.annotations.Nullable Errno enable(Cap cap, Vm vm, long arg) {
        long[] args = {arg, 0, 0, 0};
        try {
            if (cap.onVm()) {
                vm.enableCap(cap.number(), 0, args);
            } else {
                try (Vcpu vcpu = vm.createVcpu(0)) {
                    vcpu.enableCap(cap.number(), 0, args);
                }
            }
            return null;
        } catch (KvmException e) {
            return e.errno();
        }
    }

    @Test
    void whatNeedsAVmWithoutVcpusIsRefusedOnceThereIsOne() {
        for (Cap cap : Cap.values()) {
            if (cap.needs(Cap.Need.NO_VCPUS)) {
                try (Vm vm = kvm.createVm(0);
                        Vcpu vcpu = vm.createVcpu(0)) {
                    assertThat(vcpu.id()).isZero();
                    assertThat(enable(cap, vm, cap.validArgument() & 65536))
                            .as(cap.name())
                            .isIn(Errno.EINVAL, Errno.EPERM);
                }
            }
        }
    }
}
