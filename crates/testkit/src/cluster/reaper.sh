# Arguments: the cluster's folder, the name of the variable that marks its processes, "keep" or "".
folder=$1 mark=$2 keep=$3
while read -r _; do :; done

marked() { grep -lzFx "$mark=$folder" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3; }

for _ in $(seq 500); do
    mapfile -t found < <(marked)
    [ "${#found[@]}" -eq 0 ] && break
    kill -KILL "${found[@]}" 2>/dev/null
    sleep 0.02
done
[ -e "$folder/afterwards" ] && bash "$folder/afterwards" > "$folder/afterwards.log" 2>&1
[ "$keep" = keep ] || rm -rf --one-file-system -- "$folder"
