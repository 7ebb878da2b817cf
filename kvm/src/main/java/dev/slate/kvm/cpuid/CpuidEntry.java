package dev.slate.kvm.cpuid;

/**
 * One leaf of CPUID ({@code struct kvm_cpuid_entry2}).
 *
 * @param function leaf (EAX on input)
 * @param index sub-leaf (ECX on input); counts only with {@link #SIGNIFICANT_INDEX}
 * @param flags {@link #SIGNIFICANT_INDEX} or 0
 */
public record CpuidEntry(int function, int index, int flags, int eax, int ebx, int ecx, int edx) {
    /** {@code KVM_CPUID_FLAG_SIGNIFCANT_INDEX}: the leaf depends on ECX. */
    public static final int SIGNIFICANT_INDEX = 1;
}
