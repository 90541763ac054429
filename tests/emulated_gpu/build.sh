#!/bin/sh
# Builds the emulated GPU into a folder, if its sources are newer than what is there: build.sh OUT_DIR [--test]
#
# A program that loads the libraries of that folder by absolute path, all eight, finds them again by bare name,
# whatever else is installed: each name has a library of its own with that SONAME. All they hold is the dependency on
# libemulated_gpu.so. With --test, self_test.cpp is built and run too.
set -eu

sources=$(cd "$(dirname "$0")" && pwd)
if [ $# -lt 1 ]; then
    echo "usage: $0 OUT_DIR [--test]" >&2
    exit 2
fi
mkdir -p "$1"
out=$(cd "$1" && pwd)
cxx=${CXX:-g++}
flags="-std=c++17 -O2 -Wall -Wextra -fPIC -fvisibility=hidden"
parts="counts driver_device driver_memory driver_stream driver_module nvrtc cublaslt nvml"
names="libcuda.so libcuda.so.1 libnvrtc.so libnvrtc.so.13 libcublasLt.so libcublasLt.so.13 \
libnvidia-ml.so libnvidia-ml.so.1"

# Two builds at once, as of two test programs, must not see each other's halves.
exec 9>"$out/.lock"
if command -v flock >/dev/null; then flock 9; fi

build() {
    rm -f "$out/.built" "$out"/kernels-*.so
    cp "$sources"/emulated_*.h "$out/"
    objects=""
    for part in $parts; do
        $cxx $flags -c "$sources/$part.cpp" -o "$out/$part.o"
        objects="$objects $out/$part.o"
    done
    $cxx -shared -Wl,-soname,libemulated_gpu.so $objects -o "$out/libemulated_gpu.so" -ldl -lpthread
    rm -f $objects
    for name in $names; do
        $cxx -shared -x c++ /dev/null -x none -Wl,-soname,"$name" -Wl,--no-as-needed -L"$out" -lemulated_gpu \
            -Wl,-rpath,'$ORIGIN' -o "$out/$name"
    done
    touch "$out/.built"
}

is_stale() {
    [ ! -e "$out/.built" ] ||
        [ -n "$(find "$sources" -newer "$out/.built" ! -name 'self_test*' ! -name '*.md' -type f)" ]
}

if is_stale; then
    build
fi

if [ "${2:-}" = "--test" ]; then
    $cxx -std=c++17 -O2 -Wall -Wextra "$sources"/self_test*.cpp -L"$out" -lemulated_gpu -Wl,-rpath,"$out" \
        -o "$out/self_test"
    "$out/self_test" "$sources"
fi
