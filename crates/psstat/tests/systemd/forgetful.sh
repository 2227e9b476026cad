#!/bin/sh
# Has its children fork children that work, end, and are waited for by nobody in the unit.
work() {
    i=0
    while [ "$i" -lt 20000 ]; do i=$((i + 1)); done
}
while :; do
    (work &)
    sleep 0.05
done
