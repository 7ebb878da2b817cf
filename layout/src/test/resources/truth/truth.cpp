// Prints what the compiler made of these types: TYPE SIZE ALIGNMENT, and TYPE MEMBER OFFSET SIZE; bases by the addresses of objects.
#include <cstddef>
#include <cstdio>

namespace net { struct Config { int a; char b; }; namespace deep { struct Config { short a; char b[5]; }; class Hidden { int a; char b; public: char c; long d; }; } }
namespace disk { struct Config { long a; char b; int c; }; enum class Mode : unsigned char { R, W }; }
namespace { struct Config { double only; char here; }; }
struct Outer { struct Config { char a; Outer *b; }; Config config; union { int x; double y; }; enum E { P, Q } e; };
struct Plain { int a; char b; };
struct Made { int a; char b; Made() {} };
struct FromPlain : Plain { char c; };
struct FromMade : Made { char c; };
struct Empty {}; struct Empty2 {};
struct FromEmpty : Empty { int a; char b; };
struct HasEmpty { Empty a; int b; Empty2 c; char d; };
struct Virtual { virtual ~Virtual(); int a; char b; };
struct FromVirtual : Virtual { char c; long d; };
struct Two : Virtual, Made { char c; };
struct A { int a; }; struct B : virtual A {}; struct C { long double c; }; struct D : virtual C { int d; }; struct E : B, D { int e; };
struct Left : virtual Virtual { int l; }; struct Right : virtual Virtual { char r; }; struct Bottom : Left, Right { short s; };
struct Pure { virtual void f() = 0; }; struct FromPure : virtual Pure { void f() override; int p; };
struct Statics { static int s; static constexpr int k = 7; int a; char b; };
struct References { int &a; char b; int &&c; };
struct Members { int Plain::*a; int (Plain::*b)(int); char c; void (Plain::*d[2])(); };
template <class T, int N> struct Array { T t[N]; char n; };
template <class... T> struct Tuple; template <> struct Tuple<> {}; template <class T, class... R> struct Tuple<T, R...> : Tuple<R...> { T t; };
struct alignas(32) Aligned { char a; alignas(16) int b; char c; };
struct Bits { unsigned a : 5; bool b : 1; char c; disk::Mode m; unsigned long d : 33; };
class Access { public: int a; private: char b; protected: long c; public: char d; friend int main(); };
struct Lambda { int a; char b; };
struct Uses : net::deep::Hidden { char e; };
struct Diamond : FromMade, FromEmpty { char x; };
int Statics::s; Virtual::~Virtual() {} void FromPure::f() {}
#if __cplusplus >= 202002L
struct NoAddress { [[no_unique_address]] Empty a; int b; [[no_unique_address]] Empty2 c; [[no_unique_address]] Empty d; char e; };
struct NoAddress2 { [[no_unique_address]] Made p; char c; };
#endif

net::Config v1; net::deep::Config v2; disk::Config v3; Config v4; Outer v5; FromPlain v6; FromMade v7; FromEmpty v8; HasEmpty v9; FromVirtual v10;
Two v11; E v12; Bottom v13; FromPure v14; Statics v15; Members v17; Array<int, 3> v18; Array<net::Config, 2> v19;
Tuple<char, float, bool> v20; Aligned v21; Bits v22; Access v23; Lambda v24; Uses v25; Diamond v26; net::deep::Hidden v27; Outer::Config v28; Array<Array<char, 5>, 2> v29;
int i1; References v16{i1, 'c', static_cast<int &&>(i1)};

#define SIZE(T, N) std::printf("%s\t%zu\t%zu\n", N, sizeof(T), alignof(T));
#define S(T) SIZE(T, #T)
#define M(T, M) std::printf("%s\t%s\t%zu\t%zu\n", #T, #M, offsetof(T, M), sizeof(((T *)0)->M));
#define BASE(V, T, B) std::printf("%s\t<base %s>\t%td\t-\n", #T, #B, (char *)static_cast<B *>(&V) - (char *)&V);
#define VBASE(V, T, B) std::printf("%s\t<virtual base %s>\t%td\t-\n", #T, #B, (char *)static_cast<B *>(&V) - (char *)&V);
int main() {
    v4.only = 1;
    S(net::Config) S(net::deep::Config) S(disk::Config) SIZE(Config, "(anonymous namespace)::Config") S(Outer) S(Outer::Config) S(Plain) S(Made) S(FromPlain)
    S(FromMade) S(Empty) S(FromEmpty) S(HasEmpty) S(Virtual) S(FromVirtual) S(Two) S(A) S(B) S(C) S(D) S(E) S(Left) S(Right) S(Bottom) S(Pure)
    S(FromPure) S(Statics) SIZE(References, "References") S(Members) SIZE(decltype(v18), "Array<int, 3>") SIZE(decltype(v19), "Array<net::Config, 2>")
    SIZE(decltype(v29), "Array<Array<char, 5>, 2>")
    SIZE(decltype(v20), "Tuple<char, float, bool>") S(Aligned) S(Bits) S(Access) S(Lambda) S(Uses) S(Diamond) S(net::deep::Hidden)
    M(net::Config, a) M(net::Config, b) M(net::deep::Config, b) M(disk::Config, b) M(disk::Config, c) M(Outer, config) M(Outer, x) M(Outer, y) M(Outer, e)
    M(Outer::Config, b) M(FromPlain, c) M(FromMade, c) M(FromEmpty, a) M(FromEmpty, b) M(HasEmpty, a) M(HasEmpty, b) M(HasEmpty, c) M(HasEmpty, d)
    M(Virtual, a) M(Virtual, b) M(FromVirtual, c) M(FromVirtual, d) M(Two, c) M(Statics, b) M(Members, a) M(Members, b) M(Members, c) M(Members, d)
    M(Aligned, a) M(Aligned, b) M(Aligned, c) M(Bits, c) M(Bits, m) M(Access, b) M(Access, c) M(Access, d) M(Lambda, b) M(Uses, e) M(Diamond, x)
    BASE(v6, FromPlain, Plain) BASE(v7, FromMade, Made) BASE(v10, FromVirtual, Virtual) BASE(v11, Two, Virtual) BASE(v11, Two, Made)
    BASE(v12, E, B) BASE(v12, E, D) VBASE(v12, E, A) VBASE(v12, E, C) BASE(v13, Bottom, Left) BASE(v13, Bottom, Right) VBASE(v13, Bottom, Virtual)
    VBASE(v14, FromPure, Pure) BASE(v26, Diamond, FromMade) BASE(v26, Diamond, FromEmpty)
#if __cplusplus >= 202002L
    static NoAddress n1; static NoAddress2 n2; n1.b = 1; n2.c = 2;
    S(NoAddress) S(NoAddress2) M(NoAddress, a) M(NoAddress, b) M(NoAddress, c) M(NoAddress, d) M(NoAddress, e) M(NoAddress2, p) M(NoAddress2, c)
#endif
    return 0;
}
