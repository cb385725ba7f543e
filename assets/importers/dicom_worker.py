"""Decode compressed DICOM files, as a script in a process of its own, so that a decoder may crash alone.

Reads a JSON line `{"path", "plugin"}` a file; writes for each frame a JSON line `{"shape", "dtype"}` and its bytes,
then `{"end": true}`, or `{"error": text}`.
"""

import json
import os
import sys
import warnings


def main() -> None:
    """Serve until the input ends."""
    import numpy as np
    from pydicom import dcmread
    from pydicom.pixels import iter_pixels

    warnings.simplefilter("ignore")
    # Decoders print to the standard output, which belongs to the frames here.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            for frame in iter_pixels(dcmread(request["path"]), raw=True, decoding_plugin=request["plugin"]):
                out.write(json.dumps({"shape": frame.shape, "dtype": frame.dtype.str}).encode() + b"\n")
                out.write(np.ascontiguousarray(frame).tobytes())
            answer: dict[str, object] = {"end": True}
        except Exception as error:  # whatever it is, the other process says it in one line
            answer = {"error": " ".join(str(error).split())[:200] or type(error).__name__}
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
