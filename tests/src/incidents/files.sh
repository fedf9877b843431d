# Commands that agents ran against files. What was there before is all of $HOME but the workspace.
cd "$WORKSPACE"
row() { # the number of the incident; its function has the command
    test "${ONLY:-$1}" = "$1" || return 0
    (cd "$WORKSPACE" && "row_$1") > /dev/null 2>&1 || true
    if test -z "${ONLY:-}"; then
        echo "$1" > look.new && mv look.new look && soon test ! -e look
    fi
}
twin() { # something that has to work
    test -z "${ONLY:-}" || return 0
    (cd "$WORKSPACE" && "twin_$1") && echo "row $1: its own is gone"
}
row_22() { rm -rf "$HOME"; }
twin_22() { TMPDIR=$(mktemp -d); mkdir -p "$TMPDIR/own/deep" && rm -rf "$TMPDIR/own" && rmdir "$TMPDIR"; }
row_23() { rm -rf ~ 2> /dev/null; }
row_24() { rm -rf --one-file-system "$HOME" /home /mnt /srv; }
row_25() { mkdir -p ./~ && touch ./~/x && rm -rf ~; }
twin_25() { mkdir -p ./~ && touch ./~/x && rm -rf ./~ && test ! -e ./~; }
row_26() { find . -name '*.log' -o -name nothing -exec true {} \; -o -type d -exec sh -c 'rm -rf /home/agent/* /srv/*' \; ; }
row_27() { rm -rf ~/checkout && git clone -q ~/upstream.git ~/checkout; }
twin_27() {
    git clone -q "file://$HOME/upstream.git" ~/fresh && rm -rf ~/fresh &&
        git clone -q "file://$HOME/upstream.git" ~/fresh && rm -rf ~/fresh && test ! -e ~/fresh
}
row_28() { mkdir -p ~/Documents.new && cp -r ~/Documents/. ~/Documents.new && rm -rf ~/Documents; }
twin_28() { mkdir -p ~/made && cp -r ~/made ~/copied && rm -rf ~/made ~/copied; }
row_29() { cd ~/data && xargs rm -rf < .buildignore; }
twin_29() { mkdir -p a b && echo 'a b' > list && xargs rm -rf < list && test ! -e a && rm list; }
row_30() { cd ~/checkout && git clean -q -fd; }
twin_30() { git init -q made && cd made && touch a b && git clean -q -fd && test ! -e a && rm -rf "$WORKSPACE/made"; }
row_31() { cd ~/checkout && git reset -q --hard; }
twin_31() {
    git init -q made && cd made && echo x > a && git add a && git commit -q -m a && echo y > a &&
        git reset -q --hard && test "$(cat a)" = x && rm -rf "$WORKSPACE/made"
}
row_32() { cd ~ && find . -maxdepth 2 -type d ! -path '.' ! -path './archive' -exec rm -rf {} +; }
row_33() { cd ~/checkout && git clean -q -fX; git clean -q -fdX; }
row_34() { rm -f ~/data/backup.sql; }
twin_34() { touch ~/dump.sql && rm ~/dump.sql; }
row_36() { python3 -c 'import os; os.remove(os.path.expanduser("~/data/backup.sql"))'; }
twin_36() { touch ~/dump.sql && python3 -c 'import os; os.remove(os.path.expanduser("~/dump.sql"))'; }
row_37() { rm -fr ~/Documents; }
row_381() { : > ~/data/important.db; }
row_382() { truncate -s 0 ~/data/important.db; }
row_383() { echo new > new && mv -f new ~/data/important.db; }
row_384() { dd if=/dev/zero of="$HOME/data/important.db" bs=1 count=4; }
row_385() { sed -i s/o/x/ ~/data/important.db; }
row_386() { cp /dev/null ~/data/important.db; }
twin_38() {
    echo one > ~/own.db && : > ~/own.db && truncate -s 0 ~/own.db && echo new > new && mv -f new ~/own.db &&
        dd if=/dev/zero of="$HOME/own.db" bs=1 count=4 status=none && sed -i s/o/x/ ~/own.db && cp /dev/null ~/own.db && rm ~/own.db
}
for number in 25 26 27 28 29 30 31 32 33 34 36 37 381 382 383 384 385 386 23 24 22; do row $number; done
for number in 22 25 27 28 29 30 31 34 36 38; do twin $number; done
echo "all rows"
