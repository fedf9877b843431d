# A build out of the tree with CMake, its tests, an installation, and a second build after an edit.
bash "$SCRIPTS/c.sh" > /dev/null && cd src
cat > CMakeLists.txt <<'M'
cmake_minimum_required(VERSION 3.20)
project(program C)
enable_testing()
add_library(add STATIC add.c)
add_executable(program main.c)
target_link_libraries(program add)
add_test(NAME runs COMMAND program)
install(TARGETS program DESTINATION bin)
M
cmake -S . -B ../build -DCMAKE_BUILD_TYPE=Release > /dev/null
cmake --build ../build > /dev/null
(cd ../build && ctest > /dev/null)
cmake --install ../build --prefix ../installed > /dev/null
touch main.c && cmake --build ../build > /dev/null
cmake --install ../build --prefix ../installed > /dev/null
cmake --build ../build --target clean && rm -rf ../build
