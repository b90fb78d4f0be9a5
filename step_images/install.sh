#!/bin/sh
# install.sh EXTRA[,EXTRA]: install the wheel of nearedge with these extras into /opt/nearedge, on any base with Python.
# install.sh build: add buildah to an image that has it.
set -eu
extra=$1
context=$(dirname "$0")
home=/opt/nearedge
export HOME=/tmp PIP_CONFIG_FILE=/run/secrets/pip.conf PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
umask 022

# add NAME-IN-FEDORA NAME-IN-DEBIAN: install a package with what the base has.
add() {
    if command -v microdnf > /dev/null; then
        microdnf install -y --nodocs --setopt=install_weak_deps=0 "$1" && microdnf clean all
    elif command -v dnf > /dev/null; then
        dnf install -y --nodocs --setopt=install_weak_deps=0 "$1" && dnf clean all
    else
        apt-get update && apt-get install -y --no-install-recommends "$2" && rm -rf /var/lib/apt/lists/*
    fi
}

# The image that builds images: buildah, and the context that it builds ours with.
if [ "$extra" = build ]; then
    add buildah buildah
    mkdir -p "$home/context"
    cp "$context"/* "$home/context/"
    exit
fi

# fetch-model and publish-gitops run git, which runs ssh; ssh refuses a user who has no name.
command -v git > /dev/null || add git-core git
command -v ssh > /dev/null || add openssh-clients openssh-client || echo "no ssh client to be had: git goes over https only" >&2
grep -q "^[^:]*:[^:]*:1001:" /etc/passwd || echo "nearedge:x:1001:0:nearedge:/tmp:/sbin/nologin" >> /etc/passwd

[ -x "$home/bin/python" ] || python3 -m venv --without-pip "$home"
"$home/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nearedge needs Python 3.11 or newer")'

# The pip that the context brings, where it brings one: a base may have none, or one too old.
set -- "$context"/pip-*.whl
if [ -f "$1" ]; then
    set -- "$home/bin/python" "$1/pip"
else
    set -- python3 -m pip --python "$home/bin/python"
fi
wheel=$(echo "$context"/nearedge-*.whl)
"$@" install --no-cache-dir --progress-bar off --root-user-action ignore \
    --constraint "$context/constraints.txt" "${wheel}[$extra]"
rm -rf /tmp/* /var/tmp/*
