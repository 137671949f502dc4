"""A program in the manner of Lux AI's kits: reads JSON lines, and answers each. How it plays is its first argument."""

# ruff: noqa: T201, C901 (it answers by printing, in many manners)

from __future__ import annotations

import json
import os
import sys
import time


def main() -> None:
    manner = sys.argv[1] if len(sys.argv) > 1 else "good"
    if manner == "dies":
        sys.exit(9)
    if manner == "slow start":
        time.sleep(0.6)
    for line in sys.stdin:
        asked = json.loads(line)
        print("asked", line.strip(), file=sys.stderr)
        action = {"red_0": 1 + asked["step"], "red_1": [0.25, -0.25]}
        answer = json.dumps({"action": {agent: action[agent] for agent in asked["obs"]}})
        if manner == "alone":
            answer = '{"action": 3}'
        elif manner == "babbles":
            answer = "hello"
        elif manner == "empty":
            answer = "{}"
        elif manner == "null":
            answer = '{"action": null}'
        elif manner == "floods":
            os.write(2, b"y" * (100 << 20))
        elif manner == "gushes":
            answer = "y" * (100 << 20)
        elif manner == "sleeps":
            time.sleep(600)
        elif manner == "twice":
            answer += "\n" + answer
        elif manner == "memory":
            bytearray(8 << 30)
        print(answer, flush=True)


main()
