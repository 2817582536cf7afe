#!/bin/sh
# Lays out the root file system of the image: all that there is in it, and nothing else. The Dockerfile runs this in its last stage, and
# `make rootfs` where there is no container engine.
#
#   rootfs.sh PROGRAMS TOOLS DESTINATION
#
# PROGRAMS has driftline and kubectl-driftline, TOOLS has helm and kustomize. Libraries and certificates are this machine's.
set -eu

if [ $# -ne 3 ]; then
    echo "usage: rootfs.sh PROGRAMS TOOLS DESTINATION" >&2
    exit 2
fi
programs=$1
tools=$2
root=$3
certificates=/etc/ssl/certs/ca-certificates.crt

if [ -e "$root" ]; then
    echo "error: $root is there already; remove it first" >&2
    exit 1
fi
if [ ! -r "$certificates" ]; then
    echo "error: no certificates at $certificates. On Debian: apt-get install ca-certificates" >&2
    exit 1
fi

umask 022
mkdir -p "$root/usr/bin" "$root/etc/ssl/certs" "$root/usr/lib/ssl" "$root/run/driftline" "$root/var/cache/driftline" "$root/proc" "$root/sys" "$root/dev"
# Where nothing is mounted over it, a read-only root makes it read-only as well.
mkdir -m 1777 "$root/tmp"

put() {
    if [ ! -x "$1/$2" ]; then
        echo "error: there is no program $2 in $1" >&2
        exit 1
    fi
    cp -L "$1/$2" "$root/usr/bin/$2"
    chmod 755 "$root/usr/bin/$2"
    # Of a static program ldd says so and fails.
    libraries=$(ldd "$1/$2" 2>/dev/null | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }') || libraries=""
    for library in $libraries; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
}
put "$programs" driftline
put "$programs" kubectl-driftline
put "$tools" helm
put "$tools" kustomize

cp -L "$certificates" "$root$certificates"
# Where OpenSSL looks.
ln -s "$certificates" "$root/usr/lib/ssl/cert.pem"

# The two users of the chart's pod, in one group.
cat > "$root/etc/passwd" <<END
root:x:0:0::/:/nologin
driftline:x:65532:65532:operator:/tmp:/nologin
worker:x:65533:65532:worker:/tmp:/nologin
END
cat > "$root/etc/group" <<END
root:x:0:
driftline:x:65532:
END
echo "hosts: files dns" > "$root/etc/nsswitch.conf"
# Runtimes mount their own over these.
: > "$root/etc/hosts"
: > "$root/etc/resolv.conf"

# The same input gives the same image.
find "$root" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
