# Takes a script from stdin and starts it: vmops ID SIZE ENV_SIZE SHELL RUNNER
id=$1 size=$2 env_size=$3 shell=$4 runner=$5
mask=$(umask)
umask 077
mkdir -p "$HOME/.vmops/runs" && cd "$HOME/.vmops/runs" || exit
find . "(" -name exit -o -name ".*.*" ")" -mtime +6 2>/dev/null | while read -r old; do
    rm -rf "${old%/exit}"
done
new=.$id.$$
mkdir "$new" || exit
cat >"$new/all"
if [ "$(wc -c <"$new/all")" -ne "$size" ]; then # the connection was lost, or the disk is full
    rm -rf "$new"
    exit 1
fi
head -c "$env_size" "$new/all" >"$new/env" || exit
tail -c "+$((env_size + 1))" "$new/all" >"$new/script" || exit
rm "$new/all"
chmod 700 "$new/script"
# setsid twice: it goes on in a process of its own only where it leads a group already. An & would
# do, but would make the script ignore SIGINT.
echo "$(setsid setsid /bin/sh -c "$runner" vmops "$id" "$new" "$shell" "$mask" </dev/null)"
