// The audio of the call: one connection, which the room offers and this page answers. Each participant is one
// MediaStream whose id is the participant's.

// A connection that is not there after this is tried anew.
const CONNECT_WITHIN_MS = 15000;

export class Media {
  #send;
  #sound;
  #blocked;
  #connection = null;
  #session = 0;
  #queue = Promise.resolve();
  #timer = 0;
  #sender = null;
  #microphone = null;
  #heard = new Map();

  /**
   * @param {(message: object) => void} send to the room
   * @param {HTMLElement} sound where the audio elements live
   * @param {() => void} blocked the browser wants a click before it plays anything
   */
  constructor(send, sound, blocked) {
    this.#send = send;
    this.#sound = sound;
    this.#blocked = blocked;
  }

  /** Takes an offer, after all earlier ones. */
  offer(message) {
    this.#queue = this.#queue.then(() => this.#answer(message)).catch((error) => {
      console.warn("an offer was not answered", error);
      this.#restart(message.session);
    });
  }

  async #answer({ session, sdp, mic }) {
    if (session < this.#session) return;
    if (session !== this.#session || !this.#connection) this.#open(session);
    const connection = this.#connection;
    await connection.setRemoteDescription({ type: "offer", sdp });
    const line = connection.getTransceivers().find((transceiver) => transceiver.mid === mic);
    if (line) {
      // Also without a microphone: turning it on later then needs no new offer.
      line.direction = "sendonly";
      this.#sender = line.sender;
      if (line.sender.track !== this.#microphone) await line.sender.replaceTrack(this.#microphone);
    }
    await connection.setLocalDescription();
    // It may have been closed meanwhile.
    if (connection !== this.#connection) return;
    this.#send({ type: "answer", session, sdp: connection.localDescription.sdp });
  }

  #open(session) {
    this.#close();
    this.#session = session;
    const connection = new RTCPeerConnection();
    this.#connection = connection;
    connection.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.candidate) this.#send({ type: "candidate", session, candidate: candidate.candidate });
    });
    connection.addEventListener("track", ({ track, streams, receiver }) => {
      if (track.kind === "audio" && streams[0]) this.#play(streams[0], receiver);
    });
    connection.addEventListener("connectionstatechange", () => {
      if (connection !== this.#connection) return;
      if (connection.connectionState === "connected") clearTimeout(this.#timer);
      if (connection.connectionState === "failed") this.#restart(session);
    });
    this.#timer = setTimeout(() => this.#restart(session), CONNECT_WITHIN_MS);
  }

  #restart(session) {
    if (session !== this.#session) return;
    clearTimeout(this.#timer);
    this.#send({ type: "restart", session });
  }

  #play(stream, receiver) {
    let audio = this.#heard.get(stream.id)?.audio;
    if (!audio) {
      audio = document.createElement("audio");
      audio.autoplay = true;
      audio.dataset.participant = stream.id;
      this.#sound.append(audio);
    }
    if (audio.srcObject !== stream) audio.srcObject = stream;
    this.#heard.set(stream.id, { audio, receiver });
    stream.addEventListener("removetrack", () => {
      if (stream.getTracks().length === 0 && audio.srcObject === stream) this.#silence(stream.id);
    });
    this.#start(audio);
  }

  #start(audio) {
    audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.#blocked();
    });
  }

  #silence(id) {
    const audio = this.#heard.get(id)?.audio;
    if (audio) {
      audio.srcObject = null;
      audio.remove();
    }
    this.#heard.delete(id);
  }

  /** Plays what the browser did not want to play before a click. */
  unblock() {
    for (const { audio } of this.#heard.values()) this.#start(audio);
  }

  /** How loud each of the others is, 0 to 1, by participant. */
  levels() {
    const levels = new Map();
    for (const [id, { receiver }] of this.#heard) {
      const [source] = receiver.getSynchronizationSources();
      levels.set(id, source?.audioLevel ?? 0);
    }
    return levels;
  }

  /** How loud this page's own microphone is, 0 to 1. */
  async ownLevel() {
    if (!this.#microphone?.enabled || !this.#sender) return 0;
    for (const report of (await this.#sender.getStats()).values()) {
      if (report.type === "media-source") return report.audioLevel ?? 0;
    }
    return 0;
  }

  /** Turns the microphone on or off; throws if there is none or it may not be used. */
  async setMicrophone(on) {
    if (on && this.#microphone?.readyState !== "live") {
      if (!navigator.mediaDevices) throw new DOMException("needs https or localhost", "SecurityError");
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      [this.#microphone] = stream.getAudioTracks();
      await this.#sender?.replaceTrack(this.#microphone);
    }
    if (this.#microphone) this.#microphone.enabled = on;
  }

  #close() {
    clearTimeout(this.#timer);
    for (const id of [...this.#heard.keys()]) this.#silence(id);
    this.#connection?.close();
    this.#connection = null;
    this.#sender = null;
  }

  /** Ends everything, for good. */
  end() {
    this.#close();
    this.#microphone?.stop();
    this.#microphone = null;
    this.#session = Infinity;
  }
}
