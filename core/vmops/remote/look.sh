# What looking at a run needs, in front of wait.sh and stop.sh: vmops ID ...
id=$1
say() {
    echo "vmops $id $*"
    echo "vmops $id" >&2
}
clock() {
    read -r now _ </proc/uptime
    now=${now%.*}${now#*.}
}
is_alive() {
    read -r pid born boot 2>/dev/null <pid || sleep 1 # it may be about to be there
    read -r pid born boot 2>/dev/null <pid || return
    read -r now </proc/sys/kernel/random/boot_id
    [ "$boot" = "$now" ] || { why=rebooted && return 1; }
    read -r stat 2>/dev/null <"/proc/$pid/stat" || return
    set -- ${stat##*) }
    [ "$1" != Z ] || return
    shift 19
    [ "$1" = "$born" ]
}

cd "$HOME/.vmops/runs/$id" 2>/dev/null || { say missing && exit; }
