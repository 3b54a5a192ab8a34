# PID 1 of a test machine: systemd, in namespaces that unshare(1) has made.
# Its root is this system's, with an overlay that keeps what is written.
#
#    machine.sh DIR TMP STAGE SETUP
#
# DIR: a folder for it, in memory. TMP: the same inside and outside. STAGE: what
# is installed into it. SETUP: a script that is run in it before systemd is.
set -e
dir=$1 tmp=$2 stage=$3 setup=$4
root=$dir/root
mkdir "$dir/upper" "$dir/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$dir/upper,workdir=$dir/work" \
	overlay "$root"
tar -C "$stage" -c . | tar -C "$root" --keep-directory-symlink -x

mount -t proc proc "$root/proc"
# what is not the machine's alone stays as it is
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom tty; do
	cp -a "/dev/$node" "$root/dev"
done
mknod -m 666 "$root/dev/fuse" c 10 229
mknod -m 600 "$root/dev/autofs" c 10 235
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
mkdir -p "$root$tmp"
mount --bind "$tmp" "$root$tmp"

mkdir "$root/run/old"
cd "$root"
pivot_root . run/old
umount -l /run/old
rmdir /run/old

# of the units of this system, those that every system has
rm -rf /etc/systemd/system /etc/systemd/user /etc/fstab
mkdir -p /etc/systemd/system /etc/systemd/user
for unit in systemd-ask-password-console.path systemd-modules-load.service \
	sys-kernel-debug.mount sys-kernel-tracing.mount; do
	ln -s /dev/null "/etc/systemd/system/$unit"
done
# nobody sits in front of it
cat >/etc/systemd/system/emergency.service <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=true
END
echo 0123456789abcdef0123456789abcdef >/etc/machine-id
cat >/etc/systemd/system/default.target <<END
[Unit]
Description=Test
Requires=basic.target
After=basic.target remote-fs.target
Wants=remote-fs.target
END
. "$setup"
exec env -i container=larder-test \
	PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin \
	"$SYSTEMD" --log-target=journal --show-status=no </dev/null
