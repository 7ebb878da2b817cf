package dev.slate.device;

/** An agent in a client's JVM that collects garbage every millisecond, as far as collecting takes no longer. */
public final class Collecting {
    private Collecting() {}

    /** Called by the JVM before Slate begins. */
    public static void premain(String options) {
        Thread.ofPlatform().daemon().name("collecting").start(() -> {
            while (true) {
                System.gc();
                try {
                    Thread.sleep(1);
                } catch (InterruptedException e) {
                    return;
                }
            }
        });
    }
}
