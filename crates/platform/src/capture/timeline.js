// Where samples are in time.

const RATE = 48000;
// Least delays are looked for in periods: of a block's way to us 5 s, of a track against its timeline 1 s.
const WAY_PERIOD_US = 5e6;
const DELAY_PERIOD = RATE;
// Further off than this the timeline begins again; a lasting lateness of more than that is a gap; smaller ones are
// drift. The timeline goes back by no more than 20 ms in a second.
const JUMP_US = 500e3;
const GAP_US = 20e3;
const BACK_US = 20e3;
const CATCH_UP_US = 2e3;
// The jitter buffer's delay is followed no faster than a mixer can without a splice; in silence there is none to hear.
const BUFFERED_MOST_US = 200e3;
const FOLLOW = 0.002;
const FOLLOW_SILENCE = 0.1;

// Media timestamps say when a block was played, on a clock with an unknown start and jittering with the machine's
// load. Samples are counted instead, and the count is tied to the page's clock by the blocks that came least late.
class Timeline {
  ways = [Infinity, Infinity];
  waysSinceUs = 0;
  anchorUs = null;
  count = 0;
  firstUs = Infinity;
  leastUs = Infinity;
  periodEnd = DELAY_PERIOD;
  lastUs = 0;
  // Blocks still come faster than they were played: they had to wait for us, and tell little of the time.
  catchingUp = true;
  // How long sound waited in the jitter buffer, by the newest figures, and what of it is taken off.
  bufferedUs = null;
  takenOffUs = 0;

  // Notes a block's arrival. True if the timeline begins again with it: what was collected before must go out first.
  arrived(stampUs) {
    const arrivedUs = nowUs();
    if (arrivedUs - this.waysSinceUs > WAY_PERIOD_US) {
      this.ways = [Infinity, this.ways[0]];
      this.waysSinceUs = arrivedUs;
    }
    this.catchingUp = arrivedUs - stampUs < this.way() - CATCH_UP_US;
    this.ways[0] = Math.min(this.ways[0], arrivedUs - stampUs);
    return this.anchorUs !== null && Math.abs(this.delay(stampUs)) > JUMP_US;
  }

  begin(stampUs) {
    if (this.delay(stampUs) < 0) this.ways = [nowUs() - stampUs, Infinity];
    this.anchorUs = null;
    this.count = 0;
    this.firstUs = Infinity;
  }

  way() {
    return Math.min(this.ways[0], this.ways[1]);
  }

  delay(stampUs) {
    return stampUs + this.way() - (this.anchorUs + (this.count * 1e6) / RATE);
  }

  // Notes where the next sample belongs.
  placed(stampUs) {
    if (this.anchorUs === null) this.firstUs = Math.min(this.firstUs, stampUs - (this.count * 1e6) / RATE);
    else this.leastUs = Math.min(this.leastUs, this.delay(stampUs));
  }

  // The time of the samples cannot be told yet.
  unsettled() {
    return this.anchorUs === null && this.catchingUp;
  }

  buffered(us) {
    const known = this.bufferedUs !== null;
    this.bufferedUs = Math.min(us, BUFFERED_MOST_US);
    if (!known && this.anchorUs === null) this.takenOffUs = this.bufferedUs;
  }

  // Its time can be told as well as it ever will.
  known() {
    return this.anchorUs !== null || this.bufferedUs !== null;
  }

  // Moves what is taken off towards the newest figure, as far as `samples` of sound or of silence allow.
  follow(samples, silent) {
    if (this.bufferedUs === null) return;
    const most = ((samples * 1e6) / RATE) * (silent ? FOLLOW_SILENCE : FOLLOW);
    this.takenOffUs += Math.max(-most, Math.min(most, this.bufferedUs - this.takenOffUs));
  }

  // When the last `samples` reached the page.
  stamp(samples, silent) {
    this.follow(Math.min(samples, BATCH), silent);
    if (this.anchorUs === null) {
      this.anchorUs = this.firstUs + this.way();
      this.periodEnd = this.count + DELAY_PERIOD;
      this.leastUs = Infinity;
    }
    const atUs = this.anchorUs + ((this.count - samples) * 1e6) / RATE - this.takenOffUs;
    if (this.count >= this.periodEnd && this.leastUs < Infinity) {
      const least = this.leastUs;
      this.anchorUs += least > GAP_US ? least : least > 0 ? least / 4 : Math.max(least, -BACK_US);
      this.periodEnd = this.count + DELAY_PERIOD;
      this.leastUs = Infinity;
    }
    this.lastUs = Math.max(this.lastUs, atUs);
    return Math.round(this.lastUs);
  }
}
