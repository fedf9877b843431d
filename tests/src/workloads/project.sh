# A new project outside the workspace, made, worked on and removed again.
make_one() {
    mkdir "$HOME/new-project" && cd "$HOME/new-project"
    git init -q -b main && echo x > file && git add . && git commit -q -m first
    mkdir -p src/deep node_modules/a/b && touch src/deep/x node_modules/a/b/c
}
work() {
    echo more >> file && git commit -q -a -m more && rm -rf node_modules && mv src source && chmod -R go-rwx .
    git gc -q && git clean -q -fdx && git reset -q --hard HEAD~1 && sed -i s/x/y/ file
}
make_one && work && cd .. && rm -rf "$HOME/new-project"
make_one
# Whoever is outside has the kernel drop what it remembers, and takes the file away.
touch "$WORKSPACE/drop" && soon test ! -e "$WORKSPACE/drop"
work && cd .. && rm -rf "$HOME/new-project"
echo done
