package dev.slate.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;

final class KnobsTest {
    @Test
    void takesNamesAndValuesAsTheKernelSpellsThem() {
        assertThat(Knobs.standard().on(Knobs.EAGER_PAGE_SPLIT)).isTrue();
        assertThat(Knobs.parse("mmu.eager-page-split=N\n").on(Knobs.EAGER_PAGE_SPLIT))
                .isFalse();
        assertThat(Knobs.parse("mmu.eager-page-split=off\n\nmmu.eager-page-split = on")
                        .on(Knobs.EAGER_PAGE_SPLIT))
                .isTrue();
    }

    @Test
    void anUnknownNameIsAnsweredWithTheNearOnes() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Knobs.parse("mmu.egaer-page-split=on"))
                .withMessageContaining("did you mean mmu.eager-page-split");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Knobs.parse("zzzzzzzzzzzzz=1"))
                .withMessageContaining("slate knobs");
    }

    @Test
    void aBadValueIsAnsweredWithTheGoodOnes() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Knobs.parse("mmu.huge-pages=maybe"))
                .withMessageContaining("on or off");
        assertThatIllegalArgumentException()
                .isThrownBy(() -> Knobs.parse("mmu.huge-pages"))
                .withMessageContaining("NAME=VALUE");
    }
}
