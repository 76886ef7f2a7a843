"""Runs a program on a pseudo-terminal of its own. Its output goes to stdout as it comes; orders come as JSON lines on stdin:
{"type": "…"} presses keys, {"resize": [rows, columns]}, {"hang_up": true}. The last line on stderr says how it ended, as JSON."""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios

rows, columns = int(sys.argv[1]), int(sys.argv[2])


def set_size(fd, rows, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


pid, terminal = pty.fork()
if pid == 0:
    set_size(0, rows, columns)
    os.execvp(sys.argv[3], sys.argv[3:])

orders = b""
echo = None
watched = [terminal, 0]
while terminal in watched:
    ready, _, _ = select.select(watched, [], [])
    if terminal in ready:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # EIO: nobody has the other side open any more
            data = b""
        if data:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        else:
            echo = bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
            watched.remove(terminal)
            continue
    if 0 in ready:
        more = os.read(0, 65536)
        if not more:
            watched.remove(0)
        *lines, orders = (orders + more).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "type" in order:
                os.write(terminal, order["type"].encode())
            elif "resize" in order:
                set_size(terminal, *order["resize"])
            else:
                os.close(terminal)
                watched.remove(terminal)

status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(json.dumps({"pid": pid, "code": status, "echo": echo}), file=sys.stderr)
