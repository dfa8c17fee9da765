#!/usr/bin/env bash
# `bulkhead chat` on a terminal, driven through tmux: editing, history, Ctrl-C that stops an answer, Ctrl-D that leaves.
#   chat_terminal.sh PROGRAM
set -euo pipefail
program=$1
command -v tmux >/dev/null || { echo "SKIPPED: tmux is not installed"; exit 77; }
socket=bulkhead-chat-$$
terminal() { tmux -L "$socket" -f /dev/null "$@"; }
trap 'terminal kill-server 2>/dev/null || true' EXIT
shown() { terminal capture-pane -p -S -200 -t chat; }
wait_for() {  # wait_for TEXT: on the screen, within 20 s
  for _ in $(seq 200); do
    shown | grep -q -F -- "$1" && return 0
    sleep 0.1
  done
  echo "\"$1\" never came; the screen:"
  shown
  exit 1
}
type_line() { terminal send-keys -t chat -l -- "$1" && terminal send-keys -t chat Enter; }

LC_ALL=C.UTF-8 terminal new-session -d -s chat -x 100 -y 40 "'$program' chat --engine fake -n 400000 -c 500000; echo ended with \$?; sleep 60"
wait_for '[main: 0 tokens'
type_line '/topic gxrden'
wait_for '[gxrden: 0 tokens'
# The line before again, corrected: up, four to the left, delete one, insert.
terminal send-keys -t chat Up Left Left Left Left Left C-d
terminal send-keys -t chat -l a
terminal send-keys -t chat Enter
wait_for '[garden: 0 tokens'
type_line $'Pflaumen und \u00c4pfel'
sleep 1
terminal send-keys -t chat C-c  # stops an answer that would take long
wait_for '[garden: '
for _ in $(seq 100); do
  shown | grep -E -q '^\[garden: [1-9][0-9]* tokens' && break
  sleep 0.1
done
shown | grep -E -q '^\[garden: [1-9][0-9]* tokens' || { echo "the answer was not stopped"; shown | tail -5; exit 1; }
terminal send-keys -t chat C-c  # nothing at the prompt
type_line '/partitions'
wait_for '* garden'
terminal send-keys -t chat C-d
wait_for 'ended with 0'
echo "edited, remembered, stopped and left"
