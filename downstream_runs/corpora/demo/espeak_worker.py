"""The process in which espeak-ng speaks, started by `speech.py`.

espeak-ng keeps state from one utterance to the next, so what it says depends on what it said before, and it
draws noise from a seed that differs from process to process. Here it is set up once with a fixed seed, and
each request is spoken in a fork of that state: the audio is a function of the request alone. The process
also keeps a library that may be started only once, and by one thread, away from its caller.

Needs the standard library only. In: one JSON object on standard input, `library` and `data` (paths) and
`requests`, a list of `[text, voice, pitch, pitch_range, rate]`. Out: for each request a line, 16-bit samples
at 22,050 Hz (little endian) in base64. The constants are those of espeak-ng's speak_lib.h.
"""

import base64
import ctypes
import json
import os
import sys

SYNCHRONOUS = 2
CHARS_UTF8 = 1
RATE, PITCH, RANGE = 1, 3, 4
SAMPLE_RATE = 22050

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def prepare(library: str, data: str) -> ctypes.CDLL:
    """Load and initialise the library, its random numbers from a fixed seed."""
    espeak = ctypes.CDLL(library)
    espeak.espeak_SetSynthCallback.argtypes = [Callback]
    espeak.espeak_Synth.argtypes = [
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_uint,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.c_uint,
        ctypes.c_void_p,
        ctypes.c_void_p,
    ]
    rate = espeak.espeak_Initialize(SYNCHRONOUS, 0, os.fsencode(data), 0)
    if rate != SAMPLE_RATE:
        sys.exit(f"espeak-ng started with {rate} samples a second, {SAMPLE_RATE} were expected")
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(1))
    return espeak


def speak(espeak: ctypes.CDLL, text: str, voice: str, pitch: int, pitch_range: int, rate: int) -> bytes:
    """The 16-bit samples of `text`."""
    spoken = bytearray()

    def receive(samples: "ctypes._Pointer[ctypes.c_short]", number: int, _: object) -> int:
        if samples and number > 0:
            spoken.extend(ctypes.string_at(samples, 2 * number))
        return 0

    callback = Callback(receive)
    espeak.espeak_SetSynthCallback(callback)
    if espeak.espeak_SetVoiceByName(voice.encode()) != 0:
        sys.exit(f"espeak-ng has no voice {voice}")
    for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
        espeak.espeak_SetParameter(parameter, value, 0)
    utf8 = text.encode()
    if espeak.espeak_Synth(utf8, len(utf8) + 1, 0, 1, 0, CHARS_UTF8, None, None) != 0 or not spoken:
        sys.exit(f"espeak-ng gave no audio for {text!r} with the voice {voice}")
    return bytes(spoken)


def main() -> None:
    """Answer all requests in their order; exit with 1 and one line on standard error at the first failure."""
    job = json.load(sys.stdin)
    espeak = prepare(job["library"], job["data"])
    for request in job["requests"]:
        child = os.fork()
        if child == 0:
            spoken = speak(espeak, *request)
            sys.stdout.buffer.write(base64.b64encode(spoken) + b"\n")
            sys.stdout.buffer.flush()
            os._exit(0)
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(1)


if __name__ == "__main__":
    main()
