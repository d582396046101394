"""MeetStream's own client against a running Muster: every call that Muster serves, by the sync and the async client.

    MEETSTREAM_API_URL=http://127.0.0.1:PORT/api/v1 MEETSTREAM_API_KEY=... python walk.py LINK

LINK is a sandbox meeting with two speakers that its host ends after a few seconds. Exits 0 if everything held.
"""

import asyncio
import inspect
import sys
import uuid

import meetstream
from meetstream import AsyncMeetStream, MeetStream

FUTURE = "2099-01-01T09:00:00Z"
LATER = "2099-01-01T10:00:00Z"
LEAVE = {"everyone_left_timeout": 60, "voice_inactivity_timeout": 60}


async def value(answer):
    """What the sync client answers, and what the async one will have answered."""
    return await answer if inspect.isawaitable(answer) else answer


async def refused(error, call):
    """The error that the client raises for the call."""
    try:
        answer = await value(call())
    except error as raised:
        assert raised.message, "an error without a message"
        return raised
    raise AssertionError(f"expected {error.__name__}, got {answer}")


async def scheduled(client, link):
    """Created once whatever is repeated, found, moved and deleted."""
    key = str(uuid.uuid4())
    request = {
        "meeting_link": link,
        "bot_name": "SDK",
        "join_at": FUTURE,
        "custom_attributes": {"run": key},
        "automatic_leave": LEAVE,
        "a_field_of_tomorrow": {"kept": True},
    }
    created = await value(client.bots.create(request, idempotency_key=key))
    bot = created["bot_id"]
    assert created["meeting_url"] == link, created
    replayed = await value(client.bots.create({**request, "bot_name": "Other"}, idempotency_key=key))
    assert replayed["bot_id"] == bot and replayed["transcript_id"] is None, replayed

    same = {"meeting_link": link, "join_at": FUTURE, "deduplication_key": f"d-{key}"}
    first = await value(client.bots.create(same))
    again = await value(client.bots.create(same))
    assert first["bot_id"] == again["bot_id"] != bot
    other = {**same, "meeting_link": "https://meet.google.com/abc-defg-hij"}
    await refused(meetstream.ConflictError, lambda: client.bots.create(other))

    listed = await value(client.bots.list(params={"status": "Scheduled", "custom_attr[run]": f'"{key}"'}))
    assert isinstance(listed["hasNextPage"], bool) and "nextCursor" in listed, listed
    found = await value(client.calendar.list_scheduled_bots())
    entry = next(entry for entry in found["scheduled_bots"] if entry["bot_id"] == bot)
    assert entry["status"] == "Scheduled" and entry["custom_attributes"] == {"run": key}, entry
    moved = await value(client.calendar.reschedule_bot(bot, LATER))
    assert moved["bot_id"] == bot and moved["schedule_updated"] is True, moved
    for each in (bot, first["bot_id"]):
        await value(client.calendar.delete_scheduled_bot(each))
    await refused(meetstream.NotFoundError, lambda: client.calendar.delete_scheduled_bot(bot))


async def mistakes(client, link):
    wrong = {"meeting_link": link, "bot_name": 5}
    error = await refused(meetstream.BadRequestError, lambda: client.bots.create(wrong))
    assert "bot_name" in error.message, error
    assert error.request_id, "no x-request-id"
    await refused(meetstream.NotFoundError, lambda: client.bots.status(str(uuid.uuid4())))
    await refused(meetstream.NotFoundError, lambda: client.transcripts.get(str(uuid.uuid4())))


async def attended(client, link):
    """A bot in a real call, and all that is left of it."""
    request = {
        "meeting_link": link,
        "bot_name": "SDK",
        "custom_attributes": {"run": "attended"},
        "audio_separate_streams": True,
        "recording_config": {"transcript": {"provider": {"meetstream": {}}}},
    }
    created = await value(client.bots.create(request))
    bot, transcript = created["bot_id"], created["transcript_id"]
    assert created["status"] == "Active" and transcript, created
    await refused(meetstream.NotReadyError, lambda: client.transcripts.get(transcript))
    await refused(meetstream.NotReadyError, lambda: client.bots.audio_streams(bot))

    audio = await value(client.bots.wait_for_audio(bot, timeout=120, interval=0.5))
    assert audio["audio_url"].startswith("http"), audio
    segments = await value(client.transcripts.wait_for(transcript, timeout=120, interval=0.5))
    assert isinstance(segments, list), segments
    raw = await value(client.transcripts.get(transcript, raw=True))
    assert {"text", "words", "utterances"} <= raw.keys(), raw.keys()
    while (await value(client.bots.status(bot)))["status"] != "Done":
        await asyncio.sleep(0.2)
    status = await value(client.bots.status(bot))
    assert status["custom_attributes"] == {"run": "attended"}, status
    detail = (await value(client.bots.detail(bot)))["bot_details"]
    assert detail["BotID"] == bot and detail["transcript_id"] == transcript, detail
    assert detail["StatusTimeline"]["InMeeting"]["status"] is True, detail["StatusTimeline"]
    people = await value(client.bots.participants(bot))
    assert {"Ada", "Grace"} <= {person["fullName"] for person in people}, people
    spoken = await value(client.bots.speaker_timeline(bot))
    assert {"Ada", "Grace"} == {chunk["speakerName"] for chunk in spoken["chunks"]}, spoken
    chats = await value(client.bots.chats(bot))
    assert [message["text"] for message in chats["chatMessages"]] == ["Hello"], chats
    streams = await value(client.bots.audio_streams(bot))
    assert streams["summary"]["total_participants"] == 2, streams
    await refused(meetstream.NotFoundError, lambda: client.bots.video(bot))

    made = await value(client.transcripts.transcribe_bot_audio(bot, {"provider": {"meetstream": {}}}))
    await value(client.transcripts.wait_for(made["transcript_id"], timeout=120, interval=0.5))
    listed = await value(client.transcripts.list_for_bot(bot))
    assert {entry["status"] for entry in listed["transcriptions"]} == {"Success"}, listed
    assert len(listed["transcriptions"]) == 2, listed

    deleted = await value(client.bots.delete_data(bot))
    assert deleted["bot_id"] == bot and deleted["deleted_objects"] > 0, deleted


async def removed(client, link):
    created = await value(client.bots.create({"meeting_link": link, "bot_name": "SDK"}))
    answer = await value(client.bots.remove(created["bot_id"]))
    assert answer["message"], answer
    while (await value(client.bots.status(created["bot_id"])))["status"] != "Done":
        await asyncio.sleep(0.2)


async def walk(client, link):
    await mistakes(client, link)
    await scheduled(client, link)
    await removed(client, link + "-empty")
    await attended(client, link)


async def main(link):
    with MeetStream() as client:
        await walk(client, link + "-sync")
        await refused(meetstream.PermissionError, lambda: MeetStream("ms_wrong").bots.list())
    async with AsyncMeetStream() as client:
        await walk(client, link + "-async")
    print("the SDK's calls hold")


asyncio.run(main(sys.argv[1]))
