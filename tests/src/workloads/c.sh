# Two builds of a program and a library: by hand-written makefile, and by CMake.
mkdir -p src && cd src
cat > add.h <<'C'
int add(int a, int b);
C
cat > add.c <<'C'
#include "add.h"
int add(int a, int b) { return a + b; }
C
cat > main.c <<'C'
#include <stdio.h>
#include "add.h"
int main(void) { printf("%d\n", add(40, 2)); return add(40, 2) != 42; }
C
cat > Makefile <<'M'
program: main.o libadd.a
	$(CC) -o $@ $^
libadd.a: add.o
	ar rcs $@ $^
%.o: %.c
	$(CC) -O1 -MMD -c -o $@ $<
install: program
	install -D -m 755 program $(PREFIX)/bin/program
	install -D -m 644 add.h $(PREFIX)/include/add.h
check: program
	./program
clean:
	rm -f *.o *.d *.a program
-include main.d add.d
M
make -s -j2 && make -s check && touch add.h && make -s && make -s check
make -s install PREFIX="$PWD/../prefix" && make -s install PREFIX="$PWD/../prefix"
make -s clean
