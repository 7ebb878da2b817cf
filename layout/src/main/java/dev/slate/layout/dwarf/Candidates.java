package dev.slate.layout.dwarf;

import dev.slate.layout.Aggregate;
import dev.slate.layout.Distinct;
import dev.slate.layout.Type;
import dev.slate.layout.TypeTable;
import dev.slate.layout.TypedefType;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** The types that some names may mean, each distinct one once. */
final class Candidates {
    /** What was found for one name. */
    private record Found(List<Type> types, Distinct distinct, Set<String> others) {}

    private final Map<String, Found> found = new LinkedHashMap<>();

    Candidates(Collection<String> wanted) {
        for (String name : wanted) found.put(name, new Found(new ArrayList<>(), new Distinct(), new HashSet<>()));
    }

    void add(Type type) {
        String qualified = type.qualifiedName();
        if (qualified == null || type instanceof Aggregate a && a.declaration()) return;
        TypeTable.Where where = type.where();
        boolean anyCase = type.table().language().anyCase();
        String spelled = anyCase ? qualified.toLowerCase(Locale.ROOT) : qualified;
        found.forEach((name, one) -> {
            String wanted = anyCase ? name.toLowerCase(Locale.ROOT) : name;
            if (!Name.means(wanted, spelled, where.unit(), where.line())) return;
            boolean first = type instanceof Aggregate a
                    ? one.distinct().first(a)
                    : one.others().add(qualified + " " + type.size());
            if (first) one.types().add(type);
        });
    }

    /** What is left when a name that is written in full beats one that is not, and a struct beats a typedef of its name. */
    Map<String, List<Type>> found() {
        Map<String, List<Type>> all = new LinkedHashMap<>();
        found.forEach((name, one) -> {
            List<Type> types = one.types();
            List<Type> full =
                    types.stream().filter(t -> name.equals(t.qualifiedName())).toList();
            List<Type> left = full.isEmpty() ? types : full;
            Set<String> structs = new HashSet<>();
            for (Type type : left) if (type instanceof Aggregate a) structs.add(String.valueOf(a.qualifiedName()));
            List<Type> best = new ArrayList<>();
            for (Type type : left) {
                Type target = type instanceof TypedefType ? Type.strip(type) : null;
                boolean second = type instanceof TypedefType
                        && (structs.contains(String.valueOf(type.qualifiedName()))
                                || target != null && structs.contains(String.valueOf(target.qualifiedName())));
                if (!second) best.add(type);
            }
            all.put(name, best);
        });
        return all;
    }
}
