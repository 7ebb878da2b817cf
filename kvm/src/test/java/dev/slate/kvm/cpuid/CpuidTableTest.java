package dev.slate.kvm.cpuid;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class CpuidTableTest {
    private static final int INTEL_EBX = 0x756e6547;
    private static final int AMD_EBX = 0x68747541;

    private static CpuidTable table(CpuidEntry... entries) {
        CpuidTable t = new CpuidTable();
        t.set(List.of(entries));
        return t;
    }

    private static CpuidEntry leaf(int function, int eax) {
        return new CpuidEntry(function, 0, 0, eax, 0, 0, 0);
    }

    private static CpuidEntry leaf(int function, int index, int eax, int edx) {
        return new CpuidEntry(function, index, CpuidEntry.SIGNIFICANT_INDEX, eax, 0, 0, edx);
    }

    @Test
    void anUnindexedLeafAnswersAnySubleafAndAnIndexedOneItsOwn() {
        CpuidTable t = table(leaf(1, 7), leaf(4, 0, 11, 0), leaf(4, 1, 12, 0));
        t.query(1, 99);
        assertThat(t.eax).isEqualTo(7);
        t.query(4, 1);
        assertThat(t.eax).isEqualTo(12);
        t.query(4, -1);
        assertThat(t.eax).isZero();
    }

    @Test
    void anIntelProcessorAnswersItsHighestBasicLeafBeyondTheRangeAndAmdsAnswersZeros() {
        CpuidEntry intel = new CpuidEntry(0, 0, 0, 2, INTEL_EBX, 0, 0);
        CpuidTable t = table(intel, leaf(1, 1), leaf(2, 22));
        t.query(0x1234, 0);
        assertThat(t.eax).isEqualTo(22);
        CpuidEntry amd = new CpuidEntry(0, 0, 0, 2, AMD_EBX, 0, 0);
        t = table(amd, leaf(1, 1), leaf(2, 22));
        t.query(0x1234, 0);
        assertThat(t.eax).isZero();
    }

    @Test
    void topologyLeavesEchoTheSubleafOnceTheyAreThere() {
        CpuidTable t = table(leaf(0xb, 0, 1, 5), leaf(0xb, 1, 2, 5));
        t.query(0xb, 7);
        assertThat(t.eax).isZero();
        assertThat(t.ecx).isEqualTo(7);
        assertThat(t.edx).isEqualTo(5);
    }

    @Test
    void theBitsThatFollowTheProcessorAreKeptUpToDate() {
        CpuidTable t = table(
                leaf(1, 0),
                leaf(0xd, 0, 7, 0),
                new CpuidEntry(0xd, 1, CpuidEntry.SIGNIFICANT_INDEX, Feature.mask(Feature.XSAVEC), 0, 0, 0));
        t.update(true, true, 7, true, true, 0);
        assertThat(t.has(Feature.OSXSAVE)).isTrue();
        assertThat(t.has(Feature.APIC)).isTrue();
        assertThat(t.has(Feature.MONITOR)).isTrue();
        t.query(0xd, 0);
        assertThat(t.ebx).isEqualTo(832);
        t.query(0xd, 1);
        assertThat(t.ebx).isEqualTo(832);
        t.update(false, false, 3, false, false, 0);
        assertThat(t.has(Feature.OSXSAVE)).isFalse();
        assertThat(t.has(Feature.APIC)).isFalse();
        assertThat(t.has(Feature.MONITOR))
                .as("follows MISC_ENABLE only where the client wants it")
                .isTrue();
        t.query(0xd, 0);
        assertThat(t.ebx).isEqualTo(576);
    }

    @Test
    void theKvmLeafIsFoundAtAnyHypervisorBase() {
        CpuidEntry signature = new CpuidEntry(
                0x4000_0100, 0, 0, 0, CpuidTable.SIGNATURE_EBX, CpuidTable.SIGNATURE_ECX, CpuidTable.SIGNATURE_EDX);
        assertThat(table(signature, leaf(0x4000_0101, 0x80)).kvmFeatures()).isEqualTo(0x80);
        assertThat(table(leaf(0x4000_0101, 0x80)).kvmFeatures()).isZero();
    }

    @Test
    void physicalAddressesHave36BitsUntilALeafSaysOtherwise() {
        assertThat(table(leaf(0x8000_0008, 48)).maxPhysicalAddress()).isEqualTo(36);
        assertThat(table(leaf(0x8000_0000, 0x8000_0008), leaf(0x8000_0008, 48)).maxPhysicalAddress())
                .isEqualTo(48);
    }

    @Test
    void aListRoundTripsInItsOrder() {
        List<CpuidEntry> list = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            list.add(new CpuidEntry(19 - i, i, i & 1, i * 3, i * 5, i * 7, i * 11));
        }
        CpuidTable t = new CpuidTable();
        t.set(list);
        assertThat(t.toList()).isEqualTo(list);
        assertThat(t.equalTo(list)).isTrue();
        assertThat(t.equalTo(list.subList(0, 19))).isFalse();
    }
}
