// The sound of the queue: while a critical or serious alert is new. It stops when all of them are acknowledged, or for a while on 's'.
const EVERY_MS = 4_000;
const KEY = 'emtrack-sound';

export class Alarm {
  constructor(toggle, test) {
    this.toggle = toggle;
    this.isOn = false;
    this.wanted = null;
    this.known = new Set();
    this.silenced = new Set();
    toggle?.addEventListener('click', () => this.turn(!this.isOn));
    test?.addEventListener('click', () => this.play('critical'));
    // A browser lets a page sound only after the person did something in it: what was chosen before waits for that.
    if (localStorage.getItem(KEY) === 'on') addEventListener('pointerdown', () => this.isOn || this.turn(true), { once: true });
    setInterval(() => this.isOn && this.wanted && this.play(this.wanted), EVERY_MS);
  }

  turn(on) {
    this.isOn = on;
    localStorage.setItem(KEY, on ? 'on' : 'off');
    this.toggle.setAttribute('aria-pressed', String(on));
    this.toggle.textContent = on ? 'Sound is on: turn off' : 'Sound is off: turn on';
    if (on) this.play('serious');
  }

  // What the newest rows ask for: a possible entry has a sound of its own.
  follow(rows) {
    const loud = rows.filter((one) => one.dataset.state === 'new' && ['critical', 'serious'].includes(one.dataset.severity));
    const heard = loud.filter((one) => !this.silenced.has(one.dataset.alert));
    this.known = new Set(loud.map((one) => one.dataset.alert));
    if (!heard.length) this.wanted = null;
    else if (heard.some((one) => one.dataset.severity === 'critical' && !one.dataset.possible)) this.wanted = 'critical';
    else this.wanted = heard.some((one) => one.dataset.possible) ? 'possible' : 'serious';
  }

  quiet() {
    for (const number of this.known) this.silenced.add(number);
    this.wanted = null;
  }

  play(what) {
    this.context ??= new AudioContext();
    const tones = { critical: [880, 660, 880], possible: [660, 880], serious: [520] }[what];
    tones.forEach((hertz, index) => {
      const at = this.context.currentTime + index * 0.22;
      const tone = new OscillatorNode(this.context, { frequency: hertz });
      const volume = new GainNode(this.context, { gain: 0.2 });
      tone.connect(volume).connect(this.context.destination);
      tone.start(at);
      tone.stop(at + 0.18);
    });
  }
}
