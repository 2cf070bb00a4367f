"""A port of a few lines that does what its first argument says, on questions with three rows.

It answers all others with the right numbers, in float64 alone, and asks nothing of Python but its
standard library. `lies` answers everything with numbers made up, `mumbles` refuses everything.
"""

from __future__ import annotations

import array
import json
import random
import struct
import sys
import time
from typing import Any

BEHAVIOUR = sys.argv[1]
SIZES = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}


def numbers(question: dict[str, Any], data: dict[str, bytes], name: str) -> list[float]:
    """The numbers that are wanted under a name."""
    a, b = (array.array("d", data[n]) for n in ("x_recon", "x"))
    mask, rows = data["mask"], question["tensors"][0]["shape"][0]
    default = {"masked_sse": "batch_mean", "masked_mse": "mean"}[question["function"]]
    divisors = {"sum": 1, "mean": sum(mask), "batch_mean": rows}
    divisor = max(divisors[question["reduction"] or default], 1)
    differences = [p - q if bit else 0.0 for p, q, bit in zip(a, b, mask)]  # noqa: B905
    if name == "value":
        return [sum(d * d for d in differences) / divisor]
    (upstream,) = struct.unpack("<d", data["upstream"])
    sign = 2 if name == "grad_x_recon" else -2
    return [sign * d * upstream / divisor if d else 0.0 for d in differences]


def told(question: dict[str, Any], data: dict[str, bytes]) -> tuple[dict[str, Any], bytes]:
    """Line and bytes of the right answer, or of a lie."""
    of = {tensor["name"]: tensor for tensor in question["tensors"]}
    tensors, raw = [], b""
    for name in question["want"]:
        like = of.get(name.removeprefix("grad_"), {"dtype": "float64", "shape": []})
        dtype, shape = like["dtype"], like["shape"]
        if BEHAVIOUR != "lies":
            part = (
                struct.pack(f"<{len(found)}d", *found)
                if (found := numbers(question, data, name))
                else b""
            )
        else:
            dtype = dtype if dtype in SIZES else "float32"
            count = SIZES[dtype]
            for size in shape:
                count *= size
            part = random.randbytes(count)
        tensors.append({"name": name, "dtype": dtype, "shape": shape, "bytes": len(part)})
        raw += part
    return {"id": question["id"], "tensors": tensors}, raw


def misbehave(line: dict[str, Any], raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Line and bytes of an answer that is none, where there is an answer at all."""
    match BEHAVIOUR:
        case "hangs":
            time.sleep(60)
        case "exits":
            sys.exit("out of memory, it says")
        case "is killed":
            import os
            import signal

            os.kill(os.getpid(), signal.SIGKILL)
        case "chatters":
            print("debug: three rows")
        case "stops short":
            return line, raw[:-1]
        case "counts wrong":
            line["id"] += 1
        case "forgets":
            line["tensors"] = []
        case "miscounts":
            line["tensors"][0]["bytes"] += 1
        case "invents a dtype":
            line["tensors"][0]["dtype"] = ["float64"]
        case "narrows gradients" if line["tensors"][0]["name"].startswith("grad_"):
            narrow = b"".join(struct.pack("<f", d) for (d,) in struct.iter_unpack("<d", raw))
            for tensor in line["tensors"]:
                tensor |= {"dtype": "float32", "bytes": tensor["bytes"] // 2}
            return line, narrow
        case "says fault":
            return {"id": line["id"], "fault": "mood", "message": "no"}, b""
    return line, raw


def main() -> None:
    """Greet, then answer until the input ends."""
    said: dict[str, Any] = {
        "protocol": 1,
        "seconds": 30,
        "strict_inputs": False,
        "dtypes": ["float64"],
    }
    if BEHAVIOUR in ("hangs", "stops short"):
        said["seconds"] = 1
    if BEHAVIOUR in ("lies", "mumbles"):
        said = {"protocol": 1}
    if BEHAVIOUR.startswith("{"):
        said = json.loads(BEHAVIOUR)
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    for text in iter(sys.stdin.buffer.readline, b""):
        question = json.loads(text)
        data = {t["name"]: sys.stdin.buffer.read(t["bytes"]) for t in question["tensors"]}
        if BEHAVIOUR == "mumbles":
            line, raw = {"id": question["id"], "fault": "shape", "message": "no"}, b""
        else:
            line, raw = told(question, data)
        if question["tensors"][0]["shape"][:1] == [3]:
            line, raw = misbehave(line, raw)
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(raw)
        sys.stdout.buffer.flush()


main()
