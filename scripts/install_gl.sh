#!/bin/sh
# Installs the libraries for headless rendering, where that needs no question; else says what to install.
PACKAGES="libegl1 libgl1 libgl1-mesa-dri libosmesa6"

[ "$(uname -s)" = Linux ] || exit 0
if ldconfig -p 2>/dev/null | grep -q 'libEGL\.so' && ldconfig -p 2>/dev/null | grep -q 'libGL\.so'; then
    exit 0
fi
ldconfig -p 2>/dev/null | grep -q libOSMesa && exit 0

if [ "$(id -u)" = 0 ]; then
    run=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    run="sudo -n"
else
    run="none"
fi
if command -v apt-get >/dev/null 2>&1 && [ "$run" != none ]; then
    echo "installing OpenGL libraries for pictures ..."
    if $run apt-get update -qq >/dev/null 2>&1 \
        && DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq $PACKAGES >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "pictures need OpenGL libraries (training does not); install them: apt-get install $PACKAGES"
exit 0
