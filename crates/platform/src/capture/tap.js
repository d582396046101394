// From blocks of a track to messages.

const BATCH = 4800;
// Blocks that wait while the page is busy: 5 s.
const WAITING_BLOCKS = 500;
const HELD_BATCHES = 50;
// For the first figures of the jitter buffer.
const HELD_BATCHES_FOR_FIGURES = 3;

// Reads one attachment of a track until it ends or is replaced.
class Tap {
  timeline = new Timeline();
  batch = new Int16Array(BATCH);
  filled = 0;
  loud = false;
  // Full batches whose time is not known yet.
  held = [];
  // Of the block before, for other rates: the last sample and where the next one of ours lies after it.
  last = 0;
  phase = 0;
  mono = new Float32Array(480);
  plane = new Float32Array(480);

  constructor(track, owner) {
    this.number = owner;
    this.clone = track.clone();
    // The page may silence its copy; ours is its own.
    this.clone.enabled = true;
    // Chromium only decodes what some element plays. Ours does not depend on the page's.
    this.element = document.createElement('audio');
    this.element.muted = true;
    this.element.srcObject = new MediaStream([this.clone]);
    this.element.play().catch(() => {});
    const processor = new MediaStreamTrackProcessor({ track: this.clone, maxBufferSize: WAITING_BLOCKS });
    this.reader = processor.readable.getReader();
  }

  async run(ended) {
    try {
      for (;;) {
        const { value, done } = await this.reader.read();
        if (done) break;
        guarded('a block of sound was lost', () => this.take(value));
        value.close();
      }
    } catch (error) {
      trouble(`reading a track failed: ${error}`);
    }
    ended();
  }

  stop() {
    this.reader.cancel().catch(() => {});
    this.clone.stop();
    this.element.srcObject = null;
  }

  take(data) {
    const frames = data.numberOfFrames;
    const stampUs = data.timestamp;
    this.mix(data, frames);
    if (this.timeline.arrived(stampUs)) {
      this.flush();
      this.timeline.begin(stampUs);
    }
    this.timeline.placed(stampUs);
    if (data.sampleRate === RATE) {
      for (let i = 0; i < frames; i++) this.put(this.mono[i]);
    } else {
      trouble(`a track comes at ${data.sampleRate} Hz and is resampled`);
      this.resample(frames, data.sampleRate / RATE);
    }
  }

  // The mean of all channels; `copyTo` converts from any format.
  mix(data, frames) {
    if (this.mono.length < frames) {
      this.mono = new Float32Array(frames);
      this.plane = new Float32Array(frames);
    }
    const channels = data.numberOfChannels;
    const whole = { planeIndex: 0, format: 'f32-planar' };
    data.copyTo(this.mono, whole);
    for (whole.planeIndex = 1; whole.planeIndex < channels; whole.planeIndex++) {
      data.copyTo(this.plane, whole);
      for (let i = 0; i < frames; i++) this.mono[i] += this.plane[i];
    }
    if (channels > 1) for (let i = 0; i < frames; i++) this.mono[i] /= channels;
  }

  resample(frames, step) {
    let position = this.phase;
    for (; position < frames; position += step) {
      const index = Math.floor(position);
      const left = index === 0 ? this.last : this.mono[index - 1];
      this.put(left + (this.mono[index] - left) * (position - index));
    }
    this.phase = position - frames;
    this.last = this.mono[frames - 1];
  }

  put(sample) {
    const value = Math.max(-32768, Math.min(32767, Math.round(sample * 32768)));
    this.batch[this.filled++] = value;
    this.timeline.count++;
    if (value !== 0) this.loud = true;
    if (this.filled === BATCH) this.flush();
  }

  flush(last = false) {
    if (this.filled > 0) {
      // Digital silence, most of a meeting, is only counted.
      const bytes = new Uint8Array(this.batch.buffer, 0, this.filled * 2);
      this.held.push({ samples: this.filled, text: this.loud ? base64(bytes) : '-' });
    }
    this.filled = 0;
    this.loud = false;
    const most = this.timeline.unsettled() ? HELD_BATCHES : this.timeline.known() ? 0 : HELD_BATCHES_FOR_FIGURES;
    if (this.held.length < most && !last) return;
    let left = this.held.reduce((sum, { samples }) => sum + samples, 0);
    for (const { samples, text } of this.held) {
      say(`a ${this.number} ${this.timeline.stamp(left, text === '-')} ${samples} ${text}`);
      left -= samples;
    }
    this.held = [];
  }
}

function base64(bytes) {
  if (toBase64) return Reflect.apply(toBase64, bytes, []);
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}
