#!/bin/sh
# Installs the libraries for headless rendering, where that needs no question; else says what to install.
# OpenGL draws the classic renderer's pictures, Vulkan filament's.
OPENGL="libegl1 libgl1 libgl1-mesa-dri libosmesa6"
VULKAN="libvulkan1 mesa-vulkan-drivers"

[ "$(uname -s)" = Linux ] || exit 0
has() { ldconfig -p 2>/dev/null | grep -q "$1"; }

packages=""
{ has 'libEGL\.so' && has 'libGL\.so'; } || has libOSMesa || packages="$OPENGL"
has 'libvulkan\.so' || packages="$packages $VULKAN"
[ -n "$packages" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    run=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    run="sudo -n"
else
    run="none"
fi
if command -v apt-get >/dev/null 2>&1 && [ "$run" != none ]; then
    echo "installing libraries for pictures ..."
    if $run apt-get update -qq >/dev/null 2>&1 \
        && DEBIAN_FRONTEND=noninteractive $run apt-get install -y -qq $packages >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "pictures need libraries (training does not); install them: apt-get install" $packages
exit 0
