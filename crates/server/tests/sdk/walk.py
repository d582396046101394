"""MeetStream's own SDK, unchanged, walks through everything that Muster serves of its surface.

Environment: MEETSTREAM_API_URL and MEETSTREAM_API_KEY, as the SDK reads them; SDK_TEST_LINK, a sandbox meeting in which
somebody speaks; SDK_TEST_SECRET, the webhook signing secret of the server. `sync` or `async` is the only argument.

The two clients have one surface, so there is one walk: `now` takes what either of them gives.
"""

import asyncio
import inspect
import json
import os
import sys
import time
import uuid
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread

import httpx
import meetstream
from meetstream import (
    AsyncMeetStream,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    MeetStream,
    MeetStreamError,
    NotFoundError,
    NotReadyError,
    describe_stop,
    is_terminal,
    parse_webhook,
)

LINK = os.environ["SDK_TEST_LINK"]
SECRET = os.environ["SDK_TEST_SECRET"]
# Generous: the machine may be busy.
PATIENCE_SECONDS = 90
POLL_SECONDS = 0.1
TIMELINE = set(
    "Scheduled Joining WaitingRoom InMeeting Recording Leaving Stopped BotNotAllowed BotRejected Error AudioProcessing"
    " VideoProcessing TranscriptionReady Done MediaExpired".split()
)


class Webhooks:
    """Receives webhooks; each is verified by the SDK before it counts."""

    def __init__(self):
        self.events, self.problems, self.changed = [], [], Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                with outer.changed:
                    try:
                        event = parse_webhook(body, self.headers.get("x-meetstream-signature", ""), SECRET)
                        outer.events.append(event)
                    except ValueError as error:
                        outer.problems.append(f"{error}: {body[:200]}")
                    outer.changed.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, bot):
        return [event for event in self.events if event.get("bot_id") == bot]

    def wait(self, bot, name):
        """The event of this name."""

        def found():
            return [event for event in self.of(bot) if event.get("bot_event", event["event"]) == name] or self.problems

        with self.changed:
            came = self.changed.wait_for(found, PATIENCE_SECONDS)
            assert came and not self.problems, f"no {name}: {self.problems} {[e['event'] for e in self.of(bot)]}"
            return found()[0]


async def now(answer):
    return await answer if inspect.isawaitable(answer) else answer


async def refused(kind, call, *args, status=None, says="", **kw):
    """The error that the call ends with, which must be of this kind."""
    try:
        answer = await now(call(*args, **kw))
    except kind as error:
        assert status is None or error.status == status, error
        assert says in error.message, f"{says!r} is not in {error.message!r}"
        # Every error says something, in the field that the SDK reads, and can be found in the log.
        assert error.message == error.body["message"] and error.request_id, vars(error)
        return error
    raise AssertionError(f"expected {kind.__name__}, got {answer!r}")


async def until(what, read, holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        value = await now(read())
        if holds(value):
            return value
        assert time.monotonic() < deadline, f"waited for {what}: {value!r}"
        await asyncio.sleep(POLL_SECONDS)


def request(hooks, **more):
    return {
        "meeting_link": LINK,
        "bot_name": "Notetaker",
        "callback_url": hooks.url,
        "custom_attributes": {"run": "sdk"},
        "audio_separate_streams": True,
        "a_field_of_tomorrow": {"kept": True},
        "recording_config": {"transcript": {"provider": {"meetstream": {"language": "en"}}}},
        **more,
    }


async def keys(make):
    """A wrong key is told from none."""
    client = make(api_key="not-the-key")
    await refused(meetstream.PermissionError, client.bots.list, status=403)
    await close(client)
    client = make(default_headers={"Authorization": "Bearer x"})
    await refused(AuthenticationError, client.bots.list, status=401)
    await close(client)


async def creating(client, hooks):
    """Bad requests, idempotency and deduplication. Answers a bot on its way into the meeting."""
    await refused(BadRequestError, client.bots.create, {"meeting_link": "nonsense"}, says="meeting_link")
    await refused(BadRequestError, client.bots.create, request(hooks, bot_name=5), says="bot_name")
    await refused(NotFoundError, client.bots.status, str(uuid.uuid4()), status=404)
    await refused(NotFoundError, client.transcripts.get, str(uuid.uuid4()), status=404)

    key = str(uuid.uuid4())
    made = await now(client.bots.create(request(hooks), idempotency_key=key))
    assert made["status"] == "Active" and made["meeting_url"] == LINK, made
    assert uuid.UUID(made["bot_id"]) and uuid.UUID(made["transcript_id"])
    again = await now(client.bots.create(request(hooks), idempotency_key=key))
    assert again["bot_id"] == made["bot_id"] and again["transcript_id"] is None, again
    return made


async def scheduling(client, hooks):
    """A bot for later, which is moved and then removed."""
    booking = str(uuid.uuid4())
    join_at = datetime.now(timezone.utc) + timedelta(hours=2)
    later = request(hooks, join_at=join_at.isoformat(), deduplication_key=booking)
    bot = (await now(client.bots.create(later)))["bot_id"]
    assert (await now(client.bots.create(later)))["bot_id"] == bot
    other = {**later, "meeting_link": f"{LINK}-another"}
    await refused(ConflictError, client.bots.create, other, status=409, says="deduplication_key")
    assert (await now(client.bots.status(bot)))["status"] == "Scheduled"

    listed = (await now(client.calendar.list_scheduled_bots()))["scheduled_bots"]
    mine = next(item for item in listed if item["bot_id"] == bot)
    assert mine["status"] == "Scheduled" and mine["bot_username"] == "Notetaker" and mine["meeting_link"] == LINK, mine
    moved = await now(client.calendar.reschedule_bot(bot, (join_at + timedelta(hours=1)).isoformat()))
    assert moved["bot_id"] == bot and moved["schedule_updated"] is True, moved
    assert moved["updated_fields"] == ["scheduled_join_time"], moved
    assert (await now(client.calendar.delete_scheduled_bot(bot)))["bot_id"] == bot
    await refused(NotFoundError, client.calendar.delete_scheduled_bot, bot, status=404)


async def in_the_call(client, made):
    """What can be read while the bot is in the meeting, and what is not there yet."""
    bot = made["bot_id"]
    status = await until("the call", lambda: client.bots.status(bot), lambda s: s["status"] in ("InMeeting", "Recording"))
    assert status == {"bot_id": bot, "status": status["status"], "custom_attributes": {"run": "sdk"}}, status

    page = await now(client.bots.list(params={"status": "Active", "custom_attr[run]": '"sdk"', "limit": 100}))
    assert page["hasNextPage"] is False and page["nextCursor"] is None, page
    item = next(item for item in page["bots"] if item["bot_id"] == bot)
    assert item["transcript_id"] == made["transcript_id"] and item["custom_attributes"] == {"run": "sdk"}, item

    detail = (await now(client.bots.detail(bot)))["bot_details"]
    assert (detail["BotID"], detail["BotUsername"], detail["MeetingLink"]) == (bot, "Notetaker", LINK), detail
    assert detail["transcript_id"] == made["transcript_id"] and detail["TranscriptStatus"] is None, detail
    assert detail["RequestPayload"]["a_field_of_tomorrow"] == {"kept": True}, detail
    steps = detail["StatusTimeline"]
    assert set(steps) == TIMELINE and all(set(step) == {"message", "status", "timestamp"} for step in steps.values())
    assert steps["Joining"]["status"] is True and steps["Done"]["status"] is False, steps
    assert (await now(client.bots.summary(bot)))["bot_details"]["BotID"] == bot

    people = await until("Ada", lambda: client.bots.participants(bot), bool)
    assert people[0]["displayName"] == "Ada" and people[0]["status"] == 1, people
    chats = await until("the chat message", lambda: client.bots.chats(bot), lambda c: c["chatMessages"])
    message = chats["chatMessages"][0]
    assert (message["speakerName"], message["text"]) == ("Ada", "hello"), message
    assert chats["metadata"]["totalMessages"] == 1 and chats["messagesBySpeaker"][message["deviceId"]], chats

    for pending in (client.bots.audio, client.bots.audio_streams, client.bots.speaker_timeline):
        await refused(NotReadyError, pending, bot, status=202)
    await refused(NotReadyError, client.transcripts.get, made["transcript_id"], status=202)
    listed = await now(client.transcripts.list_for_bot(bot))
    assert [t["status"] for t in listed["transcriptions"]] == ["Processing"], listed
    await refused(ConflictError, client.bots.delete_data, bot, status=409)


async def not_served(client, bot):
    """What MeetStream has and Muster has not is refused, and never looks like success."""
    for absent in (client.bots.video, client.bots.recording_streams):
        await refused(NotFoundError, absent, bot, status=404, says="no video")
    shots = await now(client.bots.screenshots(bot))
    assert shots == {"bot_id": bot, "screenshots_count": 0, "screenshots": []}, shots
    for call, args in (
        (client.bots.send_message, ["hi"]),
        (client.bots.send_image, ["https://example.com/a.png"]),
        (client.bots.pause_recording, []),
        (client.bots.resume_recording, []),
    ):
        await refused(meetstream.ServerError, call, bot, *args, status=501, says="not supported")
    await refused(NotFoundError, client.calendar.list, status=404)


async def leaving(client, hooks, made):
    """Out of the call, with what was captured."""
    bot = made["bot_id"]
    assert "leave" in (await now(client.bots.remove(bot)))["message"]
    stopped = await asyncio.to_thread(hooks.wait, bot, "bot.stopped")
    assert is_terminal(stopped) and describe_stop(stopped) == "The bot left normally.", stopped
    done = await asyncio.to_thread(hooks.wait, bot, "bot.done")
    assert not is_terminal(done) and done["custom_attributes"] == {"run": "sdk"}, done
    assert [is_terminal(event) for event in hooks.of(bot)].count(True) == 1

    audio = await now(client.bots.wait_for_audio(bot, timeout=PATIENCE_SECONDS, interval=POLL_SECONDS))
    sound = httpx.get(audio["audio_url"], trust_env=False).raise_for_status().content
    # A second of a tone is about 2 kB; what is in it is the matter of other tests.
    assert sound.startswith(b"OggS") and b"OpusHead" in sound[:64] and len(sound) > 500, len(sound)
    streams = await now(client.bots.audio_streams(bot))
    assert streams["audio_streams_available"] and streams["participants"][0]["participant_name"] == "Ada", streams
    segment = streams["participants"][0]["streams"][0]["segments"][0]
    assert (segment["sample_rate"], segment["channels"], segment["codec"]) == (48_000, 1, "opus"), segment
    timeline = await now(client.bots.speaker_timeline(bot))
    chunk = timeline["chunks"][0]
    assert chunk["speakerName"] == "Ada" and 0 <= chunk["startByte"] < chunk["endByte"] <= timeline["totalFileSize"]
    assert (await now(client.bots.participants(bot)))[0]["humanized_status"] == "left"

    await check_transcript(client, made["transcript_id"])
    detail = (await now(client.bots.detail(bot)))["bot_details"]
    assert (detail["Status"], detail["TranscriptStatus"], detail["AudioStatus"]) == ("Done", "Success", "Success"), detail
    await refused(ConflictError, client.bots.remove, bot, status=409)


async def check_transcript(client, transcript):
    waited = client.transcripts.wait_for(transcript, timeout=PATIENCE_SECONDS, interval=POLL_SECONDS)
    segments = await now(waited)
    assert segments and segments[0]["speaker"] == "Ada" and "tone" in segments[0]["transcript"], segments
    assert segments[0]["words"][0].keys() >= {"word", "punctuated_word", "start", "end", "confidence"}, segments
    raw = await now(client.transcripts.get(transcript, raw=True))
    assert "tone" in raw["text"] and raw["words"] and raw["utterances"], raw


async def afterwards(client, made):
    """Another transcript, then nothing of it any more."""
    bot = made["bot_id"]
    await refused(BadRequestError, client.transcripts.transcribe_bot_audio, bot, says="provider")
    second = await now(client.transcripts.transcribe_bot_audio(bot, {"provider": {"meetstream": {}}}))
    await check_transcript(client, second["transcript_id"])
    listed = (await now(client.transcripts.list_for_bot(bot)))["transcriptions"]
    assert [t["transcript_id"] for t in listed] == [made["transcript_id"], second["transcript_id"]], listed
    url = listed[0]["download_urls"]["processed_transcript"]
    assert httpx.get(url, trust_env=False).raise_for_status().json()[0]["speaker"] == "Ada"

    deleted = await now(client.bots.delete_data(bot))
    assert deleted["bot_id"] == bot and deleted["deleted_objects"] > 0, deleted
    for gone in (client.bots.audio, client.bots.participants, client.bots.chats):
        await refused(MeetStreamError, gone, bot, status=410)
    await refused(MeetStreamError, client.transcripts.get, made["transcript_id"], status=410)
    assert (await now(client.bots.status(bot)))["status"] == "MediaExpired"


async def close(client):
    await now(client.aclose() if isinstance(client, AsyncMeetStream) else client.close())


async def main(make):
    hooks = Webhooks()
    await keys(make)
    client = make()
    await scheduling(client, hooks)
    made = await creating(client, hooks)
    await in_the_call(client, made)
    await not_served(client, made["bot_id"])
    await leaving(client, hooks, made)
    await afterwards(client, made)
    await close(client)
    print(json.dumps({"bot_id": made["bot_id"], "webhooks": [event["event"] for event in hooks.of(made["bot_id"])]}))


if __name__ == "__main__":
    asyncio.run(main({"sync": MeetStream, "async": AsyncMeetStream}[sys.argv[1]]))
