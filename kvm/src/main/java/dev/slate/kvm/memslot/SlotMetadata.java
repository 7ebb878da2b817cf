package dev.slate.kvm.memslot;

/** What an MMU keeps with a memslot from its creation to its end ({@code struct kvm_arch_memory_slot}). Flag changes leave it as it is. */
public interface SlotMetadata extends AutoCloseable {
    /** Gives the memory back; nothing maps the slot any more. */
    @Override
    void close();
}
