{ Prints what the compiler made of these types: TYPE SIZE -, and TYPE MEMBER OFFSET SIZE. }
program truth;
{$mode objfpc}
type
  color = (red, green, blue);
  colors = set of color;
  chars = set of char;
  small = 3..12;
  inner = record a: char; b: int64; end;
  plain = record c: char; i: longint; d: double; s: colors; b: chars; a: array[3..7] of word; st: string[10]; w: small; e: color; end;
  tight = packed record c: char; i: longint; n: inner; w: word; end;
  variant_ = record k: byte; case color of red: (x: longint); green: (y: double; z: byte); end;
  thing = class f: longint; g: byte; h: double; end;
  pthing = ^thing;
  dynamic = record dyn: array of longint; a: ansistring; m: array[0..1, 2..4] of byte; p: procedure(x: longint); q: pthing; e: single; n: inner; v: array[color] of int64; b: boolean; end;
var p: plain; t: tight; v: variant_; o: thing; d: dynamic;
procedure place(const name, member: string; var whole, part; n: longint);
begin writeln(name, #9, member, #9, ptruint(@part) - ptruint(@whole), #9, n); end;
begin
  p.i := 1; t.i := 1; v.k := 1; o := thing.create; d.e := 1;
  writeln('PLAIN'#9, sizeof(plain), #9'-'); writeln('TIGHT'#9, sizeof(tight), #9'-'); writeln('VARIANT_'#9, sizeof(variant_), #9'-');
  writeln('thing'#9, thing.instancesize, #9'-'); writeln('DYNAMIC'#9, sizeof(dynamic), #9'-'); writeln('INNER'#9, sizeof(inner), #9'-');
  place('PLAIN', 'c', p, p.c, sizeof(p.c)); place('PLAIN', 'i', p, p.i, sizeof(p.i)); place('PLAIN', 'd', p, p.d, sizeof(p.d)); place('PLAIN', 's', p, p.s, sizeof(p.s));
  place('PLAIN', 'b', p, p.b, sizeof(p.b)); place('PLAIN', 'a', p, p.a, sizeof(p.a)); writeln('PLAIN'#9'st'#9, ptruint(@p.st) - ptruint(@p), #9'-'); place('PLAIN', 'w', p, p.w, sizeof(p.w));
  place('PLAIN', 'e', p, p.e, sizeof(p.e));
  place('TIGHT', 'i', t, t.i, sizeof(t.i)); place('TIGHT', 'n', t, t.n, sizeof(t.n)); place('TIGHT', 'w', t, t.w, sizeof(t.w));
  place('VARIANT_', 'x', v, v.x, sizeof(v.x)); place('VARIANT_', 'y', v, v.y, sizeof(v.y)); place('VARIANT_', 'z', v, v.z, sizeof(v.z));
  place('thing', 'f', pointer(o)^, o.f, sizeof(o.f)); place('thing', 'g', pointer(o)^, o.g, sizeof(o.g)); place('thing', 'h', pointer(o)^, o.h, sizeof(o.h));
  place('DYNAMIC', 'dyn', d, d.dyn, sizeof(d.dyn)); place('DYNAMIC', 'a', d, d.a, sizeof(d.a)); place('DYNAMIC', 'm', d, d.m, sizeof(d.m)); place('DYNAMIC', 'p', d, d.p, sizeof(d.p));
  place('DYNAMIC', 'q', d, d.q, sizeof(d.q)); place('DYNAMIC', 'e', d, d.e, sizeof(d.e)); place('DYNAMIC', 'n', d, d.n, sizeof(d.n)); place('DYNAMIC', 'v', d, d.v, sizeof(d.v));
  place('DYNAMIC', 'b', d, d.b, sizeof(d.b));
end.
