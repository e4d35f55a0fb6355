#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes the seeds of fuzz_wire into corpus_wire/, in the form that fuzz_wire.c describes."""
import json
import struct
from pathlib import Path

HERE = Path(__file__).parent
SIGN, UNSIGNED, REPLAY = 1, 2, 4
DELIMITER = None
HEADER = b'{"msg_id":"s_1_0","msg_type":"apply_request","session":"s","username":"u","version":"5.3"}'
SIGNATURE = b""  # replaced by the right one where SIGN is set
E = b"{}"


def save(name: str, flags: int, *frames: bytes | None) -> None:
    out = bytearray([flags])
    for frame in frames:
        if frame is DELIMITER:
            out.append(255)
        elif len(frame) < 254:
            out += bytes([len(frame)]) + frame
        else:
            out += b"\xfe" + len(frame).to_bytes(2, "big") + frame
    (HERE / "corpus_wire" / name).write_bytes(out)


def message(name: str, header=HEADER, parent=E, metadata=E, content=E, flags=SIGN, identities=(b"\0id",), buffers=()):
    save(name, flags, *identities, DELIMITER, SIGNATURE, header, parent, metadata, content, *buffers)


def main() -> None:
    (HERE / "corpus_wire").mkdir(exist_ok=True)
    message("apply_plain", buffers=(b"\x80\x04K\x11.", b"\x80\x04K\x05."))
    message("apply_replayed", flags=SIGN | REPLAY)
    message("apply_unsigned", flags=UNSIGNED)
    message("apply_wrong_signature", flags=0)
    message("broadcast_targets", metadata=b'{"targets":[["u0",0],["u1",1]],"is_broadcast":true,"is_coalescing":false}')
    message("buffer_is_delimiter", buffers=(b"<IDS|MSG>", b""))
    message("content_is_list", content=b"[1,2]")
    message("content_large", content=json.dumps({"code": "x = 1\n" * 100}).encode())
    message("content_lone_surrogate", content=b'{"code":"\xed\xa0\x80"}')
    message("content_nul", content=b'{"code":"a\\u0000b"}')
    message("content_numbers", content=b'{"i":-9223372036854775808,"r":[1e308,-0.0,1.5e-7],"too_big":1}')
    message("content_overflow", content=b'{"i":123456789012345678901234567890}')
    message("execute", header=HEADER.replace(b"apply", b"execute"), content=b'{"code":"1+1","silent":false}')
    message("header_deep", header=b'{"a":' * 400 + b"1" + b"}" * 400)
    message("header_duplicate_keys", header=b'{"msg_id":"1","msg_id":2,"msg_id":"3","msg_type":"x"}')
    message("header_empty", header=b"")
    message("header_msg_id_number", header=b'{"msg_id":1,"msg_type":"x"}')
    message("header_nul_in_type", header=b'{"msg_id":"1","msg_type":"a\\u0000b"}')
    message("header_trailing", header=HEADER + b" x")
    message("header_unicode", header='{"msg_id":"é\\ud83d\\ude00","msg_type":"stream"}'.encode())
    message("identities_16", identities=[b"i"] * 16)
    message("identities_17", identities=[b"i"] * 17)
    message("identities_none", identities=())
    save("delimiter_alone", SIGN, DELIMITER)
    table = struct.pack("<4I", 3, 2, 2**32 - 1, 1)
    save("pack", 0, table + b"abc", b"behind")
    save("pack_cut", 0, table[:-1])
    save("pack_short", 0, table + b"ab", b"behind")
    save("pack_without_rest", 0, table + b"abc")
    save("delimiter_missing", SIGN, b"id", SIGNATURE, HEADER, E, E, E)
    save("delimiter_twice", SIGN, DELIMITER, DELIMITER, HEADER, E, E, E)
    save("frames_too_few", SIGN, b"id", DELIMITER, SIGNATURE, HEADER, E, E)
    message("shutdown_all", header=HEADER.replace(b"apply", b"shutdown"), parent=b'{"msg_id":"0"}')


if __name__ == "__main__":
    main()
