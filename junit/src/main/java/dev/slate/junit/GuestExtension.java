package dev.slate.junit;

import java.lang.reflect.AnnotatedElement;
import org.junit.jupiter.api.extension.AfterTestExecutionCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * Makes the {@link TestMachine} of a test, reports its exits as the entry {@code exits} when the test has run, and closes it. Registered
 * by {@link GuestTest}.
 */
public final class GuestExtension implements ParameterResolver, AfterTestExecutionCallback {
    private static final Namespace NAMESPACE = Namespace.create(GuestExtension.class);

    /** Registered by {@link GuestTest}, or by a test itself. */
    public GuestExtension() {}

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == TestMachine.class;
    }

    /** One machine for each test: two parameters get the same. */
    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        return context.getStore(NAMESPACE).computeIfAbsent(TestMachine.class, type -> make(context), TestMachine.class);
    }

    private static TestMachine make(ExtensionContext context) {
        GuestTest test = context.getTestMethod()
                .map(method -> (AnnotatedElement) method)
                .filter(method -> method.isAnnotationPresent(GuestTest.class))
                .or(context::getTestClass)
                .map(element -> element.getAnnotation(GuestTest.class))
                .orElse(null);
        return test == null ? new TestMachine(1 << 20, 10_000) : new TestMachine(test.memory(), test.limit());
    }

    @Override
    public void afterTestExecution(ExtensionContext context) {
        TestMachine machine = context.getStore(NAMESPACE).get(TestMachine.class, TestMachine.class);
        if (machine != null) {
            context.publishReportEntry("exits", machine.tail());
        }
    }
}
