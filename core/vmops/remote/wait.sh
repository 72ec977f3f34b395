# Answers once a run has ended, has no process any more, or the time is up: vmops ID CENTISECONDS
patience=$2
least() {
    echo $(($1 < $2 ? $1 : $2))
}

clock
began=$now why=killed nap=0.1
until [ -e exit ]; do
    if ! is_alive; then
        [ -e exit ] && break # it ended in the meantime
        say "$why" && exit
    fi
    clock
    [ $((now - began)) -lt "$patience" ] || { say running && exit; }
    [ $((now - began)) -lt 500 ] || nap=0.5
    [ $((now - began)) -lt 6000 ] || nap=1 # a long script is not to be disturbed
    sleep $nap
    [ -e "/proc/$PPID" ] || exit # nobody is left who waits for the answer
done
read -r code date start ended out err <exit && [ -n "$err" ] || { say killed && exit; }
# what the script left running may go on writing: the answer is what there was at the end
out=$(least "$out" "$(wc -c <stdout)") err=$(least "$err" "$(wc -c <stderr)")
say finished "$code" "$date" "$start" "$ended" "$out" "$err"
head -c "$out" stdout
head -c "$err" stderr >&2
