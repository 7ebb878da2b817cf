package dev.slate.kvm.rmap;

import dev.slate.kvm.Knobs;

/**
 * The shape of {@code struct pte_list_desc} and how its chains are zapped.
 *
 * <pre>
 * counted (since Linux 5.15)           not counted (before)
 *   0  more                              0       sptes[entries]
 *   8  spte_count                        8 * n   more
 *  16  sptes[entries]
 * </pre>
 *
 * @param entries SPTEs in one descriptor, at least 2: KVM 6.1 has 14, with two-dimensional paging and the seed's patch 2, before 5.15 it had 3
 * @param counted the descriptor counts its SPTEs; else the first empty place ends them
 * @param zapOnce zapping a chain is one walk that frees the descriptors; else each SPTE is removed by itself, as before 5.15
 */
public record PteListForm(int entries, boolean counted, boolean zapOnce) {
    public PteListForm {
        if (entries < 2) {
            throw new IllegalArgumentException("a pte_list_desc has room for 2 SPTEs at least, not " + entries);
        }
    }

    /** The form that the knobs ask for. */
    public static PteListForm of(Knobs knobs) {
        return new PteListForm(
                (int) knobs.number(Knobs.PTE_LIST_ENTRIES, knobs.on(Knobs.TDP) ? 2 : 14),
                knobs.value(Knobs.PTE_LIST_FORM).equals("counted"),
                knobs.value(Knobs.RMAP_ZAP).equals("chain"));
    }

    /** Bytes of a descriptor. */
    public int bytes() {
        return 8 * entries + (counted ? 16 : 8);
    }

    int moreOffset() {
        return counted ? 0 : 8 * entries;
    }

    int sptesOffset() {
        return counted ? 16 : 0;
    }
}
