#!/bin/sh
# Slate as a Java library: installs slate-cpu, slate-kvm and slate-junit with sources and javadoc into a Maven repository of its own, and
# builds and runs a project that has nothing but that, examples/consumer, on the module path and on the class path. Then compares the API
# with an earlier one.
#
#   tests/library.sh [--offline] [--since COMMIT] [--strict]
#
#   --offline  with the plug-ins and libraries that are in ~/.m2
#   --since    the commit to compare with (the last tag v*; while there is none, the commit before this one)
#   --strict   a change that an old program's class files do not bear is a failure; so it is anyway between two versions with one first
#              number above 0
#
# Nothing outside of a temporary folder is changed but what Maven fetches into ~/.m2. The comparison goes to build/api.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tests/common.sh"
offline=
since=
strict=
while [ $# -gt 0 ]; do
  case $1 in
  --offline) offline=-o ;;
  --since)
    since=$2
    shift
    ;;
  --strict) strict=true ;;
  --help | -h)
    show_help
    exit 0
    ;;
  *) wrong "unknown option $1" ;;
  esac
  shift
done
cd "$root"
. .mvn/find-jdk.sh
slate_require_jdk || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/slate-library.XXXXXX")
trap 'rm -rf "$work"' EXIT

# shellcheck disable=SC2086 # no option, or one
maven() { ./mvnw -B $offline -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "$@"; }

# What is installed goes into a repository of this test's; what is there is read from the user's.
apart() {
  maven -Dmaven.repo.local="$work/m2" -Dmaven.repo.local.tail="$HOME/.m2/repository" -Dmaven.repo.local.tail.ignoreAvailability=true "$@"
}

# The tree's own jars stay as they are, since its AOT cache fits these alone.
mkdir "$work/new" "$work/old"
git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null | tar -x -C "$work/new"
cd "$work/new"
apart -Pquick,library -Dmaven.test.skip=true -pl junit -am install
version=$(sed -n 's/.*<version>\(.*\)<\/version>.*/\1/p' pom.xml | head -n 1)
for name in cpu kvm junit; do
  for what in '' -sources -javadoc; do
    jar=$work/m2/dev/slate/slate-$name/$version/slate-$name-$version$what.jar
    [ -f "$jar" ] || fail "slate-$name has no jar$what"
    files=$("$JAVA_HOME/bin/jar" -tf "$jar")
    case $what in '') wanted=.class ;; -sources) wanted=.java ;; *) wanted=.html ;; esac
    echo "$files" | grep -q "^.*dev/slate/.*\\$wanted\$" || fail "$jar has no $wanted of dev.slate"
  done
done
echo "installed: slate-cpu, slate-kvm and slate-junit $version, with sources and javadoc, which has no warning"

cp -r examples/consumer "$work/consumer"
apart -f "$work/consumer/pom.xml" package # compiles with all warnings as errors, and tests on both paths
cd "$work/consumer"
lib=target/lib
said=$("$JAVA_HOME/bin/java" --enable-native-access=dev.slate.kvm,dev.slate.cpu -p "target/consumer.jar:$lib" -m org.example.consumer/org.example.Sum 100)
[ "$said" = "5050, on the module path" ] || fail "the consumer said: $said"
echo "consumer: $said"
said=$("$JAVA_HOME/bin/java" --enable-native-access=ALL-UNNAMED -cp "target/consumer.jar:$lib/*" org.example.Sum 100)
[ "$said" = "5050, on the class path" ] || fail "the consumer said: $said"
echo "consumer: $said"

# ------------------------------------------------------- japicmp
cd "$root"
tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null) || tag=
if [ -z "$since" ]; then
  since=${tag:-HEAD~1}
  git rev-parse --verify -q "$since^{commit}" >/dev/null || {
    echo "skipped, needs a commit to compare the API with: git fetch --unshallow"
    exit 0
  }
fi
old=$(git rev-parse --verify -q --short "$since^{commit}") || fail "there is no commit $since here"
git archive "$old" | tar -x -C "$work/old"
cd "$work/old"
maven -Pquick -Dmaven.test.skip=true -pl kvm -am package
old_version=$(sed -n 's/.*<version>\(.*\)<\/version>.*/\1/p' pom.xml | head -n 1)
major=${version%%.*}
if [ "$major" != 0 ] && [ "$major" = "${old_version%%.*}" ]; then strict=true; fi
japicmp=$(sed -n 's/.*<japicmp.version>\(.*\)<\/japicmp.version>.*/\1/p' "$work/new/pom.xml")
broken=
for name in cpu kvm; do
  new=$work/new/$name/target/slate-$name.jar
  # What a module exports to everybody is its API.
  packages=$("$JAVA_HOME/bin/java" -p "$work/new/cpu/target/slate-cpu.jar:$new" --describe-module "dev.slate.$name" |
    awk '$1 == "exports" { print "<include>" $2 "</include>" }')
  [ -n "$packages" ] || fail "dev.slate.$name exports nothing"
  mkdir -p "$work/api/$name"
  cat >"$work/api/$name/pom.xml" <<TEXT
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>dev.slate</groupId>
  <artifactId>slate-$name-api</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <build><plugins><plugin>
    <groupId>com.github.siom79.japicmp</groupId>
    <artifactId>japicmp-maven-plugin</artifactId>
    <version>$japicmp</version>
    <configuration>
      <oldVersion><file><path>$work/old/$name/target/slate-$name.jar</path></file></oldVersion>
      <newVersion><file><path>$new</path></file></newVersion>
      <parameter>
        <includes>$packages</includes>
        <includeExclusively>true</includeExclusively>
        <onlyModified>true</onlyModified>
        <ignoreMissingClasses>true</ignoreMissingClasses>
        <skipPomModules>false</skipPomModules>
        <breakBuildOnBinaryIncompatibleModifications>${strict:-false}</breakBuildOnBinaryIncompatibleModifications>
      </parameter>
    </configuration>
  </plugin></plugins></build>
</project>
TEXT
  status=0
  maven -f "$work/api/$name/pom.xml" "com.github.siom79.japicmp:japicmp-maven-plugin:$japicmp:cmp" >"$work/api/$name/log" 2>&1 || status=$?
  report=$(find "$work/api/$name/target" -name '*.diff' 2>/dev/null | head -n 1)
  [ -n "$report" ] || fail "japicmp said: $(cat "$work/api/$name/log")"
  mkdir -p "$root/build/api"
  cp "$report" "$root/build/api/slate-$name.diff"
  [ "$status" = 0 ] || broken="$broken slate-$name"
  echo "slate-$name since $since ($old): $(grep -cE '^(\*\*\*|\+\+\+|---)!? ' "$report" || true) types changed," \
    "$(grep -cE '^[[:space:]]*(\*\*\*|\+\+\+|---)! ' "$report" || true) places that an old program does not bear (build/api/slate-$name.diff)"
done
[ -z "$broken" ] || fail "an old program's class files do not bear what changed in$broken; see build/api"
