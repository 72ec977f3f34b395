# Ends a run with all of its process group, by SIGTERM and by SIGKILL five seconds later: vmops ID
if ! [ -e exit ] && is_alive; then
    kill -TERM "-$pid" # whoever records the exit code takes no notice
    tries=0
    until [ -e exit ] || [ $((tries += 1)) -gt 50 ]; do
        sleep 0.1
    done
    [ -e exit ] || kill -KILL "-$pid"
fi
say stopped
