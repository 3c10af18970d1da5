// Connections, messages, hook times and queues over the last two minutes.

import { el } from "./dom.js";
import { count, size, span } from "./form.js";
import { Plot } from "./plot.js";
import { words } from "./words.js";

export class Numbers {
  constructor() {
    const perSecond = (number) => count(number) + "/s";
    this.plots = {
      connections: new Plot(words.connections, [[words.open, "a"]], count),
      messages: new Plot(words.messages, [[words.in, "a"], [words.out, "b"]], perSecond),
      times: new Plot(words.hookTimes, [["p50", "a"], ["p99", "b"]], span, true),
      queued: new Plot(words.queued, [[words.queue, "a"]], size),
      published: new Plot(words.published, [[words.publications, "a"], [words.deliveries, "b"]], perSecond),
      waiting: new Plot(words.waiting, [[words.hooks, "a"]], count),
    };
    this.element = el("div", { class: "plots" }, Object.values(this.plots).map((plot) => plot.element));
  }

  opened() {
    this.before = null;
  }

  numbers(now) {
    const before = this.before;
    this.before = now;
    const { connections, messages, times, queued, published, waiting } = this.plots;
    connections.add([now.total]);
    queued.add([now.queued]);
    waiting.add([now.counted.waiting]);
    if (!before || now.time <= before.time) return;
    const seconds = now.time - before.time;
    const [passedNow, passedBefore] = [now, before].map(({ counted }) => sum(counted));
    // What topics have delivered went out as well, though no script has sent it to each of them.
    passedNow[1] += now.delivered;
    passedBefore[1] += before.delivered;
    messages.add([0, 1].map((way) => Math.max(0, passedNow[way] - passedBefore[way]) / seconds));
    published.add([(now.published - before.published) / seconds, (now.delivered - before.delivered) / seconds]);
    const buckets = difference(all(now.counted), all(before.counted));
    times.add([0.5, 0.99].map((part) => percentile(buckets, now.counted.bounds, part)));
  }
}

function sum(counted) {
  const passed = [0, 0];
  for (const { messages } of Object.values(counted.handlers)) messages.forEach((number, way) => (passed[way] += number));
  return passed;
}

function all(counted) {
  const sums = counted.bounds.map(() => 0).concat(0);
  for (const { hooks } of Object.values(counted.handlers)) {
    for (const { buckets } of Object.values(hooks)) buckets.forEach((number, place) => (sums[place] += number));
  }
  return sums;
}

export function difference(now, before) {
  return now.map((number, place) => Math.max(0, number - (before?.[place] ?? 0)));
}

/** The time that this part of all took at most, as far as buckets tell; nothing if there are none. */
export function percentile(buckets, bounds, part) {
  const wanted = buckets.reduce((sum, number) => sum + number, 0) * part;
  if (!wanted) return null;
  let seen = 0;
  for (const [place, number] of buckets.entries()) {
    if (seen + number >= wanted) {
      const high = bounds[place] ?? bounds.at(-1) * 4;
      const low = high / 4;
      // Times spread over a bucket as its bounds do: each four times the one before.
      return low * 4 ** ((wanted - seen) / number);
    }
    seen += number;
  }
  return bounds.at(-1);
}
