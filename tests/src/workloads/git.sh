# A repository's everyday life.
git clone -q "file://$HOME/upstream.git" app
git clone -q --no-hardlinks "$HOME/upstream.git" copy && rm -rf copy
# By links to the other's objects, where that may be: they are copied otherwise.
git clone -q "$HOME/upstream.git" linked && rm -rf linked
cd app
git switch -q -c feature
for n in 1 2 3; do
    echo "$n" > "file$n" && git add . && git commit -q -m "file $n"
done
git switch -q main
echo more >> README && git commit -q -a -m more
git rebase -q main feature
git switch -q main
git merge -q --no-ff -m merge feature
git branch -q -d feature
# A change put aside and taken up again, then thrown away.
echo change >> README && git stash -q && git stash pop -q && git checkout -q -- README
git commit -q --amend -m 'merged'
git tag v1
git worktree add -q ../other v1
(cd ../other && echo x > y && git add y && git commit -q -m y)
git worktree remove ../other
# Several commits made one, by an editor.
for n in 4 5; do echo "$n" > "file$n" && git add . && git commit -q -m "file $n"; done
GIT_SEQUENCE_EDITOR="sed -i '2s/^pick/fixup/'" git rebase -q -i HEAD~2
# A conflict, given up and resolved.
git switch -q -c conflict v1 && echo mine > file1 && git commit -q -a -m mine
git switch -q main && echo theirs > file1 && git commit -q -a -m theirs
git merge -q conflict > /dev/null && exit 9
git merge --abort
git merge -q -X ours -m resolved conflict
git revert --no-edit HEAD~1 > /dev/null
git reset -q --hard HEAD~1 && git reset -q --hard ORIG_HEAD
git clean -q -fdx
echo '*.o' > .gitignore && touch a.o && mkdir -p build/deep && touch build/deep/b.o c
git clean -q -n && git clean -q -fdX && git clean -q -fdx
printf '#!/bin/sh\necho checked > ../hook\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit
git mv file2 renamed && git commit -q -m renamed && git rm -q file3 && git commit -q -m removed
git -c protocol.file.allow=always submodule --quiet add "file://$HOME/upstream.git" library
git commit -q -m library
git submodule --quiet deinit -f library && git rm -q -f library && rm -rf .git/modules/library
git reset -q --hard
# A branch of its own, twice, in a repository that was there before.
git push -q origin HEAD:refs/heads/agent
git commit -q --allow-empty -m again && git push -q origin HEAD:refs/heads/agent
git fetch -q && git pull -q --ff-only
git archive HEAD | tar -t > ../archived
git bundle create -q ../bundle HEAD && git clone -q ../bundle ../bundled
git gc -q --prune=now && git fsck > /dev/null 2>&1
git log --format='%s' > ../log
git worktree prune && git reflog expire --expire=now --all && git repack -q -a -d
