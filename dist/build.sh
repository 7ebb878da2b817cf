# Sourced by `slate dist`: makes the archive and the Debian package in $output. A build's bytes are those of its commit, JDK and
# compiler: times are the commit's, names are sorted, and the AOT caches come from a sorted list of classes and a clock that stands.
# shellcheck shell=sh disable=SC2154 # root, output, me and the functions are the script's

dist_modules="cpu kvm debug device conformance layout lab cli"
version=$(sed -n 's/.*<version>\(.*\)<\/version>.*/\1/p' "$root/pom.xml" | head -n 1)
commit=$(git -C "$root" rev-parse --short=12 HEAD 2>/dev/null) || commit=unknown
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2>/dev/null)} || epoch=
epoch=${epoch:-1767225600} # no git: the time that Maven gives to the entries of the jars
[ -z "$(git -C "$root" status --porcelain 2>/dev/null)" ] || commit=$commit-modified
SOURCE_DATE_EPOCH=$epoch
LC_ALL=C
TZ=UTC
export SOURCE_DATE_EPOCH LC_ALL TZ
slate_require_jdk || exit 1
jvm=$(runtime_name "$JAVA_HOME")
mkdir -p "$output" 2>/dev/null && [ -w "$output" ] || die 1 "dist: can't write to $output." "Name another folder: $me dist --output FOLDER"
output=$(cd "$output" && pwd)
# An AOT cache holds the paths of its jars, so every build stands in the same place, which device/native/bindings.c knows.
stage=/tmp/slate-dist
mkdir "$stage" 2>/dev/null || die 1 "dist: $stage can't be made, or another build is under way." "If none is: rm -r $stage"
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM
umask 022
home=$stage/slate-$version
mkdir -p "$home/lib/java" "$home/guests" "$home/examples"

# Runs the rest; on failure says what it printed.
quietly() {
  what=$1
  shift
  "$@" >"$stage/log" 2>&1 || {
    tail -n 40 "$stage/log" >&2
    die 1 "dist: $what failed; its output is above."
  }
}

say "[1/5] the Java runtime"
# jline, which draws the live screens, wants java.logging; the shim reads its jars as file systems before a client forbids it. Uncompressed: the archive compresses it, and a start reads it as it is.
quietly jlink "$JAVA_HOME/bin/jlink" --add-modules java.base,java.logging,jdk.jfr,jdk.zipfs --strip-debug --no-header-files --no-man-pages \
  --compress zip-0 --output "$home/runtime"
for tool in "$home"/runtime/bin/*; do [ "${tool##*/}" = java ] || rm "$tool"; done

say "[2/5] the shim, the demo and the guests"
quietly "the shim" sh "$root/device/native/build.sh" "$stage/native"
for name in libslate.so slate-loader; do strip -R .note.gnu.build-id -o "$home/lib/$name" "$stage/native/$name"; done
quietly "the demo" "${CC:-cc}" -O2 -Wall -fPIE -pie -nostartfiles -s -Wl,--build-id=none -o "$home/lib/hello-kvm" \
  "$root/device/native/loaded/start.S" "$root/examples/hello-kvm.c"
quietly "the guests" sh "$root/guests/build.sh" "$stage/guests"
cp "$stage"/guests/*.bin "$root/guests/README.md" "$home/guests/"
cp "$root/examples/hello-kvm.c" "$home/examples/"

say "[3/5] the classes"
for module in $dist_modules; do cp "$root/$module/target/slate-$module.jar" "$home/lib/"; done
cp "$root"/cli/target/lib/*.jar "$home/lib/java/"
cp "$root/device/jvm.options" "$home/lib/"
cp "$root/slate" "$root/LICENSE" "$root/NOTICE" "$root/README.md" "$root/CHANGELOG.md" "$home/"
mkdir "$home/cli" "$home/dist"
cp "$root/cli/commands.txt" "$home/cli/"
cp "$root/dist/ci.sh" "$home/dist/"
cat >"$home/slate.release" <<TEXT
version='$version'
commit='$commit'
jvm='$jvm'
epoch='$epoch'
TEXT
find "$home" -exec touch -h -d "@$epoch" {} +

say "[4/5] the AOT caches"
# The interpreter alone loads the same classes in nearly every run; what two threads in each other's way add is in one run and not in others,
# so that what three have in common is taken. They see no statistics of other machines. dist/ClassList.java says what is resolved. The
# archived heap holds the number of processors, so it is given.
training() { # cache, class path, options and main class...
  cache=$1
  path=$2
  shift 2
  for run in 1 2 3; do
    quietly "the training run" env LC_ALL=C.UTF-8 SLATE_STATS_FOLDER="$stage/statistics.$run" "$home/runtime/bin/java" \
      -XX:ActiveProcessorCount=2 -Xint -XX:DumpLoadedClassList="$stage/classes.$run" -cp "$path" "$@"
  done
  quietly "the class list" "$home/runtime/bin/java" -cp "$stage/tools:$path" ClassList "$stage/classes" "$stage"/classes.[123]
  while [ $# -gt 0 ]; do case $1 in -*) options="$options $1" && shift ;; *) break ;; esac done
  # shellcheck disable=SC2086 # one option per word
  quietly "the AOT cache" env LD_PRELOAD="$stage/clock.so" "$home/runtime/bin/java" -XX:ActiveProcessorCount=2 -Xshare:dump -XX:+AOTClassLinking \
    -XX:SharedClassListFile="$stage/classes" -XX:SharedArchiveFile="$cache" $options -cp "$path"
  options=
}
options=
quietly "the clock" "${CC:-cc}" -O2 -shared -fPIC -o "$stage/clock.so" "$root/dist/clock.c"
quietly "the class list's maker" "$JAVA_HOME/bin/javac" -d "$stage/tools" "$root/dist/ClassList.java"
mkdir "$home/lib/native"
cp "$home/lib/libslate.so" "$home/lib/native/" # where Training looks for it
lib=$home/lib
# shellcheck disable=SC2046 # one option per word
training "$lib/slate.aot" "$lib/slate-cpu.jar:$lib/slate-kvm.jar:$lib/slate-debug.jar:$lib/slate-device.jar" \
  $(sed -e 's/#.*//' "$lib/jvm.options") dev.slate.device.Training
rm -r "$lib/native"
cli_path=
for module in cli lab conformance layout cpu kvm debug device; do cli_path=$cli_path${cli_path:+:}$lib/slate-$module.jar; done
cli_path=$cli_path:$(echo "$lib"/java/*.jar | tr ' ' :)
training "$lib/cli.aot" "$cli_path" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC --enable-native-access=ALL-UNNAMED -Dslate.home="$home" \
  dev.slate.cli.Main knobs

say "[5/5] the manual, and the packages"
share=$home/share
mkdir -p "$share/man/man1" "$share/bash-completion/completions" "$share/zsh/site-functions" "$stage/help"
for command in run trace heat demo doctor; do "$home/slate" help "$command" >"$stage/help/$command.txt"; done
quietly "the manual" "$home/runtime/bin/java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$cli_path" dev.slate.cli.Manual "$stage/help" "$version" "$share"
find "$home" -exec touch -h -d "@$epoch" {} +
archive=$output/slate-$version-linux-x64.tar.gz
tar -C "$stage" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" --format=gnu -cf - "slate-$version" | gzip -6n >"$archive.new"
mv "$archive.new" "$archive"
(cd "$output" && sha256sum "${archive##*/}")

if have dpkg-deb; then
  # Of a snapshot the newer commit is the newer package, and the release is newer than both.
  case $version in
  *-SNAPSHOT) deb_version=${version%-SNAPSHOT}~$(date -u -d "@$epoch" +%Y%m%d%H%M%S).$(echo "$commit" | tr -- - +) ;;
  *) deb_version=$version ;;
  esac
  deb=$stage/deb
  mkdir -p "$deb/DEBIAN" "$deb/usr/bin" "$deb/usr/lib" "$deb/usr/share/doc/slate" "$deb/usr/share/man/man1" \
    "$deb/usr/share/bash-completion/completions" "$deb/usr/share/zsh/vendor-completions"
  cp -a "$home" "$deb/usr/lib/slate"
  rm -r "$deb/usr/lib/slate/share"
  ln -s ../lib/slate/slate "$deb/usr/bin/slate"
  gzip -9nc "$share/man/man1/slate.1" >"$deb/usr/share/man/man1/slate.1.gz"
  cp "$share/bash-completion/completions/slate" "$deb/usr/share/bash-completion/completions/"
  cp "$share/zsh/site-functions/_slate" "$deb/usr/share/zsh/vendor-completions/"
  gzip -9nc "$root/CHANGELOG.md" >"$deb/usr/share/doc/slate/changelog.gz"
  cat "$root/NOTICE" "$root/LICENSE" >"$deb/usr/share/doc/slate/copyright"
  cat >"$deb/DEBIAN/control" <<TEXT
Package: slate
Version: $deb_version
Architecture: amd64
Maintainer: Slate <slate@slate.dev>
Installed-Size: $(du -sk "$deb/usr" | cut -f 1)
Depends: libc6 (>= 2.28)
Section: otherosfs
Priority: optional
Description: KVM in user space
 An unmodified KVM client runs on it without /dev/kvm, a kernel module or root.
 The package has a Java runtime of its own and needs no other.
TEXT
  (cd "$deb" && find usr -type f | sort | xargs md5sum) >"$deb/DEBIAN/md5sums"
  find "$deb" -exec touch -h -d "@$epoch" {} +
  package=$output/slate_${deb_version}_amd64.deb
  quietly "dpkg-deb" dpkg-deb --root-owner-group -Zgzip -z6 --build "$deb" "$package"
  (cd "$output" && sha256sum "${package##*/}")
else
  say "no Debian package: there is no dpkg-deb here (apt-get install dpkg)"
fi
