# Sourced by mvnw, slate and .ci/run: sets and exports JAVA_HOME to a JDK of version 25 or newer, or returns 1 after
# saying what to install. Looks at JAVA_HOME, then at the `java` of the PATH, then in the usual folders.
# Works under `set -e`, `set -u` and `set -f`.

slate_jdk_needs=25

# Prints the major version of the JDK in folder $1; prints nothing when there is no JDK (no javac) there.
slate_jdk_version() {
  [ -x "$1/bin/java" ] && [ -x "$1/bin/javac" ] && [ -r "$1/release" ] || return 0
  sed -n 's/^JAVA_VERSION="\([0-9]*\).*/\1/p' "$1/release"
}

slate_jdk_is_enough() {
  slate_jdk_found=$(slate_jdk_version "$1")
  [ -n "$slate_jdk_found" ] && [ "$slate_jdk_found" -ge "$slate_jdk_needs" ]
}

slate_find_jdk() {
  if [ -n "${JAVA_HOME-}" ] && slate_jdk_is_enough "$JAVA_HOME"; then
    export JAVA_HOME
    return 0
  fi
  slate_jdk_on_path=$(command -v javac 2>/dev/null || true)
  if [ -n "$slate_jdk_on_path" ]; then
    slate_jdk_on_path=$(dirname "$(dirname "$(readlink -f "$slate_jdk_on_path")")")
  fi
  case $- in *f*) slate_jdk_noglob=1 ;; *) slate_jdk_noglob= ;; esac
  set +f
  for slate_jdk_home in "$slate_jdk_on_path" /usr/lib/jvm/* /usr/java/* /usr/local/lib/jvm/* /opt/java/* /opt/jdk* \
    "${HOME-/nonexistent}"/.sdkman/candidates/java/* "${HOME-/nonexistent}"/.jdks/* \
    "${HOME-/nonexistent}"/.local/share/mise/installs/java/*; do
    if [ -n "$slate_jdk_home" ] && slate_jdk_is_enough "$slate_jdk_home"; then
      [ -z "$slate_jdk_noglob" ] || set -f
      JAVA_HOME=$slate_jdk_home
      export JAVA_HOME
      return 0
    fi
  done
  [ -z "$slate_jdk_noglob" ] || set -f
  return 1
}

# The command that installs a JDK here, as text for a person.
slate_jdk_advice() {
  cat <<'ADVICE'
Install the package temurin-25-jdk (https://adoptium.net/installation/linux), which on Debian and Ubuntu is
  apt-get install -y wget gpg && wget -qO- https://packages.adoptium.net/artifactory/api/gpg/key/public | gpg --dearmor -o /etc/apt/trusted.gpg.d/adoptium.gpg
  echo "deb https://packages.adoptium.net/artifactory/deb $(. /etc/os-release; echo "$VERSION_CODENAME") main" > /etc/apt/sources.list.d/adoptium.list
  apt-get update && apt-get install -y temurin-25-jdk
(where the distribution has it, openjdk-25-jdk-headless will do), or unpack any JDK 25 and set JAVA_HOME to its folder.
ADVICE
}

slate_require_jdk() {
  slate_find_jdk && return 0
  {
    echo "slate: no JDK $slate_jdk_needs or newer found (JAVA_HOME is '${JAVA_HOME-}'; looked at the PATH and in /usr/lib/jvm, /usr/java, /opt, ~/.sdkman, ~/.jdks)."
    slate_jdk_advice
  } >&2
  return 1
}
