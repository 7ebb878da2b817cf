#!/bin/sh
# usage: build.sh OUTDIR - builds OUTDIR/libslate.so, the library that `slate run` preloads into a client, and OUTDIR/slate-loader,
# which brings in a client that cannot be preloaded into.
# Needs cc and, for jni.h, a JDK in JAVA_HOME.
set -eu
here=$(dirname "$(readlink -f "$0")")
out=$1
: "${JAVA_HOME:?set JAVA_HOME to a JDK 25}"
mkdir -p "$out"
"${CC:-cc}" -std=gnu11 -O2 -g -fPIC -shared -fvisibility=hidden -fno-strict-aliasing \
  -Wall -Wextra -Werror -Wno-nonnull-compare -Wno-missing-attributes -I"$JAVA_HOME/include" -I"$JAVA_HOME/include/linux" \
  "$here"/*.c "$here"/*.S \
  "$here/loaded/load.c" "$here/loaded/calls.c" "$here/loaded/frames.c" "$here/loaded/tasks.c" "$here/loaded/exec.c" \
  "$here/loaded/rewrite.c" "$here/loaded/trap.S" \
  -Wl,--version-script="$here/slate.map" -Wl,-z,now -Wl,-z,relro -Wl,--no-undefined -Wl,-soname,libslate.so \
  -o "$out/libslate.so.new" -Wl,--no-as-needed -l:libpthread.so.0 -l:libdl.so.2
mv "$out/libslate.so.new" "$out/libslate.so"
"${CC:-cc}" -std=gnu11 -O2 -g -fPIE -pie -nostartfiles -Wall -Wextra -Werror "$here/loaded/start.S" "$here/loaded/loader.c" \
  -Wl,-z,now -Wl,-z,relro -o "$out/slate-loader.new" -Wl,--no-as-needed -l:libdl.so.2
mv "$out/slate-loader.new" "$out/slate-loader"
