// Prints what the compiler made of these types: TYPE SIZE ALIGNMENT, and TYPE MEMBER OFFSET SIZE.
module truth;
import core.stdc.stdio;
struct Inner { byte a; long b; }
struct Plain { bool x; string s; int[3][2] m; Inner i; real r; double delegate(int) dg; int[string] aa; void function() f; wchar w; dchar d; int[] l; }
struct Tight { align(1): byte a; int b; short c; }
struct Lined { byte a; align(32) int b; byte c; }
struct Nested { struct Deep { short a; long b; } Deep d; byte e; union { int u; double v; } }
union Either { int a; double b; ubyte[11] c; }
class Thing { int a; byte b; double c; }
struct Holds { Thing t; byte b; Thing* p; Either e; enum Mode : ushort { r, w } Mode m; float[4] q; }
template facts(T, string name) {
    void show() {
        // No compiler of D records an alignment that was asked for.
        if (T.alignof > 16) printf("%s\t%d\t-\n", name.ptr, cast(int) T.sizeof);
        else printf("%s\t%d\t%d\n", name.ptr, cast(int) T.sizeof, cast(int) T.alignof);
        static foreach (i; 0 .. T.tupleof.length)
            printf("%s\t%s\t%d\t%d\n", name.ptr, __traits(identifier, T.tupleof[i]).ptr, cast(int) T.tupleof[i].offsetof, cast(int) typeof(T.tupleof[i]).sizeof);
    }
}
Plain v1; Tight v2; Lined v3; Nested v4; Either v5; Thing v6; Holds v7; Inner v8; Nested.Deep v9;
extern (C) int main() {
    facts!(Plain, "truth.Plain").show(); facts!(Tight, "truth.Tight").show(); facts!(Lined, "truth.Lined").show(); facts!(Nested, "truth.Nested").show();
    facts!(Either, "truth.Either").show(); facts!(Holds, "truth.Holds").show(); facts!(Inner, "truth.Inner").show(); facts!(Nested.Deep, "truth.Nested.Deep").show();
    return v1.x + v2.b + v4.e + v7.b + cast(int) v8.b + cast(int) v9.b + v5.a + v3.b;
}
