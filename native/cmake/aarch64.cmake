# Builds for 64-bit ARM with Debian's cross compiler (g++-aarch64-linux-gnu) and runs the tests under qemu-user:
#   cmake -S . -B build/aarch64 -DCMAKE_TOOLCHAIN_FILE=native/cmake/aarch64.cmake -DSHORTLIST_PYTHON=OFF -DSHORTLIST_TESTS=ON
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(SHORTLIST_QEMU NAMES qemu-aarch64-static qemu-aarch64)
if(SHORTLIST_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${SHORTLIST_QEMU} -L /usr/aarch64-linux-gnu)
endif()
