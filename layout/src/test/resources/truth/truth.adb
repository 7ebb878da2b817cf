--  Prints what the compiler made of these types: TYPE SIZE -, and TYPE MEMBER OFFSET SIZE.
with Ada.Text_IO; use Ada.Text_IO;
procedure Truth is
   type Color is (Red, Green, Blue);
   type Vec is array (Color) of Long_Float;
   type Matrix is array (2 .. 4, Color) of Integer;
   type Bits is array (1 .. 12) of Boolean;
   pragma Pack (Bits);
   subtype Small is Integer range 0 .. 7;
   type Modular is mod 2 ** 7;
   type Inner is record
      A : Character;
      B : Long_Integer;
   end record;
   type Plain is record
      C : Character;
      I : Integer;
      V : Vec;
      M : Matrix;
      S : Small;
      D : Duration;
      N : Inner;
      Z : Modular;
      E : Color;
   end record;
   type Packs is record
      C : Character;
      B : Bits;
      L : Long_Float;
   end record;
   type Variant (K : Color := Red) is record
      N : Short_Integer;
      case K is
         when Red => X : Integer;
         when Green | Blue => Y : Long_Float;
      end case;
   end record;
   type Dynamic (N : Integer) is record
      S : String (1 .. N);
      Z : Integer;
   end record;
   type Text is access all String;
   type Pointers is record
      A : Character;
      P : Text;
      Q : access Plain;
      F : access procedure (X : Integer);
      B : Boolean;
   end record;
   type Root is tagged record
      Q : Integer;
   end record;
   type Derived is new Root with record
      W : Character;
      U : Long_Integer;
   end record;
   type Represented is record
      A : Boolean;
      B : Small;
      C : Integer range 0 .. 1023;
   end record;
   for Represented use record
      A at 0 range 0 .. 0;
      B at 0 range 1 .. 3;
      C at 0 range 4 .. 13;
   end record;
   X1 : Plain;
   X2 : Packs;
   X3 : Variant;
   X4 : Dynamic (7);
   X5 : Pointers;
   X6 : Derived;
   X7 : Represented;
   procedure Size (Name : String; Bits : Integer) is
      Image : constant String := Integer'Image (Bits / 8);
   begin
      Put_Line ("truth__" & Name & ASCII.HT & Image (2 .. Image'Last) & ASCII.HT & "-");
   end Size;
   procedure Place (Name, Member : String; At_Byte, Bits : Integer) is
      One : constant String := Integer'Image (At_Byte);
      Two : constant String := Integer'Image (Bits / 8);
   begin
      Put_Line ("truth__" & Name & ASCII.HT & Member & ASCII.HT & One (2 .. One'Last) & ASCII.HT & Two (2 .. Two'Last));
   end Place;
begin
   X1.I := 3; X2.C := 'c'; X3.N := 4; X4.Z := 5; X5.B := True; X6.W := 'w'; X7.A := True;
   Size ("plain", X1'Size); Size ("packs", X2'Size); Size ("variant", Variant'Size); Size ("pointers", X5'Size);
   Size ("represented", X7'Size); Size ("inner", X1.N'Size);
   Place ("plain", "c", X1.C'Position, X1.C'Size); Place ("plain", "i", X1.I'Position, X1.I'Size); Place ("plain", "v", X1.V'Position, X1.V'Size);
   Place ("plain", "m", X1.M'Position, X1.M'Size); Place ("plain", "s", X1.S'Position, 32); Place ("plain", "d", X1.D'Position, X1.D'Size);
   Place ("plain", "n", X1.N'Position, X1.N'Size); Place ("plain", "z", X1.Z'Position, 8); Place ("plain", "e", X1.E'Position, 8);
   Place ("packs", "c", X2.C'Position, X2.C'Size); Place ("packs", "l", X2.L'Position, X2.L'Size);
   Place ("variant", "k", X3.K'Position, 8); Place ("variant", "n", X3.N'Position, X3.N'Size); Place ("variant", "x", X3.X'Position, X3.X'Size);
   X3 := (K => Blue, N => 1, Y => 2.0);
   Place ("variant", "y", X3.Y'Position, X3.Y'Size);
   Place ("dynamic", "n", X4.N'Position, X4.N'Size);
   Place ("pointers", "a", X5.A'Position, X5.A'Size); Place ("pointers", "b", X5.B'Position, 8); Place ("pointers", "f", X5.F'Position, X5.F'Size);
   Place ("pointers", "q", X5.Q'Position, X5.Q'Size);
   Place ("derived", "w", X6.W'Position, X6.W'Size); Place ("derived", "u", X6.U'Position, X6.U'Size);
end Truth;
