# A repository that was there before the session: branches, packed and loose, files that are not committed.
git init -q -b main .
printf 'one\n' > one && printf '*.o\n' > .gitignore && git add . && git commit -q -m one
for n in 2 3 4; do git branch "b$n" && echo "$n" >> one && git commit -q -a -m "$n"; done
git gc -q && git tag old
for n in 5 6 7; do git branch "b$n" && echo "$n" >> one && git commit -q -a -m "$n"; done
git stash -q 2> /dev/null || true
mkdir -p src build && for n in 1 2 3; do echo "$n" > "src/$n.c" && echo "$n" > "src/$n.o" && echo "$n" > "build/$n"; done
git add src && git commit -q -m src
echo uncommitted >> one
touch .git/index.lock .git/refs/heads/left.lock
