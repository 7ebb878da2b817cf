/**
 * A matrix of jobs on Apache Spark: reads the file, runs each job once on whatever machines there are, keeps the results. It schedules, queues
 * and stores nothing itself: Spark does the first two, and the results are a file of lines. A worker loads {@link dev.slate.sweep.Job},
 * {@link dev.slate.sweep.JobRun} and {@link dev.slate.sweep.JobTask} alone, which know nothing but the JDK and Spark.
 */
@org.jspecify.annotations.NullMarked
package dev.slate.sweep;
