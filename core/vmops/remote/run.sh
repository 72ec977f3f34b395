# Runs a script once, however often it was sent: vmops ID NEW SHELL UMASK
id=$1 new=$2 shell=$3 mask=$4 run=$PWD/$1
trap : HUP INT TERM # a script that ends its whole group must not end the record of it
read -r stat <"/proc/$$/stat"
set -- ${stat##*) }
shift 19 # to the time it was born
read -r boot </proc/sys/kernel/random/boot_id
echo "$$ $1 $boot" >"$new/pid" || exit
if ! mkdir "$run"; then # the gate: one makes it
    rm -rf "$new"
    [ -d "$run" ] && echo "vmops $id started"
    exit
fi
mv "$new/pid" "$new/env" "$new/script" "$run"
rmdir "$new"
cd "$run" || exit
echo "vmops $id started"
exec >>stdout 2>>stderr # and so the connection need not stay
date=$(date +%s.%N)
read -r began _ </proc/uptime
(
    umask "$mask"
    cd || exit
    # what the environment sets, PATH included, must not change what is run
    set -- "$run/env" ${shell:+"$shell"} "$run/script"
    . "$1"
    command -p rm -f "$1" # it may hold secrets
    shift
    exec "$@"
)
code=$?
read -r ended _ </proc/uptime # busybox's date has whole seconds only, and dates may jump
echo "$code $date $began $ended $(wc -c <stdout) $(wc -c <stderr)" >exit.new
mv exit.new exit
