# How editors and tools save: in the workspace, and on files made here at home and in /tmp.
edit() {
    mkdir "$1" && cd "$1"
    printf 'one\ntwo\n' > text
    vim.tiny -u NONE -es -c 's/two/three/' -c wq text < /dev/null
    vim.tiny -u NONE -es --cmd 'set backup backupcopy=yes' -c 's/three/four/' -c wq text < /dev/null
    vim.tiny -u NONE -es --cmd 'set backup backupcopy=no' -c 's/four/five/' -c wq text < /dev/null
    sed -i s/one/uno/ text && sed -i.bak s/uno/eins/ text
    python3 - <<'P'
import os, shutil
def save(name, flags):
    handle = os.open(name, flags, 0o644)
    os.write(handle, b"saved\n")
    os.fsync(handle)
    os.close(handle)
# A new file in place of the old, as most do it.
save(".text.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
shutil.copymode("text", ".text.new")
os.rename(".text.new", "text")
directory = os.open(".", os.O_RDONLY)
os.fsync(directory)
# A backup, then in place.
os.rename("text", "text~")
save("text", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
# A backup as a link, which an editor keeps when it is broken off.
os.link("text", "linked~")
# In place.
save("text", os.O_WRONLY | os.O_TRUNC)
with open("text", "a") as file:
    file.write("more\n")
# A swap file.
save(".text.swp", os.O_RDWR | os.O_CREAT | os.O_EXCL)
os.unlink(".text.swp")
# A file without a name until it is whole.
handle = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o644)
os.write(handle, b"whole\n")
# With a directory to start from, since only then the link is followed.
os.link(f"/proc/self/fd/{handle}", "whole", src_dir_fd=directory, follow_symlinks=True)
os.replace("whole", "text")
os.truncate("text", 3)
os.utime("text", (1, 1))
P
    ls -A > names
    cd - > /dev/null
}
edit workspace
edit "$HOME/made" && cp -r "$HOME/made" home && rm -rf "$HOME/made"
edit /tmp/made && cp -r /tmp/made temporary && rm -rf /tmp/made
# What was there before in the workspace, too.
vim.tiny -u NONE -es -c 's/before/after/' -c wq there < /dev/null && sed -i 's/after/later/' there
