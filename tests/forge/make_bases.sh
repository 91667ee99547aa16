#!/bin/bash
# Builds clean base disks with real files for the evaluation of the damage map.
#
#   make_bases.sh OUT_DIR [SIZE_MIB=64]
#
# ext4.img, ntfs.img: file systems of real files from /usr and archives made of them;
# archives.img: gzip, zip, bzip2 and zstd archives one behind the other, with gaps;
# lzma.img: xz and 7z; luks.img: a LUKS2 volume with a random body behind a partition table.
# Needs mke2fs, mkntfs and ntfscp, gzip, zip or python3, bzip2, zstd, xz, cryptsetup, openssl.
set -euo pipefail
OUT=${1:?OUT_DIR}; S=${2:-64}; SRC=${SRC:-/usr}
mkdir -p "$OUT"; cd "$OUT"
MB=$((1024*1024))
KEY=00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff

# pick DEST BUDGET_MIB SKIP_MIB: real files in a fixed scattered order until the budget is used
pick() {
  mkdir -p "$1"
  { find "$SRC" -xdev -type f -size +0 -size -6M -printf '%s\t%p\n' 2>/dev/null || true; } |
  python3 -c '
import sys,os,shutil,hashlib
dst,budget,skip=sys.argv[1],int(sys.argv[2])<<20,int(sys.argv[3])<<20
rows=[l.rstrip("\n").split("\t",1) for l in sys.stdin]
rows.sort(key=lambda r:hashlib.md5(r[1].encode("utf8","surrogateescape")).digest())
t=n=0
for s,p in rows:
    s=int(s); t+=s
    if t<skip: continue
    if t>skip+budget: break
    d=os.path.join(dst,"%03d"%(n//200)); os.makedirs(d,exist_ok=True)
    try: shutil.copyfile(p,os.path.join(d,"%06d_%s"%(n,os.path.basename(p)[:60])))
    except OSError: continue
    n+=1
' "$1" "$2" "$3"; }

tree() { tar --sort=name --mtime=@0 --owner=0 --group=0 -cf - -C "$1" .; }
random() { head -c $(($1*MB)) /dev/zero | openssl enc -aes-256-ctr -K $KEY -iv "$(printf %032x "$2")" -nosalt; }

# --- ext4: 55 % files, a gzip and a zip of some of them
E=$((S*55/100)); rm -rf t; pick t $E 0
pick u $((S/8)) $((S*3)); tree u | gzip -6 -n > t/backup.tgz
(cd u && python3 -m zipfile -c ../t/share.zip .); rm -rf u
rm -f ext4.img; truncate -s ${S}M ext4.img
mke2fs -q -t ext4 -E lazy_itable_init=0,hash_seed=11111111-2222-3333-4444-555555555555 \
  -U 11111111-2222-3333-4444-555555555555 -d t ext4.img; rm -rf t

# --- NTFS: files one by one through ntfscp, from another part of the tree
rm -f ntfs.img; truncate -s ${S}M ntfs.img
mkntfs -q -F -f -L BASE -s 512 -p 2048 -H 255 -S 63 ntfs.img >/dev/null 2>&1
pick t $((S*50/100)) $((S*5))
m=$(mktemp -d)
if ntfs-3g ntfs.img "$m" 2>/dev/null; then cp -r t/. "$m"/; sync -f "$m"; umount "$m"
else find t -type f | head -400 | while read -r f; do ntfscp -f -q ntfs.img "$f" "/$(basename "$f")" >/dev/null 2>&1 || true; done; fi
rmdir "$m"; rm -rf t

# --- archives: what backups leave
put() { dd of="$1" bs=1M seek="$2" conv=notrunc status=none; }
Q=$((S/8))
pick t $((S/3)) $((S*7)); rm -f archives.img; truncate -s ${S}M archives.img
{ tree t | head -c $((Q*MB)); } 2>/dev/null | put archives.img 0 || true
tree t | gzip -6 -n | head -c $((2*Q*MB)) | put archives.img $Q || true
rm -f t.zip; (cd t && python3 -m zipfile -c ../t.zip .); head -c $((2*Q*MB)) t.zip | put archives.img $((3*Q)); rm -f t.zip
tree t | bzip2 | head -c $((Q*MB)) | put archives.img $((5*Q+Q/2)) || true
tree t | zstd -q -3 | head -c $((Q*MB)) | put archives.img $((6*Q+Q/2)) || true
# --- LZMA: random-like to every test of bytes
rm -f lzma.img; truncate -s ${S}M lzma.img
{ tree t | head -c $((Q*MB)); } 2>/dev/null | put lzma.img 0 || true
tree t | xz -2 | head -c $((3*Q*MB)) | put lzma.img $((2*Q)) || true
rm -rf t
# --- LUKS: header by cryptsetup, the body random as it is
rm -f luks.img; truncate -s ${S}M luks.img
pick t $((S/3)) $((S*9)); tree t 2>/dev/null | head -c $((2*Q*MB)) | put luks.img 0 || true
rm -rf t; truncate -s $((5*Q))M l; echo -n forge | cryptsetup luksFormat -q --type luks2 --pbkdf-force-iterations 4 --pbkdf-memory 32 --pbkdf-parallel 1 l - 2>/dev/null || true
put luks.img $((3*Q)) < l; rm -f l
random $((5*Q-16)) 7 | put luks.img $((3*Q+16))
ls -l ./*.img >&2
