// Two peers in one page. `call.hz` sounds at the sender; everything a meeting page would do with what it receives is
// done: handlers, an element that plays, checks of the types.
'use strict';
const wanted = new URLSearchParams(location.search);
const call = { tracks: [], seen: [], hz: Number(wanted.get('hz') ?? 440) };

const context = new AudioContext();
const oscillator = new OscillatorNode(context, { frequency: call.hz });
const gain = new GainNode(context, { gain: 0.25 });
const microphone = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
oscillator.connect(gain).connect(microphone);
oscillator.start();

function picture() {
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  canvas.getContext('2d').fillRect(0, 0, 32, 32);
  return canvas.captureStream(5).getVideoTracks()[0];
}

call.connect = async () => {
  const sender = new RTCPeerConnection();
  const receiver = new webkitRTCPeerConnection();
  Object.assign(call, { sender, receiver });
  sender.onicecandidate = ({ candidate }) => receiver.addIceCandidate(candidate);
  receiver.onicecandidate = ({ candidate }) => sender.addIceCandidate(candidate);
  receiver.ontrack = ({ track, streams }) => {
    call.seen.push(`ontrack ${track.kind}`);
    if (track.kind !== 'audio') return;
    const element = new Audio();
    element.srcObject = streams[0] ?? new MediaStream([track]);
    element.play();
    call.tracks.push(element);
  };
  receiver.addEventListener('track', ({ track }) => call.seen.push(`track ${track.kind}`));
  call.stream = new MediaStream(microphone.stream.getAudioTracks());
  call.audio = sender.addTransceiver(call.stream.getAudioTracks()[0], { direction: 'sendonly', streams: [call.stream] });
  sender.addTransceiver(picture(), { direction: 'sendonly', streams: [call.stream] });
  await call.negotiate();
};

// As pages do it: each waits for the step before, or (with `rushed`) none does, or with callbacks.
call.negotiate = async (how = wanted.get('how')) => {
  const { sender, receiver } = call;
  await sender.setLocalDescription();
  if (how === 'rushed') {
    receiver.setRemoteDescription(sender.localDescription);
    await receiver.setLocalDescription(await receiver.createAnswer());
  } else if (how === 'implicit') {
    receiver.setRemoteDescription(sender.localDescription);
    await receiver.setLocalDescription();
  } else if (how === 'callbacks') {
    await new Promise((done, failed) => receiver.setRemoteDescription(sender.localDescription, done, failed));
    const answer = await new Promise((done, failed) => receiver.createAnswer(done, failed));
    await new Promise((done, failed) => receiver.setLocalDescription(answer, done, failed));
  } else {
    await receiver.setRemoteDescription(sender.localDescription);
    await receiver.setLocalDescription(await receiver.createAnswer());
  }
  await sender.setRemoteDescription(receiver.localDescription);
};

// The same line of the description for another participant.
call.hand_over = async () => {
  const next = new MediaStream();
  call.audio.direction = 'inactive';
  await call.negotiate();
  call.audio.sender.setStreams(next);
  call.audio.direction = 'sendonly';
  await call.negotiate();
  return next.id;
};

// Another participant without a break in between.
call.rename = async () => {
  const next = new MediaStream();
  call.audio.sender.setStreams(next);
  await call.negotiate();
  return next.id;
};

call.sections = () => call.receiver.localDescription.sdp.split(/^m=/m).slice(1).map((section) => [
  section.split(' ')[0], /^a=(sendrecv|sendonly|recvonly|inactive)/m.exec(section)[1],
]);

window.call = call;
call.ready = call.connect();
