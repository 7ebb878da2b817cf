/** Owns how results are written: text for a terminal, Markdown, JSON, a page with plots. Must not know any experiment. */
package dev.slate.lab.report;
