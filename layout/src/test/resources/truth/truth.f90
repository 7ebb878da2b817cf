! Prints what the compiler made of these types: TYPE SIZE -, and TYPE MEMBER OFFSET SIZE.
module shapes
  type plain
    integer :: n
    real(8) :: m(3)
  end type
  type bounds
    integer :: a(0:3, 2:5)
    integer(1) :: b(-2:2)
    character(len=5) :: s
    complex(8) :: z
    logical(1) :: l
    integer(2) :: k(3, 2, 2)
    complex(4) :: y(2)
    character(len=3) :: words(4)
  end type
  type holds
    type(plain) :: p
    integer(1) :: c
    type(bounds) :: b(2)
    real(16) :: q
  end type
  type, extends(plain) :: more
    integer(2) :: k
    type(plain), pointer :: next
  end type
  type dynamic
    integer(1) :: a
    real(8), allocatable :: v(:)
    integer, pointer :: w(:, :)
    integer(1) :: b
  end type
end module
program truth
  use shapes
  type(plain), target :: p
  type(bounds) :: b
  type(holds) :: h
  type(more) :: m
  type(dynamic) :: d
  integer(8) :: at
  p%n = 1; b%s = 'abc'; h%c = 2; m%k = 3; d%a = 4
  call size('shapes::plain', sizeof(p)); call size('shapes::bounds', sizeof(b)); call size('shapes::holds', sizeof(h))
  call size('shapes::more', sizeof(m)); call size('shapes::dynamic', sizeof(d))
  at = loc(p); call place('shapes::plain', 'n', loc(p%n) - at, sizeof(p%n)); call place('shapes::plain', 'm', loc(p%m) - at, sizeof(p%m))
  at = loc(b)
  call place('shapes::bounds', 'a', loc(b%a) - at, sizeof(b%a)); call place('shapes::bounds', 'b', loc(b%b) - at, sizeof(b%b))
  call place('shapes::bounds', 's', loc(b%s) - at, sizeof(b%s)); call place('shapes::bounds', 'z', loc(b%z) - at, sizeof(b%z))
  call place('shapes::bounds', 'l', loc(b%l) - at, sizeof(b%l)); call place('shapes::bounds', 'k', loc(b%k) - at, sizeof(b%k))
  call place('shapes::bounds', 'y', loc(b%y) - at, sizeof(b%y)); call place('shapes::bounds', 'words', loc(b%words) - at, sizeof(b%words))
  at = loc(h)
  call place('shapes::holds', 'p', loc(h%p) - at, sizeof(h%p)); call place('shapes::holds', 'c', loc(h%c) - at, sizeof(h%c))
  call place('shapes::holds', 'b', loc(h%b) - at, sizeof(h%b)); call place('shapes::holds', 'q', loc(h%q) - at, sizeof(h%q))
  at = loc(m)
  call place('shapes::more', 'plain', loc(m%plain) - at, sizeof(m%plain)); call place('shapes::more', 'k', loc(m%k) - at, sizeof(m%k))
  at = loc(d)
  call place('shapes::dynamic', 'a', loc(d%a) - at, 1_8); call place('shapes::dynamic', 'b', loc(d%b) - at, 1_8)
contains
  subroutine size(name, n)
    character(*), intent(in) :: name
    integer(8), intent(in) :: n
    print '(A,A,I0,A,A)', name, char(9), n, char(9), '-'
  end subroutine
  subroutine place(name, member, at, n)
    character(*), intent(in) :: name, member
    integer(8), intent(in) :: at, n
    print '(A,A,A,A,I0,A,I0)', name, char(9), member, char(9), at, char(9), n
  end subroutine
end program
