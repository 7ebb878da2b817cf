#include <string>
#include <map>
#include <vector>
#include <memory>
namespace ns { struct In { int a; char b; struct Deep { char c; long d; } deep; }; }
struct Base { virtual ~Base(); virtual void f(int x) = 0; int b; static int s; static const int k = 7; };
struct Derived : public Base, private ns::In { char c; void f(int x) override; int bits : 3; int : 5; unsigned more : 9; int &ref; int &&rr; int Base::*pm; void (Base::*pf)(int); protected: double d; enum E { A, B } e; typedef int T; T t; using Q = std::string; Q q; };
struct Virt : virtual Base { int v; void f(int) override {} };
class Empty {}; struct UsesEmpty : Empty { int x; };
template<class T> struct Tm { T t; char c; static inline int count = 3; };
union U { int a; float b; char c[7]; };
struct alignas(64) Al { char a; alignas(16) int b; };
struct Pk { char a; int b; } __attribute__((packed));
struct HasPk { Pk p; short s; };
int Base::s; Base::~Base() {} void Derived::f(int) {}
Derived *mk(int &i, int&&j);
Virt v; Tm<int> t1; Tm<ns::In> t2; U u; Al al; HasPk hp; UsesEmpty ue; std::map<std::string,int> m; std::vector<std::unique_ptr<Derived>> vec;
struct [[gnu::packed]] BF { unsigned a:7; unsigned b:12; unsigned long c:40; char d; } bf;
struct Anon { union { struct { int x, y; }; long z; }; struct { char q; } named[3]; int flex[]; } anon;
int main() { struct Local { char a; int b; } l; l.b = 1; return l.b; }
