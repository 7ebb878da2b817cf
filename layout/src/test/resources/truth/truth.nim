# Prints what the compiler made of these types: TYPE SIZE ALIGNMENT, and TYPE MEMBER OFFSET SIZE.
type
  Color = enum red, green
  Inner = object
    a: int8
    b: int
  Plain = object
    a: int8
    b: int
    c: Color
    s: set[char]
    t: string
    i: Inner
    m: array[3, int16]
    f: float32
var p: Plain
p.b = 3
template place(m: untyped) = echo "Plain\t", astToStr(m), "\t", cast[int](addr p.m) - cast[int](addr p), "\t", sizeof(p.m)
echo "Plain\t", sizeof(Plain), "\t", alignof(Plain)
echo "Inner\t", sizeof(Inner), "\t", alignof(Inner)
place(a); place(b); place(c); place(s); place(t); place(i); place(m); place(f)
