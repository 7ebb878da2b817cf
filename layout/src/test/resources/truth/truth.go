// Prints what the compiler made of these types: TYPE SIZE ALIGNMENT, and TYPE MEMBER OFFSET SIZE.
package main

import (
	"fmt"
	"os"
	"reflect"
)

type Inner struct {
	a byte
	b int64
}
type Pair[K comparable, V any] struct {
	k K
	v V
}
type Config struct {
	a bool
	s string
	l []int
	m map[string]int
	c complex128
	i interface{}
	in Inner
	e struct{}
	f func(int) string
	arr [3]int16
	p *Config
	ch chan int
	err error
	r rune
	u8 [5]uint8
	pr Pair[int8, string]
}
type Last struct {
	a int32
	z struct{}
}
type Embeds struct {
	Inner
	*Last
	x float32
	c complex64
	b bool
}
type Nested struct {
	a int8
	in struct {
		x int16
		y int64
		z bool
	}
	g [2][3]Inner
}

func show(v interface{}) {
	t := reflect.TypeOf(v)
	fmt.Printf("%s\t%d\t%d\n", t, t.Size(), t.Align())
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		fmt.Printf("%s\t%s\t%d\t%d\n", t, f.Name, f.Offset, f.Type.Size())
	}
}

func main() {
	c := Config{a: true}
	show(c)
	show(Inner{})
	show(Last{})
	show(Embeds{})
	show(Nested{})
	if len(os.Args) > 5 {
		var p interface{} = Pair[int8, string]{}
		fmt.Println(c, p)
	}
}
