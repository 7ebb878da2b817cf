package dev.slate.kvm.event;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class EventQueueTest {
    private static final int DE = 0;
    private static final int DF = 8;
    private static final int GP = 13;
    private static final int PF = 14;
    private static final int UD = 6;

    @Test
    void twoContributoryExceptionsAreADoubleFaultAndAThirdIsShutdown() {
        EventQueue e = new EventQueue();
        e.queue(GP, true, 8);
        e.queue(DE);
        assertThat(e.exceptionVector).isEqualTo(DF);
        assertThat(e.exceptionHasErrorCode).isTrue();
        assertThat(e.exceptionErrorCode).isZero();
        e.queue(UD);
        assertThat(e.tripleFault).isTrue();
    }

    @Test
    void aPageFaultOnAPageFaultIsADoubleFaultAndOnAContributoryOneIsNot() {
        EventQueue e = new EventQueue();
        e.queue(PF, true, 2);
        e.queue(PF, true, 0);
        assertThat(e.exceptionVector).isEqualTo(DF);
        e.clear();
        e.queue(GP, true, 0);
        e.queue(PF, true, 4);
        assertThat(e.exceptionVector).isEqualTo(PF);
        assertThat(e.exceptionErrorCode).isEqualTo(4);
    }

    @Test
    void aBenignExceptionGivesWayToTheNewOne() {
        EventQueue e = new EventQueue();
        e.queue(UD);
        e.queue(GP, true, 16);
        assertThat(e.exceptionVector).isEqualTo(GP);
        assertThat(e.tripleFault).isFalse();
    }

    @Test
    void twoNmisAreHeldAndOneWhileAnotherIsBlocked() {
        EventQueue e = new EventQueue();
        for (int i = 0; i < 5; i++) {
            e.queueNmi();
        }
        assertThat(e.nmiWaits()).isTrue();
        e.collectNmis(false);
        assertThat(e.nmiPending).isEqualTo(2);
        e.clear();
        e.queueNmi();
        e.queueNmi();
        e.collectNmis(true);
        assertThat(e.nmiPending).isEqualTo(1);
        assertThat(e.nmiWaits()).isTrue();
    }
}
