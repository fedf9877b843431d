# Archives and copies with everything that they keep, and what is done to a tree's attributes.
mkdir -p tree/deep && for n in 1 2 3; do echo $n > "tree/deep/$n"; done
ln -s deep/1 tree/link && ln tree/deep/2 tree/hard && mkfifo tree/fifo && chmod 700 tree/deep
touch -d 2020-01-01 tree/deep/1 && setfattr -n user.x -v y tree/deep/1 2> /dev/null || true
tar -czf tree.tar.gz tree && mkdir untarred && tar -xzf tree.tar.gz -C untarred && tar -xzf tree.tar.gz -C untarred
cp -a tree copied && cp -a tree/. copied && cp -rl tree linked
rsync -a tree/ synced && echo 4 > tree/deep/4 && rsync -a --delete --inplace tree/ synced && rsync -a tree/ synced
gzip -k tree/deep/1 && gunzip -f tree/deep/1.gz
install -D -m 640 tree/deep/1 installed/there && install -d -m 711 installed/directory
chmod -R u+w,go-w tree && find tree -type f -exec touch -d 2021-01-01 {} +
find copied -name 3 -delete && find copied -type l -exec rm {} +
mv untarred/tree moved && rmdir untarred && rm -rf linked copied/deep
split -b 1 tree/deep/1 part- && cat part-* > joined && rm part-*
dd if=/dev/zero of=zeros bs=1k count=8 status=none && truncate -s 4k zeros && fallocate -l 8k zeros
cp --reflink=auto zeros again && shred -u again && ln -sfn tree current && ln -sfn synced current
rm tree.tar.gz
