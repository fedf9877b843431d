# Work in a repository that was there before, of which what is committed is kept.
rm -f .git/index.lock && rm .git/refs/heads/left.lock
git status --short > ../status
git add one && git commit -q -m uncommitted && git commit -q --amend -m amended
git switch -q -c work && sed -i s/one/eins/ one && git commit -q -a -m eins
git branch -q -D b2 b5 && git branch -q -m b3 renamed && git tag -d old > /dev/null
git rebase -q b7 work && git switch -q main && git merge -q -m merged work && git branch -q -d work
git stash list > /dev/null && echo more >> one && git stash -q && git stash pop -q && git checkout -q -- one
git reset -q --hard HEAD~1 && git cherry-pick ORIG_HEAD > /dev/null 2>&1 || git cherry-pick --abort
git worktree add -q ../side b6 && (cd ../side && echo x > y && git add y && git commit -q -m y) && git worktree remove ../side
git update-ref refs/heads/made HEAD && git update-ref -d refs/heads/made
git pack-refs --all && git reflog expire --expire=now --all && git gc -q --prune=now && git repack -q -a -d && git prune
rm src/1.c && git checkout -q -- src && rm -rf build && rm -f src/*.o && git clean -q -fdx
echo ignored >> .git/info/exclude && git config user.name agent && echo 'gitdir' > .git/description
git fsck > ../fsck 2>&1 && git log --format=%s > ../log && git for-each-ref --format='%(refname)' > ../refs
