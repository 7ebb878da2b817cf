package dev.slate.sweep;

import java.io.IOException;
import java.io.StringReader;
import java.nio.charset.MalformedInputException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.composer.Composer;
import org.yaml.snakeyaml.error.Mark;
import org.yaml.snakeyaml.error.MarkedYAMLException;
import org.yaml.snakeyaml.error.YAMLException;
import org.yaml.snakeyaml.nodes.MappingNode;
import org.yaml.snakeyaml.nodes.Node;
import org.yaml.snakeyaml.nodes.NodeTuple;
import org.yaml.snakeyaml.nodes.ScalarNode;
import org.yaml.snakeyaml.nodes.SequenceNode;
import org.yaml.snakeyaml.parser.ParserImpl;
import org.yaml.snakeyaml.reader.StreamReader;
import org.yaml.snakeyaml.resolver.Resolver;

/** A YAML file's values as the file has them, each with its line: {@code on} is the word on, and 010 is the word 010. */
final class Yaml {
    private static final int MOST_BYTES = 4 << 20;

    private final Path file;

    private Yaml(Path file) {
        this.file = file;
    }

    /** A value, of whichever kind; asking for another kind names the line. */
    final class Value {
        private final Node node;
        /** Where it stands, as a person calls it. */
        private final String name;

        private Value(Node node, String name) {
            this.node = node;
            this.name = name;
        }

        SweepException wrong(String what) {
            return new SweepException(place(node.getStartMark()) + name + ": " + what);
        }

        /** One word or text. */
        String text() {
            if (node instanceof ScalarNode scalar) {
                return scalar.getValue();
            }
            throw wrong("takes one value");
        }

        /** A whole number in a range. */
        long number(long least, long most) {
            try {
                long value = Long.parseLong(text());
                if (value >= least && value <= most) {
                    return value;
                }
            } catch (NumberFormatException e) {
                // Said below.
            }
            throw wrong(text() + " is not a number from " + least + " to " + most);
        }

        boolean yes() {
            return switch (text()) {
                case "true", "yes", "on" -> true;
                case "false", "no", "off" -> false;
                default -> throw wrong(text() + " is neither true nor false");
            };
        }

        boolean isList() {
            return node instanceof SequenceNode;
        }

        /** The values of a list; one value is a list of one. */
        List<Value> list() {
            if (!(node instanceof SequenceNode sequence)) {
                return List.of(this);
            }
            List<Value> values = new ArrayList<>();
            for (Node entry : sequence.getValue()) {
                values.add(new Value(entry, name));
            }
            return values;
        }

        List<String> texts() {
            List<String> texts = new ArrayList<>();
            for (Value value : list()) {
                texts.add(value.text());
            }
            if (texts.isEmpty()) {
                throw wrong("the list is empty");
            }
            return texts;
        }

        /** The values by their names, in the file's order. */
        Map<String, Value> map() {
            if (!(node instanceof MappingNode mapping)) {
                throw wrong("takes names with values, such as `tdp: [on, off]`");
            }
            Map<String, Value> values = new LinkedHashMap<>();
            for (NodeTuple tuple : mapping.getValue()) {
                if (!(tuple.getKeyNode() instanceof ScalarNode key)) {
                    throw wrong("has a name that is no word");
                }
                if (values.put(key.getValue(), new Value(tuple.getValueNode(), key.getValue())) != null) {
                    throw new SweepException(place(key.getStartMark()) + key.getValue() + ": is there twice");
                }
            }
            return values;
        }

        /** As {@link #map}, of names that are known. */
        Map<String, Value> map(List<String> known) {
            Map<String, Value> values = map();
            for (Map.Entry<String, Value> entry : values.entrySet()) {
                if (!known.contains(entry.getKey())) {
                    throw entry.getValue().wrong("is not known here; known are " + String.join(", ", known));
                }
            }
            return values;
        }
    }

    private String place(Mark mark) {
        return file + ":" + (mark.getLine() + 1) + ": ";
    }

    /**
     * Reads a file of one document.
     *
     * @throws SweepException it is no YAML: names the line
     */
    static Value read(Path file) throws IOException {
        Yaml yaml = new Yaml(file);
        if (Files.isRegularFile(file) && Files.size(file) > MOST_BYTES) {
            throw new SweepException(file + ": has more than " + MOST_BYTES + " bytes, which no sweep needs");
        }
        try {
            LoaderOptions options = new LoaderOptions();
            Composer composer = new Composer(
                    new ParserImpl(new StreamReader(new StringReader(Files.readString(file))), options),
                    new Resolver(),
                    options);
            Node node = composer.getSingleNode();
            if (node == null) {
                throw new SweepException(file + ": is empty; `slate sweep --help` has an example");
            }
            return yaml.new Value(node, "the file");
        } catch (MarkedYAMLException e) {
            Mark mark = e.getProblemMark();
            throw new SweepException((mark == null ? file + ": " : yaml.place(mark)) + "is no YAML: " + e.getProblem());
        } catch (YAMLException | MalformedInputException e) {
            throw new SweepException(file + ": is no YAML text");
        }
    }
}
