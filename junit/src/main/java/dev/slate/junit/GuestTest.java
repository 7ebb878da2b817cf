package dev.slate.junit;

import java.lang.annotation.Documented;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ExtendWith;

/** The tests may take a parameter of type {@link TestMachine}, each a new one. On a method it goes before the class's. */
@Documented
@Retention(RetentionPolicy.RUNTIME)
@Target({ElementType.TYPE, ElementType.METHOD})
@ExtendWith(GuestExtension.class)
public @interface GuestTest {
    /** Bytes of memory from guest-physical address 0, a multiple of 4,096. */
    long memory() default 1 << 20;

    /** Exits after which a run is given up as one that does not end. */
    int limit() default 10_000;
}
